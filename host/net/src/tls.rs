//! The certificates that a client trusts, and the certificate that it presents.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::{Error as PemError, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why there are no trusted certificates.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The text cannot be read, or is not PEM.
    #[error("{0}")]
    Pem(PemError),
    /// The text is PEM, but contains no certificate.
    #[error("no such block is in it")]
    Empty,
    /// A block is not a valid certificate.
    #[error(transparent)]
    Certificate(#[from] rustls::Error),
    /// The platform has no trusted certificates. The text says why.
    #[error("{0}")]
    Platform(String),
}

/// A certificate, the chain to its root, and its private key.
pub type ClientIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The cryptographic provider that all of Landfall uses.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificates of a PEM text.
///
/// # Errors
///
/// [`RootsError::Pem`], or [`RootsError::Empty`] when there is none.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(RootsError::Pem)?;
    if all.is_empty() { Err(RootsError::Empty) } else { Ok(all) }
}

/// The certificate authorities of a PEM text, and no others.
///
/// # Errors
///
/// As [`certificates`], or when one of them is not a certificate.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(pem)? {
        roots.add(root)?;
    }
    Ok(roots)
}

/// The certificate authorities of a PEM file, and no others.
///
/// # Errors
///
/// As [`roots`].
pub fn roots_of_file(path: &Path) -> Result<RootCertStore, RootsError> {
    roots(&std::fs::read(path).map_err(|error| RootsError::Pem(PemError::Io(error)))?)
}

/// The certificate authorities that the platform trusts. Certificates that cannot be read are skipped.
///
/// # Errors
///
/// [`RootsError::Platform`] when there is none.
pub fn roots_of_platform() -> Result<RootCertStore, RootsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(RootsError::Platform(why));
    }
    Ok(roots)
}

/// A TLS configuration for HTTP/1.1 that trusts `roots`, and presents `identity` when the server asks for a client
/// certificate. Each connection makes a full handshake: no session is resumed, unless the caller sets
/// [`ClientConfig::resumption`].
///
/// # Errors
///
/// When the key of the identity does not fit its certificate.
pub fn config(roots: RootCertStore, identity: Option<ClientIdentity>) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_those_of_the_text_and_nothing_else_is_taken() {
        assert!(matches!(roots(b""), Err(RootsError::Empty)));
        assert!(matches!(
            roots(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            Err(RootsError::Pem(_))
        ));
        let no_certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(roots(no_certificate), Err(RootsError::Certificate(_))));
        assert!(matches!(roots_of_file("no-such-file".as_ref()), Err(RootsError::Pem(PemError::Io(_)))));
        let now = landfall_domain::clock::Ambient::system().now();
        let made = landfall_attestation::x509::make::Authority::root("A", now, 1).unwrap();
        assert_eq!(roots(made.certificate_pem.as_bytes()).unwrap().len(), 1);
    }
}
