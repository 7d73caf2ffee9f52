//! Public areas of keys (`TPMT_PUBLIC`, part 2, 12.2.4), of the kinds that are accepted.
//!
//! Accepted are keys that wrap other keys: RSA of 2048 bits or more, P-256 and P-384, with SHA-256 and AES-128 or
//! SHA-384 and AES-256 (the templates of the TCG's EK Credential Profile). The TPM must have made the key, and it must
//! never leave the TPM.

use std::fmt;

use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384};
use aws_lc_rs::{agreement, cipher, digest, hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_domain::names::Digest;

use super::der;
use super::reader::Reader;

/// The public part of a key that wraps other keys.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicArea {
    /// The bytes as they were sent, with the size.
    bytes: Vec<u8>,
    pub(super) suite: Suite,
    pub(super) key: Key,
}

/// The hash and the cipher that a key uses for wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    /// SHA-256 and AES-128.
    Sha256Aes128,
    /// SHA-384 and AES-256.
    Sha384Aes256,
}

/// The public key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The modulus, big-endian. The exponent is 65537.
    Rsa(Vec<u8>),
    Ecc {
        curve: Curve,
        x: Vec<u8>,
        y: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
}

/// Why bytes are not the public part of an accepted key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PublicError {
    /// The text is not base64.
    #[error("it is not base64 (RFC 4648, section 4, with padding)")]
    Base64,
    /// There are more bytes than any such key has.
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// The bytes end too early.
    #[error("it ends before it is complete")]
    Short,
    /// Bytes follow after the end.
    #[error("bytes are left over after it")]
    Long,
    /// The key is of a kind that is not accepted.
    #[error("it is neither an RSA nor an elliptic-curve key (type {0:#06x})")]
    Kind(u16),
    /// The hash or the cipher is not accepted, or the two do not belong together.
    #[error("it wraps with neither SHA-256 and AES-128-CFB nor SHA-384 and AES-256-CFB")]
    Suite,
    /// The key has a scheme of its own.
    #[error("it has a scheme of its own, and a key that wraps others has none")]
    Scheme,
    #[error("its curve is neither P-256 nor P-384 (curve {0:#06x})")]
    Curve(u16),
    /// The RSA key has a size or an exponent that is not accepted.
    #[error("it is not RSA of 2048, 3072 or 4096 bits with the exponent 65537")]
    Rsa,
    /// The coordinates of the point do not have the curve's size.
    #[error("its point is not one of its curve")]
    Point,
    /// The key may be used for other purposes, or was not made by a TPM.
    #[error(
        "it is not a key that its TPM has made, keeps, and wraps others with (attributes {0:#010x}: fixedTPM, fixedParent, \
         sensitiveDataOrigin, restricted and decrypt must be set, sign must not)"
    )]
    Attributes(u32),
}

impl PublicArea {
    /// Parses a `TPM2B_PUBLIC` in base64, the form that devices and enrollments use.
    ///
    /// # Errors
    ///
    /// [`PublicError`].
    pub fn parse_base64(text: &str) -> Result<Self, PublicError> {
        if text.len() > MAX_BYTES * 2 {
            return Err(PublicError::TooLarge);
        }
        Self::parse(&STANDARD.decode(text.trim()).map_err(|_| PublicError::Base64)?)
    }

    /// Parses a `TPM2B_PUBLIC`.
    ///
    /// # Errors
    ///
    /// [`PublicError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PublicError> {
        if bytes.len() > MAX_BYTES {
            return Err(PublicError::TooLarge);
        }
        let mut outer = Reader(bytes);
        let mut area = Reader(outer.sized()?);
        outer.end()?;
        let kind = area.u16()?;
        let hash = area.u16()?;
        let attributes = area.u32()?;
        let _policy = area.sized()?;
        let (algorithm, key_bits, mode) = (area.u16()?, area.u16()?, area.u16()?);
        let suite = match (hash, algorithm, key_bits, mode) {
            (SHA256, AES, 128, CFB) => Suite::Sha256Aes128,
            (SHA384, AES, 256, CFB) => Suite::Sha384Aes256,
            _ => return Err(PublicError::Suite),
        };
        if area.u16()? != NULL {
            return Err(PublicError::Scheme);
        }
        let key = match kind {
            RSA => rsa_key(&mut area)?,
            ECC => ecc_key(&mut area)?,
            other => return Err(PublicError::Kind(other)),
        };
        area.end()?;
        let wanted = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED | DECRYPT;
        if attributes & (wanted | SIGN) != wanted {
            return Err(PublicError::Attributes(attributes));
        }
        Ok(Self { bytes: bytes.to_vec(), suite, key })
    }

    /// Whether a certificate with these key bits (the content of its subjectPublicKey) belongs to this key.
    pub fn is_certified_by(&self, key_bits: &[u8]) -> bool {
        match &self.key {
            Key::Rsa(modulus) => key_bits == der::rsa_key(modulus),
            Key::Ecc { x, y, .. } => key_bits == [&[UNCOMPRESSED], x.as_slice(), y].concat(),
        }
    }

    /// The bytes as they were sent: a `TPM2B_PUBLIC`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of the `TPM2B_PUBLIC`, by which manufacturing records identify an endorsement key.
    pub fn sha256(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The key's name (part 1, 16): the id of its hash algorithm, and the digest of the public area without its size.
    pub fn name(&self) -> Vec<u8> {
        let area = self.bytes.get(2..).unwrap_or_default();
        let (id, hash) = match self.suite {
            Suite::Sha256Aes128 => (SHA256, &digest::SHA256),
            Suite::Sha384Aes256 => (SHA384, &digest::SHA384),
        };
        [&id.to_be_bytes(), digest::digest(hash, area).as_ref()].concat()
    }
}

