//! Whether a chain is what an enrollment demands.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::anchor::Anchor;
use super::chain::{MAX_INTERMEDIATES, PresentedChain};
use super::error::{ChainError, Flaw, Which};
use super::path;
use super::strict::{self, Usage};

/// How far ahead of ours the clock of whoever made a certificate may run.
pub const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How strictly chains are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyPolicy {
    /// The moment that counts. Ours: a device needs no clock.
    pub now: Timestamp,
    /// How much later than now a certificate may begin. An end is never stretched.
    pub clock_skew: Duration,
    /// Take a device's certificate that has expired; its authorities' must still be valid, now.
    pub ignore_expiry: bool,
    /// How many certificates may stand between a device's and the authority, self-issued ones not counted.
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
/// authority's, or for servers: an operator has named this very certificate. It must be allowed to sign the handshake. What
/// was sent along is not looked at.
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
    strict::pinned(leaf).map_err(flawed)?;
    strict::dates(leaf, policy, policy.ignore_expiry).map_err(flawed)?;
    Ok(VerifiedPath { anchor: None, intermediates: Vec::new() })
}

/// Whether the certificate could serve as a pin, now or later.
///
/// # Errors
///
/// What keeps every device from using it.
pub fn could_be_pinned(leaf: &super::Leaf, policy: &VerifyPolicy) -> Result<(), ChainError> {
    let flawed = |flaw| ChainError::flawed(Which::Leaf, flaw);
    strict::pinned(&leaf.certificate).map_err(flawed)?;
    match strict::dates(&leaf.certificate, policy, policy.ignore_expiry) {
        Ok(()) | Err(Flaw::NotYetValid(_)) => Ok(()),
        Err(flaw) => Err(flawed(flaw)),
    }
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
    verify_group_if(chain, anchors, policy, &|_| Ok(()))
}

/// The same, over a path to which nothing else is to be said against: where one is refused, the next is tried, so that
/// a revoked copy of a certificate does not stand in the way of a good one beside it.
///
/// # Errors
///
/// As [`verify_group`], or what was said against the paths that there are.
pub fn verify_group_if(
    chain: &PresentedChain,
    anchors: &[Anchor],
    policy: &VerifyPolicy,
    is_good: &dyn Fn(&VerifiedPath) -> Result<(), ChainError>,
) -> Result<VerifiedPath, ChainError> {
    Demands { usage: Usage::Client, anchors, policy, is_good }.verify(chain)
}

/// What is demanded of the path from a certificate upwards.
pub(super) struct Demands<'a> {
    /// What the certificate is to be used for.
    pub(super) usage: Usage,
    /// Where the path must lead.
    pub(super) anchors: &'a [Anchor],
    pub(super) policy: &'a VerifyPolicy,
    /// Whatever else may be said against a path.
    pub(super) is_good: &'a dyn Fn(&VerifiedPath) -> Result<(), ChainError>,
}

impl Demands<'_> {
    /// Judges the certificate by itself, then finds a path.
    pub(super) fn verify(&self, chain: &PresentedChain) -> Result<VerifiedPath, ChainError> {
        if self.anchors.is_empty() {
            return Err(ChainError::NoAnchors);
        }
        let leaf = &chain.leaf().certificate;
        let flawed = |flaw| ChainError::flawed(Which::Leaf, flaw);
        strict::issued_leaf(leaf, self.usage).map_err(flawed)?;
        strict::dates(leaf, self.policy, self.policy.ignore_expiry).map_err(flawed)?;
        path::find(self, chain)
    }
}
