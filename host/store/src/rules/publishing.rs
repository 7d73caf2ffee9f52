//! Publishing a revision of a plugin.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use landfall_domain::names::{Digest, IdScope};
use landfall_domain::plugin::signature::{Over, Signature};
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};

use super::contents::{self, Contents};
use crate::{Conflict, Precondition, PutOutcome, StoreError, plugin_tag};

/// A revision to publish.
pub(crate) struct Publication {
    pub(crate) scope: IdScope,
    pub(crate) plugin: PublishedPlugin,
    pub(crate) bytes: Vec<u8>,
    /// SHA-256 of the component.
    pub(crate) digest: Digest,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) bounds: PublishBounds,
    pub(crate) when: Precondition,
}

impl Publication {
    /// Publishes the revision, if it is allowed.
    pub(crate) fn publish(&self, store: &mut impl Contents) -> Result<PutOutcome, StoreError> {
        if self.digest != self.plugin.live {
            let conflict = Conflict::OtherBytes { found: self.digest, wanted: self.plugin.live };
            return Ok(PutOutcome::Conflict(conflict));
        }
        let stands = store.plugin(&self.scope, &self.plugin.name)?;
        let outcome = match self.when.judge(stands.as_ref().map(plugin_tag).as_deref()) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        let before: Vec<(Digest, String)> = stands
            .iter()
            .flat_map(PublishedPlugin::revisions)
            .map(|(revision, publisher)| (revision, publisher.to_owned()))
            .collect();
        // A rollback to an earlier revision takes no additional space.
        let adds = !before.iter().any(|(revision, _)| *revision == self.digest);
        let mut plugin = match stands {
            Some(before) => self.plugin.clone().after(before, MOST_PREVIOUS),
            None => self.plugin.clone(),
        };
        if adds && let Some(beyond) = self.fit(store, &before, &mut plugin)? {
            return Ok(PutOutcome::Conflict(beyond));
        }
        store.put_plugin(&self.scope, &plugin)?;
        if store.size(self.digest)?.is_none() {
            store.put(self.digest, &self.bytes)?;
        }
        self.keep_signatures(store)?;
        store.keep_no_more(self.digest)?;
        contents::let_go(store, (&self.scope, &self.plugin.name), before.into_iter())?;
        Ok(outcome)
    }

    /// Drops the oldest revisions of the plugin until all limits are met; returns the exceeded limit if that is not
    /// enough. The revision before the live one stays, because the operator may have to roll back to it.
    ///
    /// A component that no plugin names but a decision or an enrollment does is still stored, and counts against its
    /// publisher. So dropping a revision of `before` frees no space while such a row names it.
    fn fit(
        &self,
        store: &impl Contents,
        before: &[(Digest, String)],
        plugin: &mut PublishedPlugin,
    ) -> Result<Option<Conflict>, StoreError> {
        let PublishBounds { plugins, bytes, by_publisher } = self.bounds;
        let mut others = store.plugins(&self.scope)?;
        others.retain(|other| other.name != plugin.name);
        if others.len() >= plugins {
            return Ok(Some(Conflict::MostPlugins { there: others.len(), most: plugins }));
        }
        let kept = store.kept()?.into_iter().filter(|(_, of)| of.scope == self.scope);
        let mut kept: Vec<(Digest, String)> = kept.map(|(digest, of)| (digest, of.publisher)).collect();
        for (digest, publisher) in before {
            if store.uses(*digest)? > 0 && !store.is_built_in(*digest) {
                kept.push((*digest, publisher.clone()));
            }
        }
        let kept: Vec<(Digest, &str)> = kept.iter().map(|(digest, by)| (*digest, by.as_str())).collect();
        let mut sizes = HashMap::from([(self.digest, u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))]);
        let named = others.iter().chain([&*plugin]).flat_map(PublishedPlugin::revisions);
        for (digest, _) in named.chain(kept.iter().copied()) {
            if let Entry::Vacant(place) = sizes.entry(digest) {
                place.insert(store.size(digest)?.unwrap_or_default());
            }
        }
        loop {
            let named = |by: Option<&str>| -> HashSet<Digest> {
                let all = others.iter().chain([&*plugin]).flat_map(PublishedPlugin::revisions);
                all.filter(|(_, who)| by.is_none_or(|by| by == *who)).map(|(digest, _)| digest).collect()
            };
            let sum = |by: Option<&str>| {
                let named = named(by);
                let theirs = kept.iter().filter(|(_, who)| by.is_none_or(|by| by == *who)).map(|(digest, _)| *digest);
                let only_kept: HashSet<Digest> = theirs.filter(|digest| !named.contains(digest)).collect();
                let bytes = |digests: &HashSet<Digest>| {
                    let sizes = digests.iter().filter_map(|digest| sizes.get(digest));
                    sizes.fold(0_u64, |sum, size| sum.saturating_add(*size))
                };
                let kept = bytes(&only_kept);
                (bytes(&named).saturating_add(kept), kept)
            };
            let ((all, all_kept), (own, own_kept)) = (sum(None), sum(Some(&self.plugin.published_by)));
            if all <= bytes && by_publisher.is_none_or(|most| own <= most) {
                return Ok(None);
            }
            if plugin.previous.len() > 1 {
                plugin.forget_oldest();
                continue;
            }
            return Ok(Some(match by_publisher.filter(|most| own > *most) {
                Some(most) => Conflict::NoRoom { of_publisher: true, bytes: own, kept: own_kept, most },
                None => Conflict::NoRoom { of_publisher: false, bytes: all, kept: all_kept, most: bytes },
            }));
        }
    }

    /// Adds the signatures of this publication: the same bytes may be published again with other signatures.
    /// Signatures of the older form are not added: a component that was published with them has them already.
    fn keep_signatures(&self, store: &mut impl Contents) -> Result<(), StoreError> {
        let mut kept = store.signatures_of(self.digest)?;
        let named = |signature: &&Signature| matches!(signature.over, Over::Revision(_)) && !kept.contains(signature);
        let new = self.signatures.iter().filter(named).cloned().collect::<Vec<_>>();
        if new.is_empty() {
            return Ok(());
        }
        kept.extend(new);
        kept.drain(..kept.len().saturating_sub(MOST_SIGNATURES));
        store.put_signatures(self.digest, &kept)
    }
}

/// How many earlier revisions the record of a plugin names. The bytes of older ones are removed, unless a decision or
/// an enrollment names them; then they are removed with the last such row.
const MOST_PREVIOUS: usize = 20;
/// How many signatures of one component are kept; the newest stay.
const MOST_SIGNATURES: usize = 256;
