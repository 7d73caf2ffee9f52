//! Reads a ledger entry from its JSON.
//!
//! An entry may be years old, and its records are shown as they were stored. So nothing here requires a certain form: a
//! missing member is left out of the story, and the rest is still shown. Members are found under their names in the API
//! (`registrationId`) and under their names in the stored records (`registration_id`).

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::failure::CallFailure;
use serde_json::Value;

use super::super::output::text;

/// A member by its name in the API.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let found = value.get(name).or_else(|| value.get(snake(name)));
    found.filter(|value| !value.is_null())
}

/// A member as text, if it is there and not empty.
pub(super) fn said(value: &Value, name: &str) -> Option<String> {
    field(value, name).map(|value| text(Some(value))).filter(|text| !text.is_empty() && text != "-")
}

/// A member that is a list.
pub(super) fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    field(value, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A member that is a number.
pub(super) fn number(value: &Value, name: &str) -> Option<u64> {
    field(value, name)?.as_u64()
}

/// The content of an enum: the name of the variant and its value.
pub(super) fn variant(value: &Value) -> Option<(&str, &Value)> {
    match value {
        Value::String(name) => Some((name, &Value::Null)),
        Value::Object(members) if members.len() == 1 => {
            members.iter().next().map(|(name, value)| (name.as_str(), value))
        }
        _ => None,
    }
}

/// A time: milliseconds in records, RFC 3339 in the API.
pub(super) fn moment(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Number(millis) => Some(Timestamp::from_millis(millis.as_u64()?).to_string()),
        other => Some(text(Some(other))),
    }
}

/// Keys and values on one line.
pub(super) fn labels(list: &[Value]) -> String {
    let pair = |label: &Value| match (said(label, "key"), said(label, "value")) {
        (Some(key), Some(value)) => format!("{key}={value}"),
        (Some(key), None) => key,
        _ => text(Some(label)),
    };
    list.iter().map(pair).collect::<Vec<_>>().join("  ")
}

/// A path of groups as text.
pub(super) fn path(list: &[Value]) -> String {
    list.iter().map(|group| text(Some(group))).collect::<Vec<_>>().join(" / ")
}

/// Why a call has no answer.
pub(super) fn failure(value: &Value) -> String {
    if let Ok(failure) = serde_json::from_value::<CallFailure>(value.clone()) {
        return failure.to_string();
    }
    said(value, "detail").or_else(|| said(value, "message")).unwrap_or_else(|| text(Some(value)))
}

/// A number with thousands separators.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}