impl fmt::Debug for PublicArea {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicArea({})", self.sha256().short())
    }
}

impl Suite {
    /// The length in bytes of the hash, and of a seed.
    pub(super) fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256Aes128 => 32,
            Self::Sha384Aes256 => 48,
        }
    }

    /// The length in bytes of the cipher's key.
    pub(super) fn key_bytes(self) -> usize {
        match self {
            Self::Sha256Aes128 => 16,
            Self::Sha384Aes256 => 32,
        }
    }

    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256Aes128 => hmac::HMAC_SHA256,
            Self::Sha384Aes256 => hmac::HMAC_SHA384,
        }
    }

    pub(super) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256Aes128 => &digest::SHA256,
            Self::Sha384Aes256 => &digest::SHA384,
        }
    }

    pub(super) fn cipher(self) -> &'static cipher::Algorithm {
        match self {
            Self::Sha256Aes128 => &cipher::AES_128,
            Self::Sha384Aes256 => &cipher::AES_256,
        }
    }

    pub(super) fn oaep(self) -> &'static rsa::OaepAlgorithm {
        match self {
            Self::Sha256Aes128 => &rsa::OAEP_SHA256_MGF1SHA256,
            Self::Sha384Aes256 => &rsa::OAEP_SHA384_MGF1SHA384,
        }
    }
}

impl Curve {
    /// The length in bytes of a coordinate.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    pub(super) fn agreement(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
        }
    }
}

fn rsa_key(area: &mut Reader<'_>) -> Result<Key, PublicError> {
    let (bits, exponent) = (area.u16()?, area.u32()?);
    let modulus = area.sized()?;
    // 0 stands for the default exponent, 65537.
    let usual = matches!(exponent, 0 | 65_537) && [2048, 3072, 4096].contains(&bits);
    // The first bit must be set, so that the modulus really has the stated size.
    let whole = modulus.len() == usize::from(bits / 8) && modulus.first().is_some_and(|first| first & 0x80 != 0);
    if usual && whole { Ok(Key::Rsa(modulus.to_vec())) } else { Err(PublicError::Rsa) }
}

fn ecc_key(area: &mut Reader<'_>) -> Result<Key, PublicError> {
    let curve = match area.u16()? {
        0x0003 => Curve::P256,
        0x0004 => Curve::P384,
        other => return Err(PublicError::Curve(other)),
    };
    if area.u16()? != NULL {
        return Err(PublicError::Scheme);
    }
    let (x, y) = (area.sized()?, area.sized()?);
    if x.len() > curve.bytes() || y.len() > curve.bytes() {
        return Err(PublicError::Point);
    }
    Ok(Key::Ecc { curve, x: padded(x, curve.bytes()), y: padded(y, curve.bytes()) })
}

/// Adds leading zeros, which some TPMs leave out.
fn padded(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut whole = vec![0; length.saturating_sub(bytes.len())];
    whole.extend_from_slice(bytes);
    whole
}

const RSA: u16 = 0x0001;
const ECC: u16 = 0x0023;
const AES: u16 = 0x0006;
const CFB: u16 = 0x0043;
const NULL: u16 = 0x0010;
pub(super) const SHA256: u16 = 0x000b;
const SHA384: u16 = 0x000c;

/// The prefix of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

// Bits of `TPMA_OBJECT` (part 2, 8.3).
const FIXED_TPM: u32 = 1 << 1;
const FIXED_PARENT: u32 = 1 << 4;
const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
const RESTRICTED: u32 = 1 << 16;
const DECRYPT: u32 = 1 << 17;
const SIGN: u32 = 1 << 18;

/// Maximum length in bytes. An RSA key of 4096 bits has about 600.
const MAX_BYTES: usize = 1024;
