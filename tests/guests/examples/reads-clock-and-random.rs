//! Reads the wall clock, the steady clock and the random state of the standard library. All of them must be what the
//! call says, so that the same decision, made again, says the same.

#![allow(clippy::disallowed_methods, reason = "that the standard library's clocks are the call's is what is tested")]

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("reads-clock-and-random", "Says what time and chance it sees", |call, device, hubs| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| Fault::internal(error.to_string()))?;
    let start = Instant::now();
    let random = RandomState::new().hash_one(1);
    let order: HashMap<u32, ()> = (0..8).map(|key| (key, ())).collect();
    let order: Vec<String> = order.keys().map(u32::to_string).collect();
    let elapsed = start.elapsed();

    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice
        .because("now", now.as_millis().to_string())
        .because("elapsed", elapsed.as_nanos().to_string())
        .because("random", random.to_string())
        .because("order", order.join(","))
        .into())
});
