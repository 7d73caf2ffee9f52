//! Answers a hub that it was shown, and an alternate that it was not.

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!(
    "names-unknown-alternate",
    "Answers an alternate that it was not shown",
    |call, device, hubs| {
        let mut choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
        choice.alternates = vec![u32::try_from(hubs.len()).unwrap_or(u32::MAX)];
        Ok(choice.into())
    }
);
