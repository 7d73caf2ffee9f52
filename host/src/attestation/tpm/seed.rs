//! Seeds: secrets that only the holder of a key can learn, and the keys that are derived from them (part 1, 11.4.10, and
//! annexes B and C).

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::der;
use super::public::{Curve, Key, PublicArea, Suite};
use super::reader::sized;
use super::wrap::WrapError;

/// What a seed is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// `TPM2_ActivateCredential`.
    Identity,
    /// `TPM2_Import`.
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

/// A seed, and the secret from which the TPM gets it (the content of a `TPM2B_ENCRYPTED_SECRET`). `random` is the seed
/// of an RSA key; that of a curve comes from an ephemeral key.
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
    // Uncompressed: 4, x, y.
    let (ours_x, ours_y) =
        public.as_ref().get(1..).and_then(|xy| xy.split_at_checked(curve.bytes())).ok_or(WrapError::Key)?;
    let theirs = UnparsedPublicKey::new(curve.agreement(), [&[4], x, y].concat());
    let seed = agreement::agree_ephemeral(ephemeral, theirs, WrapError::Key, |z| {
        Ok(kdf_e(suite, z, purpose.label(), ours_x, x))
    })?;
    Ok((seed, [sized(ours_x), sized(ours_y)].concat()))
}

/// KDFa: so many bytes from a seed. The label brings its zero.
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

/// KDFe: a seed from what two keys agree on.
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
