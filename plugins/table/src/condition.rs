//! Conditions: one value of the device, and one test of it.

use std::borrow::Cow;

use landfall_plugin::{Device, Pointer, Problem};
use serde_json::Value;

use crate::settings::{ConditionSettings, Scalar};

/// One condition.
#[derive(Debug)]
pub(crate) struct Condition {
    source: Source,
    test: Test,
    negated: bool,
}

#[derive(Debug)]
enum Source {
    Fact(String),
    Claim(String),
    Tag(String),
    Payload(String),
}

/// A test of a value as text: facts and claims are texts, and JSON numbers and booleans are as they are written.
#[derive(Debug)]
enum Test {
    OneOf(Vec<String>),
    Prefix(String),
    Glob(Vec<char>),
    Range { min: f64, max: f64 },
    Present(bool),
}

impl Condition {
    /// `None` when something is wrong with it, which is then among the problems.
    pub(crate) fn parse(settings: &ConditionSettings, place: &Pointer, problems: &mut Vec<Problem>) -> Option<Self> {
        let source = Source::parse(settings, place).map_err(|problem| problems.push(problem)).ok();
        let test = Test::parse(settings, place).map_err(|problem| problems.push(problem)).ok();
        Some(Self { source: source?, test: test?, negated: settings.not })
    }

    pub(crate) fn holds(&self, device: &Device) -> bool {
        let value = self.source.read(device);
        self.test.holds(value.as_deref()) != self.negated
    }
}

impl Source {
    fn parse(settings: &ConditionSettings, place: &Pointer) -> Result<Self, Problem> {
        let fact = settings.fact.clone().map(Self::Fact);
        let claim = settings.claim.clone().map(Self::Claim);
        let tag = settings.tag.clone().map(Self::Tag);
        let payload = settings.payload.clone().map(Self::Payload);
        let mut named = [fact, claim, tag, payload].into_iter().flatten();
        let advice = "say what is looked at: one of `fact`, `claim`, `tag`, `payload`";
        let source = match (named.next(), named.next()) {
            (Some(source), None) => source,
            (None, _) => return Err(place.problem(advice)),
            (Some(_), Some(_)) => return Err(place.problem(format!("{advice}, and no more than one"))),
        };
        match &source {
            Self::Payload(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
                Err(place.key("payload").problem("a JSON pointer begins with `/`, such as `/model`"))
            }
            _ => Ok(source),
        }
    }

    fn read<'a>(&self, device: &'a Device) -> Option<Cow<'a, str>> {
        match self {
            Self::Fact(key) => device.fact(key).map(Cow::Borrowed),
            Self::Claim(key) => device.claim(key).map(Cow::Borrowed),
            Self::Tag(key) => device.tag(key).and_then(text).map(Cow::Owned),
            // A payload that is no JSON has no members. It is the device's, and no reason for a fault.
            Self::Payload(pointer) => {
                let payload: Value = device.payload().ok().flatten()?;
                payload.pointer(pointer).cloned().and_then(text).map(Cow::Owned)
            }
        }
    }
}

impl Test {
    fn parse(settings: &ConditionSettings, place: &Pointer) -> Result<Self, Problem> {
        let range = (settings.min.is_some() || settings.max.is_some()).then(|| Self::Range {
            min: settings.min.unwrap_or(f64::NEG_INFINITY),
            max: settings.max.unwrap_or(f64::INFINITY),
        });
        let texts = |scalars: &[Scalar]| scalars.iter().cloned().map(Scalar::into_text).collect();
        let equals = settings.equals.as_ref().map(|scalar| Self::OneOf(texts(std::slice::from_ref(scalar))));
        let one_of = settings.one_of.as_deref().map(|scalars| Self::OneOf(texts(scalars)));
        let prefix = settings.prefix.clone().map(Self::Prefix);
        let glob = settings.glob.as_ref().map(|pattern| Self::Glob(pattern.chars().collect()));
        let present = settings.present.map(Self::Present);

        let mut named = [equals, one_of, prefix, glob, range, present].into_iter().flatten();
        let advice = "say what it must be: one of `equals`, `one-of`, `prefix`, `glob`, `min` and `max`, `present`";
        match (named.next(), named.next()) {
            (Some(Self::OneOf(texts)), None) if texts.is_empty() => {
                Err(place.key("one-of").problem("an empty list never matches"))
            }
            (Some(Self::Range { min, max }), None) if min > max => {
                Err(place.key("max").problem(format!("no number is at least {min} and at most {max}")))
            }
            (Some(test), None) => Ok(test),
            (None, _) => Err(place.problem(advice)),
            (Some(_), Some(_)) => Err(place.problem(format!("{advice}, and no more than one"))),
        }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return matches!(self, Self::Present(false)) };
        match self {
            Self::OneOf(texts) => texts.iter().any(|text| text == value),
            Self::Prefix(prefix) => value.starts_with(prefix.as_str()),
            Self::Glob(pattern) => glob(pattern, value),
            Self::Range { min, max } => value.trim().parse().is_ok_and(|number: f64| *min <= number && number <= *max),
            Self::Present(expected) => *expected,
        }
    }
}

/// What a JSON value is compared as; objects, arrays and null are not compared, and count as absent.
fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `*` is any text, `?` any one character. Going back to the last star only, it takes at most pattern times text steps.
fn glob(pattern: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || text.get(t) == Some(&wanted) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&left| left == '*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn globs(pattern: &str, text: &str) -> bool {
        glob(&pattern.chars().collect::<Vec<_>>(), text)
    }

    /// What the pattern means, written as the definition is, and exponential.
    fn meaning(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => meaning(rest, text),
            (Some(('*', rest)), Some((_, after))) => meaning(rest, text) || meaning(pattern, after),
            (Some((wanted, rest)), Some((found, after))) if *wanted == '?' || wanted == found => meaning(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_means(pattern in "[ab?*]{0,8}", text in "[abc]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(globs(&pattern, &text), meaning(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn a_pattern_covers_the_whole_text() {
        assert!(globs("A?-*-7", "A1-lot-9-7"));
        assert!(!globs("A?", "A12"));
        assert!(globs("*", ""));
        assert!(globs("ü?", "üö"));
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        assert!(!globs(&format!("{}b", "*a".repeat(500)), &"a".repeat(5000)));
    }
}
