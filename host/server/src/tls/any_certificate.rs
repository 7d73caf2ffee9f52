//! Accepts any client certificate, and proves that the client has its key.
//!
//! There are two separate questions. *Does the client have the key?* is answered here, by the signature of the
//! handshake over its transcript. An implementation that skipped this check would admit everybody under any certificate
//! that they have seen once. *Whose certificate is it?* is answered later, for the enrollment.
//!
//! Only the key is read from a certificate. Other problems of a certificate (version 1, an unknown extension) are
//! reported later, with a cause and a tracking id, which a TLS alert cannot carry. A key that is not accepted here (too
//! small, another curve) admits nobody: no [`PresentedChain`] is made of it, so nothing depends on its proof, and its
//! signature is not checked. Such a device is refused at its first request, and the operator sees why.
//!
//! No issuers are suggested to the client: a device whose CA is not in such a list would send no certificate at all.
//!
//! [`PresentedChain`]: landfall_attestation::x509::PresentedChain

use std::cell::RefCell;
use std::sync::Arc;

use landfall_attestation::x509::{for_the_log, provable_key};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::RawPublicKeyEntity;

tokio::task_local! {
    /// The certificate with which the current handshake failed, for the log.
    static FAILED_WITH: RefCell<Option<String>>;
}

/// Runs a handshake. Answers its result, and the certificate with which it failed, if it failed because of one.
pub async fn telling<T>(handshake: impl Future<Output = T>) -> (T, Option<String>) {
    FAILED_WITH
        .scope(RefCell::new(None), async {
            let outcome = handshake.await;
            (outcome, FAILED_WITH.with(RefCell::take))
        })
        .await
}

/// The verifier of the devices' listener.
#[derive(Debug)]
pub struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl AnyCertificate {
    /// A verifier that checks signatures with the algorithms of a provider.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// The number, size and kind of the certificates are checked at the first request.
    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        proven(certificate, |key| self.verify_tls12(message, key, signature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        proven(certificate, |key| verify_tls13_signature_with_raw_key(message, key, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl AnyCertificate {
    /// The same check as in rustls, for the key of a certificate that rustls can parse. In TLS 1.2 a signature scheme
    /// names no curve.
    fn verify_tls12(
        &self,
        message: &[u8],
        key: &SubjectPublicKeyInfoDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadSignature);
        let known = self.provider.signature_verification_algorithms.mapping;
        let (_, algorithms) = known.iter().find(|(scheme, _)| *scheme == signature.scheme).ok_or_else(bad)?;
        let key = RawPublicKeyEntity::try_from(key).map_err(|_| bad())?;
        let proves = algorithms.iter().any(|one| key.verify_signature(*one, message, signature.signature()).is_ok());
        if proves { Ok(HandshakeSignatureValid::assertion()) } else { Err(bad()) }
    }
}

/// Checks the proof of a key that is accepted. For any other key nothing is checked, because nothing depends on its
/// proof.
fn proven(
    certificate: &CertificateDer<'_>,
    verify: impl FnOnce(&SubjectPublicKeyInfoDer<'_>) -> Result<HandshakeSignatureValid, Error>,
) -> Result<HandshakeSignatureValid, Error> {
    let Some(key) = provable_key(certificate) else {
        return Ok(HandshakeSignatureValid::assertion());
    };
    verify(&SubjectPublicKeyInfoDer::from(key)).inspect_err(|_| {
        let _ = FAILED_WITH.try_with(|failed| failed.replace(Some(for_the_log(certificate))));
    })
}
