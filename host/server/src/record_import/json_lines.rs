//! JSON Lines: one object a line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use landfall_domain::registry::Evidence;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::row::{Draft, NOT_UTF8, RowLimits, add_evidence, add_fact, unknown};

/// Parses one line. Texts are borrowed from it if they have no escapes.
pub(super) fn draft<T>(
    line: &[u8],
    limits: &RowLimits,
    with: impl FnOnce(Draft<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let line = std::str::from_utf8(line).map_err(|_| NOT_UTF8.to_owned())?;
    // Serde would accept an array as the members in their order.
    if !line.trim_start().starts_with('{') {
        return Err("it is not a JSON object".to_owned());
    }
    let row: Row<'_> = serde_json::from_str(line).map_err(|error| reason(&error))?;
    let mut facts = BTreeMap::new();
    for (name, value) in row.facts.0 {
        let value = fact_text(&name, value)?;
        add_fact(&mut facts, &name, &value, limits)?;
    }
    let mut evidence = Evidence::default();
    let said = [
        ("certificateSha256", row.certificate_sha256),
        ("publicKeySha256", row.public_key_sha256),
        ("certificateIssuer", row.certificate_issuer),
        ("certificateSerial", row.certificate_serial),
        ("endorsementKeySha256", row.endorsement_key_sha256),
        ("endorsementCertificate", row.endorsement_certificate),
        ("tokenIssuer", row.token_issuer),
        ("tokenSubject", row.token_subject),
    ];
    for (member, text) in said {
        if let Some(text) = text {
            add_evidence(&mut evidence, member, &text.0)?;
        }
    }
    with(Draft { registration_id: &row.registration_id, evidence, facts })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    registration_id: Cow<'a, str>,
    #[serde(borrow, default)]
    certificate_sha256: Option<Text<'a>>,
    #[serde(borrow, default)]
    public_key_sha256: Option<Text<'a>>,
    #[serde(borrow, default)]
    certificate_issuer: Option<Text<'a>>,
    #[serde(borrow, default)]
    certificate_serial: Option<Text<'a>>,
    #[serde(borrow, default)]
    endorsement_key_sha256: Option<Text<'a>>,
    #[serde(borrow, default)]
    endorsement_certificate: Option<Text<'a>>,
    #[serde(borrow, default)]
    token_issuer: Option<Text<'a>>,
    #[serde(borrow, default)]
    token_subject: Option<Text<'a>>,
    #[serde(borrow, default)]
    facts: Facts<'a>,
}

/// Serde borrows a text only if it is a type of its own.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Facts in the order of the line, so that a duplicate is noticed.
#[derive(Default)]
struct Facts<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Facts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Facts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of facts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Facts<'de>, A::Error> {
                let mut facts = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    facts.push((name.0, value));
                }
                Ok(Facts(facts))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Numbers and booleans are kept as they are written.
fn fact_text<'a>(name: &str, value: &'a RawValue) -> Result<Cow<'a, str>, String> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => {
            let text: Text<'_> = serde_json::from_str(text).map_err(|error| reason(&error))?;
            Ok(text.0)
        }
        Some(b'{' | b'[' | b'n') | None => {
            let name: String = name.chars().take(80).collect();
            Err(format!("the fact {name:?} must be a text, a number or a truth value"))
        }
        Some(_) => Ok(Cow::Borrowed(text)),
    }
}

/// Serde's message without the line number, which is always 1, and with a hint for unknown members.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let (message, _) = message.rsplit_once(" at line ").unwrap_or((&message, ""));
    if let Some(rest) = message.strip_prefix("unknown field `")
        && let Some((name, _)) = rest.split_once('`')
    {
        return unknown(name);
    }
    match error.classify() {
        serde_json::error::Category::Data => message.replace("field", "member"),
        _ => format!("it is not JSON: {message} at column {}", error.column()),
    }
}
