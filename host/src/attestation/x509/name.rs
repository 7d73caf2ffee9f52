//! Names inside certificates: as text for people, and the one CN that names a device.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::oid_registry as oid;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::names::{NameError, RegistrationId};

/// Why a subject names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommonNameError {
    /// None or several.
    #[error("its subject has {0} common names (CN), not exactly one")]
    Count(usize),
    /// Beside other attributes in one relative name.
    #[error("its common name (CN) shares a relative name with another attribute")]
    Shared,
    /// A text type that has more than one reading.
    #[error("its common name (CN) is neither a UTF8String nor a PrintableString nor an IA5String (tag {0})")]
    TextType(u32),
    /// The bytes are not of their type.
    #[error("its common name (CN) is not text of its type")]
    NotText,
    /// NUL or another control character.
    #[error("its common name (CN) has a control character")]
    Control,
    /// Invisible in every table.
    #[error("its common name (CN) begins or ends with a space")]
    EdgeSpace,
    /// Not a registration id.
    #[error("its common name (CN) {0}")]
    Grammar(#[from] NameError),
}

/// The device that a subject names: its one CN, which must be a registration id. There is no second place to look.
pub(super) fn registration_id(subject: &X509Name<'_>) -> Result<RegistrationId, CommonNameError> {
    Ok(common_name(subject)?.parse()?)
}

/// The one CN of a subject, as text that has one reading only.
pub(super) fn common_name<'a>(subject: &X509Name<'a>) -> Result<&'a str, CommonNameError> {
    let mut found = None;
    let mut count = 0;
    for rdn in subject.iter() {
        for attribute in rdn.iter().filter(|attribute| *attribute.attr_type() == oid::OID_X509_COMMON_NAME) {
            count += 1;
            found = Some((attribute, rdn.iter().count()));
        }
    }
    let (Some((attribute, beside)), 1) = (found, count) else {
        return Err(CommonNameError::Count(count));
    };
    if beside != 1 {
        return Err(CommonNameError::Shared);
    }
    let text = plain_text(attribute.attr_value())?;
    if text.chars().any(char::is_control) {
        return Err(CommonNameError::Control);
    }
    if text.trim() != text {
        return Err(CommonNameError::EdgeSpace);
    }
    Ok(text)
}

/// The one value of an attribute of a subject; nothing when there are several, since then it means nothing certain.
pub(super) fn only_value(subject: &X509Name<'_>, kind: &oid::Oid<'static>) -> Option<String> {
    let mut values = subject.iter_attributes().filter(|attribute| attribute.attr_type() == kind);
    let (Some(only), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = plain_text(only.attr_value()).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// A name as text: the relative names from the last to the first, as RFC 4514 writes them.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let mut rdns: Vec<String> =
        name.iter().map(|rdn| rdn.iter().map(attribute_text).collect::<Vec<_>>().join("+")).collect();
    rdns.reverse();
    rdns.join(",")
}

fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let short = SHORT_NAMES.iter().find(|(known, _)| kind.to_id_string() == *known).map(|(_, short)| *short);
    let value = attribute.attr_value();
    match (short, plain_text(value)) {
        (Some(short), Ok(text)) => format!("{short}={}", escaped(text)),
        (None, Ok(text)) => format!("{}={}", kind.to_id_string(), escaped(text)),
        (short, Err(_)) => {
            let kind = short.map_or_else(|| kind.to_id_string(), ToOwned::to_owned);
            format!("{kind}=#{}", hex(value.data))
        }
    }
}

fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        let at_edge = (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ');
        if at_edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            out.push('\\');
            out.push(c);
        } else if c.is_control() {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                let _ = write!(out, "\\{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Text of a type that has one reading only. T61String, BMPString and UniversalString are read differently by
/// different programs, so a name in them could be two devices.
fn plain_text<'a>(value: &Any<'a>) -> Result<&'a str, CommonNameError> {
    let tag = value.tag();
    if ![Tag::Utf8String, Tag::PrintableString, Tag::Ia5String].contains(&tag) {
        return Err(CommonNameError::TextType(tag.0));
    }
    let text = std::str::from_utf8(value.data).map_err(|_| CommonNameError::NotText)?;
    if tag != Tag::Utf8String && !text.is_ascii() {
        return Err(CommonNameError::NotText);
    }
    Ok(text)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// RFC 4514, section 3, and what device certificates use besides.
const SHORT_NAMES: [(&str, &str); 12] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];
