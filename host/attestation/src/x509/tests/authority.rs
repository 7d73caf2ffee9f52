//! Authorities and devices for tests.

use landfall_domain::clock::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls_pki_types::CertificateDer;

use super::super::{Anchor, PresentedChain, VerifyPolicy};

/// 2030-01-01. Everything made here is valid from 2020 to 2040 unless a test says otherwise.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

/// The default policy, at [`NOW`].
pub(crate) fn policy() -> VerifyPolicy {
    VerifyPolicy::at(NOW)
}

/// A certificate with its key, which can issue others.
pub(crate) struct Made {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
}

impl Made {
    /// A self-signed authority.
    pub(crate) fn root(cn: &str) -> Self {
        Self::root_with(cn, |_| {})
    }

    pub(crate) fn root_with(cn: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority(cn);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self { der: params.self_signed(&key).unwrap().der().clone(), params, key }
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, cn: &str) -> Self {
        self.intermediate_with(cn, |_| {})
    }

    pub(crate) fn intermediate_with(&self, cn: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority(cn);
        change(&mut params);
        self.issue(params, KeyPair::generate().unwrap())
    }

    /// A device's certificate.
    pub(crate) fn device(&self, cn: &str) -> CertificateDer<'static> {
        self.device_with(cn, |_| {})
    }

    pub(crate) fn device_with(&self, cn: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = device(cn);
        change(&mut params);
        self.issue(params, KeyPair::generate().unwrap()).der
    }

    /// Issues a certificate with these parameters.
    pub(crate) fn issue(&self, params: CertificateParams, key: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key);
        Self { der: params.signed_by(&key, &issuer).unwrap().der().clone(), params, key }
    }

    pub(crate) fn anchor(&self) -> Anchor {
        Anchor::parse(&self.der).unwrap()
    }
}

/// A self-signed device's certificate.
pub(crate) fn self_signed(cn: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = device(cn);
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

/// A chain of certificates, the device's first.
pub(crate) fn chain<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> PresentedChain {
    let certificates: Vec<_> = certificates.into_iter().cloned().collect();
    PresentedChain::parse(&certificates).unwrap()
}

pub(crate) fn named(cn: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, cn);
    name
}

fn device(cn: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(cn);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn authority(cn: &str) -> CertificateParams {
    let mut params = device(cn);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = Vec::new();
    params
}
