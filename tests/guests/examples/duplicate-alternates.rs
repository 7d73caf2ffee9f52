//! Answers the same hub as choice and twice as alternate.

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("duplicate-alternates", "Answers the same hub three times", |call, device, hubs| {
    let mut choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    choice.alternates = vec![choice.hub, choice.hub];
    Ok(choice.into())
});
