//! Reads certificates in the forms that operators and DPS's clients send: PEM, base64 of DER, base64 of PEM, and DER.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::armour::{self, Broken};
use super::certificate::Certificate;
use super::error::Flaw;

/// Why a text contains no certificate that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CertificateTextError {
    #[error("the certificate is empty")]
    Empty,
    /// The text is larger than any certificate.
    #[error("the certificate's text has {bytes} bytes, and at most {max} are read", max = MAX_TEXT_BYTES)]
    TooLarge { bytes: usize },
    /// The text is neither PEM nor base64 nor DER.
    #[error("the certificate is neither PEM nor base64 nor DER")]
    Encoding,
    /// The PEM is broken.
    #[error("the certificate's PEM is broken: {0}")]
    Pem(#[from] Broken),
    #[error("the text holds {0} different certificates, not exactly one; give the one that is meant alone")]
    Count(usize),
    #[error("the text holds {found}, and no certificate{how}")]
    Other {
        /// What the text contains.
        found: String,
        /// Advice for the operator. It begins with its own punctuation.
        how: &'static str,
    },
    /// The text contains too many certificates.
    #[error("the PEM holds {0} certificates, and at most {MAX_BUNDLE} are read")]
    Bundle(usize),
    /// The text contains a private key, which must not be sent anywhere.
    #[error("the PEM holds a private key; send the certificate alone, and consider the key as disclosed")]
    PrivateKey,
    /// The DER is not a certificate.
    #[error("the certificate {0}")]
    Certificate(#[from] Flaw),
}

/// The DER of the only certificate in a text. It can be parsed as a certificate; the caller checks whether it is
/// acceptable.
///
/// # Errors
///
/// There is no certificate, or more than one, or a private key beside it.
pub fn certificate_from(input: impl AsRef<[u8]>) -> Result<Vec<u8>, CertificateTextError> {
    let mut all = all_from(input.as_ref(), MAX_TEXT_BYTES)?;
    let count = all.len();
    match all.pop() {
        Some(der) if count == 1 => Ok(der),
        _ => Err(CertificateTextError::Count(count)),
    }
}

/// The DER of all certificates in a text, at least one and at most [`MAX_BUNDLE`].
///
/// # Errors
///
/// There is no certificate, there are too many, one of them cannot be parsed, or there is a private key beside them.
pub fn certificates_from(input: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, CertificateTextError> {
    let all = all_from(input.as_ref(), MAX_TEXT_BYTES * MAX_BUNDLE)?;
    if all.len() > MAX_BUNDLE {
        return Err(CertificateTextError::Bundle(all.len()));
    }
    Ok(all)
}

/// Whether the objects of a text include a private key, encrypted or not.
pub fn holds_private_key(input: &[u8]) -> bool {
    let text = armour::as_utf8(input);
    text.windows(PRIVATE_KEY.len()).any(|window| window == PRIVATE_KEY)
}

/// All certificates in the text, each once.
fn all_from(input: &[u8], most: usize) -> Result<Vec<Vec<u8>>, CertificateTextError> {
    if input.len() > most {
        return Err(CertificateTextError::TooLarge { bytes: input.len() });
    }
    let text = armour::as_utf8(input);
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(CertificateTextError::Empty);
    }
    let all = if armour::is_armoured(text) {
        from_pem(text)?
    } else if let Some(decoded) = from_base64(text) {
        let inner = armour::as_utf8(&decoded);
        if armour::is_armoured(&inner) { from_pem(&inner)? } else { vec![from_der(&decoded)?] }
    } else if input.first() == Some(&DER_SEQUENCE) {
        vec![from_der(input)?]
    } else {
        return Err(CertificateTextError::Encoding);
    };
    for der in &all {
        Certificate::read(der)?;
    }
    Ok(all)
}

/// Reads DER from a file. A line end may follow; DER of another kind gives an error that names the kind.
fn from_der(bytes: &[u8]) -> Result<Vec<u8>, CertificateTextError> {
    let other = |found: &str, how| Err(CertificateTextError::Other { found: found.to_owned(), how });
    if bytes.windows(PKCS7_SIGNED_DATA.len()).take(16).any(|window| window == PKCS7_SIGNED_DATA) {
        return other("a PKCS#7 bundle", PKCS7_HOW);
    }
    let contents = [2, 3, 4, 5].into_iter().filter_map(|header| bytes.get(header..));
    if contents.into_iter().any(|content| content.starts_with(PKCS12_VERSION)) {
        return other(
            "a PKCS#12 store, which has a private key in it",
            "; take the certificate out of it: openssl pkcs12 -in FILE -clcerts -nokeys -out certificate.pem",
        );
    }
    Ok(armour::without_line_end(bytes).to_vec())
}

/// The certificates among the objects of a text, without duplicates.
fn from_pem(text: &[u8]) -> Result<Vec<Vec<u8>>, CertificateTextError> {
    if holds_private_key(text) {
        return Err(CertificateTextError::PrivateKey);
    }
    let objects = armour::objects(text)?;
    let mut certificates: Vec<Vec<u8>> = Vec::new();
    for object in &objects {
        let der = match object.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => object.content()?,
            // The data that OpenSSL appends to the certificate is not signed, so it is dropped.
            "TRUSTED CERTIFICATE" => armour::first_element(&object.content()?).unwrap_or_default().to_vec(),
            _ => continue,
        };
        if !certificates.contains(&der) {
            certificates.push(der);
        }
    }
    if !certificates.is_empty() {
        return Ok(certificates);
    }
    let label = objects.first().map(|object| object.label.as_str()).unwrap_or_default();
    let (found, how) = match label {
        "PKCS7" | "CMS" => ("a PKCS#7 bundle".to_owned(), PKCS7_HOW),
        "X509 CRL" | "CRL" => ("a revocation list".to_owned(), "; a list is brought with: landfall ca crl NAME FILE"),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => (
            "a request for a certificate".to_owned(),
            "; the authority that you send it to answers with the certificate",
        ),
        "PUBLIC KEY" | "RSA PUBLIC KEY" => ("a public key".to_owned(), ""),
        label => (format!("{:?}", label.chars().take(MAX_LABEL).collect::<String>()), ""),
    };
    Err(CertificateTextError::Other { found, how })
}

