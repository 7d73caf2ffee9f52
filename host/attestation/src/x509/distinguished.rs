//! Distinguished names, compared as RFC 5280, 7.1 demands: by their content and not by their encoding.
//!
//! Tools of different authorities write the same name in different string types, and people write it with different
//! case and spaces. So text is compared without regard to the string type, to case, and to leading, trailing or
//! repeated spaces. Everything else (other types, and text that is invalid for its type) is compared byte for byte.
//! Compatibility forms of characters are not folded: names that differ in them are different. Equal names alone admit
//! no device: the key must be the right one as well.

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::name::any_text;

/// A name in a form that can be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    /// The relative names, from the root downwards.
    relative: Vec<Vec<u8>>,
}

impl Name {
    /// Converts a name into the form that is compared.
    pub(super) fn of(name: &X509Name<'_>) -> Self {
        let relative = name.iter().map(|relative| {
            // The attributes are a set, so their order means nothing.
            let mut attributes: Vec<Vec<u8>> = relative.iter().map(comparable).collect();
            attributes.sort();
            attributes.iter().fold(Vec::new(), |mut whole, attribute| {
                push(&mut whole, attribute);
                whole
            })
        });
        Self { relative: relative.collect() }
    }

    /// Whether the name has no parts.
    pub(super) fn is_empty(&self) -> bool {
        self.relative.is_empty()
    }

    /// Whether the name is in the subtree of `top`, or equal to it.
    pub(super) fn is_within(&self, top: &Self) -> bool {
        self.relative.starts_with(&top.relative)
    }
}

fn comparable(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let value = attribute.attr_value();
    let mut out = Vec::new();
    push(&mut out, attribute.attr_type().as_bytes());
    match any_text(value) {
        Some(text) => {
            out.push(TEXT);
            out.extend(prepared(&text).as_bytes());
        }
        None => {
            out.extend(value.tag().0.to_be_bytes());
            out.extend(value.data);
        }
    }
    out
}

/// Lower case, with single spaces.
fn prepared(text: &str) -> String {
    let folded: String = text.chars().flat_map(char::to_lowercase).collect();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes the length before the bytes, so that different names never give the same bytes.
fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

/// Marks text. No tag begins with this byte, because tags are written in four octets.
const TEXT: u8 = 0xff;

#[cfg(test)]
mod tests {
    use x509_parser::asn1_rs::FromDer as _;

    use super::super::name::tests::name;
    use super::*;

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];
    const PRINTABLE: u8 = 19;
    const UTF8: u8 = 12;
    const BMP: u8 = 30;
    const TELETEX: u8 = 20;

    /// An attribute: its type, the tag of its text and the text.
    type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

    fn of(rdns: &[&[Attribute<'_>]]) -> Name {
        Name::of(&X509Name::from_der(&name(rdns)).unwrap().1)
    }

    #[test]
    fn string_type_case_and_repeated_spaces_do_not_tell_names_apart() {
        let plain = of(&[&[(O, UTF8, b"Acme Pumps")], &[(CN, UTF8, b"Root")]]);
        for same in [
            of(&[&[(O, PRINTABLE, b"Acme Pumps")], &[(CN, PRINTABLE, b"Root")]]),
            of(&[&[(O, UTF8, b"  ACME   pumps ")], &[(CN, 22, b"rOOt")]]),
            of(&[&[(O, UTF8, b"Acme Pumps")], &[(CN, BMP, b"\0R\0o\0o\0t")]]),
        ] {
            assert_eq!(same, plain);
        }
        let accented = of(&[&[(O, UTF8, "\u{c9}cole".as_bytes())]]);
        assert_eq!(of(&[&[(O, UTF8, "\u{e9}COLE".as_bytes())]]), accented);
    }

    #[test]
    fn what_is_written_tells_names_apart() {
        let plain = of(&[&[(O, UTF8, b"Acme Pumps")], &[(CN, UTF8, b"Root")]]);
        for other in [
            of(&[&[(O, UTF8, b"AcmePumps")], &[(CN, UTF8, b"Root")]]),
            of(&[&[(CN, UTF8, b"Root")], &[(O, UTF8, b"Acme Pumps")]]),
            of(&[&[(O, UTF8, b"Acme Pumps"), (CN, UTF8, b"Root")]]),
            of(&[&[(O, UTF8, b"Acme Pumps")], &[(CN, UTF8, b"Root\0")]]),
            of(&[&[(O, UTF8, b"Acme Pumps")], &[(CN, TELETEX, b"Root")]]),
            of(&[&[(O, UTF8, b"Acme Pumps")], &[(O, UTF8, b"Root")]]),
            of(&[&[(O, UTF8, b"Acme Pumps")]]),
            of(&[]),
        ] {
            assert_ne!(other, plain);
        }
    }

    #[test]
    fn a_relative_name_is_a_set_and_a_subtree_begins_with_its_top() {
        let both = of(&[&[(O, UTF8, b"a"), (CN, UTF8, b"b")]]);
        assert_eq!(of(&[&[(CN, UTF8, b"b"), (O, UTF8, b"a")]]), both);
        let (top, below) = (of(&[&[(O, UTF8, b"Acme")]]), of(&[&[(O, PRINTABLE, b"ACME")], &[(CN, UTF8, b"x")]]));
        assert!(below.is_within(&top) && top.is_within(&top) && !top.is_within(&below));
        assert!(below.is_within(&of(&[])), "an empty top holds every name");
    }
}
