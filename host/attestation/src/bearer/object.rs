//! JSON objects in which no name occurs twice, at any depth. If an object has two members with one name, some readers
//! take the first and others the last: the part that checks such a token could read it differently from the part that
//! uses it (RFC 7519, 4).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses an object. `None` if the bytes are not a JSON object, or a name occurs twice.
pub(super) fn read(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Once>(bytes).ok()?.0 {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// A value in which no object has two members of one name. Its depth is bounded by serde_json.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON whose objects say each thing once")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some((name, Once(value))) = members.next_entry::<String, Once>()? {
            if out.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_thing_that_is_said_twice_is_not_said() {
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[{"b":1,"\u0062":2}]}"#, "[]", "1", ""] {
            assert_eq!(read(twice.as_bytes()), None, "{twice}");
        }
        assert!(read(b"{\"a\":{\"b\":1},\"b\":2}").is_some());
        assert_eq!(read(&[b"{\"a\":".repeat(2000), b"1".to_vec(), b"}".repeat(2000)].concat()), None, "too deep");
    }

    proptest! {
        #[test]
        fn it_is_read_as_anybody_would(text in r#"(\{"[a-c]":(1|-2|0\.5|true|null|"x"|\[1,2\]|\{"d":1\})(,"[d-f]":[0-9])?\})"#) {
            prop_assert_eq!(read(text.as_bytes()), serde_json::from_str(&text).ok());
        }
    }
}
