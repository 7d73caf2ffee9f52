//! Places a device with desired properties that are nested ten thousand deep.

use landfall_plugin::Placement;

landfall_guests::grouper!("deep-json", "Places a device with properties nested too deep", |call, device, hub| {
    let mut placement = Placement::at(["eu"]);
    placement.desired = Some(format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000)));
    Ok(placement)
});
