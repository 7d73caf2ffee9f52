//! What the function answers.

use landfall_plugin::http::Response;
use landfall_plugin::{Fault, Placement};
use serde_json::{Map, Value};

/// An answer that names a hub.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) hub: String,
    twin: Option<Map<String, Value>>,
    payload: Option<Value>,
}

impl Answer {
    pub(crate) fn read(response: &Response) -> Result<Self, Fault> {
        let wrong = |why: &str| Fault::bad_input(format!("the function's answer is not acceptable: {why}"));
        let body: Value = response.json().map_err(|error| wrong(&format!("it is not JSON: {error}")))?;
        let Value::Object(members) = body else { return Err(wrong("it is not an object")) };
        let (mut hub, mut twin, mut payload) = (None, None, None);
        for (name, value) in members {
            // Documentation and functions differ in how they spell these.
            match (name.to_ascii_lowercase().as_str(), value) {
                (_, Value::Null) => {}
                ("iothubhostname", Value::String(name)) => hub = Some(name),
                ("iothubhostname", _) => return Err(wrong("`iotHubHostName` is not a text")),
                ("initialtwin", Value::Object(members)) => twin = Some(members),
                ("initialtwin", _) => return Err(wrong("`initialTwin` is not an object")),
                ("payload", value) => payload = Some(value),
                _ => {}
            }
        }
        let hub = hub.ok_or_else(|| wrong("`iotHubHostName` is missing"))?;
        Ok(Self { hub, twin, payload })
    }

    /// The initial twin and the payload.
    pub(crate) fn placement(self) -> Result<Placement, Fault> {
        let mut placement = Placement::none();
        if let Some(mut twin) = self.twin {
            if let Some(Value::Object(tags)) = twin.remove("tags") {
                placement = tags.into_iter().fold(placement, |placement, (key, value)| placement.tag(key, value));
            }
            if let Some(Value::Object(mut properties)) = twin.remove("properties")
                && let Some(desired @ Value::Object(_)) = properties.remove("desired")
            {
                placement = placement.desired(desired);
            }
        }
        if let Some(payload) = self.payload {
            placement = placement.reply(payload);
        }
        Ok(placement.because("webhook", "the function's answer"))
    }
}
