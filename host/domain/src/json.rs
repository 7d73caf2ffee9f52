//! Reads JSON from outside: one reader, checked once, kept as text and never re-formatted.
//!
//! Two readers of one text may see different things. If an object has two members with one name, some readers take the
//! first and others the last. Half of a surrogate pair is not a character to some readers. A number that is too large
//! may become infinite, null, or another number. The part that decides must see exactly what is kept and what the
//! device gets. So such text is refused wherever it comes from: settings, twins, payloads, answers of policies, files
//! of the command line ([`value`], [`read`], [`JsonText::parse`]).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_path_to_error::Segment;

use self::strict::Strict;
use crate::did_you_mean::did_you_mean;

mod once;
mod strict;

/// RFC 8259 text that was parsed, within limits of size and depth. It is stored, passed to plugins and sent to devices
/// exactly as it was written, so that its digest and its numbers do not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(String);

/// Why a text is not accepted as JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum JsonError {
    /// The text is not RFC 8259 JSON.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// The text is nested too deeply.
    #[error("nested more than {max} levels deep")]
    Depth {
        /// The limit, in levels of arrays and objects.
        max: usize,
    },
    #[error("{len} bytes long; at most {max} are taken")]
    Size {
        /// The length of the text in bytes.
        len: usize,
        /// The limit, in bytes.
        max: usize,
    },
}

impl JsonText {
    /// Accepts a text if it is JSON within `max_bytes` and `max_depth`.
    pub fn parse(text: impl Into<String>, max_bytes: usize, max_depth: usize) -> Result<Self, JsonError> {
        let text = text.into();
        if text.len() > max_bytes {
            return Err(JsonError::Size { len: text.len(), max: max_bytes });
        }
        if depth(&text) > max_depth {
            return Err(JsonError::Depth { max: max_depth });
        }
        once::check(&text).map_err(|error| JsonError::Syntax(error.to_string()))?;
        Ok(Self(text))
    }

    /// The JSON text of a value.
    pub fn of(value: &Value) -> Self {
        Self(value.to_string())
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parsed value, for reading its members.
    pub fn value(&self) -> Value {
        // The text was parsed when this was created. Only a damaged store could contain a text that no longer parses.
        serde_json::from_str(&self.0).unwrap_or(Value::Null)
    }
}

/// A text from which the expected value could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where the mistake is (RFC 6901). `None` when the text is not JSON at all.
    pub pointer: Option<String>,
    /// What is wrong. For an unknown name, the message includes the nearest known name.
    pub message: String,
}

/// Parses a whole text as a value.
///
/// # Errors
///
/// The text is not JSON, or it cannot be kept as it is.
pub fn value(text: &str) -> Result<Value, serde_json::Error> {
    once::check(text)?;
    serde_json::from_str(text)
}

/// Parses a whole text as a value of a type.
///
/// # Errors
///
/// The first mistake, and where it is.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Misfit> {
    once::numbers(text).map_err(|message| Misfit { pointer: None, message })?;
    match read_as::<once::Once>(text) {
        Ok(_) => read_as(text),
        Err(misfit) if misfit.pointer.is_some() => Err(misfit),
        // For text that is not JSON at all, the second reading gives the error with its position. The second reader
        // may accept parts that it skips; the text is refused all the same.
        Err(misfit) => read_as::<T>(text).and(Err(misfit)),
    }
}

fn read_as<T: DeserializeOwned>(text: &[u8]) -> Result<T, Misfit> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(Strict(&mut reader)).map_err(|error| {
        // Serde reports an empty object in the place of an enum value as a syntax error, although the syntax is
        // correct.
        if !error.inner().is_data() && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_err() {
            return Misfit { pointer: None, message: error.inner().to_string() };
        }
        let pointer = error.path().iter().fold(String::new(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } => format!("{pointer}/{}", escaped(key)),
            Segment::Enum { .. } | Segment::Unknown => pointer,
        });
        Misfit { pointer: Some(pointer), message: hinted(&error.inner().to_string()) }
    })?;
    reader.end().map_err(|error| Misfit { pointer: None, message: error.to_string() })?;
    Ok(value)
}

/// A name, escaped for use in a JSON pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Serde's message about a value of the wrong type, in our words. For an unknown name, the nearest known name is
/// added.
pub fn hinted(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let message = &without_value(message);
    let not_an_object = message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected struct "));
    if let Some((found, _)) = not_an_object {
        return format!("{AN_OBJECT}{}", in_words(found));
    }
    if message == "expected value" {
        return "exactly one member is expected, and there is none".to_owned();
    }
    let Some((before, rest)) = message.split_once("unknown field `") else {
        return message.replace("missing field", "missing member");
    };
    let Some((name, known)) = rest.split_once('`') else { return message.to_owned() };
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    format!("{before}unknown member `{name}`; {}", did_you_mean(name, &known))
}

/// The start of a message about a value that should be an object and is not.
pub const AN_OBJECT: &str = "an object is expected, and this is ";

/// Serde's name for a kind of value, replaced by JSON's term.
fn in_words(kind: &str) -> &str {
    match kind {
        "sequence" => "an array",
        "string" => "a string",
        "integer" | "floating point" => "a number",
        "boolean" => "true or false",
        "map" => "an object",
        other => other,
    }
}

