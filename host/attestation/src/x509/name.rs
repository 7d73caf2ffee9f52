//! Names in certificates: as text for people, and the CN that names a device.

use std::borrow::Cow;
use std::fmt::Write as _;

use landfall_domain::text::hex;

use landfall_domain::names::{NameError, RegistrationId};
use x509_parser::asn1_rs::{Any, Tag, ToDer as _};
use x509_parser::oid_registry as oid;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::object_id;

/// Why a subject does not name a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommonNameError {
    /// There is no CN, or there are several.
    #[error("its subject has {0} common names (CN), not exactly one")]
    Count(usize),
    /// The CN shares its relative name with other attributes.
    #[error("its common name (CN) shares a relative name with another attribute")]
    Shared,
    /// The text type can be read in more than one way.
    #[error("its common name (CN) is neither a UTF8String nor a PrintableString nor an IA5String (tag {0})")]
    TextType(u32),
    /// The bytes are not valid for their type.
    #[error("its common name (CN) is not text of its type")]
    NotText,
    /// The CN contains NUL or another control character.
    #[error("its common name (CN) has a control character")]
    Control,
    /// The CN has a leading or trailing space, which is invisible in a table.
    #[error("its common name (CN) begins or ends with a space")]
    EdgeSpace,
    /// The CN is not a registration id.
    #[error("its common name (CN) {0}")]
    Grammar(#[from] NameError),
}

/// The registration id in a subject: its only CN. No other place is searched.
pub(super) fn registration_id(subject: &X509Name<'_>) -> Result<RegistrationId, CommonNameError> {
    Ok(common_name(subject)?.parse()?)
}

/// The only CN of a subject, as text that can be read in one way only.
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

/// The only value of an attribute of a subject. `None` if there are several values, because none of them is certain
/// then.
pub(super) fn only_value(subject: &X509Name<'_>, kind: &oid::Oid<'static>) -> Option<String> {
    let mut values = subject.iter_attributes().filter(|attribute| attribute.attr_type() == kind);
    let (Some(only), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = plain_text(only.attr_value()).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// A name as text: the relative names from the last to the first, in the form of RFC 4514.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let mut rdns: Vec<String> =
        name.iter().map(|rdn| rdn.iter().map(attribute_text).collect::<Vec<_>>().join("+")).collect();
    rdns.reverse();
    rdns.join(",")
}

/// An attribute as text (RFC 4514, 2.3 and 2.4): a type without a short name is written as a number, and its value as
/// the hexadecimal of its BER. The value of a known type is written as text, whichever string type it has.
fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let (kind, value) = (attribute.attr_type(), attribute.attr_value());
    let ber = || format!("#{}", hex(&value.to_der_vec().unwrap_or_default()));
    match SHORT_NAMES.iter().find(|(known, _)| kind.as_bytes() == *known) {
        Some((_, short)) => {
            let text = any_text(value).map(|text| escaped(&text));
            format!("{short}={}", text.unwrap_or_else(ber))
        }
        None => format!("{}={}", object_id::text(kind), ber()),
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

/// Text of a type that can be read in one way only. Different programs read T61String, BMPString and UniversalString
/// differently, so a name in one of these types could stand for two devices.
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

/// Text of any string type whose reading is agreed on: for people and for comparing names, not for the name of a
/// device.
pub(super) fn any_text<'a>(value: &Any<'a>) -> Option<Cow<'a, str>> {
    let tag = value.tag();
    if tag == Tag::BmpString {
        let units = value.data.chunks(2).map(|unit| Some(u16::from_be_bytes(unit.try_into().ok()?)));
        return Some(String::from_utf16(&units.collect::<Option<Vec<_>>>()?).ok()?.into());
    }
    if tag == Tag::UniversalString {
        let units = value.data.chunks(4).map(|unit| char::from_u32(u32::from_be_bytes(unit.try_into().ok()?)));
        return Some(units.collect::<Option<String>>()?.into());
    }
    if [Tag::NumericString, Tag::VisibleString].contains(&tag) {
        return std::str::from_utf8(value.data).ok().filter(|text| text.is_ascii()).map(Cow::from);
    }
    plain_text(value).ok().map(Cow::from)
}

/// Short names: those of RFC 4514, section 3, and more that certificates use, as OpenSSL writes them. The types are in
/// DER.
const SHORT_NAMES: [(&[u8], &str); 27] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 12], "title"),
    (&[0x55, 4, 13], "description"),
    (&[0x55, 4, 15], "businessCategory"),
    (&[0x55, 4, 17], "postalCode"),
    (&[0x55, 4, 18], "postOfficeBox"),
    (&[0x55, 4, 20], "telephoneNumber"),
    (&[0x55, 4, 41], "name"),
    (&[0x55, 4, 42], "GN"),
    (&[0x55, 4, 43], "initials"),
    (&[0x55, 4, 44], "generationQualifier"),
    (&[0x55, 4, 46], "dnQualifier"),
    (&[0x55, 4, 65], "pseudonym"),
    (&[0x55, 4, 72], "role"),
    (&[0x55, 4, 97], "organizationIdentifier"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 2], "unstructuredName"),
];

#[cfg(test)]
pub(super) mod tests {
    use x509_parser::asn1_rs::FromDer as _;

