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
    /// A secret that must not travel.
    #[error("the PEM holds a private key; send the certificate alone, and consider the key as disclosed")]
    PrivateKey,
    /// DER that is no certificate.
    #[error("the certificate {0}")]
    Certificate(#[from] Flaw),
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

fn is_pem(text: &[u8]) -> bool {
    text.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN)
}

fn from_pem(text: &[u8]) -> Result<Vec<u8>, CertificateTextError> {
    let mut certificates = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        match section.map_err(|error| CertificateTextError::Pem(error.to_string()))? {
            (SectionKind::Certificate, der) => certificates.push(der),
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err(CertificateTextError::PrivateKey);
            }
            _ => {}
        }
    }
    let count = certificates.len();
    match certificates.pop() {
        Some(der) if count == 1 => Ok(der),
        _ => Err(CertificateTextError::Count(count)),
    }
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(dense).ok()
}

/// Ten times what a certificate of a device or an authority has.
const MAX_TEXT_BYTES: usize = 64 * 1024;
const PEM_BEGIN: &[u8] = b"-----BEGIN ";
const DER_SEQUENCE: u8 = 0x30;
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
