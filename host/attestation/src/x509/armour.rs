//! Finds the objects in a text (RFC 7468), in whatever form editors, shells and tools leave it: with a byte order mark
//! or in UTF-16; with line ends of any kind, without line ends, or with line ends written as `\\n`; indented; with
//! text around it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The object has no end line.
    #[error("its line -----END {0}----- is missing")]
    NoEnd(String),
    /// The begin line of the object is incomplete.
    #[error("its line -----BEGIN ...----- is not whole")]
    NoBegin,
    #[error("between its first and its last line stands what is not base64")]
    NotBase64,
}

/// One object, its content still in base64.
pub(super) struct Object<'a> {
    pub(super) label: String,
    body: &'a [u8],
}

impl Object<'_> {
    /// The decoded content. An error concerns this object only; others in the text may be intact.
    pub(super) fn content(&self) -> Result<Vec<u8>, Broken> {
        let mut dense = Vec::with_capacity(self.body.len());
        let mut rest = self.body;
        while let [first, after @ ..] = rest {
            rest = match (first, after) {
                (b'\\', [b'n' | b'r', after @ ..]) => after,
                (byte, after) => {
                    if !byte.is_ascii_whitespace() {
                        dense.push(*byte);
                    }
                    after
                }
            };
        }
        BASE64.decode(dense).map_err(|_| Broken::NotBase64)
    }
}

/// Whether the text contains an object.
pub(super) fn is_armoured(text: &[u8]) -> bool {
    find(text, BEGIN).is_some()
}

/// All objects in the text, in their order.
pub(super) fn objects(text: &[u8]) -> Result<Vec<Object<'_>>, Broken> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = find(rest, BEGIN) {
        let (label, after) = find(after, DASHES).ok_or(Broken::NoBegin)?;
        let label = std::str::from_utf8(label).ok().filter(|label| label.len() < MAX_LABEL && !label.contains('\n'));
        let label = label.ok_or(Broken::NoBegin)?.to_owned();
        let end = format!("-----END {label}-----");
        let (body, after) = find(after, end.as_bytes()).ok_or(Broken::NoEnd(label.clone()))?;
        all.push(Object { label, body });
        rest = after;
    }
    Ok(all)
}

/// The text in UTF-8 without a byte order mark. Input that is not text is returned unchanged.
pub(super) fn as_utf8(input: &[u8]) -> Cow<'_, [u8]> {
    let decoded = |units: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Option<Vec<u16>> = units.chunks(2).map(|two| Some(unit(two.try_into().ok()?))).collect();
        String::from_utf16(&units?).ok().map(String::into_bytes)
    };
    match input {
        [0xef, 0xbb, 0xbf, text @ ..] => Cow::from(text),
        [0xff, 0xfe, units @ ..] => decoded(units, u16::from_le_bytes).map_or(Cow::from(input), Cow::from),
        [0xfe, 0xff, units @ ..] => decoded(units, u16::from_be_bytes).map_or(Cow::from(input), Cow::from),
        _ => Cow::from(input),
    }
}

/// DER without the line end that an editor or a shell appended.
pub(super) fn without_line_end(bytes: &[u8]) -> &[u8] {
    match first_element(bytes) {
        Some(element) if matches!(bytes.get(element.len()..), Some([b'\n'] | [b'\r', b'\n'])) => element,
        _ => bytes,
    }
}

/// The first element of the DER.
pub(super) fn first_element(bytes: &[u8]) -> Option<&[u8]> {
    let length = match *bytes.get(1)? {
        short @ 0..=0x7f => 2 + usize::from(short),
        // DER does not allow an indefinite length (0x80).
        0x81 => 3 + usize::from(*bytes.get(2)?),
        0x82 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        0x83 => 5 + usize::try_from(u32::from_be_bytes([0, *bytes.get(2)?, *bytes.get(3)?, *bytes.get(4)?])).ok()?,
        _ => return None,
    };
    bytes.get(..length)
}

/// What stands before and after the first occurrence of the marks.
fn find<'a>(text: &'a [u8], marks: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(marks.len()).position(|window| window == marks)?;
    Some((text.get(..at)?, text.get(at + marks.len()..)?))
}

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
const MAX_LABEL: usize = 64;
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
