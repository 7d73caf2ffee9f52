//! Certificates for devices: short-lived ones, with which they work, issued when they register.
//!
//! A device that asks for one (a `csr` in its registration) gets it with its hub, if its enrollment names an *issuer*: a
//! certificate authority of the operator whose key is at hand here, in a file or in a PKCS#11 token. The certificate says
//! what the service knows and nothing that the device wished: the registration id as its CN, the key that the request has
//! proven, client authentication, and an end that comes soon. To renew it the device registers again.
//!
//! IdentityProviders are named in `landfall.toml`, because their keys are this machine's, and loaded when the server starts. Each is
//! tried then: it issues a certificate for nobody, which must verify as a device's would. So a key that is not the
//! certificate's, an authority that may not issue, or a name that would be written otherwise is found before any device
//! is told so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use landfall_attestation::x509::request::CertificateRequest;
use landfall_attestation::x509::{Anchor, PresentedChain, VerifyPolicy, pem, verify_group};
use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::names::{IdScope, IssuerName, OperationId, RegistrationId};
use landfall_domain::registration::IssuedCertificate;
use landfall_domain::registry::SerialNumber;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::config::{ByScope, IssuerConfig, scopes_of};

mod pkcs11;
mod signer;

use signer::Signer;
pub use signer::SignerError;

/// The issuers of this installation, each for its id scopes.
#[derive(Default)]
pub struct CertificateIssuing(ByScope<IssuerName, CertificateIssuer>);

/// One issuer.
pub struct CertificateIssuer {
    name: IssuerName,
    /// Its own certificate, and those above it.
    chain: Vec<CertificateDer<'static>>,
    anchor: Anchor,
    /// The end of its own certificate or of one above it, whichever comes first: nothing that it issues is good for longer.
    ends: Timestamp,
    issuer: rcgen::Issuer<'static, Signer>,
    lifetime: Duration,
}

/// Why an issuer cannot be used. Each names the issuer by its table.
#[derive(Debug, thiserror::Error)]
#[error("[issuing.{name}] in landfall.toml: {reason}")]
#[allow(missing_docs, reason = "the names say it")]
pub struct IssuerError {
    pub name: IssuerName,
    /// What is wrong.
    pub reason: IssuerFlaw,
}

/// What is wrong with an issuer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the names say it")]
pub enum IssuerFlaw {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("certificate: {0}")]
    Certificate(String),
    #[error(transparent)]
    Key(#[from] SignerError),
    /// Neither or both kinds of key.
    #[error("give key = \"FILE\", or pkcs11_module, pkcs11_token, pkcs11_key and pkcs11_pin_file, and not both")]
    Which,
    #[error("lifetime_hours is {0}; it must be from 1 to 87600")]
    Lifetime(u64),
    /// It has issued one for nobody, which does not verify.
    #[error("what it issues would not be accepted: {0}")]
    Trial(String),
}

/// Why no certificate could be issued now.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the names say it")]
pub enum IssueError {
    /// The issuer's own certificate is over, or nearly.
    #[error("the certificate of the issuer {0}, or one above it, ends at {1}; give it a new one")]
    Ending(IssuerName, String),
    /// The enrollment's issuer is not there any more, or not for its id scope.
    #[error("the enrollment names an issuer that it cannot have: {}", no_issuer(.0, .1))]
    Missing(IssuerName, IdScope),
    /// The work ended without an answer.
    #[error("the signing ended early: {0}")]
    Ended(String),
    #[error("the issuer {0} could not sign: {1}")]
    Sign(IssuerName, String),
}

impl CertificateIssuing {
    /// Loads the issuers, and has each issue one certificate for nobody. One that names no id scopes is for `own`.
    ///
    /// # Errors
    ///
    /// [`IssuerError`], of the first that cannot be used.
    pub fn load(
        configured: &BTreeMap<IssuerName, IssuerConfig>,
        own: &IdScope,
        folder: &Path,
        ambient: &Ambient,
    ) -> Result<Self, IssuerError> {
        let load = |(name, config): (&IssuerName, &IssuerConfig)| {
            let loaded = CertificateIssuer::load(name, config, folder);
            let tried = loaded.and_then(|issuer| issuer.tried(ambient).map(|()| issuer));
            let issuer = tried.map_err(|reason| IssuerError { name: name.clone(), reason })?;
            issuer.warn_of_expiry(ambient.now());
            Ok((name.clone(), (scopes_of(config.scopes.as_deref(), own), Arc::new(issuer))))
        };
        Ok(Self(configured.iter().map(load).collect::<Result<_, _>>()?))
    }

    /// The issuer of this name, if there is one for this id scope.
    pub fn get(&self, scope: &IdScope, name: &IssuerName) -> Option<&Arc<CertificateIssuer>> {
        self.0.get(scope, name)
    }

    /// Why an enrollment of an id scope cannot name an issuer, if it cannot. Whether there is one for other scopes is not
    /// said: the operator may be bound to this one.
    pub fn refusal(&self, scope: &IdScope, name: &IssuerName) -> Option<String> {
        let refused = || format!("{}; there are: {}", no_issuer(name, scope), self.0.names(scope));
        self.get(scope, name).is_none().then(refused)
    }

    /// A certificate and those above it, up to the root, DER. Without those above where its issuer is not there any more.
    pub fn chain<'a>(&'a self, issued: &'a IssuedCertificate) -> impl Iterator<Item = &'a [u8]> {
        let above = self.0.whoever_asks(&issued.issuer).into_iter().flat_map(|issuer| &issuer.chain);
        std::iter::once(issued.der.as_slice()).chain(above.map(|certificate| &**certificate))
    }
}

