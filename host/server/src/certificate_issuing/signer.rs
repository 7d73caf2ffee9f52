//! The key of an issuer: in a file, or in a PKCS#11 token, which never gives it out.

use std::path::Path;

use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey, SubjectPublicKeyInfo};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::IssuerFlaw;
use super::pkcs11::Token;
use crate::config::IssuerConfig;

/// The key that signs for an issuer.
pub(super) enum Signer {
    /// A key in memory.
    File(Box<KeyPair>),
    /// A key in a PKCS#11 token, with the public key from the issuer's certificate.
    Token {
        token: Token,
        /// The public key.
        public: SubjectPublicKeyInfo,
    },
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SignerError {
    /// The file holds no private key that can be used.
    #[error("key: {path} holds no private key (PEM, PKCS#8) of a kind that can sign: {reason}")]
    File { path: String, reason: String },
    /// The certificate's key is of a kind that is not supported.
    #[error("the certificate's key is of a kind with which nothing is signed here: {0}")]
    Kind(String),
    #[error("the PKCS#11 token: {0}")]
    Token(String),
}

impl Signer {
    /// Opens the key of the issuer whose certificate this is.
    pub(super) fn load(config: &IssuerConfig, folder: &Path, certificate: &[u8]) -> Result<Self, IssuerFlaw> {
        match config {
            IssuerConfig {
                key: Some(key),
                pkcs11_module: None,
                pkcs11_token: None,
                pkcs11_key: None,
                pkcs11_pin_file: None,
                ..
            } => {
                let path = folder.join(key);
                let text = std::fs::read_to_string(&path).map(Zeroizing::new);
                let text = text.map_err(|source| IssuerFlaw::Read { path: path.clone(), source })?;
                let pair = KeyPair::from_pem(&text).map_err(|error| SignerError::File {
                    path: path.display().to_string(),
                    reason: error.to_string(),
                })?;
                Ok(Self::File(Box::new(pair)))
            }
            IssuerConfig {
                key: None,
                pkcs11_module: Some(module),
                pkcs11_token: Some(label),
                pkcs11_key: Some(key),
                pkcs11_pin_file: Some(pin_file),
                ..
            } => {
                let path = folder.join(pin_file);
                let pin = std::fs::read_to_string(&path).map_err(|source| IssuerFlaw::Read { path, source })?;
                let pin = Zeroizing::new(pin.trim().to_owned());
                let token = Token::open(&folder.join(module), label, key, &pin).map_err(SignerError::Token)?;
                Ok(Self::Token { token, public: public_key(certificate)? })
            }
            _ => Err(IssuerFlaw::Which),
        }
    }
}

fn public_key(certificate: &[u8]) -> Result<SubjectPublicKeyInfo, SignerError> {
    let kind = |reason: &dyn std::fmt::Display| SignerError::Kind(reason.to_string());
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| kind(&error))?;
    let public = SubjectPublicKeyInfo::from_der(parsed.public_key().raw).map_err(|error| kind(&error))?;
    if !Token::signs(public.algorithm()) {
        return Err(kind(&"tokens sign with P-256, P-384 and RSA"));
    }
    Ok(public)
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::File(pair) => pair.der_bytes(),
            Self::Token { public, .. } => public.der_bytes(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::File(pair) => pair.algorithm(),
            Self::Token { public, .. } => public.algorithm(),
        }
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::File(pair) => pair.sign(message),
            Self::Token { token, public } => token.sign(public.algorithm(), message).map_err(|error| {
                // The library's error type has no variant with a text for this.
                tracing::error!(%error, "the PKCS#11 token does not sign");
                rcgen::Error::RemoteKeyError
            }),
        }
    }
}
