//! Whether a trusted authority signed the device's certificate, directly or through intermediates.

use std::collections::HashSet;

use super::anchor::Anchor;
use super::chain::PresentedChain;
use super::signature::signed_by;

/// Whether signatures lead from the device's certificate up to one of the authorities, whatever else is wrong with the
/// chain. Anybody can write an authority's name into a certificate, so a device counts as a stranger unless an
/// authority's signature is found.
pub fn descends_from(chain: &PresentedChain, anchors: &[Anchor]) -> bool {
    let (mut reached, mut checks) = (vec![&chain.leaf().certificate], 0_usize);
    let mut seen = HashSet::new();
    while let Some(child) = reached.pop() {
        let anchors = anchors.iter().map(Anchor::certificate).map(|anchor| (anchor, true));
        let above = chain.above().iter().map(|own| (own, false));
        for (issuer, counts) in anchors.chain(above).filter(|(issuer, _)| issuer.subject == child.issuer) {
            if !counts && seen.contains(&issuer.sha256) {
                continue;
            }
            checks = checks.saturating_add(1);
            if checks > MOST_CHECKS {
                return false;
            }
            if signed_by(child, &issuer.key) {
                if counts {
                    return true;
                }
                seen.insert(issuer.sha256);
                reached.push(issuer);
            }
        }
    }
    false
}

/// Maximum number of signatures to check. An honest chain needs as many as it has certificates.
const MOST_CHECKS: usize = 16;