    use super::*;

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];
    const OU: &[u8] = &[0x55, 4, 11];
    const UTF8: u8 = 12;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut out = vec![tag];
        match u8::try_from(length) {
            Ok(short) if short < 0x80 => out.push(short),
            Ok(long) => out.extend([0x81, long]),
            Err(_) => out.extend([0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 0xff).unwrap()]),
        }
        out.extend(content);
        out
    }

    /// An attribute: type, tag and value.
    pub(in super::super) type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

    /// DER of a name: relative names, each with attributes.
    pub(in super::super) fn name(rdns: &[&[Attribute<'_>]]) -> Vec<u8> {
        let rdn = |attributes: &&[Attribute<'_>]| {
            let attribute = |(kind, tag, value): &Attribute<'_>| tlv(0x30, &[tlv(6, kind), tlv(*tag, value)].concat());
            tlv(0x31, &attributes.iter().flat_map(attribute).collect::<Vec<_>>())
        };
        tlv(0x30, &rdns.iter().flat_map(rdn).collect::<Vec<_>>())
    }

    fn id_of(der: &[u8]) -> Result<String, CommonNameError> {
        let (_, name) = X509Name::from_der(der).unwrap();
        registration_id(&name).map(|id| id.to_string())
    }

    fn id_of_cn(tag: u8, value: &[u8]) -> Result<String, CommonNameError> {
        id_of(&name(&[&[(CN, tag, value)]]))
    }

    #[test]
    fn the_three_text_types_with_one_reading_are_taken() {
        for tag in [UTF8, 19, 22] {
            assert_eq!(id_of_cn(tag, b"Dev-1:a.b_c"), Ok("Dev-1:a.b_c".to_owned()));
        }
    }

    #[test]
    fn other_text_types_are_refused_whatever_they_say() {
        // T61String, UniversalString, BMPString
        for (tag, value) in [(20, &b"abc"[..]), (28, b"\0\0\0a"), (30, b"\0a\0b\0c")] {
            assert_eq!(id_of_cn(tag, value), Err(CommonNameError::TextType(u32::from(tag))));
        }
    }

    #[test]
    fn a_subject_names_exactly_one_device() {
        assert_eq!(id_of(&name(&[])), Err(CommonNameError::Count(0)));
        assert_eq!(id_of(&name(&[&[(O, UTF8, b"Acme")]])), Err(CommonNameError::Count(0)));
        let twice = name(&[&[(CN, UTF8, b"a")], &[(CN, UTF8, b"a")]]);
        assert_eq!(id_of(&twice), Err(CommonNameError::Count(2)));
        let together = name(&[&[(CN, UTF8, b"a"), (CN, UTF8, b"b")]]);
        assert_eq!(id_of(&together), Err(CommonNameError::Count(2)));
        let shared = name(&[&[(CN, UTF8, b"a"), (O, UTF8, b"Acme")]]);
        assert_eq!(id_of(&shared), Err(CommonNameError::Shared));
        let beside = name(&[&[(O, UTF8, b"Acme")], &[(CN, UTF8, b"a")]]);
        assert_eq!(id_of(&beside), Ok("a".to_owned()));
    }

    #[test]
    fn control_characters_edge_spaces_and_broken_text_are_refused() {
        assert_eq!(id_of_cn(UTF8, b"dev\0.evil"), Err(CommonNameError::Control));
        assert_eq!(id_of_cn(UTF8, b"dev\n"), Err(CommonNameError::Control));
        assert_eq!(id_of_cn(UTF8, b" dev"), Err(CommonNameError::EdgeSpace));
        assert_eq!(id_of_cn(UTF8, b"dev "), Err(CommonNameError::EdgeSpace));
        assert_eq!(id_of_cn(UTF8, b"dev\xff"), Err(CommonNameError::NotText));
        assert_eq!(id_of_cn(19, "d\u{e9}v".as_bytes()), Err(CommonNameError::NotText));
    }

    #[test]
    fn what_is_no_registration_id_is_refused() {
        for cn in ["", "d\u{435}v", "dev 1", "dev/1", "dev.", &"a".repeat(129)] {
            assert!(matches!(id_of_cn(UTF8, cn.as_bytes()), Err(CommonNameError::Grammar(_))), "{cn:?}");
        }
        assert!(id_of_cn(UTF8, "a".repeat(128).as_bytes()).is_ok());
    }

    #[test]
    fn a_name_is_written_from_its_end_with_escapes() {
        let der = name(&[
            &[(&[0x55, 4, 6], 19, b"DE")],
            &[(O, UTF8, b"Acme, \"Inc\" + Sons")],
            &[(OU, UTF8, b"#x "), (O, 30, b"\0W\0e")],
            &[(CN, UTF8, b"a\0b")],
        ]);
        let (_, name) = X509Name::from_der(&der).unwrap();
        assert_eq!(text(&name), r#"CN=a\00b,OU=\#x\ +O=We,O=Acme\, \"Inc\" \+ Sons,C=DE"#);
    }

    #[test]
    fn what_has_no_text_is_written_as_its_ber_as_rfc_4514_demands() {
        let der = name(&[&[(&[0x2a, 3], UTF8, b"x")], &[(O, 20, b"T\xe9l")], &[(&[0x55, 4, 17], 19, b"30062")]]);
        let (_, name) = X509Name::from_der(&der).unwrap();
        assert_eq!(text(&name), "postalCode=30062,O=#140354e96c,1.2.3=#0c0178");
    }
}
