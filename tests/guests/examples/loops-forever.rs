//! Never answers.

use std::hint::black_box;

landfall_guests::selector!("loops-forever", "Never answers", |call, device, hubs| {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
});