impl CertificateIssuer {
    fn load(name: &IssuerName, config: &IssuerConfig, folder: &Path) -> Result<Self, IssuerFlaw> {
        if !(1..=87_600).contains(&config.lifetime_hours) {
            return Err(IssuerFlaw::Lifetime(config.lifetime_hours));
        }
        let path = folder.join(&config.certificate);
        let text = std::fs::read_to_string(&path).map_err(|source| IssuerFlaw::Read { path, source })?;
        let chain = pem::certificates_from(&text).map_err(|error| IssuerFlaw::Certificate(error.to_string()))?;
        let own = chain.first().ok_or_else(|| IssuerFlaw::Certificate("there is none".to_owned()))?;
        let anchor = Anchor::parse(own).map_err(|error| IssuerFlaw::Certificate(error.to_string()))?;
        let mut ends = i64::MAX;
        for certificate in &chain {
            let above = Anchor::parse(certificate).map_err(|error| IssuerFlaw::Certificate(error.to_string()))?;
            ends = ends.min(above.not_after_secs());
        }
        let ends = Timestamp::from_millis(u64::try_from(ends).unwrap_or(0).saturating_mul(1000));
        let signer = Signer::load(config, folder, own)?;
        let chain: Vec<CertificateDer<'static>> = chain.into_iter().map(CertificateDer::from).collect();
        // Devices are told it as it is: each certificate after the one that it has issued, and the root last.
        let whole = PresentedChain::parse(&chain).map_err(|error| IssuerFlaw::Certificate(error.to_string()))?;
        if let Some(missing) = whole.missing_issuer() {
            tracing::warn!(issuer = %name, missing, "the certificates above an issuer's are not all in its file: devices are told none up to the root");
        }
        let chain = whole.in_order();
        let own = chain.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
        let issuer = rcgen::Issuer::from_ca_cert_der(&own, signer);
        let issuer = issuer.map_err(|error| IssuerFlaw::Certificate(error.to_string()))?;
        let lifetime = Duration::from_secs(config.lifetime_hours * 3600);
        Ok(Self { name: name.clone(), chain, anchor, ends, issuer, lifetime })
    }

    /// Devices get shorter and shorter certificates towards its end, and then none.
    fn warn_of_expiry(&self, now: Timestamp) {
        if self.ends.since(now) < self.lifetime {
            let (issuer, ends) = (&self.name, &self.ends);
            tracing::warn!(%issuer, %ends, "an issuer's certificate, or one above it, ends before those that it could issue");
        }
    }

    /// Issues a certificate for nobody, and verifies it as a device's.
    fn tried(&self, ambient: &Ambient) -> Result<(), IssuerFlaw> {
        let trial = |reason: &dyn std::fmt::Display| IssuerFlaw::Trial(reason.to_string());
        let key = KeyPair::generate().map_err(|error| trial(&error))?;
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let now = ambient.now();
        let (der, ..) = self.certificate(&spki, "trial", now, ambient.random()).map_err(|error| trial(&error))?;
        let chain = PresentedChain::parse(&[CertificateDer::from(der)]).map_err(|error| trial(&error))?;
        let verified = verify_group(&chain, std::slice::from_ref(&self.anchor), &VerifyPolicy::at(now));
        verified.map(drop).map_err(|error| trial(&error))
    }

    /// Issues a certificate for the key of a request, which has been proven. It may wait for a token: not for the threads
    /// that serve connections.
    ///
    /// # Errors
    ///
    /// [`IssueError`].
    pub fn issue(
        &self,
        request: &CertificateRequest,
        id: &RegistrationId,
        operation: &OperationId,
        now: Timestamp,
        number: [u8; 16],
    ) -> Result<IssuedCertificate, IssueError> {
        let (der, serial, not_after) = self.certificate(request.public_key(), id.as_str(), now, number)?;
        Ok(IssuedCertificate { issuer: self.name.clone(), operation: operation.clone(), der, serial, not_after })
    }

    fn certificate(
        &self,
        spki: &[u8],
        cn: &str,
        now: Timestamp,
        mut number: [u8; 16],
    ) -> Result<(Vec<u8>, SerialNumber, Timestamp), IssueError> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let lasts = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let end = seconds.saturating_add(lasts).min(i64::try_from(self.ends.as_secs()).unwrap_or(i64::MAX));
        if end < seconds.saturating_add(LEAST_SECONDS) {
            return Err(IssueError::Ending(self.name.clone(), self.ends.to_string()));
        }
        let failed = |error: &dyn std::fmt::Display| IssueError::Sign(self.name.clone(), error.to_string());
        let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| failed(&error));
        // Positive and never of fewer octets (RFC 5280, 4.1.2.2): 126 bits by chance.
        number[0] = number[0] & 0x3f | 0x40;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        // Clocks of devices run behind.
        params.not_before = moment(seconds.saturating_sub(BACKDATED_SECONDS))?;
        params.not_after = moment(end)?;
        params.serial_number = Some(number.to_vec().into());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = SubjectPublicKeyInfo::from_der(spki).map_err(|error| failed(&error))?;
        let signed = params.signed_by(&key, &self.issuer).map_err(|error| failed(&error))?;
        let not_after = Timestamp::from_millis(u64::try_from(end).unwrap_or(0).saturating_mul(1000));
        Ok((signed.der().to_vec(), SerialNumber::of(&number), not_after))
    }
}

fn no_issuer(name: &IssuerName, scope: &IdScope) -> String {
    format!(
        "landfall.toml has no issuer {name} for the id scope {scope} ([issuing.{name}], whose `scopes` are the server's own \
         when it names none)"
    )
}

/// A certificate that ends sooner is none.
const LEAST_SECONDS: i64 = 60;

/// How much earlier than now a certificate begins.
const BACKDATED_SECONDS: i64 = 5 * 60;

#[cfg(test)]
mod tests;
