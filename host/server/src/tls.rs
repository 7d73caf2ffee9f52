//! TLS: two listeners with two configurations.
//!
//! - **Devices**: a client certificate is requested but not required. Any certificate that parses within the limits is
//!   accepted, and is verified later for the enrollment that counts ([`any_certificate`]). Which authorities to trust
//!   depends on the id scope and the enrollment, and both are known only after the URL has been read.
//! - **Management**: no client certificates; every request carries a token.
//!
//! Session resumption is off on both: a resumed session brings back the certificate of an earlier handshake without a
//! new proof that the client has its key. TLS 1.2 stays on for the SDKs that pin it, with ECDHE and AEAD suites only.
//! The provider is named explicitly everywhere, so that no other part of the process can change it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landfall_attestation::x509::make::{Issued, MakeError};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub mod any_certificate;
pub mod current;
pub mod renewal;

use landfall_domain::clock::Timestamp;

use any_certificate::AnyCertificate;
use current::Current;

/// The server's certificate with its chain to the root, and its key.
#[expect(missing_docs, reason = "the names say it")]
pub struct Identity {
    /// The server's certificate, then the ones above it.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// A file does not contain what it should.
    #[error(
        "{path} holds no {what} in PEM form ({reason}); put one there, or make it anew: landfall certificate renew"
    )]
    Pem {
        path: PathBuf,
        /// What it should contain.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The certificate and the key cannot be used together for a server.
    #[error(
        "the server's certificate and key (tls/server.pem, tls/server.key) cannot be used: {0}; put a certificate, with \
         its chain, and its own key there, or make them anew: landfall certificate renew"
    )]
    Identity(#[from] rustls::Error),
    /// Clients that check its dates refuse it.
    #[error(
        "the server's certificate (tls/server.pem) {0}; renew it where it was issued, or make a new one: landfall certificate \
         renew"
    )]
    Dates(Untimely),
    /// The root certificates of the benchmark's baseline cannot be used.
    #[error("the client roots cannot be used: {0}")]
    Roots(String),
    /// A certificate cannot be made.
    #[error(transparent)]
    Make(#[from] MakeError),
}

/// Why a certificate is not valid now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untimely {
    /// It ended at this time.
    Expired(Timestamp),
    /// It begins at this time.
    NotYet(Timestamp),
}

impl std::fmt::Display for Untimely {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expired(end) => write!(f, "expired at {end}"),
            Self::NotYet(begin) => write!(f, "is not valid before {begin}"),
        }
    }
}

impl Identity {
    /// Uses a certificate that this program has issued.
    pub fn of(issued: &Issued) -> Self {
        Self {
            chain: vec![issued.certificate_der.clone().into()],
            key: PrivateKeyDer::Pkcs8(issued.key_der.clone().into()),
        }
    }

    /// Reads PEM files.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
        let wrong = |path: &Path, what, reason: String| TlsError::Pem { path: path.to_owned(), what, reason };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(chain)?).collect();
        let certificates = certificates.map_err(|error| wrong(chain, "certificate", error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong(chain, "certificate", "no such block is in it".to_owned()));
        }
        let private =
            PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| wrong(key, "private key", error.to_string()))?;
        Ok(Self { chain: certificates, key: private })
    }
}

/// The only cryptographic provider that is used.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The TLS configuration of the devices' listener.
pub fn for_devices(identity: &Arc<Current>) -> Result<Arc<ServerConfig>, TlsError> {
    server(identity, Some(Arc::new(AnyCertificate::new(provider()))))
}

/// The TLS configuration of the management listener.
pub fn for_management(identity: &Arc<Current>) -> Result<Arc<ServerConfig>, TlsError> {
    server(identity, None)
}

/// The TLS configuration of the benchmark's baseline: the chain is verified within the handshake, as in a server that
/// trusts one CA.
pub fn for_baseline(identity: &Arc<Current>, root: CertificateDer<'static>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(root)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| TlsError::Roots(error.to_string()))?;
    server(identity, Some(verifier))
}

fn server(
    identity: &Arc<Current>,
    verifier: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12])?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::<Current>::clone(identity));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
