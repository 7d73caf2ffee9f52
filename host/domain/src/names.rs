//! The names of the domain as types that cannot hold an invalid value.
//!
//! Every name from outside (a URL, a file, a certificate, a plugin's answer) is parsed here once. After that, an
//! invalid value cannot exist. Each type documents its grammar and where the grammar comes from.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Why a text is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {rule}")]
pub struct NameError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        // The text may be hostile: a log line quotes only its beginning.
        let text = text.chars().take(160).collect();
        Self { what, text, rule }
    }
}

/// The id under which a device registers: 1 to 128 characters of `A-Z a-z 0-9 - . _ :`, of which the last is a letter,
/// a digit or a dash. It is compared without case, and kept as it was first written (DPS, "registration ID").
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistrationId {
    written: Arc<str>,
    key: Arc<str>,
}

impl RegistrationId {
    /// The lower-case form, for comparisons and for keys.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The id as it was first written.
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

impl FromStr for RegistrationId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const RULE: &str = "1 to 128 letters, digits or any of - . _ : and a letter, digit or dash at the end";
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
        let last_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let bytes = text.as_bytes();
        let good =
            bytes.len() <= 128 && bytes.iter().all(|b| allowed(*b)) && bytes.last().is_some_and(|b| last_allowed(*b));
        if !good {
            return Err(NameError::new("registration id", text, RULE));
        }
        let written: Arc<str> = text.into();
        let key = if bytes.iter().any(u8::is_ascii_uppercase) {
            text.to_ascii_lowercase().into()
        } else {
            Arc::clone(&written)
        };
        Ok(Self { written, key })
    }
}

impl PartialEq for RegistrationId {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for RegistrationId {}
impl PartialOrd for RegistrationId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for RegistrationId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}
impl Hash for RegistrationId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}
impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}
impl fmt::Debug for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}
impl TryFrom<String> for RegistrationId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}
impl From<RegistrationId> for String {
    fn from(id: RegistrationId) -> Self {
        id.written.as_ref().to_owned()
    }
}

/// Declares a type for a name: a checked text that is cheap to clone.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $check:expr, $rule:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if text.is_empty() || text.len() > $max || !check(text) {
                    return Err(NameError::new($what, text, $rule));
                }
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}

names! {
    /// The id of a tenant. It is the first part of every key and of every device's URL. Compared with case.
    IdScope, "id scope", 32,
        |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        "1 to 32 letters, digits or dashes";
    /// The id of an enrollment group; lower case.
    GroupId, "enrollment group id", 128,
        |t| t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_' | b':'))
            && t.bytes().next_back().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'-'),
        "1 to 128 lower-case letters, digits or any of - . _ : and a letter, digit or dash at the end";
    /// The host name of a linked hub, without scheme or port; lower case (RFC 1123).
    HubName, "hub's host name", 253,
        |t| t.split('.').all(|label| {
            !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        }),
        "lower-case labels of letters, digits and inner dashes, at most 63 characters each, joined by dots";
    /// A device's id in its hub; compared with case (Azure IoT Hub's rule).
    DeviceId, "device id", 128,
        |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+%_#*?!(),:=@$'".contains(&b)),
        "1 to 128 letters, digits or any of - . + % _ # * ? ! ( ) , : = @ $ '";
    /// The name of a manufacturer: it makes devices and imports their records.
    ManufacturerId, "manufacturer", 64,
        |t| t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')),
        "1 to 64 lower-case letters, digits, dashes or dots";
    /// The name under which a policy plugin is published.
    PluginName, "plugin name", 64,
        |t| t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') && !t.starts_with('-'),
        "1 to 64 lower-case letters, digits or dashes, not a dash at the start";
    /// The name under which a certificate authority is uploaded.
    CaName, "name of a certificate authority", 64,
        |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')),
        "1 to 64 letters, digits or any of - . _";
    /// The name of a directory, which is the name of its table in `landfall.toml`.
    DirectoryName, "name of a directory", 64,
        |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
        "1 to 64 letters, digits or any of - _";
    /// The name of an issuer of device certificates, which is the name of its table in `landfall.toml`.
    IssuerName, "name of an issuer", 64,
        |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
        "1 to 64 letters, digits or any of - _";
    /// One operation: one run of one device's registration. A poll names it. Opaque to clients, which put it into a
    /// URL unchanged.
    OperationId, "operation id", 64,
        |t| t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')),
        "1 to 64 letters, digits, dashes or dots";
}

impl OperationId {
    /// `4.CODE.REQUEST`: the form of DPS's own ids. Some clients may inspect it.
    pub fn of_parts(code: &str, request: TrackingId) -> Self {
        Self(format!("4.{code}.{request}").into())
    }

    /// The tracking id of the request that began the operation, if the id was made here.
    pub fn request(&self) -> Option<TrackingId> {
        self.0.strip_prefix("4.")?.split_once('.')?.1.parse().ok()
    }
}

