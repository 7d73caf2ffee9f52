//! A store in memory, for tests: plain maps under one lock, with the rules that every store applies.
//!
//! It keeps no derived counts and claims, but computes them anew each time. So it is slow with many devices, and it
//! shows which parts of the redb store are required by the contract and which only serve speed.

mod authorities;
mod catalogue;
mod enrollments;
mod ledger;
mod plugins;
mod proofs;
mod records;
mod registrations;
mod scoped;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_attestation::x509::revocation::KeptRevocations;
use landfall_domain::api_token::TokenRecord;
use landfall_domain::clock::Timestamp;
use landfall_domain::decision::Entry;
use landfall_domain::enrollment::{CertificateAuthority, Group, Individual};
use landfall_domain::hub::Hub;
use landfall_domain::names::{CaName, Digest, GroupId, HubName, IdScope, PluginName, TrackingId};
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishedPlugin};
use landfall_domain::registration::Registration;
use landfall_domain::registry::ManufacturingRecord;

use crate::{Admissions, HubLoadFollower, Listing, Page, StoreError, Way};

/// The limits of a [`MemoryStore`].
#[derive(Clone, Debug)]
pub struct MemorySettings {
    /// How many entries that led to no registration the ledger keeps.
    pub entries_kept: usize,
    /// The maximum number of enrollment groups of an id scope.
    pub groups_per_scope: u64,
    /// How many earlier decisions of each registration the ledger keeps.
    pub decisions_per_device: usize,
    /// Which components are built into the program.
    pub built_in: fn(Digest) -> bool,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { entries_kept: 100_000, groups_per_scope: 2_000, decisions_per_device: 32, built_in: |_| false }
    }
}

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

impl MemoryStore {
    /// An empty store.
    pub fn new(settings: MemorySettings) -> Self {
        Self(Arc::new(Mutex::new(State { settings, ..State::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        let state = self.lock();
        if state.closed { Err(StoreError::Closed) } else { Ok(look(&state)) }
    }

    /// Runs a transaction: `change` first checks and then changes. Nobody reads in between, and no change can fail
    /// after the checks.
    fn write<T>(&self, change: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let answer = change(&mut state)?;
        if std::mem::take(&mut state.changed) {
            state.sequence = state.sequence.saturating_add(1);
        }
        Ok(answer)
    }
}

/// Things of id scopes, by the text of their key.
type ById<T> = BTreeMap<(IdScope, String), T>;

#[derive(Default)]
struct State {
    settings: MemorySettings,
    scopes: BTreeMap<IdScope, Tenant>,
    hubs: BTreeMap<(IdScope, HubName), Hub>,
    groups: BTreeMap<(IdScope, GroupId), Group>,
    individuals: ById<Individual>,
    authorities: BTreeMap<(IdScope, CaName), CertificateAuthority>,
    plugins: BTreeMap<(IdScope, PluginName), PublishedPlugin>,
    registrations: ById<Registration>,
    records: ById<ManufacturingRecord>,
    decisions: BTreeMap<TrackingId, Entry>,
    /// Entries that led to no registration, in the order of arrival.
    others: BTreeMap<u64, Entry>,
    contents: BTreeMap<Digest, Vec<u8>>,
    uses: BTreeMap<Digest, u64>,
    kept_components: BTreeMap<Digest, KeptComponent>,
    signatures: BTreeMap<Digest, Vec<Signature>>,
    tokens: BTreeMap<Digest, TokenRecord>,
    challenges: BTreeMap<TrackingId, KeptChallenge>,
    authenticators: BTreeSet<(Timestamp, Digest)>,
    issuer_keys: Vec<KeptKeys>,
    followers: Vec<Weak<dyn HubLoadFollower>>,
    sequence: u64,
    /// Whether the current write has changed something.
    changed: bool,
    closed: bool,
}

/// The state of an id scope itself.
#[derive(Default)]
struct Tenant {
    revision: u64,
    admissions: Admissions,
    revocations: Vec<KeptRevocations>,
}

impl State {
    fn tenant(&mut self, scope: &IdScope) -> &mut Tenant {
        self.scopes.entry(scope.clone()).or_default()
    }

    /// Increases the revision of the catalogue, and creates the scope if it does not exist.
    fn revise(&mut self, scope: &IdScope) {
        self.changed = true;
        let tenant = self.tenant(scope);
        tenant.revision = tenant.revision.saturating_add(1);
    }

    /// Increases the change counter of the data by which enrollments are found.
    fn count_admission(&mut self, scope: &IdScope, way: Way) {
        let counts = &mut self.tenant(scope).admissions;
        let count = match way {
            Way::Certificates => &mut counts.certificates,
            Way::Tokens => &mut counts.tokens,
            Way::Directories => &mut counts.directories,
        };
        *count = count.saturating_add(1);
    }
}

/// The entries of a map that belong to an id scope.
fn of_scope<'a, K: Ord + 'a, T>(
    all: &'a BTreeMap<(IdScope, K), T>,
    scope: &'a IdScope,
) -> impl DoubleEndedIterator<Item = (&'a K, &'a T)> {
    all.iter().filter(move |((of, _), _)| of == scope).map(|((_, name), thing)| (name, thing))
}

/// A page of the entries of an id scope that pass `shows`.
fn page_of<T: Clone>(all: &ById<T>, scope: &IdScope, page: &Page, shows: impl Fn(&T) -> bool) -> Listing<T> {
    let after = page.after.as_ref().map(|after| after.to_ascii_lowercase());
    let shown =
        of_scope(all, scope).filter(|(id, thing)| after.as_ref().is_none_or(|after| *id > after) && shows(thing));
    let mut shown = shown.peekable();
    let mut listing = Listing { items: Vec::new(), next: None };
    while let Some((id, thing)) = shown.next() {
        listing.items.push(thing.clone());
        if listing.items.len() >= page.limit.max(1) {
            listing.next = shown.peek().map(|_| id.clone());
            break;
        }
    }
    listing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store_suite;

    fn open() -> (MemoryStore, ()) {
        (
            MemoryStore::new(MemorySettings { entries_kept: 10, decisions_per_device: 3, ..MemorySettings::default() }),
            (),
        )
    }

    store_suite!(open());

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 64, failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_store_does_as_the_model_does(operations in crate::suite::model::operations()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let compared = crate::suite::model::compare(Arc::new(open().0), operations, async |store| store);
            runtime.block_on(compared);
        }
    }
}
