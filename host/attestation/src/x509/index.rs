//! Which enrollment's authority stands lowest on a chain.

use std::collections::HashMap;

use landfall_domain::names::Digest;

use super::anchor::Anchor;
use super::certificate::Certificate;
use super::chain::PresentedChain;
use super::distinguished::Name;
use super::signature::signed_by;

/// Authorities and whose they are.
///
/// DPS walks the presented chain from the device's own certificate to the root and takes the first entry that refers
/// to a certificate on it, so a group of a lower intermediate wins over one of a higher. The last link need not be
/// sent: a certificate that an authority here has signed counts as if that authority's followed it.
///
/// Where there is a choice, only links with a true signature count, so that nobody steers it by sending certificates of
/// others; a chain whose names lead to one owner only is left to the verification that follows. A choice takes at most 24
/// signatures for the links, and one more for every authority here that has the name and key identifier of some
/// certificate's issuer.
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
    /// Adds an authority. One certificate belongs to one owner: the first stays.
    pub fn insert(&mut self, anchor: &Anchor, owner: T) {
        if self.by_digest.contains_key(&anchor.sha256()) {
            return;
        }
        let at = self.owners.len();
        self.owners.push(owner);
        self.by_digest.insert(anchor.sha256(), at);
        self.by_subject.entry(anchor.certificate().subject.clone()).or_default().push((anchor.clone(), at));
    }

    /// Whose authorities stand lowest on the chain. Several owners are told where an authority is cross-signed, or was
    /// renewed with its key, and stands at one height for all of them.
    pub fn nearest(&self, chain: &PresentedChain) -> Vec<&T> {
        // Where there is nothing to choose, there is nothing to steer: the signatures are checked once, by the verification
        // that follows, and not a second time here.
        let named = |issuer: &Certificate, child: &Certificate| child.names_issuer(issuer);
        let mut places = match self.only_by_name(chain, named) {
            Some(only) => vec![only],
            None => self.lowest(chain),
        };
        if places.is_empty() {
            // The verification says that the key identifiers differ, which is more than that nobody is there.
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

    /// The one owner to whom the names on the chain lead, if they lead to one only.
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
