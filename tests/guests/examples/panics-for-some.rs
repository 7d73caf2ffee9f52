//! Panics for devices whose payload says so, and takes the first hub for all others.

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("panics-for-some", "Panics for some devices", |call, device, hubs| {
    if device.payload.as_deref().is_some_and(|payload| payload.contains("poison")) {
        panic!("no such model\n2. Choosing the hub: the policy trusted\n  answer        hub-1.example");
    }
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("first", "it stands first").into())
});
