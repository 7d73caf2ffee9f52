//! Counts the calls that it had. It must always be the first: no call may leave anything to the next.

use std::sync::atomic::{AtomicU32, Ordering};

use landfall_plugin::{Choice, Fault};

static CALLS: AtomicU32 = AtomicU32::new(0);

landfall_guests::selector!("counts-calls", "Counts the calls that it had", |call, device, hubs| {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("calls", calls.to_string()).into())
});
