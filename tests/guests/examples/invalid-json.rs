//! Places a device with desired properties that are no JSON.

use landfall_plugin::Placement;

landfall_guests::grouper!("invalid-json", "Places a device with properties that are no JSON", |call, device, hub| {
    let mut placement = Placement::at(["eu"]);
    placement.desired = Some(r#"{"interval": 60,"#.into());
    Ok(placement)
});
