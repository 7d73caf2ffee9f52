//! Whom a client trusts, and who it is.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::{Identity, provider};

/// Why there is no such client.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The text is no certificate.
    #[error("no CA certificate in PEM form: {0}")]
    Pem(String),
    /// The text is no key.
    #[error("no private key in PEM form: {0}")]
    Key(String),
    /// This machine trusts nobody.
    #[error("the certificates that this machine trusts cannot be had: {0}")]
    Platform(String),
    /// rustls does not take it.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// A client that trusts the CAs in a PEM text and nobody else, and shows `identity` when it is asked for a
/// certificate.
///
/// # Errors
///
/// When the text has no certificate, or the identity's key does not fit.
pub fn client(ca_pem: &[u8], identity: Option<Identity>) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(ca_pem)? {
        roots.add(root)?;
    }
    of_roots(roots, identity)
}

/// A client that trusts those whom this machine trusts.
///
/// # Errors
///
/// When it trusts nobody.
pub fn client_of_platform() -> Result<Arc<ClientConfig>, ClientTlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(ClientTlsError::Platform(why));
    }
    of_roots(roots, None)
}

fn of_roots(roots: RootCertStore, identity: Option<Identity>) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    // Every connection proves everything anew, as devices do.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client for another protocol than HTTP, that trusts the CAs in a PEM text and nobody else.
///
/// # Errors
///
/// When the text has no certificate.
pub fn client_without_alpn(ca_pem: &[u8]) -> Result<Arc<ClientConfig>, ClientTlsError> {
    let mut config = ClientConfig::clone(&*client(ca_pem, None)?);
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
    Ok(Identity { chain: certificates(chain_pem)?, key })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ClientTlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(ClientTlsError::Pem("no such block is in it".to_owned())),
        Ok(all) => Ok(all),
        Err(error) => Err(ClientTlsError::Pem(error.to_string())),
    }
}
