//! Gives a reason whose code is not one, and whose detail does not end.

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("bad-reason", "Gives a reason whose code is not one", |call, device, hubs| {
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("Not A Code!\u{1b}[31m", "why ".repeat(100_000)).into())
});
