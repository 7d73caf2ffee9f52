//! From the operator's JSON to the policy's settings, with the place of every mistake.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::Problem;

/// A place in the settings: an RFC 6901 pointer.
///
/// ```
/// use landfall_plugin::Pointer;
///
/// let place = Pointer::ROOT.key("rules").index(3).key("a/b");
/// assert_eq!(place.problem("is too long").pointer, "/rules/3/a~1b");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document.
    pub const ROOT: Self = Self(String::new());

    /// A member of the object here.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}/{}", self.0, key.replace('~', "~0").replace('/', "~1")))
    }

    /// An element of the array here, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }

    /// What is wrong here.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { pointer: self.0.clone(), message: message.into() }
    }
}

/// Reads settings. No text at all and `null` count as `{}`.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let text = if matches!(text.trim(), "" | "null") { "{}" } else { text };
    let mut json = serde_json::Deserializer::from_str(text);
    let settings = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().iter().fold(Pointer::ROOT, |place, segment| match segment {
            Segment::Seq { index } => place.index(*index),
            Segment::Map { key } | Segment::Enum { variant: key } => place.key(key),
            Segment::Unknown => place,
        });
        place.problem(message(error.inner()))
    })?;
    json.end().map_err(|error| Pointer::ROOT.problem(error.to_string()))?;
    Ok(settings)
}

/// A mistake in the meaning is found by its pointer; only one in the JSON itself needs line and column.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) if error.is_data() => message.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        name: String,
    }

    fn problem(text: &str) -> (String, String) {
        let problem = parse::<Settings>(text).expect_err("this must be refused");
        (problem.pointer, problem.message)
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let (pointer, message) = problem(r#"{"rules": [{"name": "a"}, {"name": 7}]}"#);
        assert_eq!(pointer, "/rules/1/name");
        assert_eq!(message, "invalid type: integer `7`, expected a string");
    }

    #[test]
    fn an_unknown_key_is_refused_where_it_stands() {
        let (pointer, message) = problem(r#"{"rules": [{"name": "a", "nmae": "b"}]}"#);
        assert!(pointer.starts_with("/rules/0"), "{pointer}");
        assert!(message.starts_with("unknown field `nmae`, expected `name`"), "{message}");
    }

    #[test]
    fn broken_json_is_named_with_line_and_column() {
        let (pointer, message) = problem("{\"rules\": [\n}");
        assert_eq!(pointer, "/rules/0");
        assert!(message.contains("line 2 column 1"), "{message}");
    }

    #[test]
    fn text_after_the_document_is_refused() {
        assert!(problem("{} {}").1.starts_with("trailing characters"));
    }

    #[test]
    fn no_settings_at_all_are_the_empty_ones() {
        for text in ["", "null", " {} "] {
            assert_eq!(parse::<Settings>(text), Ok(Settings { rules: Vec::new() }), "{text:?}");
        }
    }
}
