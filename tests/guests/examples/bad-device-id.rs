//! Gives the device an id that no hub takes.

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("bad-device-id", "Gives the device an id that no hub takes", |call, device, hubs| {
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.named("a b\n../../../etc/passwd\u{0}").into())
});
