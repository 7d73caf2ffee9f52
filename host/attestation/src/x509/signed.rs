//! The outer structure that certificates, requests and revocation lists have in common: the signed part, the algorithm
//! and the signature (RFC 5280, 4.1.1 and 5.1.1; RFC 2986, 4.2). The parser reads the signed part. What stands around
//! it is not signed, so only one encoding of it is accepted here: nothing that is believed can be written in two ways.

use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};

/// The parts that follow the signed part.
pub(super) struct Signed<'a> {
    /// The content of the AlgorithmIdentifier.
    pub(super) algorithm: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Parses the parts of a whole structure whose signed part has `signed` bytes.
pub(super) fn parts(der: &[u8], signed: usize) -> Option<Signed<'_>> {
    let whole = element(der, Tag::Sequence)?;
    let (rest, algorithm) = next(whole.get(signed..)?, Tag::Sequence)?;
    let bits = element(rest, Tag::BitString)?;
    // The signature must not have unused bits.
    let value = bits.strip_prefix(&[0])?;
    Some(Signed { algorithm, value })
}

/// The content of the element, if the bytes are exactly one element.
fn element(bytes: &[u8], tag: Tag) -> Option<&[u8]> {
    let (rest, content) = next(bytes, tag)?;
    rest.is_empty().then_some(content)
}

fn next(bytes: &[u8], tag: Tag) -> Option<(&[u8], &[u8])> {
    let (rest, element) = Any::from_der(bytes).ok()?;
    let header = &element.header;
    let is_it = header.tag() == tag && header.class() == Class::Universal;
    (is_it && header.is_constructed() == (tag == Tag::Sequence)).then_some((rest, element.data))
}
