//! Wraps a key so that only one TPM can open it.

use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_domain::clock::Ambient;
use zeroize::Zeroizing;

use super::public::{PublicArea, SHA256, Suite};
use super::reader::sized;
use super::seed::{self, Purpose, kdf_a};

/// A wrapped key, in the form that DPS's clients expect (`authenticationKey`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob(Vec<u8>);

impl Blob {
    /// The wrapped key in base64, as it is sent.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// The bytes of the wrapped key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why nothing can be wrapped for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The key is invalid: its modulus is even, or its point is not on the curve.
    #[error("nothing can be wrapped for this key: it is not a sound one")]
    Key,
    /// The cryptographic library failed.
    #[error("wrapping failed")]
    Cipher,
}

/// Wraps an HMAC-SHA256 key of 32 bytes. Only the TPM with this endorsement key can import it, below this storage root
/// key, and nobody else learns the HMAC key.
///
/// # Errors
///
/// [`WrapError`].
pub fn hmac_key_blob(
    endorsement: &PublicArea,
    storage_root: &PublicArea,
    key: &[u8; 32],
    ambient: &Ambient,
) -> Result<Blob, WrapError> {
    // The object to import: its sensitive part, and the public part that identifies it (part 2, 12.3.2.4 and 12.2.3).
    let seed_value = Zeroizing::new(ambient.random::<32>());
    let sensitive = Zeroizing::new(
        [&KEYED_HASH.to_be_bytes(), [0, 0].as_slice(), &sized(seed_value.as_slice()), &sized(key)].concat(),
    );
    let sensitive = Zeroizing::new(sized(&sensitive));
    let unique = digest::digest(&digest::SHA256, &[seed_value.as_slice(), key].concat());
    let public = [
        &KEYED_HASH.to_be_bytes(),
        SHA256.to_be_bytes().as_slice(),
        &HMAC_KEY_ATTRIBUTES.to_be_bytes(),
        &[0, 0],
        &HMAC.to_be_bytes(),
        &SHA256.to_be_bytes(),
        &sized(unique.as_ref()),
    ]
    .concat();
    let name = [&SHA256.to_be_bytes(), digest::digest(&digest::SHA256, &public).as_ref()].concat();

    // The inner wrapper is encrypted with a key that the credential carries.
    let inner_key = Zeroizing::new(ambient.random::<16>());
    let integrity = digest::digest(&digest::SHA256, &[sensitive.as_slice(), &name].concat());
    let mut inner = Zeroizing::new([sized(integrity.as_ref()).as_slice(), &sensitive].concat());
    encrypt(Suite::Sha256Aes128, inner_key.as_slice(), &mut inner)?;

    // The outer wrapper is for the storage root key.
    let random = Zeroizing::new(ambient.random::<48>());
    let (seed, import_secret) = seed::for_holder(storage_root, Purpose::Duplicate, &random)?;
    let duplicate = outer(storage_root.suite, &seed, &name, &inner)?;

    let (id_object, secret) = make_credential(endorsement, &storage_root.name(), inner_key.as_slice(), ambient)?;
    let parts = [id_object, secret, duplicate, import_secret, public, Vec::new()];
    Ok(Blob(parts.iter().flat_map(|part| sized(part)).collect()))
}

/// `TPM2_MakeCredential` in software (part 1, 24). The TPM with this endorsement key releases the credential only if
/// it also holds the object with this name. Returns the content of a `TPM2B_ID_OBJECT` and of a
/// `TPM2B_ENCRYPTED_SECRET`.
///
/// # Errors
///
/// [`WrapError`].
pub fn make_credential(
    endorsement: &PublicArea,
    name: &[u8],
    credential: &[u8],
    ambient: &Ambient,
) -> Result<(Vec<u8>, Vec<u8>), WrapError> {
    let random = Zeroizing::new(ambient.random::<48>());
    let (seed, secret) = seed::for_holder(endorsement, Purpose::Identity, &random)?;
    let content = Zeroizing::new(sized(credential));
    Ok((outer(endorsement.suite, &seed, name, &content)?, secret))
}

/// Encrypts the content and binds the object's name to it: the HMAC with its size, then the ciphertext.
fn outer(suite: Suite, seed: &[u8], name: &[u8], content: &[u8]) -> Result<Vec<u8>, WrapError> {
    let key = kdf_a(suite, seed, b"STORAGE\0", name, suite.key_bytes());
    let mut encrypted = content.to_vec();
    encrypt(suite, &key, &mut encrypted)?;
    let key = kdf_a(suite, seed, b"INTEGRITY\0", &[], suite.digest_bytes());
    let mut integrity = hmac::Context::with_key(&hmac::Key::new(suite.hmac(), &key));
    integrity.update(&encrypted);
    integrity.update(name);
    Ok([sized(integrity.sign().as_ref()), encrypted].concat())
}

/// AES in full-block CFB mode with an initial vector of zeros, as the TPM demands. Each key is used only once.
fn encrypt(suite: Suite, key: &[u8], text: &mut [u8]) -> Result<(), WrapError> {
    let key = UnboundCipherKey::new(suite.cipher(), key).map_err(|_| WrapError::Cipher)?;
    let key = EncryptingKey::cfb128(key).map_err(|_| WrapError::Cipher)?;
    let zeros = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    key.less_safe_encrypt(text, zeros).map(drop).map_err(|_| WrapError::Cipher)
}

const KEYED_HASH: u16 = 0x0008;
const HMAC: u16 = 0x0005;
/// The attributes sign, noDA and userWithAuth. The key was not made in the TPM, so no other attribute may be set.
const HMAC_KEY_ATTRIBUTES: u32 = 0x0004_0440;
