//! Answers a hub that it was not shown.

use landfall_plugin::Choice;

landfall_guests::selector!("names-unknown-hub", "Answers a hub that it was not shown", |call, device, hubs| {
    Ok(Choice { hub: 4_000_000_000, alternates: Vec::new(), device_id: None, reasons: Vec::new() }.into())
});
