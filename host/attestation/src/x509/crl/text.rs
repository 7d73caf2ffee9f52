//! Reads one revocation list from the forms that operators have: DER, base64 of DER, or PEM with any text around it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Why a file contains no list that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ListTextError {
    #[error("the revocation list is empty")]
    Empty,
    /// The file is not in one of the accepted forms.
    #[error(
        "it is no certificate revocation list (RFC 5280) in PEM (-----BEGIN X509 CRL-----) or DER; `openssl crl -in FILE \
         -noout -text` shows what a list says"
    )]
    Unknown,
    #[error("the text is in UTF-16; save it as UTF-8 (or plain ASCII) and bring it again")]
    Utf16,
    #[error("it is a certificate, not the revocation list that the authority publishes (-----BEGIN X509 CRL-----)")]
    Certificate,
    /// The file contains several lists.
    #[error("it holds {0} revocation lists, and one is taken; bring the newest one of this authority alone")]
    Several(usize),
    /// The content between the BEGIN and END lines is broken.
    #[error(
        "the PEM is broken: between its BEGIN and END lines there must be base64 and nothing else; was the file cut?"
    )]
    Broken,
    /// The file contains a private key, which must not be sent anywhere.
    #[error("the file holds a private key; bring the list alone, and consider the key as disclosed")]
    PrivateKey,
}

/// The DER of the one revocation list in a file's bytes, or in a text. The caller checks whether the DER really is a
/// list.
///
/// # Errors
///
/// [`ListTextError`].
pub fn list_from(bytes: &[u8]) -> Result<Vec<u8>, ListTextError> {
    if bytes.trim_ascii().is_empty() {
        return Err(ListTextError::Empty);
    }
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes {
        return Err(ListTextError::Utf16);
    }
    if bytes.first() == Some(&DER_SEQUENCE) && !has(bytes, BEGIN) {
        return Ok(der(bytes).to_vec());
    }
    let text = bytes.strip_prefix(BOM).unwrap_or(bytes);
    if has(text, BEGIN) {
        return from_pem(text);
    }
    let decoded = from_base64(text).ok_or(ListTextError::Unknown)?;
    if decoded.is_empty() {
        return Err(ListTextError::Empty);
    }
    // A whole file in base64: the command line sends files that are not text in this form.
    if has(&decoded, BEGIN) {
        return from_pem(&decoded);
    }
    match decoded.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(ListTextError::Utf16),
        _ => Ok(der(&decoded).to_vec()),
    }
}

fn from_pem(text: &[u8]) -> Result<Vec<u8>, ListTextError> {
    if has(text, b"PRIVATE KEY-----") {
        return Err(ListTextError::PrivateKey);
    }
    let mut lists = Vec::new();
    for (begin, end) in LABELS {
        let mut rest = text;
        while let Some(at) = find(rest, begin) {
            let inside = rest.get(at + begin.len()..).unwrap_or_default();
            let until = find(inside, end).ok_or(ListTextError::Broken)?;
            lists.push(inside.get(..until).unwrap_or_default());
            rest = inside.get(until..).unwrap_or_default();
        }
    }
    match lists.as_slice() {
        [one] => from_base64(one).filter(|der| !der.is_empty()).ok_or(ListTextError::Broken),
        [] if has(text, b"CERTIFICATE-----") => Err(ListTextError::Certificate),
        [] => Err(ListTextError::Unknown),
        several => Err(ListTextError::Several(several.len())),
    }
}

/// DER without the line end that an editor or a shell appended.
fn der(bytes: &[u8]) -> &[u8] {
    let (length, header) = match bytes {
        [_, short, ..] if *short < 0x80 => (usize::from(*short), 2),
        [_, 0x81, length, ..] => (usize::from(*length), 3),
        [_, 0x82, rest @ ..] => (number(rest, 2), 4),
        [_, 0x83, rest @ ..] => (number(rest, 3), 5),
        _ => return bytes,
    };
    match bytes.split_at_checked(header + length) {
        Some((whole, behind)) if behind.iter().all(u8::is_ascii_whitespace) => whole,
        _ => bytes,
    }
}

fn number(octets: &[u8], count: usize) -> usize {
    octets.iter().take(count).fold(0, |number, octet| number << 8 | usize::from(*octet))
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(dense).ok()
}

fn has(text: &[u8], what: &[u8]) -> bool {
    find(text, what).is_some()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The labels of RFC 7468, section 6, and those that some programs write.
const LABELS: [(&[u8], &[u8]); 2] =
    [(b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"), (b"-----BEGIN CRL-----", b"-----END CRL-----")];
const BEGIN: &[u8] = b"-----BEGIN ";
const BOM: &[u8] = b"\xef\xbb\xbf";
const DER_SEQUENCE: u8 = 0x30;
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// A sequence that is long enough for several lines of base64.
    fn list() -> Vec<u8> {
        [vec![0x30, 0x82, 1, 0], vec![7; 256]].concat()
    }

    fn pem(label: &str) -> String {
        let lines: Vec<String> = STANDARD
            .encode(list())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    #[test]
    fn every_form_that_tools_write_is_read() {
        let (pem, der) = (pem("X509 CRL"), list());
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let forms: Vec<Vec<u8>> = vec![
            der.clone(),
            [der.clone(), b"\r\n".to_vec()].concat(),
            pem.clone().into(),
            pem.replace('\n', "\r\n").into(),
            pem.replace('\n', "").into(),
            pem.replace('\n', "\n  ").into(),
            format!("\u{feff}{pem}").into(),
            format!("Certificate Revocation List (CRL):\n    Version 2 (0x1)\n{pem}").into(),
            format!("{pem}\nthe list of the factory\n").into(),
            format!("{certificate}{pem}").into(),
            super::tests::pem("CRL").into(),
            STANDARD.encode(&der).into(),
            STANDARD.encode(&pem).into(),
            STANDARD.encode([der.clone(), b"\n".to_vec()].concat()).into(),
        ];
        for form in forms {
            assert_eq!(list_from(&form), Ok(der.clone()), "{}", String::from_utf8_lossy(&form));
        }
    }

    #[test]
    fn what_is_not_one_list_is_refused_in_one_sentence() {
        let pem = pem("X509 CRL");
        let utf16: Vec<u8> = [0xfeff].into_iter().chain(pem.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (given, error) in [
            (Vec::new(), ListTextError::Empty),
            (b" \r\n".to_vec(), ListTextError::Empty),
            (b"a list, surely".to_vec(), ListTextError::Unknown),
            (pem.repeat(2).into(), ListTextError::Several(2)),
            (format!("{pem}{}", super::tests::pem("CRL")).into(), ListTextError::Several(2)),
            (pem[..pem.len() / 2].into(), ListTextError::Broken),
            (pem.replacen("BwcH", "B*cH", 1).into(), ListTextError::Broken),
            (super::tests::pem("CERTIFICATE").into(), ListTextError::Certificate),
            (super::tests::pem("PKCS7").into(), ListTextError::Unknown),
            (format!("{pem}{key}").into(), ListTextError::PrivateKey),
            (utf16.clone(), ListTextError::Utf16),
            (STANDARD.encode(utf16).into(), ListTextError::Utf16),
        ] {
            assert_eq!(list_from(&given), Err(error), "{}", String::from_utf8_lossy(&given));
        }
    }
}
