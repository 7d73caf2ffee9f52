//! Certificates and keys that no factory should make and some have made. Libraries refuse to make them, so they are
//! put together here byte by byte (RFC 5280, X.690).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256K1_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    UnparsedPublicKey,
};
use base64::Engine as _;
use landfall_domain::names::Digest;
use num_bigint::BigUint;
use rcgen::{PublicKeyData as _, SigningKey as _};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its version, counted from 1.
    pub version: u8,
    /// The common names of its subject.
    pub names: Vec<String>,
    /// When it begins and ends, as ASN.1 writes it.
    pub dates: [&'static str; 2],
    /// Whether it says that it is signed with SHA-1. The signature is still another.
    pub sha1: bool,
    /// Its extensions, each a whole one.
    pub extensions: Vec<Vec<u8>>,
}

impl Draft {
    /// A good device's.
    pub fn of(name: &str) -> Self {
        Self {
            version: 3,
            names: vec![name.to_owned()],
            dates: ["20200101000000Z", "20400101000000Z"].map(|date| &date[2..]),
            sha1: false,
            extensions: vec![basic_constraints(false), KEY_USAGE_SIGNATURE.to_vec(), usage(CLIENT)],
        }
    }

    /// The certificate (DER) for a key, signed by itself, or by an authority of this name.
    pub fn issue(&self, key: &Key, issuer: Option<(&str, &Key)>) -> Vec<u8> {
        let subject = name(&self.names);
        let issuer_name = issuer.map_or_else(|| subject.clone(), |(issuer, _)| name(&[issuer.to_owned()]));
        let signer = issuer.map_or(key, |(_, key)| key);
        let algorithm = if self.sha1 { SHA1_WITH_RSA.to_vec() } else { signer.algorithm() };
        let time = |date: &str| tlv(if date.len() == 13 { 0x17 } else { 0x18 }, date.as_bytes());
        let mut parts = Vec::new();
        if self.version > 1 {
            parts.push(tlv(0xa0, &tlv(2, &[self.version - 1])));
        }
        parts.push(tlv(2, &[&[1], &Digest::of(&key.spki()).as_bytes()[..8]].concat()));
        parts.extend([algorithm.clone(), issuer_name]);
        parts.push(tlv(0x30, &self.dates.map(time).concat()));
        parts.extend([subject, key.spki()]);
        if !self.extensions.is_empty() {
            parts.push(tlv(0xa3, &tlv(0x30, &self.extensions.concat())));
        }
        let signed = tlv(0x30, &parts.concat());
        let signature = bits(&signer.sign(&signed));
        tlv(0x30, &[signed, algorithm, signature].concat())
    }
}

/// A certificate as text.
pub fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// basicConstraints, critical.
pub fn basic_constraints(authority: bool) -> Vec<u8> {
    let content: &[u8] = if authority { &[1, 1, 0xff] } else { &[] };
    extension(&[0x55, 0x1d, 0x13], true, &tlv(0x30, content))
}

/// extendedKeyUsage with one purpose.
pub fn usage(purpose: u8) -> Vec<u8> {
    extension(&[0x55, 0x1d, 0x25], false, &tlv(0x30, &tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, purpose])))
}

/// An extension.
pub fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[&tlv(6, oid), critical, &tlv(4, content)].concat())
}

/// A key of any kind, good or not.
pub enum Key {
    /// One that is taken.
    Usual(rcgen::KeyPair),
    /// On the curve of Bitcoin.
    Secp256k1(EcdsaKeyPair),
    /// RSA with 1024 bits.
    SmallRsa(SmallRsa),
}

impl Key {
    /// On P-256.
    pub fn p256() -> Self {
        Self::Usual(rcgen::KeyPair::generate().expect("a key"))
    }

    /// On secp256k1.
    pub fn secp256k1() -> Self {
        Self::Secp256k1(EcdsaKeyPair::generate(&ECDSA_P256K1_SHA256_ASN1_SIGNING).expect("a key"))
    }

