//! Short-lived certificates for devices, which are issued when they register.
//!
//! A device that asks for a certificate (a `csr` in its registration) gets it together with its hub, if its enrollment
//! names an *issuer*: a certificate authority of the operator whose key this machine has, in a file or in a PKCS#11
//! token. The certificate says what the service knows, and nothing that the device asked for: the registration id as
//! its CN, the key that the request has proven, client authentication, and an early end. To renew it, the device
//! registers again.
//!
//! Issuers are named in `landfall.toml`, because their keys are on this machine, and they are loaded when the server
//! starts. Each issues a trial certificate then, which must verify as a device's would. So problems are found before a
//! device meets them: a key that does not belong to the certificate, an authority that may not issue, or a name that
//! would be encoded differently.

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

/// An issuer: its certificate chain, and what signs for it.
pub struct CertificateIssuer {
    name: IssuerName,
    /// Its own certificate, and the certificates above it.
    chain: Vec<CertificateDer<'static>>,
    anchor: Anchor,
    /// The earliest end in its chain. Nothing that it issues is valid for longer.
    ends: Timestamp,
    issuer: rcgen::Issuer<'static, Signer>,
    lifetime: Duration,
}

/// Why an issuer cannot be used. The error names the issuer's table.
#[derive(Debug, thiserror::Error)]
#[error("[issuing.{name}] in landfall.toml: {reason}")]
#[expect(missing_docs, reason = "the names say it")]
pub struct IssuerError {
    pub name: IssuerName,
    /// What is wrong.
    pub reason: IssuerFlaw,
}

/// What is wrong with an issuer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IssuerFlaw {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("certificate: {0}")]
    Certificate(String),
    #[error(transparent)]
    Key(#[from] SignerError),
    /// There is no key, or there are two kinds of key.
    #[error("give key = \"FILE\", or pkcs11_module, pkcs11_token, pkcs11_key and pkcs11_pin_file, and not both")]
    Which,
    #[error("lifetime_hours is {0}; it must be from 1 to 87600")]
    Lifetime(u64),
    /// The trial certificate does not verify.
    #[error("what it issues would not be accepted: {0}")]
    Trial(String),
}

/// Why no certificate could be issued now.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IssueError {
    /// The issuer's own certificate has ended, or ends too soon.
    #[error("the certificate of the issuer {0}, or one above it, ends at {1}; give it a new one")]
    Ending(IssuerName, String),
    /// The issuer that the enrollment names does not exist any more, or is not for its id scope.
    #[error("the enrollment names an issuer that it cannot have: {}", no_issuer(.0, .1))]
    Missing(IssuerName, IdScope),
    /// The work ended without an answer.
    #[error("the signing ended early: {0}")]
    Ended(String),
    #[error("the issuer {0} could not sign: {1}")]
    Sign(IssuerName, String),
}

impl CertificateIssuing {
    /// Loads the issuers, and has each issue a trial certificate. An issuer that names no id scopes is for `own`.
    ///
    /// # Errors
    ///
    /// The [`IssuerError`] of the first issuer that cannot be used.
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

    /// The issuer of this name, if it is for this id scope.
    pub fn get(&self, scope: &IdScope, name: &IssuerName) -> Option<&Arc<CertificateIssuer>> {
        self.0.get(scope, name)
    }

    /// Why an enrollment of an id scope cannot name this issuer; `None` if it can. The text does not say whether the
    /// issuer exists for other scopes: the operator may be bound to this one.
    pub fn refusal(&self, scope: &IdScope, name: &IssuerName) -> Option<String> {
        let refused = || format!("{}; there are: {}", no_issuer(name, scope), self.0.names(scope));
        self.get(scope, name).is_none().then(refused)
    }

    /// A certificate and the ones above it, up to the root, in DER. If its issuer does not exist any more, only the
    /// certificate.
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
        // Devices get the chain as it is here: each certificate after the one that it has issued, and the root last.
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

    /// Warns that the chain ends soon: devices get shorter and shorter certificates towards its end, and then none.
    fn warn_of_expiry(&self, now: Timestamp) {
        if self.ends.since(now) < self.lifetime {
            let (issuer, ends) = (&self.name, &self.ends);
            tracing::warn!(%issuer, %ends, "an issuer's certificate, or one above it, ends before those that it could issue");
        }
    }

    /// Issues a trial certificate, and verifies it as a device's.
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

    /// Issues a certificate for the proven key of a request. It may wait for a PKCS#11 token, so it must not run on the
    /// threads that serve connections.
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
        // The serial number must be positive, and its length must not vary (RFC 5280, 4.1.2.2): 126 random bits.
        number[0] = number[0] & 0x3f | 0x40;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        // The clocks of devices may be slow.
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

/// The shortest lifetime of a certificate. None is issued that would end sooner.
const LEAST_SECONDS: i64 = 60;

/// How far before now a certificate begins.
const BACKDATED_SECONDS: i64 = 5 * 60;

#[cfg(test)]
mod tests;
