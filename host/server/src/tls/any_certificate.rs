//! Takes any client certificate, and proves that its key is there.
//!
//! The two questions are apart. *Is the key there?* is answered here, by the handshake's signature over the
//! transcript: an implementation that answered it with an assertion would let everybody in under any certificate that they
//! have seen once. *Whose certificate is it?* is answered later, by the enrollment.
//!
//! Only the key is read of a certificate, because what else may be wrong with it (version 1, an extension that nobody
//! understands) is to be told with a cause and a tracking id, which an alert does not have. A key that is not accepted here
//! (too small, another curve) admits nobody: there is no [`PresentedChain`] of it, so nothing rests on its proof, and none
//! is asked. Its device is refused as soon as it asks for anything, and the operator reads why.
//!
//! No issuers are hinted: a device whose CA is not in such a list would send no certificate at all.
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
    /// The certificate with which the handshake under way failed, for the log.
    static FAILED_WITH: RefCell<Option<String>>;
}

/// Carries out a handshake, and tells beside its outcome which certificate it failed with, if it was one.
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
    /// A verifier that checks signatures with a provider's algorithms.
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

    /// How many there are, how large and of what kind is judged when the device asks for something.
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
    /// As rustls does it for the key of a certificate that its own reader takes. In TLS 1.2 a scheme names no curve.
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

/// The proof of a key that counts. No other is proven, and no other counts.
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