/// The message without the value that serde repeats: a password in the wrong place would otherwise appear wherever the
/// message is shown.
fn without_value(message: &str) -> String {
    let Some(start) = VALUES.iter().find_map(|start| message.find(start).map(|at| at + start.len())) else {
        return message.to_owned();
    };
    // The expected kind comes last in the message, and contains no such marker itself.
    let (before, rest) = message.split_at(start);
    let Some((found, expected)) = rest.rsplit_once(", expected ") else { return message.to_owned() };
    let kind: String = found.chars().take_while(|c| c.is_ascii_lowercase() || *c == ' ').collect();
    format!("{before}{}, expected {expected}", kind.trim_end())
}

/// The phrases after which serde writes the kind and the value of what it found.
const VALUES: [&str; 2] = ["invalid type: ", "invalid value: "];

/// The deepest nesting of arrays and objects, counted without building values. For text that is not JSON the count is
/// an upper bound.
fn depth(text: &str) -> usize {
    let (mut deepest, mut now, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn the_text_stays_as_it_was_written() {
        let text = r#"{"b":1.0e0,"a":[ 1 ]}"#;
        assert_eq!(JsonText::parse(text, 100, 2).unwrap().as_str(), text);
    }

    #[test]
    fn an_array_is_no_object() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Inner {
            a: Option<u8>,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct Outer {
            inner: Inner,
            list: Vec<Inner>,
            pair: (u8, u8),
        }
        let good = br#"{"inner":{"a":1},"list":[{"a":null}],"pair":[1,2]}"#;
        assert_eq!(read::<Outer>(good).unwrap().list, [Inner { a: None }]);
        for (text, pointer) in [
            (&br#"[{"a":1},[],[1,2]]"#[..], ""),
            (br#"{"inner":[1],"list":[],"pair":[1,2]}"#, "/inner"),
            (br#"{"inner":{},"list":[[null]],"pair":[1,2]}"#, "/list/0"),
        ] {
            let misfit = read::<Outer>(text).unwrap_err();
            assert_eq!(misfit.pointer.as_deref(), Some(pointer), "{misfit:?}");
            assert!(misfit.message == "an object is expected, and this is an array", "{misfit:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_its_value() {
        #[derive(Debug, Deserialize)]
        struct Account {
            #[expect(dead_code)]
            password: String,
            #[expect(dead_code)]
            port: Option<u16>,
        }
        for (text, says) in [
            (&br#"{"password":["hunter2"]}"#[..], "invalid type: sequence, expected a string"),
            (br#"{"password":4711}"#, "invalid type: integer, expected a string"),
            (br#"{"password":4.7}"#, "invalid type: floating point, expected a string"),
            (br#"{"password":true}"#, "invalid type: boolean, expected a string"),
            (br#"{"password":null}"#, "invalid type: null, expected a string"),
            (br#"{"password":"","port":"hunter2, expected \"you\""}"#, "invalid type: string, expected u16"),
            (br#"{"password":"","port":70000}"#, "invalid value: integer, expected u16"),
            (br#""hunter2""#, "an object is expected, and this is a string"),
        ] {
            assert_eq!(read::<Account>(text).unwrap_err().message, says);
        }
    }

    #[test]
    fn brackets_within_strings_are_no_depth() {
        assert!(JsonText::parse(r#"["[[[[\"[[["]"#, 100, 1).is_ok());
        assert_eq!(JsonText::parse("[[1]]", 100, 1), Err(JsonError::Depth { max: 1 }));
        assert!(matches!(JsonText::parse("[1", 100, 9), Err(JsonError::Syntax(_))));
        assert_eq!(JsonText::parse("[1]", 2, 9), Err(JsonError::Size { len: 3, max: 2 }));
    }

    /// Texts that some readers accept and others do not, or that readers interpret differently.
    const UNKEEPABLE: [&str; 9] = [
        r#"{"a":1,"a":2}"#,
        r#"[{"a":{"b":1,"c":2,"\u0062":3}}]"#,
        "1e999",
        r#"{"deep":[-1e400]}"#,
        "12345678901234567890123",
        "[-9223372036854775809]",
        r#""\ud800""#,
        r#"{"model":"x","name":"\ud83d"}"#,
        r#"{"\udc00":1}"#,
    ];

    /// Reads one member and skips all others.
    #[derive(Debug, Deserialize)]
    struct Passing {
        #[serde(rename = "a")]
        _a: u8,
    }

    #[test]
    fn what_cannot_be_kept_as_it_is_is_refused_by_every_way_in() {
        assert!(read::<Passing>(br#"{"a":1,"unknown":[]}"#).is_ok());
        for text in UNKEEPABLE {
            assert!(matches!(JsonText::parse(text, 1000, 9), Err(JsonError::Syntax(_))), "{text}");
            assert!(value(text).is_err(), "{text}");
            assert!(read::<Value>(text.as_bytes()).is_err(), "{text}");
            assert!(read::<Box<RawValue>>(text.as_bytes()).is_err(), "{text}");
            let passed_over = format!(r#"{{"a":1,"unknown":{text}}}"#);
            assert!(read::<Passing>(passed_over.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_kept_has_one_meaning() {
        let texts = [
            r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#,
            "[18446744073709551615,-9223372036854775808,0.1,-0,1e308,1E-5]",
            r#""\ud83d\ude00 12345678901234567890123 \" 1e999""#,
            "null",
        ];
        for text in texts {
            assert_eq!(JsonText::parse(text, 1000, 9).unwrap().as_str(), text);
            assert_eq!(value(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn a_member_that_stands_there_twice_is_told_with_its_place() {
        let misfit = read::<Value>(br#"{"settings":{"rules":[{"when":1,"when":2}]}}"#).unwrap_err();
        assert_eq!(misfit.pointer.as_deref(), Some("/settings/rules/0"));
        assert_eq!(misfit.message, "the member `when` stands there twice");
    }
}
