//! Which public keys are accepted: RSA of 2048 to 4096 bits, the curves P-256, P-384 and P-521, Ed25519.

use x509_parser::oid_registry as oid;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a public key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFlaw {
    /// Too small to be safe, or too large to be checked for everyone.
    #[error("RSA with {bits} bits; accepted are 2048 to 4096 in steps of 8")]
    RsaSize {
        /// Its bits.
        bits: usize,
    },
    /// A modulus that is a multiple of 2 is no product of two large primes.
    #[error("RSA with an even modulus")]
    RsaModulus,
    /// Small exponents break, large ones cost.
    #[error("RSA with an exponent that is not an odd number from 3 to 2^32")]
    RsaExponent,
    /// Another curve.
    #[error("an elliptic curve other than P-256, P-384 and P-521 ({0})")]
    Curve(String),
    /// Not a point of its curve's size, written uncompressed.
    #[error("an elliptic-curve point that is compressed or of the wrong length")]
    Point,
    /// Another kind.
    #[error("neither RSA nor ECDSA nor Ed25519 ({0})")]
    Kind(String),
}

/// Judges a certificate's key.
pub(super) fn check(key: &SubjectPublicKeyInfo<'_>) -> Result<(), KeyFlaw> {
    let kind = &key.algorithm.algorithm;
    let unknown = || KeyFlaw::Kind(kind.to_id_string());
    if *kind == oid::OID_SIG_ED25519 {
        return if key.subject_public_key.data.len() == 32 { Ok(()) } else { Err(KeyFlaw::Point) };
    }
    if *kind == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
        return check_point(key);
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if *kind == oid::OID_PKCS1_RSAENCRYPTION => check_rsa(&rsa),
        _ => Err(unknown()),
    }
}

fn check_point(key: &SubjectPublicKeyInfo<'_>) -> Result<(), KeyFlaw> {
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let curve = curve.ok_or_else(|| KeyFlaw::Curve("no named curve".to_owned()))?;
    let octets = if curve == oid::OID_EC_P256 {
        32
    } else if curve == oid::OID_NIST_EC_P384 {
        48
    } else if curve == oid::OID_NIST_EC_P521 {
        66
    } else {
        return Err(KeyFlaw::Curve(curve.to_id_string()));
    };
    let point: &[u8] = &key.subject_public_key.data;
    if point.first() == Some(&UNCOMPRESSED) && point.len() == 1 + 2 * octets { Ok(()) } else { Err(KeyFlaw::Point) }
}

fn check_rsa(key: &RSAPublicKey<'_>) -> Result<(), KeyFlaw> {
    let modulus = without_zeros(key.modulus);
    let bits =
        modulus.first().map_or(0, |first| modulus.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0));
    if !(2048..=4096).contains(&bits) || bits % 8 != 0 {
        return Err(KeyFlaw::RsaSize { bits });
    }
    if modulus.last().is_some_and(|last| last % 2 == 0) {
        return Err(KeyFlaw::RsaModulus);
    }
    let exponent = without_zeros(key.exponent);
    let value = exponent.iter().take(8).fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    if exponent.len() > 8 || value < 3 || value > 1 << 32 || value % 2 == 0 {
        return Err(KeyFlaw::RsaExponent);
    }
    Ok(())
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// SEC 1, 2.3.3.
const UNCOMPRESSED: u8 = 4;
