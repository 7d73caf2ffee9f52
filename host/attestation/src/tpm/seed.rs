//! Seeds: secrets that only the holder of a key can learn. Keys are derived from them (part 1, 11.4.10, and annexes B
//! and C).

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::der;
use super::public::{Curve, Key, PublicArea, Suite};
use super::reader::sized;
use super::wrap::WrapError;

/// The purpose of a seed.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Identity,
    Duplicate,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Identity => b"IDENTITY\0",
            Self::Duplicate => b"DUPLICATE\0",
        }
    }
}

/// A seed, and the encrypted secret from which the TPM obtains it (the content of a `TPM2B_ENCRYPTED_SECRET`). For an
/// RSA key, the seed comes from `random`; for an elliptic curve, it comes from an ephemeral key.
pub(super) fn for_holder(
    public: &PublicArea,
    purpose: Purpose,
    random: &[u8; 48],
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), WrapError> {
    match &public.key {
        Key::Rsa(modulus) => rsa(public.suite, modulus, purpose, random),
        Key::Ecc { curve, x, y } => ecc(public.suite, *curve, (x, y), purpose),
    }
}

fn rsa(
    suite: Suite,
    modulus: &[u8],
    purpose: Purpose,
    random: &[u8; 48],
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), WrapError> {
    let key = PublicEncryptingKey::from_der(&der::rsa_public_key(modulus)).map_err(|_| WrapError::Key)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| WrapError::Key)?;
    let seed = Zeroizing::new(random.iter().copied().take(suite.digest_bytes()).collect::<Vec<u8>>());
    let mut secret = vec![0; key.ciphertext_size()];
    let secret = key.encrypt(suite.oaep(), &seed, &mut secret, Some(purpose.label())).map_err(|_| WrapError::Key)?;
    Ok((seed, secret.to_vec()))
}

fn ecc(
    suite: Suite,
    curve: Curve,
    (x, y): (&[u8], &[u8]),
    purpose: Purpose,
) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), WrapError> {
    let ephemeral =
        EphemeralPrivateKey::generate(curve.agreement(), &SystemRandom::new()).map_err(|_| WrapError::Key)?;
    let public = ephemeral.compute_public_key().map_err(|_| WrapError::Key)?;
    // An uncompressed point: 4, x, y.
    let (ours_x, ours_y) =
        public.as_ref().get(1..).and_then(|xy| xy.split_at_checked(curve.bytes())).ok_or(WrapError::Key)?;
    let theirs = UnparsedPublicKey::new(curve.agreement(), [&[4], x, y].concat());
    let seed = agreement::agree_ephemeral(ephemeral, theirs, WrapError::Key, |z| {
        Ok(kdf_e(suite, z, purpose.label(), ours_x, x))
    })?;
    Ok((seed, [sized(ours_x), sized(ours_y)].concat()))
}

/// KDFa: derives `bytes` bytes from a seed. The label must include its terminating zero.
pub(super) fn kdf_a(suite: Suite, seed: &[u8], label: &[u8], context: &[u8], bytes: usize) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(suite.hmac(), seed);
    derived(bytes, |counter, bits| {
        let mut round = hmac::Context::with_key(&key);
        for part in [&counter, label, context, &bits] {
            round.update(part);
        }
        round.sign().as_ref().to_vec()
    })
}

/// KDFe: derives a seed from the shared secret of a key agreement.
fn kdf_e(suite: Suite, z: &[u8], label: &[u8], ours: &[u8], theirs: &[u8]) -> Zeroizing<Vec<u8>> {
    derived(suite.digest_bytes(), |counter, _| {
        let mut round = digest::Context::new(suite.digest());
        for part in [&counter, z, label, ours, theirs] {
            round.update(part);
        }
        round.finish().as_ref().to_vec()
    })
}