/// A certificate's DER as PEM (RFC 7468).
pub fn text_of(der: &[u8]) -> String {
    let base64 = BASE64.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(dense).ok()
}

/// Maximum number of certificates in a text. All makers of TPMs together have fewer.
pub const MAX_BUNDLE: usize = 200;

/// Maximum size of a certificate's text: ten times that of a usual certificate.
const MAX_TEXT_BYTES: usize = 64 * 1024;
const PEM_LINE: usize = 64;
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";
const DER_SEQUENCE: u8 = 0x30;
/// The object identifier 1.2.840.113549.1.7.2, with its tag and length.
const PKCS7_SIGNED_DATA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const PKCS7_HOW: &str = "; take the certificate out of it: openssl pkcs7 -in FILE -print_certs -out certificate.pem (with -inform der where FILE \
     is not text)";
/// The start of a PKCS#12 file: its version, 3.
const PKCS12_VERSION: &[u8] = &[2, 1, 3];
/// How many characters of a label a message shows.
const MAX_LABEL: usize = 40;
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

    use super::super::tests::authority::self_signed;
    use super::*;

    fn pem_of(label: &str, der: &[u8]) -> String {
        let lines: Vec<String> =
            STANDARD.encode(der).as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    #[test]
    fn every_form_that_clients_send_is_read() {
        let der = self_signed("dev-1", |_| {}).to_vec();
        let pem = pem_of("CERTIFICATE", &der);
        let forms: Vec<Vec<u8>> = vec![
            der.clone(),
            pem.clone().into(),
            format!("subject=CN = dev-1\r\n{}\n", pem.replace('\n', "\r\n")).into(),
            STANDARD.encode(&der).into(),
            STANDARD_NO_PAD.encode(&der).into(),
            format!(" {}\n", STANDARD.encode(&der).replace('A', "A\n")).into(),
            STANDARD.encode(&pem).into(),
        ];
        for form in forms {
            assert_eq!(certificate_from(&form), Ok(der.clone()), "{}", String::from_utf8_lossy(&form));
        }
    }

    #[test]
    fn anything_but_exactly_one_certificate_is_refused() {
        let der = self_signed("dev-1", |_| {}).to_vec();
        let pem = pem_of("CERTIFICATE", &der);
        let key = pem_of("PRIVATE KEY", b"secret");
        assert_eq!(certificate_from(""), Err(CertificateTextError::Empty));
        assert_eq!(certificate_from(" \n"), Err(CertificateTextError::Empty));
        assert_eq!(certificate_from("a certificate!"), Err(CertificateTextError::Encoding));
        assert_eq!(certificate_from(pem.repeat(2)), Ok(der.clone()), "the same one again is one");
        let another = pem_of("CERTIFICATE", &self_signed("dev-2", |_| {}));
        assert_eq!(certificate_from(format!("{pem}{another}")), Err(CertificateTextError::Count(2)));
        assert_eq!(certificates_from(format!("{pem}{another}")).map(|all| all.len()), Ok(2));
        let other = certificate_from(pem_of("PUBLIC KEY", b"public")).unwrap_err().to_string();
        assert_eq!(other, "the text holds a public key, and no certificate");
        assert_eq!(certificate_from(format!("{pem}{key}")), Err(CertificateTextError::PrivateKey));
        assert_eq!(certificate_from(format!("{key}{pem}")), Err(CertificateTextError::PrivateKey));
        let encrypted = pem_of("ENCRYPTED PRIVATE KEY", b"secret");
        assert_eq!(certificate_from(format!("{pem}{encrypted}")), Err(CertificateTextError::PrivateKey));
        let half = &pem[..pem.len() / 2];
        assert!(matches!(certificate_from(half), Err(CertificateTextError::Pem(_))));
        assert!(matches!(certificate_from(&der[1..]), Err(CertificateTextError::Encoding)));
        let mut longer = der;
        longer.push(0);
        assert!(matches!(certificate_from(longer), Err(CertificateTextError::Certificate(Flaw::Malformed(_)))));
        let large = "A".repeat(MAX_TEXT_BYTES + 1);
        assert_eq!(certificate_from(large), Err(CertificateTextError::TooLarge { bytes: MAX_TEXT_BYTES + 1 }));
    }

    /// What tools do to a file on its way here.
    #[test]
    fn a_certificate_is_read_out_of_whatever_stands_around_it() {
        let der = self_signed("dev-1", |_| {}).to_vec();
        let pem = pem_of("CERTIFICATE", &der);
        let aux = [&der[..], &[0x30, 2, 5, 0]].concat();
        let utf16 = |text: &str| -> Vec<u8> {
            [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
        };
        let forms: Vec<(&str, Vec<u8>)> = vec![
            ("a byte order mark", format!("\u{feff}{pem}").into()),
            ("UTF-16", utf16(&pem)),
            ("line ends of Windows", pem.replace('\n', "\r\n").into()),
            ("text around it", format!("Certificate:\n  Data:\n{pem}that was it\n").into()),
            ("indented", pem.lines().map(|line| format!("    {line}  \n")).collect::<String>().into()),
            ("one line", pem.replace('\n', "").into()),
            ("escaped line ends", pem.replace('\n', "\\n").into()),
            ("an older label", pem_of("X509 CERTIFICATE", &der).into()),
            ("what OpenSSL trusts", pem_of("TRUSTED CERTIFICATE", &aux).into()),
            ("other objects", format!("{}{pem}", pem_of("DH PARAMETERS", b"dh")).into()),
            (
                "broken others",
                format!("{pem}-----BEGIN DH PARAMETERS-----\nMII=A\n-----END DH PARAMETERS-----\n").into(),
            ),
            ("DER and a line end", [&der[..], b"\n"].concat()),
            ("DER and a line end of Windows", [&der[..], b"\r\n"].concat()),
        ];
        for (what, form) in forms {
            assert_eq!(certificate_from(&form), Ok(der.clone()), "{what}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused_in_one_sentence_without_bytes_or_a_parsers_words() {
        let der = self_signed("dev-1", |_| {}).to_vec();
        let bundle = [&[0x30, 0x80][..], PKCS7_SIGNED_DATA].concat();
        let store = [&[0x30, 0x82, 1, 0][..], PKCS12_VERSION].concat();
        let pem = pem_of("CERTIFICATE", &der);
        for (form, part) in [
            (pem_of("PKCS7", b"x").into_bytes(), "openssl pkcs7"),
            (bundle, "openssl pkcs7"),
            (store, "openssl pkcs12"),
            (pem_of("CERTIFICATE REQUEST", b"x").into(), "a request for a certificate"),
            (pem_of("X509 CRL", b"x").into(), "landfall ca crl"),
            (pem.replace("-----END", "-----ENDE").into(), "its line -----END CERTIFICATE----- is missing"),
            (pem.replacen('M', "!", 1).into(), "what is not base64"),
            (pem_of("CERTIFICATE", &der[..der.len() - 9]).into(), "cannot be read"),
            (b"no certificate at all!".to_vec(), "neither PEM nor base64 nor DER"),
        ] {
            let text = certificate_from(&form).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
            for debris in ["[67", "Error(", "Incomplete", "Nom", "{ "] {
                assert!(!text.contains(debris), "{text}");
            }
        }
    }
}
