//! Verifies that a chain meets the demands of an enrollment.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::anchor::Anchor;
use super::chain::{MAX_INTERMEDIATES, PresentedChain};
use super::error::{ChainError, Flaw, Which};
use super::path;
use super::strict::{self, Usage};

/// How far the clock of a certificate's author may be ahead of ours.
pub const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The rules for verifying chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyPolicy {
    /// The time of verification. It is the server's time: a device needs no clock.
    pub now: Timestamp,
    /// How much later than now the validity of a certificate may begin. Its end is never extended.
    pub clock_skew: Duration,
    /// Accept a device's certificate that has expired. The certificates of its authorities must still be valid now.
    pub ignore_expiry: bool,
    /// How many certificates may stand between the device's and the authority. Self-issued ones are not counted.
    pub max_intermediates: usize,
}

impl VerifyPolicy {
    /// The default rules.
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

/// The path over which a chain was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPath {
    /// The authority at the top of the path. `None` for a pinned certificate, which needs no authority.
    pub anchor: Option<Digest>,
    /// The certificates between, from the device's issuer upwards.
    pub intermediates: Vec<Digest>,
}

/// Verifies that the device's certificate is one that its enrollment names. It may be self-signed, an authority's, or
/// for servers, because an operator has named this exact certificate. It must be allowed to sign the handshake. Other
/// certificates that the device sent are ignored.
///
/// # Errors
///
/// It is not one of them, or nobody should use it: a weak key, an invalid date, an extension that is not understood.
pub fn verify_pinned(
    chain: &PresentedChain,
    pins: &[Digest],
    policy: &VerifyPolicy,
) -> Result<VerifiedPath, ChainError> {
    let leaf = &chain.leaf().certificate;
    let shown = leaf.sha256;
    // All pins are compared, so that the time does not reveal which one matches.
    let matching = pins.iter().filter(|pin| verify_slices_are_equal(pin.as_bytes(), shown.as_bytes()).is_ok()).count();
    if matching == 0 {
        return Err(ChainError::NotPinned { shown });
    }
    let flawed = |flaw| ChainError::flawed(Which::Leaf, flaw);
    strict::pinned(leaf).map_err(flawed)?;
    strict::dates(leaf, policy, policy.ignore_expiry).map_err(flawed)?;
    Ok(VerifiedPath { anchor: None, intermediates: Vec::new() })
}

/// Whether the certificate could be used as a pin, now or later.
///
/// # Errors
///
/// A reason that keeps every device from using it.
pub fn could_be_pinned(leaf: &super::Leaf, policy: &VerifyPolicy) -> Result<(), ChainError> {
    let flawed = |flaw| ChainError::flawed(Which::Leaf, flaw);
    strict::pinned(&leaf.certificate).map_err(flawed)?;
    match strict::dates(&leaf.certificate, policy, policy.ignore_expiry) {
        Ok(()) | Err(Flaw::NotYetValid(_)) => Ok(()),
        Err(flaw) => Err(flawed(flaw)),
    }
}

/// Verifies that one of these authorities issued the device's certificate, directly or over other certificates that
/// the device sent. They are the authorities of the one group that applies.
///
/// # Errors
///
/// No path leads to an authority, or a certificate on the path is not acceptable. The error names it.
pub fn verify_group(
    chain: &PresentedChain,
    anchors: &[Anchor],
    policy: &VerifyPolicy,
) -> Result<VerifiedPath, ChainError> {
    verify_group_if(chain, anchors, policy, &|_| Ok(()))
}

/// Like [`verify_group`], but each path must also pass the check `is_good`. If a path is refused, the next one is
/// tried, so that a revoked copy of a certificate does not block a good one beside it.
///
/// # Errors
///
/// As [`verify_group`], or the error of `is_good` for the paths that exist.
pub fn verify_group_if(
    chain: &PresentedChain,
    anchors: &[Anchor],
    policy: &VerifyPolicy,
    is_good: &dyn Fn(&VerifiedPath) -> Result<(), ChainError>,
) -> Result<VerifiedPath, ChainError> {
    Demands { usage: Usage::Client, anchors, policy, is_good }.verify(chain)
}

/// What is demanded of the path above a certificate.
pub(super) struct Demands<'a> {
    /// What the certificate is used for.
    pub(super) usage: Usage,
    /// The anchors, one of which the path must reach.
    pub(super) anchors: &'a [Anchor],
    pub(super) policy: &'a VerifyPolicy,
    /// The caller's own check of a path.
    pub(super) is_good: &'a dyn Fn(&VerifiedPath) -> Result<(), ChainError>,
}

impl Demands<'_> {
    /// Checks the certificate by itself, then finds a path.
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
