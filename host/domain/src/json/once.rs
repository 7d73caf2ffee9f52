//! Finds text that is formally JSON but cannot be kept as it is, because readers interpret it differently.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::text::one_line;

/// Whether a text is JSON that every reader interprets in the same way.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    numbers(text.as_bytes()).map_err(serde_json::Error::custom)?;
    serde_json::from_str::<Once>(text).map(drop)
}

/// Any value whose objects have no two members with one name. Texts and numbers are parsed and not skipped, so that
/// the reader finds mistakes in them.
pub(super) struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON whose objects say each thing once")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_str<E>(self, _: &str) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
        while items.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Once, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if names.contains(&name) {
                let shown = one_line(&name.chars().take(MOST_SHOWN).collect::<String>());
                return Err(A::Error::custom(format_args!("the member `{shown}` stands there twice")));
            }
            members.next_value::<Once>()?;
            names.insert(name);
        }
        Ok(Once)
    }
}

/// Whether every integer in a JSON text is one that readers represent exactly, and every other number is finite. For
/// text that is not JSON the result may be anything: the caller checks separately whether it is JSON.
pub(super) fn numbers(text: &[u8]) -> Result<(), String> {
    let (mut in_string, mut escaped, mut began) = (false, false, None);
    for (place, byte) in text.iter().copied().chain([b' ']).enumerate() {
        let of_number = !in_string && (byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        match (of_number, began) {
            (true, None) if byte == b'-' || byte.is_ascii_digit() => began = Some(place),
            (false, Some(from)) => {
                began = None;
                number(std::str::from_utf8(text.get(from..place).unwrap_or_default()).unwrap_or_default())?;
            }
            _ => {}
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    Ok(())
}

fn number(text: &str) -> Result<(), String> {
    let shown = || text.chars().take(MOST_SHOWN).collect::<String>();
    if text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        let held =
            text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() || !text.ends_with(|c: char| c.is_ascii_digit());
        return if held {
            Ok(())
        } else {
            Err(format!("the number {} is too large to be kept exactly; write it as text", shown()))
        };
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_infinite() => Err(format!("the number {} is out of range", shown())),
        _ => Ok(()),
    }
}

/// How many characters of a name or a number a message shows.
const MOST_SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_there_twice_passes_for_no_line_of_a_log() {
        let error = check(r#"{"a\nERROR forged":1,"a\nERROR forged":2}"#).unwrap_err().to_string();
        assert!(error.contains("`a ERROR forged` stands there twice") && !error.contains('\n'), "{error}");
    }
}