/// Whether a text is a version as policies state theirs: `1.2.3`, then optional pre-release and build parts (Semantic
/// Versioning 2.0.0), at most 64 characters.
pub fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    let rest_is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte));
    core.split('.').count() == 3 && core.split('.').all(number) && rest_is_plain && text.len() <= 64
}

/// A SHA-256 digest: of a certificate's DER, of a public key's SubjectPublicKeyInfo, of a plugin's bytes, ...
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut out = [0; 32];
        out.copy_from_slice(hash.as_ref());
        Self(out)
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hex digits, for tables that people read.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl FromStr for Digest {
    type Err = NameError;

    /// 64 hexadecimal digits of either case, with or without `sha256:` before or colons between the bytes.
    fn from_str(text: &str) -> Result<Self, NameError> {
        const RULE: &str = "64 hexadecimal digits (SHA-256), colons between the bytes allowed";
        let error = || NameError::new("SHA-256 digest", text, RULE);
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut nibbles = digits.bytes().filter(|b| *b != b':').map(|b| char::from(b).to_digit(16));
        let mut out = [0_u8; 32];
        for byte in &mut out {
            let (Some(Some(high)), Some(Some(low))) = (nibbles.next(), nibbles.next()) else {
                return Err(error());
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| error())?;
        }
        if nibbles.next().is_some() {
            return Err(error());
        }
        Ok(Self(out))
    }
}

/// Serialized as hexadecimal digits in readable formats, as 32 bytes in the store.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a SHA-256 digest")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Digest, E> {
                bytes.try_into().map(Digest).map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('?', char::from);
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(digit(byte >> 4));
            text.push(digit(byte & 15));
        }
        f.write_str(&text)
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id that the answer to a request, its log lines and its ledger entry share (UUID version 7, RFC 9562). Ids sort
/// by time, so the oldest entries come first in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrackingId(Uuid);

impl TrackingId {
    /// Makes an id for a moment from ten random bytes.
    pub fn new(now: crate::clock::Timestamp, random: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(now.as_millis(), &random).into_uuid())
    }

    /// The moment for which the id was made.
    pub fn made_at(self) -> crate::clock::Timestamp {
        let millis = self.0.as_bytes().iter().take(6).fold(0, |millis, byte| millis << 8 | u64::from(*byte));
        crate::clock::Timestamp::from_millis(millis)
    }

    /// The 16 bytes. Their order is the order in time.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id with these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl FromStr for TrackingId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let rule = "a UUID such as 0197c5c1-0000-7000-8000-000000000000";
        Uuid::try_parse(text).map(Self).map_err(|_| NameError::new("tracking id", text, rule))
    }
}
impl fmt::Display for TrackingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_registration_id_keeps_its_writing_and_compares_without_case() {
        let a: RegistrationId = "Pump-7:A.b_c9".parse().unwrap();
        let b: RegistrationId = "pump-7:a.B_C9".parse().unwrap();
        assert_eq!(a, b);
        assert_eq!(a.as_str(), "Pump-7:A.b_c9");
        assert_eq!(a.key(), "pump-7:a.b_c9");
    }

    #[test]
    fn look_alikes_and_odd_ends_are_no_registration_ids() {
        let long = "a".repeat(129);
        for bad in ["", " a", "a ", "a.", "a_", "a:", "a%2e", "a/b", "a\0", "аbc", "a\u{200b}", &long] {
            assert!(bad.parse::<RegistrationId>().is_err(), "{bad:?} was taken");
        }
        assert!("a".repeat(128).parse::<RegistrationId>().is_ok());
        assert!("-a-".parse::<RegistrationId>().is_ok());
    }

    #[test]
    fn a_digest_is_read_as_tools_write_it() {
        let digest = Digest::of(b"x");
        let colons: Vec<String> = digest.as_bytes().iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(colons.join(":").parse::<Digest>().unwrap(), digest);
        assert_eq!(format!("sha256:{digest}").parse::<Digest>().unwrap(), digest);
        assert!(format!("{digest}0").parse::<Digest>().is_err());
        assert!("zz".repeat(32).parse::<Digest>().is_err());
    }

    proptest! {
        #[test]
        fn equal_registration_ids_have_equal_keys(a in "[A-Za-z0-9:._-]{0,12}[a-zA-Z0-9-]", b in "[A-Za-z0-9:._-]{0,12}[a-zA-Z0-9-]") {
            let (x, y): (RegistrationId, RegistrationId) = (a.parse().unwrap(), b.parse().unwrap());
            prop_assert_eq!(x == y, a.eq_ignore_ascii_case(&b));
        }

        #[test]
        fn no_text_makes_a_name_panic(text in ".{0,200}") {
            let _ = text.parse::<RegistrationId>();
            let _ = text.parse::<HubName>();
            let _ = text.parse::<Digest>();
            let _ = text.parse::<DeviceId>();
        }
    }
}
