//! Not now.

use std::time::Duration;

use landfall_plugin::{Outcome, Reason};

landfall_guests::selector!("defers", "Puts every device off", |call, device, hubs| {
    Ok(Outcome::defer(Duration::from_secs(7), Reason::new("maintenance", "the site is being moved")))
});
