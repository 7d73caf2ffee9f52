//! Behaves, and contradicts `places-in-eu` in the tag and in the desired property.

use landfall_plugin::Placement;
use serde_json::json;

landfall_guests::grouper!("places-in-us", "Places every device at us", |call, device, hub| {
    Ok(Placement::at(["us"]).tag("region", "us").desired(json!({"interval": 30})).because("us", "all are in us"))
});
