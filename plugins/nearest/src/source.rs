//! Where a device's location is found.
//!
//! | source | reads |
//! | --- | --- |
//! | `"facts": [LATITUDE, LONGITUDE]` | two facts of the manufacturing record |
//! | `"fact": KEY` | one fact, `"52.52, 13.405"` |
//! | `"payload": POINTER` | what the device says: an object with `latitude` and `longitude` (or `lat` and `lon`, `lng`), a GeoJSON point, or a text as in `fact` |
//!
//! A bare array is refused: some write latitude first, and GeoJSON writes longitude first.

use landfall_plugin::{Device, Fault, Location, Pointer, Problem, warn};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// One place to look for the device's location: exactly one of `facts`, `fact` and `payload`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SourceSettings {
    /// Two facts of the manufacturing record: latitude and longitude, in degrees.
    pub facts: Option<[String; 2]>,
    /// One fact of the manufacturing record: latitude and longitude with a comma between.
    pub fact: Option<String>,
    /// What the device says of itself, by a JSON pointer such as `/position`. Untrusted.
    pub payload: Option<String>,
}

/// A place to look that has been checked.
#[derive(Debug)]
pub(crate) enum Source {
    Facts(String, String),
    Fact(String),
    Payload(String),
}

impl Source {
    pub(crate) fn parse(
        settings: SourceSettings,
        believe_payload: bool,
        place: &Pointer,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        match settings {
            SourceSettings { facts: Some([latitude, longitude]), fact: None, payload: None } => {
                Some(Self::Facts(latitude, longitude))
            }
            SourceSettings { facts: None, fact: Some(key), payload: None } => Some(Self::Fact(key)),
            SourceSettings { facts: None, fact: None, payload: Some(pointer) } => {
                if !pointer.is_empty() && !pointer.starts_with('/') {
                    problems.push(place.key("payload").problem("a JSON pointer begins with `/`, such as `/position`"));
                }
                if !believe_payload {
                    let message =
                        "nothing proves what a device says of itself; set `believe-payload` to true to use it";
                    problems.push(place.key("payload").problem(message));
                }
                Some(Self::Payload(pointer))
            }
            _ => {
                problems.push(place.problem("a source has exactly one of `facts`, `fact` and `payload`"));
                None
            }
        }
    }

    /// The device's location, if this source has one.
    pub(crate) fn locate(&self, device: &Device) -> Result<Option<Location>, Fault> {
        match self {
            Self::Facts(latitude, longitude) => match (device.fact(latitude), device.fact(longitude)) {
                (Some(north), Some(east)) => {
                    let location = number(north).zip(number(east)).and_then(|(north, east)| on_earth(north, east));
                    found(location, &format!("facts `{latitude}` and `{longitude}`"), &format!("{north}, {east}"))
                }
                _ => Ok(None),
            },
            Self::Fact(key) => match device.fact(key) {
                Some(text) => found(pair(text), &format!("fact `{key}`"), text),
                None => Ok(None),
            },
            Self::Payload(pointer) => {
                let Ok(Some(payload)) = device.payload::<Value>() else { return Ok(None) };
                let Some(said) = payload.pointer(pointer) else { return Ok(None) };
                let location = read(said);
                if location.is_none() {
                    warn!("what the device says is no location"; pointer = pointer);
                }
                Ok(location)
            }
        }
    }
}

fn found(location: Option<Location>, source: &str, text: &str) -> Result<Option<Location>, Fault> {
    let wrong =
        || format!("the manufacturing record's {source} must be degrees, -90 to 90 and -180 to 180, not {text:?}");
    location.map(Some).ok_or_else(|| Fault::bad_input(wrong()))
}

fn read(said: &Value) -> Option<Location> {
    match said {
        Value::String(text) => pair(text),
        Value::Object(object) => {
            if object.get("type").and_then(Value::as_str) == Some("Point") {
                // RFC 7946, section 3.1.1: longitude first; an altitude may follow.
                let coordinates = object.get("coordinates")?.as_array()?;
                return on_earth(coordinates.get(1)?.as_f64()?, coordinates.first()?.as_f64()?);
            }
            let member = |names: &[&str]| names.iter().find_map(|name| object.get(*name)).and_then(Value::as_f64);
            on_earth(member(&["latitude", "lat"])?, member(&["longitude", "lon", "lng"])?)
        }
        _ => None,
    }
}

/// `52.52, 13.405`.
fn pair(text: &str) -> Option<Location> {
    let (latitude, longitude) = text.split_once(',')?;
    on_earth(number(latitude)?, number(longitude)?)
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// Not a number is outside of every range.
fn on_earth(latitude: f64, longitude: f64) -> Option<Location> {
    let there = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    there.then_some(Location { latitude, longitude })
}
