//! One certificate out of whatever operators and DPS's clients send: PEM, base64 of DER, base64 of PEM, DER itself.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls_pki_types::pem::{PemObject as _, SectionKind};

use super::certificate::Certificate;
use super::error::Flaw;

/// Why there is no certificate in a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateTextError {
    /// Nothing.
    #[error("the certificate is empty")]
    Empty,
    /// More than any certificate has.
    #[error("the certificate's text has {bytes} bytes, and at most {max} are read", max = MAX_TEXT_BYTES)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Neither PEM nor base64 nor DER.
    #[error("the certificate is neither PEM nor base64 nor DER")]
    Encoding,
    /// PEM that is broken.
    #[error("the certificate's PEM cannot be read: {0}")]
    Pem(String),
    /// PEM of something else.
    #[error("the PEM holds {0} certificates, not exactly one")]
    Count(usize),
    /// More than anybody has.
    #[error("the PEM holds {0} certificates, and at most {MAX_BUNDLE} are read")]
    Bundle(usize),
    /// A secret that must not travel.
    #[error("the PEM holds a private key; send the certificate alone, and consider the key as disclosed")]
    PrivateKey,
    /// DER that is no certificate.
    #[error("the certificate {0}")]
    Certificate(#[from] Flaw),
}

/// The DER of the one revocation list in a text: PEM, or base64 of DER. Whether it is one is judged by those who use it.
///
/// # Errors
///
/// When the text is neither.
pub fn crl_from(text: &str) -> Result<Vec<u8>, CertificateTextError> {
    let text = text.trim();
    if text.starts_with("-----BEGIN") {
        let list = rustls_pki_types::CertificateRevocationListDer::from_pem_slice(text.as_bytes());
        return list.map(|list| list.to_vec()).map_err(|error| CertificateTextError::Pem(error.to_string()));
    }
    from_base64(text.as_bytes()).ok_or(CertificateTextError::Encoding)
}

/// The DER of the one certificate in a text. It can be read as a certificate; whether it is acceptable is judged by
/// those who use it.
///
/// # Errors
///
/// There is none, or more than one, or a private key beside it.
pub fn certificate_from(input: impl AsRef<[u8]>) -> Result<Vec<u8>, CertificateTextError> {
    let input = input.as_ref();
    if input.len() > MAX_TEXT_BYTES {
        return Err(CertificateTextError::TooLarge { bytes: input.len() });
    }
    let text = input.trim_ascii();
    let der = if text.is_empty() {
        return Err(CertificateTextError::Empty);
    } else if is_pem(text) {
        from_pem(text)?
    } else if let Some(decoded) = from_base64(text) {
        if is_pem(&decoded) { from_pem(&decoded)? } else { decoded }
    } else if input.first() == Some(&DER_SEQUENCE) {
        input.to_vec()
    } else {
        return Err(CertificateTextError::Encoding);
    };
    Certificate::read(&der)?;
    Ok(der)
}

/// The DER of all certificates in a text of PEM, at least one and at most [`MAX_BUNDLE`].
///
/// # Errors
///
/// There is none, or too many, or one that cannot be read, or a private key beside them.
pub fn certificates_from(text: &str) -> Result<Vec<Vec<u8>>, CertificateTextError> {
    if text.len() > MAX_TEXT_BYTES * MAX_BUNDLE {
        return Err(CertificateTextError::TooLarge { bytes: text.len() });
    }
    if text.contains("PRIVATE KEY") {
        return Err(CertificateTextError::PrivateKey);
    }
    let certificates = sections(text.as_bytes())?;
    if certificates.is_empty() {
        return Err(CertificateTextError::Empty);
    }
    if certificates.len() > MAX_BUNDLE {
        return Err(CertificateTextError::Bundle(certificates.len()));
    }
    for der in &certificates {
        Certificate::read(der)?;
    }
    Ok(certificates)
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

fn is_pem(text: &[u8]) -> bool {
    text.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN)
}

fn from_pem(text: &[u8]) -> Result<Vec<u8>, CertificateTextError> {
    // Encrypted keys too, whose sections the PEM reader passes over.
    if text.windows(PRIVATE_KEY.len()).any(|window| window == PRIVATE_KEY) {
        return Err(CertificateTextError::PrivateKey);
    }
    let mut certificates = sections(text)?;
    let count = certificates.len();
    match certificates.pop() {
        Some(der) if count == 1 => Ok(der),
        _ => Err(CertificateTextError::Count(count)),
    }
}

fn sections(text: &[u8]) -> Result<Vec<Vec<u8>>, CertificateTextError> {
    let mut certificates = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        if let (SectionKind::Certificate, der) =
            section.map_err(|error| CertificateTextError::Pem(error.to_string()))?
        {
            certificates.push(der);
        }
    }
    Ok(certificates)
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(dense).ok()
}

/// Certificates of all makers of TPMs together are fewer.
pub const MAX_BUNDLE: usize = 200;

/// Ten times what a certificate of a device or an authority has.
const MAX_TEXT_BYTES: usize = 64 * 1024;
const PEM_LINE: usize = 64;
const PEM_BEGIN: &[u8] = b"-----BEGIN ";
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";
const DER_SEQUENCE: u8 = 0x30;
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
        assert_eq!(certificate_from(pem.repeat(2)), Err(CertificateTextError::Count(2)));
        assert_eq!(certificate_from(pem_of("PUBLIC KEY", b"public")), Err(CertificateTextError::Count(0)));
        assert_eq!(certificate_from(format!("{pem}{key}")), Err(CertificateTextError::PrivateKey));
        assert_eq!(certificate_from(format!("{key}{pem}")), Err(CertificateTextError::PrivateKey));
        let encrypted = pem_of("ENCRYPTED PRIVATE KEY", b"secret");
        assert_eq!(certificate_from(format!("{pem}{encrypted}")), Err(CertificateTextError::PrivateKey));
        let half = &pem[..pem.len() / 2];
        assert!(matches!(certificate_from(half), Err(CertificateTextError::Pem(_) | CertificateTextError::Count(0))));
        assert!(matches!(certificate_from(&der[1..]), Err(CertificateTextError::Encoding)));
        let mut longer = der;
        longer.push(0);
        assert!(matches!(certificate_from(longer), Err(CertificateTextError::Certificate(Flaw::Malformed(_)))));
        let large = "A".repeat(MAX_TEXT_BYTES + 1);
        assert_eq!(certificate_from(large), Err(CertificateTextError::TooLarge { bytes: MAX_TEXT_BYTES + 1 }));
    }
}
