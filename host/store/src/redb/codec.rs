//! Encoding of keys and values.
//!
//! A value is one version byte, then MessagePack with named fields, so that a field with a default can be added and an
//! older reader can name a field that it does not know. A key is the id scope, a NUL, and the name of the thing. No
//! name contains a NUL, so the keys of scopes do not overlap, and keys sort by name.

use landfall_domain::names::IdScope;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// Encodes a value.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(USUAL_SIZE);
    out.push(VERSION);
    let mut serializer = rmp_serde::Serializer::new(&mut out).with_struct_map();
    value.serialize(&mut serializer).map_err(|e| StoreError::Write(format!("a value cannot be encoded: {e}")))?;
    Ok(out)
}

/// Decodes a stored value.
pub(super) fn decode<T: DeserializeOwned>(what: &'static str, stored: &[u8]) -> Result<T, StoreError> {
    let damaged = |reason: String| StoreError::Damaged { what, reason };
    match stored.split_first() {
        Some((&VERSION, body)) => rmp_serde::from_slice(body).map_err(|e| damaged(e.to_string())),
        Some((version, _)) => Err(damaged(format!("its version is {version}, and only {VERSION} is known"))),
        None => Err(damaged("it is empty".to_owned())),
    }
}

/// The key of a thing of an id scope.
pub(super) fn key(scope: &IdScope, name: impl AsRef<[u8]>) -> Vec<u8> {
    let name = name.as_ref();
    let mut key = Vec::with_capacity(scope.as_str().len() + 1 + name.len());
    key.extend_from_slice(scope.as_str().as_bytes());
    key.push(SEPARATOR);
    key.extend_from_slice(name);
    key
}

/// The key of a thing with two names.
pub(super) fn pair(scope: &IdScope, first: &str, second: &str) -> Vec<u8> {
    let mut key = key(scope, first);
    key.push(SEPARATOR);
    key.extend_from_slice(second.as_bytes());
    key
}

/// The first key after all keys of an id scope.
pub(super) fn end_of(scope: &IdScope) -> Vec<u8> {
    let mut key = scope.as_str().as_bytes().to_vec();
    key.push(SEPARATOR + 1);
    key
}

/// Splits a key into the id scope and the name as text. Only for keys whose names are texts.
pub(super) fn parts(what: &'static str, key: &[u8]) -> Result<(IdScope, String), StoreError> {
    let damaged = |reason: &str| StoreError::Damaged { what, reason: reason.to_owned() };
    let text = std::str::from_utf8(key).map_err(|_| damaged("its key is no text"))?;
    let (scope, name) = text.split_once('\0').ok_or_else(|| damaged("its key has no id scope"))?;
    let scope = scope.parse().map_err(|_| damaged("its key begins with no id scope"))?;
    Ok((scope, name.to_owned()))
}

/// The key of each group on a path, the outermost (all placed devices) first. The parts of a path are free text, so
/// each is preceded by its length.
pub(super) fn group_keys(scope: &IdScope, path: &[String]) -> Vec<Vec<u8>> {
    let mut key = key(scope, "");
    let mut keys = Vec::with_capacity(path.len() + 1);
    keys.push(key.clone());
    for part in path {
        key.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        key.extend_from_slice(part.as_bytes());
        keys.push(key.clone());
    }
    keys
}

/// The version of the encoding of values.
const VERSION: u8 = 1;
const SEPARATOR: u8 = 0;
/// Most values fit without reallocation.
const USUAL_SIZE: usize = 512;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize)]
    struct Before {
        der: Option<Vec<u8>>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Now {
        #[serde(with = "serde_bytes", default)]
        der: Option<Vec<u8>>,
    }

    #[test]
    fn bytes_are_kept_as_bytes_and_read_where_they_were_kept_as_numbers() {
        let bytes = vec![255; 100];
        for der in [Some(bytes), None] {
            let (before, now) =
                (encode(&Before { der: der.clone() }).unwrap(), encode(&Now { der: der.clone() }).unwrap());
            assert!(now.len() <= before.len() && now.len() < 120, "{} for {}", now.len(), before.len());
            assert_eq!(decode::<Now>("thing", &before).unwrap(), Now { der: der.clone() });
            assert_eq!(decode::<Now>("thing", &now).unwrap(), Now { der });
        }
    }
}
