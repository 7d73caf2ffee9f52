//! JSON from a policy: parsed, limited, and checked for use in a twin.

use landfall_domain::decision::verdict::{MAX_DEPTH, MAX_KEY_CHARS};
use landfall_domain::json::{JsonError, JsonText};
use serde_json::Value;

use super::{Rule, Violation, quoted};

/// Parses text of at most `max_bytes`. `size` is the rule with this limit, and `what` names the place for messages.
pub(super) fn parse(text: &str, size: Rule, max_bytes: usize, what: &str) -> Result<Value, Violation> {
    match JsonText::parse(text, max_bytes, MAX_DEPTH) {
        Ok(parsed) => Ok(parsed.value()),
        Err(error @ JsonError::Size { .. }) => Err(size.broken(format!("{what}: {error}"))),
        Err(error @ JsonError::Depth { .. }) => Err(Rule::JsonDepth.broken(format!("{what}: {error}"))),
        Err(error @ JsonError::Syntax(_)) => Err(Rule::Json.broken(format!("{what}: {error}"))),
    }
}

/// Checks every key of a value that goes into a twin.
pub(super) fn twin_keys(value: &Value) -> Result<(), Violation> {
    match value {
        Value::Object(members) => members.iter().try_for_each(|(key, value)| {
            twin_key(key)?;
            twin_keys(value)
        }),
        Value::Array(items) => items.iter().try_for_each(twin_keys),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Checks one key, as hubs do (Azure IoT Hub, "device twin properties").
pub(super) fn twin_key(key: &str) -> Result<(), Violation> {
    let bad = |c: char| matches!(c, '.' | '$' | ' ') || c.is_control();
    if key.is_empty() || key.chars().count() > MAX_KEY_CHARS || key.contains(bad) {
        return Err(Rule::TwinKey.broken(quoted(key)));
    }
    Ok(())
}
