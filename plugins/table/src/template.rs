//! Texts with placeholders: `{fact.KEY}`, `{claim.KEY}`, `{tag.KEY}`, `{registration-id}`, `{enrollment-id}`, `{hub}`; `{{`
//! and `}}` for the braces themselves.

use landfall_plugin::{Device, Fault, Hub};
use serde_json::Value;

/// A text that has been checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Fact(String),
    Claim(String),
    Tag(String),
    RegistrationId,
    EnrollmentId,
    Hub,
}

impl Template {
    /// What is wrong with it is said in one sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some((brace, after)) = ["{{", "}}"].iter().find_map(|two| Some((two, from.strip_prefix(two)?))) {
                plain.extend(brace.chars().next());
                rest = after;
                continue;
            }
            let inside = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let Some((name, after)) = inside else {
                return Err("a brace has no partner; write `{{` or `}}` for the character itself".into());
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::parse(name)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// For texts that are needed before there is a hub.
    pub(crate) fn without_hub(self) -> Result<Self, String> {
        if self.0.contains(&Piece::Hub) {
            return Err("`{hub}` is known only when devices are placed, not when their hub is chosen".into());
        }
        Ok(self)
    }

    /// The text for a device. The hub is known only when devices are placed.
    pub(crate) fn fill(&self, device: &Device, hub: Option<&Hub>) -> Result<String, Fault> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Fact(key) => filled.push_str(device.require_fact(key)?),
                Piece::Claim(key) => filled.push_str(device.require_claim(key)?),
                Piece::Tag(key) => filled.push_str(&tag(device, key)?),
                Piece::RegistrationId => filled.push_str(&device.registration_id),
                Piece::EnrollmentId => filled.push_str(&device.enrollment_id),
                Piece::Hub => {
                    let hub = hub.ok_or_else(|| Fault::bad_input("`{hub}` is known only when devices are placed"))?;
                    filled.push_str(&hub.name);
                }
            }
        }
        Ok(filled)
    }
}

impl Piece {
    fn parse(name: &str) -> Result<Self, String> {
        match name.split_once('.') {
            Some(("fact", key)) if !key.is_empty() => Ok(Self::Fact(key.into())),
            Some(("claim", key)) if !key.is_empty() => Ok(Self::Claim(key.into())),
            Some(("tag", key)) if !key.is_empty() => Ok(Self::Tag(key.into())),
            Some(("payload", _)) => {
                Err("what a device says of itself is not put into results, for nothing proves it".into())
            }
            None if name == "registration-id" => Ok(Self::RegistrationId),
            None if name == "enrollment-id" => Ok(Self::EnrollmentId),
            None if name == "hub" => Ok(Self::Hub),
            _ => Err(format!("`{{{name}}}` is not known; there are {KNOWN}")),
        }
    }
}

fn tag(device: &Device, key: &str) -> Result<String, Fault> {
    match device.tag(key) {
        Some(Value::String(text)) => Ok(text),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(_) => Err(Fault::bad_input(format!("the enrollment's tag `{key}` is not a text, number or boolean"))),
        None => Err(Fault::bad_input(format!("the enrollment has no tag `{key}`"))),
    }
}

const KNOWN: &str = "`{fact.KEY}`, `{claim.KEY}`, `{tag.KEY}`, `{registration-id}`, `{enrollment-id}` and, where devices are placed, `{hub}`";

#[cfg(test)]
mod tests {
    use landfall_plugin::testing;
    use proptest::prelude::*;

    use super::*;

    fn filled(text: &str) -> Result<String, Fault> {
        let device = testing::device("pump-1").fact("site", "berlin").claim("cn", "p1").tag("floor", 3).build();
        Template::parse(text).expect("a good text").fill(&device, Some(&testing::hub("a.example").alone()))
    }

    #[test]
    fn every_placeholder_is_filled() {
        let text = "{fact.site}/{claim.cn}/{tag.floor}/{registration-id}/{enrollment-id}/{hub}/{{x}}";
        assert_eq!(filled(text), Ok("berlin/p1/3/pump-1/pump-1/a.example/{x}".into()));
    }

    #[test]
    fn what_the_device_lacks_is_named() {
        assert!(matches!(filled("x-{fact.line}"), Err(Fault::BadInput(why)) if why.contains("`line`")));
    }

    #[test]
    fn what_cannot_be_filled_is_refused_beforehand() {
        for text in ["{", "}", "a{b", "{fact.}", "{fact}", "{payload.x}", "{facts.x}", "{}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_text_with_its_braces_doubled_stays_as_it_is(text in ".*") {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(filled(&escaped), Ok(text));
        }
    }
}
