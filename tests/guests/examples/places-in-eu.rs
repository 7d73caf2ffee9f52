//! Behaves: places every device at `eu`, with one tag and one desired property.

use landfall_plugin::Placement;
use serde_json::json;

landfall_guests::grouper!("places-in-eu", "Places every device at eu", |call, device, hub| {
    Ok(Placement::at(["eu"]).tag("region", "eu").desired(json!({"interval": 60})).because("eu", "all are in eu"))
});
