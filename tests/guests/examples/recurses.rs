//! Calls itself until the stack ends.

use std::hint::black_box;

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("recurses", "Calls itself until the stack ends", |call, device, hubs| {
    let depth = deeper(call.seed);
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal(depth.to_string()))?;
    Ok(choice.into())
});

#[expect(unconditional_recursion, reason = "that is what this guest is for")]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    // The addition afterwards keeps the compiler from making a loop of it.
    deeper(black_box(depth.wrapping_add(1))).wrapping_add(frame[3])
}
