//! Finds the enrollment whose authority stands lowest on a chain.

use std::collections::HashMap;

use landfall_domain::names::Digest;

use super::anchor::Anchor;
use super::certificate::Certificate;
use super::chain::PresentedChain;
use super::distinguished::Name;
use super::signature::signed_by;

/// Authorities and their owners.
///
/// DPS walks the presented chain from the device's own certificate to the root, and takes the first entry that refers
/// to a certificate on it. So the group of a lower intermediate wins over the group of a higher one. The last link
/// need not be sent: a certificate that an authority in this index signed counts as if that authority's certificate
/// followed it.
///
/// If several owners are possible, only links with a valid signature count, so that nobody can influence the choice by
/// sending certificates of others. If the names on the chain lead to one owner only, the signatures are left to the
/// verification that follows. A choice needs at most 24 signature checks for the links, and one more for every
/// authority in the index that has the name and the key identifier of the issuer of some certificate.
#[derive(Debug)]
pub struct AnchorIndex<T> {
    owners: Vec<T>,
    by_digest: HashMap<Digest, usize>,
    by_subject: HashMap<Name, Vec<(Anchor, usize)>>,
}

impl<T> Default for AnchorIndex<T> {
    fn default() -> Self {
        Self { owners: Vec::new(), by_digest: HashMap::new(), by_subject: HashMap::new() }
    }
}

impl<T> AnchorIndex<T> {
    /// Adds an authority. One certificate belongs to one owner; the first owner stays.
    pub fn insert(&mut self, anchor: &Anchor, owner: T) {
        if self.by_digest.contains_key(&anchor.sha256()) {
            return;
        }
        let at = self.owners.len();
        self.owners.push(owner);
        self.by_digest.insert(anchor.sha256(), at);
        self.by_subject.entry(anchor.certificate().subject.clone()).or_default().push((anchor.clone(), at));
    }

    /// The owners of the authorities that stand lowest on the chain. There are several owners if an authority is
    /// cross-signed, or was renewed with its key, and stands at the same height for all of them.
    pub fn nearest(&self, chain: &PresentedChain) -> Vec<&T> {
        // If there is only one candidate, nobody can influence the choice. Then the verification that follows checks
        // the signatures, and they are not checked here a second time.
        let named = |issuer: &Certificate, child: &Certificate| child.names_issuer(issuer);
        let mut places = match self.only_by_name(chain, named) {
            Some(only) => vec![only],
            None => self.lowest(chain),
        };
        if places.is_empty() {
            // With these owners, the verification reports that the key identifiers differ. That is a better message
            // than that no owner was found.
            places.extend(self.only_by_name(chain, |issuer, child| child.issuer == issuer.subject));
        }
        places.into_iter().filter_map(|at| self.owners.get(at)).collect()
    }

    fn lowest(&self, chain: &PresentedChain) -> Vec<usize> {
        let issued =
            |issuer: &Certificate, child: &Certificate| child.names_issuer(issuer) && signed_by(child, &issuer.key);
        for level in chain.levels(issued) {
            let mut itself: Vec<usize> =
                level.iter().filter_map(|certificate| self.by_digest.get(&certificate.sha256)).copied().collect();
            if itself.is_empty() {
                itself = level.iter().flat_map(|certificate| self.issuers_of(certificate)).collect();
            }
            if !itself.is_empty() {
                itself.sort_unstable();
                itself.dedup();
                return itself;
            }
        }
        Vec::new()
    }

    /// The one owner to whom the names on the chain lead, if there is only one.
    fn only_by_name(&self, chain: &PresentedChain, named: fn(&Certificate, &Certificate) -> bool) -> Option<usize> {
        let mut only = None;
        for certificate in chain.levels(named).flatten() {
            let itself = self.by_digest.get(&certificate.sha256).copied();
            let namesakes = self.by_subject.get(&certificate.issuer).map(Vec::as_slice).unwrap_or_default();
            let issuers = namesakes.iter().filter(|(anchor, _)| named(anchor.certificate(), certificate));
            for owner in itself.into_iter().chain(issuers.map(|(_, owner)| *owner)) {
                if *only.get_or_insert(owner) != owner {
                    return None;
                }
            }
        }
        only
    }

    fn issuers_of(&self, certificate: &Certificate) -> impl Iterator<Item = usize> {
        let namesakes = self.by_subject.get(&certificate.issuer).map(Vec::as_slice).unwrap_or_default();
        let named = namesakes.iter().filter(|(anchor, _)| certificate.names_issuer(anchor.certificate()));
        named.filter(|(anchor, _)| signed_by(certificate, &anchor.certificate().key)).map(|(_, at)| *at)
    }
}
