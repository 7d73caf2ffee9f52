//! Whether a chain is what an enrollment demands.

use std::cell::RefCell;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::anchor::Anchor;
use super::certificate::{Certificate, ENDORSEMENT_KEY};
use super::chain::{MAX_INTERMEDIATES, PresentedChain};
use super::error::{ChainError, Flaw, Which};
use super::strict::{self, Usage};
use crate::clock::Timestamp;
use crate::names::Digest;

/// How far ahead of ours the clock of whoever made a certificate may run.
pub const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How strictly chains are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyPolicy {
    /// The moment that counts. Ours: a device needs no clock.
    pub now: Timestamp,
    /// How much later than now a certificate may begin. An end is never stretched.
    pub clock_skew: Duration,
    /// Take a device's certificate that has expired; its authorities' must still be valid.
    pub ignore_expiry: bool,
    /// How many certificates may stand between a device's and the authority.
    pub max_intermediates: usize,
}

impl VerifyPolicy {
    /// What holds unless an operator says otherwise.
    pub const fn at(now: Timestamp) -> Self {
        Self { now, clock_skew: DEFAULT_CLOCK_SKEW, ignore_expiry: false, max_intermediates: MAX_INTERMEDIATES }
    }

    pub(super) fn now_secs(&self) -> i64 {
        i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn latest_begin(&self) -> i64 {
        self.now_secs().saturating_add(i64::try_from(self.clock_skew.as_secs()).unwrap_or(i64::MAX))
    }
}

/// How a chain was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPath {
    /// The authority that it leads up to; a pinned certificate needs none.
    pub anchor: Option<Digest>,
    /// The certificates between, from the device's issuer upwards.
    pub intermediates: Vec<Digest>,
}

/// Verifies that the device's certificate is one of those that its enrollment names. It may be self-signed, an
/// authority's, or for servers: an operator has named this very certificate. What was sent along is not looked at.
///
/// # Errors
///
/// It is not, or it is one that nobody should use: a weak key, dates that do not hold, an extension not understood.
pub fn verify_pinned(
    chain: &PresentedChain,
    pins: &[Digest],
    policy: &VerifyPolicy,
) -> Result<VerifiedPath, ChainError> {
    let leaf = &chain.leaf().certificate;
    let shown = leaf.sha256;
    // All of them, always: how long it takes does not tell which one it is.
    let matching = pins.iter().filter(|pin| verify_slices_are_equal(pin.as_bytes(), shown.as_bytes()).is_ok()).count();
    if matching == 0 {
        return Err(ChainError::NotPinned { shown });
    }
    let flawed = |flaw| ChainError::flawed(Which::Leaf, flaw);
    strict::any(leaf).map_err(flawed)?;
    strict::dates(leaf, policy, policy.ignore_expiry).map_err(flawed)?;
    Ok(VerifiedPath { anchor: None, intermediates: Vec::new() })
}

/// Verifies that the device's certificate was issued, over whatever else it sent, by one of these authorities: those
/// of the one group that counts.
///
/// # Errors
///
/// No path leads there, or one of the certificates on it is not acceptable; the error names it.
pub fn verify_group(
    chain: &PresentedChain,
    anchors: &[Anchor],
    policy: &VerifyPolicy,
) -> Result<VerifiedPath, ChainError> {
    verify_for(Usage::Client, chain, anchors, policy)
}

pub(super) fn verify_for(
    usage: Usage,
    chain: &PresentedChain,
    anchors: &[Anchor],
    policy: &VerifyPolicy,
) -> Result<VerifiedPath, ChainError> {
    if anchors.is_empty() {
        return Err(ChainError::NoAnchors);
    }
    let leaf = &chain.leaf().certificate;
    let flawed = |flaw| ChainError::flawed(Which::Leaf, flaw);
    strict::issued_leaf(leaf, usage).map_err(flawed)?;
    strict::dates(leaf, policy, policy.ignore_expiry).map_err(flawed)?;

    let trust: Vec<TrustAnchor<'_>> = anchors.iter().map(|anchor| anchor.trust().clone()).collect();
    let above: Vec<CertificateDer<'_>> = chain.above().iter().map(|one| CertificateDer::from(&*one.der)).collect();
    let end_entity = EndEntityCert::try_from(&leaf.der).map_err(|error| unbuildable(&error))?;
    // The path builder asks about each path that it finds, and goes on with the next when this one is refused. What
    // it was refused for is kept, because the builder's own errors cannot say it.
    let verified = RefCell::new(None);
    let refused = RefCell::new(None);
    let judge = |path: &webpki::VerifiedPath<'_>| {
        // The builder hands back the very element of `trust`; equal names and keys would not tell two apart.
        let anchor = trust.iter().zip(anchors).find(|(trust, _)| std::ptr::eq(*trust, path.anchor()));
        let between: Option<Vec<&Certificate>> = path
            .intermediate_certificates()
            .map(|used| chain.above().iter().find(|own| *own.der == *used.der()))
            .collect();
        let (Some((_, anchor)), Some(between)) = (anchor, between) else {
            return Err(webpki::Error::CertDistrusted);
        };
        match judge_path(usage, leaf, &between, anchor, policy) {
            Ok(path) => {
                verified.replace(Some(path));
                Ok(())
            }
            Err(error) => {
                refused.borrow_mut().get_or_insert(error);
                Err(webpki::Error::CertDistrusted)
            }
        }
    };
    let key_usage = match usage {
        Usage::Client => KeyUsage::client_auth(),
        // Required of the leaf by `strict`: to the builder it would mean the authorities too.
        Usage::EndorsementKey => KeyUsage::required_if_present(ENDORSEMENT_KEY),
        #[cfg(test)]
        Usage::Server => KeyUsage::server_auth(),
    };
    let built = end_entity.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &trust,
        &above,
        building_time(chain, policy),
        key_usage,
        None,
        Some(&judge),
    );
    match (built, verified.into_inner()) {
        (Ok(_), Some(path)) => Ok(path),
        (Ok(_), None) => Err(ChainError::Path("the path was not judged".to_owned())),
        (Err(error), _) => Err(refused.into_inner().unwrap_or_else(|| explain(usage, &error, chain, policy))),
    }
}

