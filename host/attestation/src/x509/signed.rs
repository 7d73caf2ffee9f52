//! What is signed, and by what: the three parts that certificates, requests and revocation lists have in common (RFC 5280,
//! 4.1.1 and 5.1.1; RFC 2986, 4.2). The parser reads the parts that are signed; what stands around them is not signed, so
//! it is held to its one form here: nothing that is believed can be written in two ways.

use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};

/// The parts behind what is signed.
pub(super) struct Signed<'a> {
    /// The content of the AlgorithmIdentifier.
    pub(super) algorithm: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Reads the parts of a whole structure whose signed part has so many bytes.
pub(super) fn parts(der: &[u8], signed: usize) -> Option<Signed<'_>> {
    let whole = element(der, Tag::Sequence)?;
    let (rest, algorithm) = next(whole.get(signed..)?, Tag::Sequence)?;
    let bits = element(rest, Tag::BitString)?;
    // All of its bits count.
    let value = bits.strip_prefix(&[0])?;
    Some(Signed { algorithm, value })
}

/// The content of the one element that the bytes are.
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
