//! Whom a client trusts, and who it is.

use std::sync::Arc;

use landfall_net::tls::{self, RootsError};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::tls::Identity;

/// Why there is no such client.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The text is no certificate.
    #[error("no CA certificate in PEM form: {0}")]
    Pem(RootsError),
    /// The text is no key.
    #[error("no private key in PEM form: {0}")]
    Key(String),
    /// This machine trusts nobody.
    #[error("the certificates that this machine trusts cannot be had: {0}")]
    Platform(RootsError),
    /// rustls does not take it.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

impl From<RootsError> for ClientTlsError {
    fn from(error: RootsError) -> Self {
        match error {
            RootsError::Platform(_) => Self::Platform(error),
            RootsError::Pem(_) | RootsError::Empty => Self::Pem(error),
            RootsError::Certificate(error) => Self::Rustls(error),
        }
    }
}

/// A client that trusts the CAs in a PEM text and nobody else, and shows `identity` when it is asked for a
/// certificate.
///
/// # Errors
///
/// When the text has no certificate, or the identity's key does not fit.
pub fn client(ca_pem: &[u8], identity: Option<Identity>) -> Result<Arc<ClientConfig>, ClientTlsError> {
    of_roots(tls::roots(ca_pem)?, identity)
}

/// A client that trusts those whom this machine trusts.
///
/// # Errors
///
/// When it trusts nobody.
pub fn client_of_platform() -> Result<Arc<ClientConfig>, ClientTlsError> {
    of_roots(tls::roots_of_platform()?, None)
}

fn of_roots(roots: RootCertStore, identity: Option<Identity>) -> Result<Arc<ClientConfig>, ClientTlsError> {
    Ok(tls::config(roots, identity.map(|Identity { chain, key }| (chain, key)))?.into())
}

/// A client for another protocol than HTTP, that trusts the CAs in a PEM text and nobody else.
///
/// # Errors
///
/// When the text has no certificate.
pub fn client_without_alpn(ca_pem: &[u8]) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let mut config = tls::config(tls::roots(ca_pem)?, None)?;
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}

/// An identity from PEM texts: the certificate first, then what chains it to its root.
///
/// # Errors
///
/// When one of the texts does not hold what it should.
pub fn identity(chain_pem: &[u8], key_pem: &[u8]) -> Result<Identity, ClientTlsError> {
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| ClientTlsError::Key(error.to_string()))?;
    Ok(Identity { chain: tls::certificates(chain_pem)?, key })
}