fn derived(bytes: usize, round: impl Fn([u8; 4], [u8; 4]) -> Vec<u8>) -> Zeroizing<Vec<u8>> {
    let bits = u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(bytes));
    for counter in 1_u32.. {
        if out.len() >= bytes {
            break;
        }
        let block = Zeroizing::new(round(counter.to_be_bytes(), bits));
        out.extend_from_slice(&block);
    }
    out.truncate(bytes);
    out
}

#[cfg(test)]
mod tests {
    use landfall_domain::text::hex;
    use serde_json::Value;

    use super::super::reader;
    use super::*;

    /// The expected values were computed by another program, from part 1, 11.4.10.2 and 11.4.10.3.
    #[test]
    fn keys_are_derived_as_the_library_specification_says() {
        let seed: Vec<u8> = (0..32).collect();
        let kdf_a = |suite, label: &[u8], context: &[u8], bytes| hex(&kdf_a(suite, &seed, label, context, bytes));
        let (small, large) = (Suite::Sha256Aes128, Suite::Sha384Aes256);
        assert_eq!(kdf_a(small, b"STORAGE\0", b"name", 16), "97f1ccec355e7643a61c69d29ad6404d");
        assert_eq!(
            kdf_a(small, b"INTEGRITY\0", b"", 32),
            "bacf689f634ece301e1f1b15b072d9c87db6a69585db42b1a0cb8f73ebe2692e"
        );
        // The output needs two rounds.
        assert_eq!(
            kdf_a(large, b"STORAGE\0", b"name", 80),
            "58a812e8d04ef643625b61135987e761c5822945679221b2bfa8cb387e79682680eb41ff01b45322096f561e11d960660bf6\
             afb8cc692fb132bc2fc8f1cabd29d2e305532f63b5a6d9b1df24d400a005"
        );
        assert_eq!(
            hex(&kdf_e(small, &[1; 32], b"IDENTITY\0", &[2; 32], &[3; 32])),
            "2073a3306eedcfb178183d8a721f949bba9c3d4501b6c2839487bbdd3b973070"
        );
        assert_eq!(
            hex(&kdf_e(large, &[1; 48], b"DUPLICATE\0", &[2; 48], &[3; 48])),
            "10306bfa19e28ce71a4f2b2dcb629fec62c6e500d2b3694573405f14e9852c2a05b4c4336f500f4ba2fa9246bdeca14e"
        );
    }

    /// Project Wycheproof's points: nothing is wrapped for one that is not on the curve.
    #[test]
    fn a_seed_is_agreed_on_with_points_of_the_curve_only() {
        let text = include_str!("../../../../tests/vectors/wycheproof/ecdh_secp256r1_ecpoint_test.json");
        let cases: Value = serde_json::from_str(text).unwrap();
        let (mut good, mut bad) = (0, 0);
        for case in cases["testGroups"][0]["tests"].as_array().unwrap() {
            let digits = case["public"].as_str().unwrap();
            let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            let point: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
            // A point that is not uncompressed or not of this curve's size cannot be expressed here at all.
            let Some((4, xy)) = point.split_first().map(|(first, xy)| (*first, xy)) else { continue };
            if xy.len() != 64 {
                continue;
            }
            let area = PublicArea::parse(&area(&xy[..32], &xy[32..])).unwrap();
            let agreed = for_holder(&area, Purpose::Identity, &[7; 48]).is_ok();
            assert_eq!(agreed, case["result"] == "valid", "{case}");
            *(if agreed { &mut good } else { &mut bad }) += 1;
        }
        assert!(good > 300 && bad > 10, "{good} {bad}");
    }

    /// A public area with the storage primary template for P-256.
    fn area(x: &[u8], y: &[u8]) -> Vec<u8> {
        let mut area = vec![0, 0x23, 0, 0x0b];
        area.extend(0x0003_0472_u32.to_be_bytes());
        area.extend([0, 0, 0, 6, 0, 128, 0, 0x43, 0, 0x10, 0, 3, 0, 0x10]);
        area.extend(reader::sized(x));
        area.extend(reader::sized(y));
        reader::sized(&area)
    }
}
