//! Puts every device off by the longest time that the contract can say: 49 days.

use std::time::Duration;

use landfall_plugin::{Outcome, Reason};

landfall_guests::selector!("defers-for-ever", "Puts every device off by 49 days", |call, device, hubs| {
    Ok(Outcome::defer(Duration::MAX, Reason::new("never", "come back next quarter")))
});
