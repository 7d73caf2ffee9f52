//! Path validation (RFC 5280, section 6) over the few certificates that a device sent.
//!
//! Paths are built upwards from the device's certificate by comparing names. A path that reaches an anchor is checked
//! from the cheap to the expensive: key identifiers, each certificate by itself, path lengths, then signatures, name
//! constraints, and last whatever else the caller checks. Name constraints are compared only after the signatures of
//! the authorities have been verified: otherwise a stranger could choose how many there are. If a path is refused, the
//! next one is tried, whatever the order of the certificates. If all are refused, the error is that of the path that
//! came closest. The work is limited by the number of steps, of signatures and of name comparisons, and no signature
//! is checked twice.
//!
//! rustls-webpki is not used for this because it compares names byte for byte, refuses everything under constraints on
//! directory or mail names, uses one moment for all certificates, and does not say which certificate it refused. Its
//! strict parser still checks every certificate on a path, and its algorithms verify the signatures.

use std::collections::HashMap;

use super::anchor::Anchor;
use super::certificate::Certificate;
use super::chain::PresentedChain;
use super::constraints::{MAX_COMPARISONS, Violation};
use super::error::{ChainError, Flaw, Which};
use super::signature::signed_by;
use super::strict::{self, Usage};
use super::verify::{Demands, VerifiedPath, VerifyPolicy};

/// Finds a path to one of the anchors from the device's certificate, which the caller has already checked by itself.
pub(super) fn find(demands: &Demands<'_>, chain: &PresentedChain) -> Result<VerifiedPath, ChainError> {
    let mut search = Search::new(demands, chain);
    match search.climb(&mut vec![&chain.leaf().certificate]) {
        Some(path) => Ok(path),
        None if search.steps > MAX_STEPS => Err(ChainError::TooManyPaths),
        None => Err(search.refused.take().map_or_else(|| search.unreached(), |(_, error)| error)),
    }
}

struct Search<'a> {
    demands: &'a Demands<'a>,
    chain: &'a PresentedChain,
    steps: usize,
    /// The results of signature checks. The keys are the addresses of the two certificates in memory, which do not
    /// move.
    signatures: HashMap<(*const Certificate, *const Certificate), bool>,
    /// How many comparisons of names with constraints are left.
    comparisons: usize,
    /// The error of the path that came closest; of several, the first.
    refused: Option<(Stage, ChainError)>,
}

/// How close a refused path came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The names lead to the anchor, but a signature or key does not fit.
    Key,
    /// A certificate, or the combination of certificates, is refused.
    Rules,
    /// Only the caller's check refused it.
    Caller,
}

impl<'a> Search<'a> {
    fn new(demands: &'a Demands<'a>, chain: &'a PresentedChain) -> Self {
        Self { demands, chain, steps: 0, signatures: HashMap::new(), comparisons: MAX_COMPARISONS, refused: None }
    }

