//! Places a device with ten megabytes of tags.

use landfall_plugin::Placement;

landfall_guests::grouper!("huge-output", "Places a device with ten megabytes of tags", |call, device, hub| {
    let value = "x".repeat(100_000);
    Ok((0..100).fold(Placement::at(["eu"]), |placement, n| placement.tag(format!("tag-{n}"), value.as_str())))
});
