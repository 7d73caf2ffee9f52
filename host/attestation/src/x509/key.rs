//! The public keys that are accepted: RSA of 2048 to 4096 bits, the curves P-256, P-384 and P-521, Ed25519.

use x509_parser::oid_registry as oid;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::object_id;

/// Why a public key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum KeyFlaw {
    /// The key is too small to be safe, or so large that verifying signatures costs too much.
    #[error("RSA with {bits} bits; accepted are 2048 to 4096 in steps of 8")]
    RsaSize { bits: usize },
    /// The modulus is even, so it is not a product of two large primes.
    #[error("RSA with an even modulus")]
    RsaModulus,
    /// The exponent is so small that it is unsafe, or so large that it costs too much.
    #[error("RSA with an exponent that is not an odd number from 3 to 2^32")]
    RsaExponent,
    #[error("an elliptic curve other than P-256, P-384 and P-521 ({0})")]
    Curve(String),
    /// The key is not an uncompressed point with the size of its curve.
    #[error("an elliptic-curve point that is compressed or of the wrong length")]
    Point,
    #[error("neither RSA nor ECDSA nor Ed25519 ({0})")]
    Kind(String),
}

/// Checks a certificate's public key.
pub(super) fn check(key: &SubjectPublicKeyInfo<'_>) -> Result<(), KeyFlaw> {
    let kind = &key.algorithm.algorithm;
    let unknown = || KeyFlaw::Kind(object_id::text(kind));
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
        return Err(KeyFlaw::Curve(object_id::text(&curve)));
    };
    let point: &[u8] = &key.subject_public_key.data;
    if point.first() == Some(&UNCOMPRESSED) && point.len() == 1 + 2 * octets { Ok(()) } else { Err(KeyFlaw::Point) }
}

fn check_rsa(key: &RSAPublicKey<'_>) -> Result<(), KeyFlaw> {
    let modulus = without_zeros(key.modulus);
    let bits =
        modulus.first().map_or(0, |first| modulus.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0));
    if !(2048..=4096).contains(&bits) || !bits.is_multiple_of(8) {
        return Err(KeyFlaw::RsaSize { bits });
    }
    if modulus.last().is_some_and(|last| last.is_multiple_of(2)) {
        return Err(KeyFlaw::RsaModulus);
    }
    let exponent = without_zeros(key.exponent);
    let value = exponent.iter().take(8).fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    if exponent.len() > 8 || !(3..=1 << 32).contains(&value) || value.is_multiple_of(2) {
        return Err(KeyFlaw::RsaExponent);
    }
    Ok(())
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The prefix of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

#[cfg(test)]
mod tests {
    use x509_parser::asn1_rs::FromDer as _;

    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        let header = match content.len() {
            ..0x80 => vec![tag, length[1]],
            0x80..0x100 => vec![tag, 0x81, length[1]],
            _ => vec![tag, 0x82, length[0], length[1]],
        };
        [header, content.to_vec()].concat()
    }

    fn verdict(algorithm: &[u8], bits: &[u8]) -> Result<(), KeyFlaw> {
        let spki = tlv(0x30, &[tlv(0x30, algorithm), tlv(3, &[&[0], bits].concat())].concat());
        check(&SubjectPublicKeyInfo::from_der(&spki).unwrap().1)
    }

    /// A number of `octets` octets with these first and last ones.
    fn number(octets: usize, first: u8, last: u8) -> Vec<u8> {
        let mut number = vec![0x55; octets];
        number[0] = first;
        number[octets - 1] = last;
        if first >= 0x80 { [vec![0], number].concat() } else { number }
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyFlaw> {
        let algorithm = [tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), vec![5, 0]].concat();
        verdict(&algorithm, &tlv(0x30, &[tlv(2, modulus), tlv(2, exponent)].concat()))
    }

    fn curve(oid: &[u8], point: &[u8]) -> Result<(), KeyFlaw> {
        verdict(&[tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), tlv(6, oid)].concat(), point)
    }

    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    const E: &[u8] = &[1, 0, 1];

    #[test]
    fn rsa_keys_have_2048_to_4096_bits_in_steps_of_8() {
        for (octets, first, bits) in [(128, 0x80, 1024), (256, 0x7f, 2047), (257, 0x01, 2049), (513, 0x80, 4104)] {
            assert_eq!(rsa(&number(octets, first, 1), E), Err(KeyFlaw::RsaSize { bits }));
        }
        for octets in [256, 257, 384, 512] {
            assert_eq!(rsa(&number(octets, 0x80, 1), E), Ok(()));
        }
    }

    #[test]
    fn rsa_keys_are_odd_with_an_odd_exponent_of_moderate_size() {
        let modulus = number(256, 0x80, 1);
        assert_eq!(rsa(&number(256, 0x80, 2), E), Err(KeyFlaw::RsaModulus));
        for exponent in [&[1][..], &[0], &[4], &[1, 0, 0], &[1, 0, 0, 0, 1], &[0x55; 9]] {
            assert_eq!(rsa(&modulus, exponent), Err(KeyFlaw::RsaExponent), "{exponent:?}");
        }
        for exponent in [&[3][..], E, &[0, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(rsa(&modulus, exponent), Ok(()), "{exponent:?}");
        }
    }

    #[test]
    fn elliptic_points_are_uncompressed_and_of_their_curve() {
        let point = |first, octets| [vec![first], vec![1; octets]].concat();
        assert_eq!(curve(P256, &point(4, 64)), Ok(()));
        assert_eq!(curve(&[0x2b, 0x81, 4, 0, 0x22], &point(4, 96)), Ok(()));
        assert_eq!(curve(&[0x2b, 0x81, 4, 0, 0x23], &point(4, 132)), Ok(()));
        assert_eq!(curve(P256, &point(2, 32)), Err(KeyFlaw::Point));
        assert_eq!(curve(P256, &point(4, 96)), Err(KeyFlaw::Point));
        // P-192
        let p192 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
        assert_eq!(curve(&p192, &point(4, 48)), Err(KeyFlaw::Curve("1.2.840.10045.3.1.1".to_owned())));
        let explicit = [tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), tlv(0x30, &[2, 1, 1])].concat();
        assert!(matches!(verdict(&explicit, &point(4, 64)), Err(KeyFlaw::Curve(_))));
    }

    #[test]
    fn other_kinds_are_refused() {
        // DSA, ML-DSA-44, Ed448
        let dsa = [0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
        let ml_dsa = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x11];
        for oid in [&dsa[..], &ml_dsa, &[0x2b, 0x65, 0x71]] {
            assert!(matches!(verdict(&tlv(6, oid), &[1; 64]), Err(KeyFlaw::Kind(_))));
        }
        assert_eq!(verdict(&tlv(6, &[0x2b, 0x65, 0x70]), &[1; 32]), Ok(()));
        assert_eq!(verdict(&tlv(6, &[0x2b, 0x65, 0x70]), &[1; 31]), Err(KeyFlaw::Point));
    }
}