/// Judges a path whose names, signatures and constraints hold.
fn judge_path(
    usage: Usage,
    leaf: &Certificate,
    between: &[&Certificate],
    anchor: &Anchor,
    policy: &VerifyPolicy,
) -> Result<VerifiedPath, ChainError> {
    if between.len() > policy.max_intermediates {
        return Err(ChainError::PathTooLong { found: between.len(), max: policy.max_intermediates });
    }
    for certificate in between {
        judge_intermediate(usage, certificate, policy)?;
    }
    let top = anchor.certificate();
    let of_anchor = |flaw| ChainError::flawed(Which::Anchor(top.subject_text.clone()), flaw);
    strict::dates(top, policy, false).map_err(of_anchor)?;
    // RFC 5280, 4.2.1.9: certificates that an authority issued to itself are not counted.
    let found = between.iter().filter(|certificate| certificate.subject != certificate.issuer).count();
    if let Some(max) = top.extensions.path_length
        && usize::try_from(max).is_ok_and(|max| found > max)
    {
        return Err(of_anchor(Flaw::PathLength { max, found }));
    }
    let mut child = (Which::Leaf, leaf);
    for issuer in between.iter().copied().chain([top]) {
        if !child.1.key_identifiers_agree(issuer) {
            return Err(ChainError::flawed(child.0, Flaw::KeyIdentifier));
        }
        child = (Which::Intermediate(issuer.subject_text.clone()), issuer);
    }
    Ok(VerifiedPath {
        anchor: Some(anchor.sha256()),
        intermediates: between.iter().map(|certificate| certificate.sha256).collect(),
    })
}

fn judge_intermediate(usage: Usage, certificate: &Certificate, policy: &VerifyPolicy) -> Result<(), ChainError> {
    strict::intermediate(certificate, usage)
        .and_then(|()| strict::dates(certificate, policy, false))
        .map_err(|flaw| ChainError::flawed(Which::Intermediate(certificate.subject_text.clone()), flaw))
}

/// The moment that the path builder is given. It knows neither clock skew nor a waived expiry, so it gets one at
/// which certificates that begin within the skew have begun, and at which a waived one had not yet ended. The dates
/// are judged by `strict`, at the true moment.
fn building_time(chain: &PresentedChain, policy: &VerifyPolicy) -> UnixTime {
    let leaf = &chain.leaf().certificate;
    let begins = chain.above().iter().chain([leaf]).map(|certificate| certificate.not_before);
    let begun = begins.filter(|begin| *begin <= policy.latest_begin()).fold(policy.now_secs(), i64::max);
    let moment = if policy.ignore_expiry { begun.min(leaf.not_after) } else { begun };
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(moment).unwrap_or(0)))
}

/// Why no path was found, as precisely as it can be said: the first flaw of a certificate that the names lead over,
/// or else what the path builder says.
fn explain(usage: Usage, error: &webpki::Error, chain: &PresentedChain, policy: &VerifyPolicy) -> ChainError {
    let named = chain.levels(|issuer, child| child.issuer == issuer.subject).skip(1).flatten();
    if let Some(flaw) = named.filter_map(|certificate| judge_intermediate(usage, certificate, policy).err()).next() {
        return flaw;
    }
    let issuer = chain.leaf().issuer().to_owned();
    match error {
        webpki::Error::UnknownIssuer => ChainError::NoPath { issuer },
        webpki::Error::InvalidSignatureForPublicKey => ChainError::BadSignature { issuer },
        webpki::Error::PathLenConstraintViolated => ChainError::PathLength,
        webpki::Error::NameConstraintViolation => ChainError::NameConstraints,
        other => unbuildable(other),
    }
}

fn unbuildable(error: &webpki::Error) -> ChainError {
    ChainError::Path(error.to_string())
}
