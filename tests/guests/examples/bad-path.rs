//! Places a device at a path that is no path.

use landfall_plugin::Placement;

landfall_guests::grouper!("bad-path", "Places a device at a path that is no path", |call, device, hub| {
    Ok(Placement::at(["eu", "..", "", "a/b\u{0}\u{202e}"]))
});
