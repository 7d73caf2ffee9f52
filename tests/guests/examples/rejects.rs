//! No.

use landfall_plugin::{Outcome, Reason};

landfall_guests::selector!("rejects", "Turns every device away", |call, device, hubs| {
    Ok(Outcome::Reject(Reason::new("not-sold", "this device was never sold")))
});
