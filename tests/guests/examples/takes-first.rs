//! Behaves: takes the first hub, the others as alternates.

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("takes-first", "Takes the first hub", |call, device, hubs| {
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("first", "it stands first").into())
});