    /// The key as a TLS client uses it, whatever it is.
    pub fn for_tls(self: &Arc<Self>) -> Arc<dyn rustls::sign::SigningKey> {
        let scheme = match &**self {
            Self::Usual(key) => {
                let der = PrivateKeyDer::Pkcs8(key.serialize_der().into());
                return rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).expect("a key that TLS knows");
            }
            // TLS 1.2 says no more than "ECDSA with SHA-256" by it.
            Self::Secp256k1(_) => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::SmallRsa(_) => SignatureScheme::RSA_PKCS1_SHA256,
        };
        Arc::new(Signing { key: Arc::clone(self), scheme })
    }

    fn spki(&self) -> Vec<u8> {
        let (algorithm, content) = match self {
            Self::Usual(key) => return key.subject_public_key_info(),
            Self::Secp256k1(key) => {
                let oids: [&[u8]; 2] = [&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &[0x2b, 0x81, 4, 0, 0x0a]];
                (oids.map(|oid| tlv(6, oid)).concat(), key.public_key().as_ref().to_vec())
            }
            Self::SmallRsa(key) => {
                ([tlv(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), vec![5, 0]].concat(), key.public())
            }
        };
        tlv(0x30, &[tlv(0x30, &algorithm), bits(&content)].concat())
    }

    fn algorithm(&self) -> Vec<u8> {
        let ecdsa = |hash| tlv(0x30, &tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, hash]));
        match self {
            Self::Usual(key) if key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256) => ecdsa(2),
            Self::Usual(key) if key.is_compatible(&rcgen::PKCS_ECDSA_P384_SHA384) => ecdsa(3),
            Self::Usual(key) if key.is_compatible(&rcgen::PKCS_ECDSA_P521_SHA512) => ecdsa(4),
            Self::Usual(key) if key.is_compatible(&rcgen::PKCS_ED25519) => tlv(0x30, &tlv(6, &[0x2b, 0x65, 0x70])),
            Self::Secp256k1(_) => ecdsa(2),
            Self::Usual(_) | Self::SmallRsa(_) => SHA256_WITH_RSA.to_vec(),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Usual(key) => key.sign(message).expect("a signature"),
            Self::Secp256k1(key) => key.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec(),
            Self::SmallRsa(key) => key.sign(message),
        }
    }
}

/// An RSA key of 1024 bits, which no library makes or uses any more.
pub struct SmallRsa {
    modulus: BigUint,
    private: BigUint,
}

impl SmallRsa {
    /// Draws one.
    pub fn generate() -> Self {
        let (public, one) = (BigUint::from(EXPONENT), BigUint::from(1_u8));
        loop {
            let (p, q) = (prime(), prime());
            let order = (&p - &one) * (&q - &one);
            if let (true, Some(private)) = (p != q, public.modinv(&order)) {
                return Self { modulus: p * q, private };
            }
        }
    }

    fn public(&self) -> Vec<u8> {
        let modulus = [&[0], &self.modulus.to_bytes_be()[..]].concat();
        tlv(0x30, &[tlv(2, &modulus), tlv(2, &EXPONENT.to_be_bytes()[1..])].concat())
    }

    /// PKCS #1 v1.5 with SHA-256 (RFC 8017, 8.2.1).
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let digest = tlv(0x30, &[SHA256_INFO, &tlv(4, Digest::of(message).as_bytes())].concat());
        let padding = vec![0xff; 128 - 3 - digest.len()];
        let encoded = [&[0, 1], &padding[..], &[0], &digest].concat();
        let signature = BigUint::from_bytes_be(&encoded).modpow(&self.private, &self.modulus).to_bytes_be();
        let signature = [vec![0; 128 - signature.len()], signature].concat();
        // Otherwise a server would refuse it for being wrong, and nobody would notice.
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, self.public())
            .verify(message, &signature)
            .expect("the signature is right");
        signature
    }
}

struct Signing {
    key: Arc<Key>,
    scheme: SignatureScheme,
}

impl rustls::sign::SigningKey for Signing {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let own = Self { key: Arc::clone(&self.key), scheme: self.scheme };
        offered.contains(&self.scheme).then(|| Box::new(own) as Box<_>)
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match *self.key {
            Key::SmallRsa(_) => rustls::SignatureAlgorithm::RSA,
            Key::Usual(_) | Key::Secp256k1(_) => rustls::SignatureAlgorithm::ECDSA,
        }
    }
}

impl rustls::sign::Signer for Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.key.sign(message))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// A prime of 512 bits with its two highest bits set; Fermat's test is enough for a test's key.
fn prime() -> BigUint {
    let (one, two) = (BigUint::from(1_u8), BigUint::from(2_u8));
    loop {
        let mut bytes = [0; 64];
        aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
        bytes[0] |= 0xc0;
        bytes[63] |= 1;
        let candidate = BigUint::from_bytes_be(&bytes);
        if two.modpow(&(&candidate - &one), &candidate) == one {
            return candidate;
        }
    }
}

fn name(common_names: &[String]) -> Vec<u8> {
    let one = |text: &String| {
        let attribute = [tlv(6, &[0x55, 4, 3]), tlv(0x0c, text.as_bytes())].concat();
        tlv(0x31, &tlv(0x30, &attribute))
    };
    tlv(0x30, &common_names.iter().flat_map(one).collect::<Vec<_>>())
}

fn bits(content: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], content].concat())
}

/// DER: tag, length, value.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let head = match content.len() {
        ..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

/// `usage` for clients.
pub const CLIENT: u8 = 2;
/// `usage` for servers.
pub const SERVER: u8 = 1;
/// keyUsage digitalSignature, critical.
const KEY_USAGE_SIGNATURE: &[u8] = &[0x30, 0x0e, 6, 3, 0x55, 0x1d, 0x0f, 1, 1, 0xff, 4, 4, 3, 2, 7, 0x80];
const EXPONENT: u32 = 65537;
const SHA256_WITH_RSA: &[u8] = &[0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b, 5, 0];
const SHA1_WITH_RSA: &[u8] = &[0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0];
const SHA256_INFO: &[u8] = &[0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0];
