//! Says who it is, and neither chooses hubs nor places devices.

wit_bindgen::generate!({ path: "../../wit/v0_1", world: "base" });

use exports::landfall::policy::control::{Description, Guest, Problem};

struct Mute;

impl Guest for Mute {
    fn describe() -> Description {
        Description {
            name: "missing-export".into(),
            version: "0.1.0".into(),
            summary: "Neither chooses hubs nor places devices".into(),
            settings_schema: None,
        }
    }

    fn configure(_: String) -> Result<(), Vec<Problem>> {
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
export!(Mute);
