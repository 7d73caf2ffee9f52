//! Has no opinion.

use landfall_plugin::{Outcome, Reason};

landfall_guests::selector!("abstains", "Has no opinion on any device", |call, device, hubs| {
    Ok(Outcome::Abstain(Reason::new("no-opinion", "not mine to say")))
});
