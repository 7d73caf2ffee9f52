//! Panics while it decides. The message, the file and the line must reach its author.

landfall_guests::selector!("panics", "Panics while it decides", |call, device, hubs| {
    panic!("no hub for {}: the table is empty", device.registration_id)
});
