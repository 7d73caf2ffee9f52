//! Which enrollment's authority stands lowest on a chain.

use std::collections::HashMap;

use super::anchor::Anchor;
use super::certificate::Certificate;
use super::chain::PresentedChain;
use super::signature::signed_by;
use crate::names::Digest;

/// Authorities and whose they are.
///
/// DPS walks the presented chain from the device's own certificate to the root and takes the first entry that refers
/// to a certificate on it, so a group of a lower intermediate wins over one of a higher. The last link need not be
/// sent: a certificate that an authority here has signed counts as if that authority's followed it.
///
/// Where there is a choice, only links with a true signature count, so that nobody steers it by sending certificates of
/// others; a chain whose names lead to one owner only is left to the verification that follows. A choice takes at most 10 signatures for the links, and one more for every authority here that has the name and key
/// identifier of some certificate's issuer.
#[derive(Debug)]
pub struct AnchorIndex<T> {
    owners: Vec<T>,
    by_digest: HashMap<Digest, usize>,
    /// By the DER of the subject.
    by_subject: HashMap<Vec<u8>, Vec<(Anchor, usize)>>,
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

    /// Whose authority stands lowest on the chain.
    pub fn nearest(&self, chain: &PresentedChain) -> Option<&T> {
        // Where there is nothing to choose, there is nothing to steer: the signatures are checked once, by the verification
        // that follows, and not a second time here.
        if let Some(only) = self.only_by_name(chain) {
            return self.owners.get(only);
        }
        let issued =
            |issuer: &Certificate, child: &Certificate| child.names_issuer(issuer) && signed_by(child, &issuer.key);
        let at = chain.levels(issued).find_map(|level| {
            let itself = level.iter().find_map(|certificate| self.by_digest.get(&certificate.sha256)).copied();
            itself.or_else(|| level.iter().find_map(|certificate| self.issuer_of(certificate, chain)))
        })?;
        self.owners.get(at)
    }

    /// The one owner to whom the names on the chain lead, if they lead to one only.
    fn only_by_name(&self, chain: &PresentedChain) -> Option<usize> {
        let mut only = None;
        for certificate in chain.levels(|issuer, child| child.names_issuer(issuer)).flatten() {
            let itself = self.by_digest.get(&certificate.sha256).copied();
            let namesakes = self.by_subject.get(&certificate.issuer).map(Vec::as_slice).unwrap_or_default();
            let issuers = namesakes.iter().filter(|(anchor, _)| certificate.names_issuer(anchor.certificate()));
            for owner in itself.into_iter().chain(issuers.map(|(_, owner)| *owner)) {
                if *only.get_or_insert(owner) != owner {
                    return None;
                }
            }
        }
        only
    }

    fn issuer_of(&self, certificate: &Certificate, chain: &PresentedChain) -> Option<usize> {
        let namesakes = self.by_subject.get(&certificate.issuer)?;
        // An authority may have several certificates of one key; the one that was sent is the one that is meant.
        let sent = |anchor: &Anchor| chain.above().iter().any(|certificate| certificate.sha256 == anchor.sha256());
        let sent_first = namesakes
            .iter()
            .filter(|(anchor, _)| sent(anchor))
            .chain(namesakes.iter().filter(|(anchor, _)| !sent(anchor)));
        let mut named = sent_first.filter(|(anchor, _)| certificate.names_issuer(anchor.certificate()));
        named.find(|(anchor, _)| signed_by(certificate, &anchor.certificate().key)).map(|(_, at)| *at)
    }
}