    /// Continues a path that has not reached an anchor.
    fn climb(&mut self, path: &mut Vec<&'a Certificate>) -> Option<VerifiedPath> {
        let below = *path.last()?;
        for anchor in self.demands.anchors.iter().filter(|anchor| anchor.certificate().subject == below.issuer) {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return None;
            }
            match self.judge(path, anchor) {
                Ok(verified) => return Some(verified),
                Err((stage, _)) if self.refused.as_ref().is_some_and(|(before, _)| *before >= stage) => {}
                Err(refusal) => self.refused = Some(refusal),
            }
        }
        for issuer in self.chain.above().iter().filter(|issuer| issuer.subject == below.issuer) {
            // No issuer may occur twice in a path, and nothing is needed above a certificate that is an anchor.
            let again = path.iter().any(|one| one.subject == issuer.subject && one.key == issuer.key);
            if again || self.demands.anchors.iter().any(|anchor| anchor.sha256() == issuer.sha256) {
                continue;
            }
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return None;
            }
            path.push(issuer);
            let verified = self.climb(path);
            path.pop();
            if verified.is_some() {
                return verified;
            }
        }
        None
    }

    fn judge(&mut self, path: &[&'a Certificate], anchor: &'a Anchor) -> Result<VerifiedPath, (Stage, ChainError)> {
        let rules = |error| (Stage::Rules, error);
        let (leaf, between) = path.split_first().ok_or((Stage::Key, ChainError::Empty))?;
        let top = anchor.certificate();
        self.judge_links(path, top).map_err(|error| (Stage::Key, error))?;
        for certificate in between {
            judge_intermediate(self.demands.usage, certificate, self.demands.policy).map_err(rules)?;
        }
        let of_anchor = |flaw| ChainError::flawed(Which::Anchor(top.subject_text.clone()), flaw);
        strict::dates(top, self.demands.policy, false).map_err(of_anchor).map_err(rules)?;
        self.judge_lengths(between, top).map_err(rules)?;
        self.judge_signatures(path, top).map_err(|error| match error {
            ChainError::TooManyPaths => rules(error),
            error => (Stage::Key, error),
        })?;
        judge_names(leaf, between, top, &mut self.comparisons).map_err(rules)?;
        let verified = VerifiedPath {
            anchor: Some(anchor.sha256()),
            intermediates: between.iter().map(|certificate| certificate.sha256).collect(),
        };
        (self.demands.is_good)(&verified).map_err(|error| (Stage::Caller, error))?;
        Ok(verified)
    }

    /// Checks the key identifiers of each link.
    fn judge_links(&self, path: &[&Certificate], top: &Certificate) -> Result<(), ChainError> {
        let issuers = path.iter().copied().skip(1).chain([top]);
        for (at, (child, issuer)) in path.iter().zip(issuers).enumerate() {
            if !child.key_identifiers_agree(issuer) {
                return Err(ChainError::flawed(which(at, child), Flaw::KeyIdentifier));
            }
        }
        Ok(())
    }

    /// Checks the path lengths (RFC 5280, 4.2.1.9). Self-issued certificates are not counted.
    fn judge_lengths(&self, between: &[&Certificate], top: &Certificate) -> Result<(), ChainError> {
        let mut found = 0;
        for (at, certificate) in between.iter().chain([&top]).enumerate() {
            if let Some(max) = certificate.extensions.path_length
                && usize::try_from(max).is_ok_and(|max| found > max)
            {
                let text = certificate.subject_text.clone();
                let which = if at < between.len() { Which::Intermediate(text) } else { Which::Anchor(text) };
                return Err(ChainError::flawed(which, Flaw::PathLength { max, found }));
            }
            found += usize::from(at < between.len() && !certificate.is_self_issued());
        }
        let max = self.demands.policy.max_intermediates;
        if found > max {
            return Err(ChainError::PathTooLong { found, max });
        }
        Ok(())
    }

    /// Checks the signatures from the anchor downwards, so that the check ends early at a certificate that the
    /// anchor's key did not sign.
    fn judge_signatures(&mut self, path: &[&'a Certificate], top: &'a Certificate) -> Result<(), ChainError> {
        let issuers = path.iter().copied().skip(1).chain([top]);
        let links: Vec<_> = path.iter().copied().zip(issuers).enumerate().collect();
        for (at, (child, issuer)) in links.into_iter().rev() {
            if self.signatures.len() >= MAX_SIGNATURES {
                return Err(ChainError::TooManyPaths);
            }
            let link = (std::ptr::from_ref(child), std::ptr::from_ref(issuer));
            if !*self.signatures.entry(link).or_insert_with(|| signed_by(child, &issuer.key)) {
                let issuer = child.issuer_text.clone();
                return Err(ChainError::BadSignature { which: which(at, child), issuer });
            }
        }
        Ok(())
    }

    /// Why no path reached an anchor: the first flaw of a certificate that the names lead to, or that a certificate is
    /// missing.
    fn unreached(&self) -> ChainError {
        let levels = self.chain.levels(|issuer, child| child.issuer == issuer.subject).skip(1).flatten();
        let mut flaws = levels.filter_map(|one| judge_intermediate(self.demands.usage, one, self.demands.policy).err());
        let unread = || self.chain.unread().cloned();
        let missing = || ChainError::NoPath { issuer: self.chain.leaf().issuer().to_owned() };
        flaws.next().or_else(unread).unwrap_or_else(missing)
    }
}

fn judge_intermediate(usage: Usage, certificate: &Certificate, policy: &VerifyPolicy) -> Result<(), ChainError> {
    strict::intermediate(certificate, usage)
        .and_then(|()| strict::dates(certificate, policy, false))
        .map_err(|flaw| ChainError::flawed(Which::Intermediate(certificate.subject_text.clone()), flaw))
}

/// Checks name constraints (RFC 5280, 4.2.1.10). They apply to everything below, except self-issued intermediates.
fn judge_names(
    leaf: &Certificate,
    between: &[&Certificate],
    top: &Certificate,
    comparisons: &mut usize,
) -> Result<(), ChainError> {
    for (at, issuer) in between.iter().copied().chain([top]).enumerate() {
        let Some((constraints, _)) = &issuer.extensions.name_constraints else { continue };
        let below = between.iter().take(at).copied().filter(|one| !one.is_self_issued());
        for (place, child) in std::iter::once(leaf).chain(below).enumerate() {
            let issuer = || issuer.subject_text.clone();
            constraints.allow(&child.names, comparisons).map_err(|violation| match violation {
                Violation::Name(name) => {
                    ChainError::NameConstraints { issuer: issuer(), which: which(place, child), name }
                }
                Violation::TooMany => ChainError::TooManyNames { issuer: issuer(), which: which(place, child) },
            })?;
        }
    }
    Ok(())
}

/// Describes a certificate by its position on a path.
fn which(at: usize, certificate: &Certificate) -> Which {
    match at {
        0 => Which::Leaf,
        _ => Which::Intermediate(certificate.subject_text.clone()),
    }
}

/// Maximum number of steps. A path with four intermediates needs five, and a few more for each copy of a certificate.
const MAX_STEPS: usize = 60;

/// Maximum number of signatures that one search checks.
const MAX_SIGNATURES: usize = 24;

#[cfg(test)]
mod tests {
    use rcgen::{GeneralSubtree, KeyPair, NameConstraints, SanType};

    use super::super::chain::MAX_INTERMEDIATES;
    use super::super::tests::authority::{Made, chain, policy};
    use super::*;

    #[test]
    fn names_are_compared_below_the_authoritys_own_signatures_only() {
        let constrained = |params: &mut rcgen::CertificateParams| {
            params.use_authority_key_identifier_extension = false;
            let permitted_subtrees = vec![GeneralSubtree::DnsName("acme.example".to_owned()); 12];
            params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        };
        let root = Made::root_with("root", |params| params.use_authority_key_identifier_extension = false);
        let stranger = Made { der: root.der.clone(), params: root.params.clone(), key: KeyPair::generate().unwrap() };
        for (issuer, is_good) in [(&root, true), (&stranger, false)] {
            let mut issuers = vec![issuer.intermediate_with("root", constrained)];
            for _ in 1..MAX_INTERMEDIATES {
                let next = issuers.last().unwrap().intermediate_with("root", constrained);
                issuers.push(next);
            }
            let device = issuers.last().unwrap().device_with("dev-1", |params| {
                params.use_authority_key_identifier_extension = false;
                let host = |at| SanType::DnsName(format!("{at}.acme.example").try_into().unwrap());
                params.subject_alt_names = (0..40).map(host).collect();
            });
            let chain = chain(std::iter::once(&device).chain(issuers.iter().rev().map(|issuer| &issuer.der)));
            let (anchors, policy) = ([root.anchor()], policy());
            let demands = Demands { usage: Usage::Client, anchors: &anchors, policy: &policy, is_good: &|_| Ok(()) };
            let mut search = Search::new(&demands, &chain);
            let found = search.climb(&mut vec![&chain.leaf().certificate]);
            assert_eq!(found.is_some(), is_good, "{:?}", search.refused);
            if !is_good {
                assert!(matches!(search.refused, Some((_, ChainError::BadSignature { .. }))), "{:?}", search.refused);
            }
            let compared = MAX_COMPARISONS - search.comparisons;
            assert_eq!(compared > 0, is_good, "{compared}");
        }
    }
}
