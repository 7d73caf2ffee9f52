//! Fetches revocation lists, in a task and never for a request.
//!
//! If an operator has named an address for an issuer, its list is fetched again after the interval that the operator
//! named, or at once when the address was changed. A list must be the issuer's own, complete, not from the future and
//! not older than the stored one. Then it replaces the stored one. If anything fails, the stored list counts until it
//! is out of date, and after that the issuer's rules decide. The log has a line whenever fetching starts or stops to
//! work, and once an hour for lists that are out of date.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_attestation::x509::crl::{MAX_BYTES, list_from};
use landfall_attestation::x509::revocation::{ListSource, RevocationChange, RevocationCommand, RevocationRecord};
use landfall_attestation::x509::{Anchor, Crl, CrlError};
use landfall_domain::clock::Stopwatch;
use landfall_domain::names::{Digest, IdScope};
use landfall_domain::secret::address;
use landfall_store::PutOutcome;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Service;
use crate::catalogue::ScopeCatalogue;
use crate::client::ClientLimits;
use crate::conflict;
use crate::outbound::{self, OutboundError};
use crate::shares::Shares;
use crate::tasks::{Ran, Trigger};

/// The state of fetching revocation lists.
pub struct Lists {
    attempts: Mutex<HashMap<Of, Attempt>>,
    warned: Mutex<Option<Stopwatch>>,
    /// Starts the task that fetches them.
    pub(super) due: Trigger,
    /// Bounds the addresses that are tried before they are accepted.
    trials: Shares<IdScope>,
}

/// Identifies a list: the id scope, and [`RevocationRecord::id`].
type Of = (IdScope, Digest);

/// The last attempt to fetch a list.
#[derive(Clone)]
struct Attempt {
    source: ListSource,
    age: Stopwatch,
    trouble: Option<FetchFailure>,
}

/// Why a list cannot be fetched, in two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchFailure {
    whole: String,
    for_scope: String,
}

impl FetchFailure {
    /// The text that a reader may see. The operator of the server sees everything. An operator who is bound to one id
    /// scope sees nothing of what answers at an address that the operator of the server has named.
    pub fn failure_for(&self, bound: bool) -> &str {
        if bound { &self.for_scope } else { &self.whole }
    }

    fn of(source: &ListSource, whole: String, for_scope: Option<String>) -> Self {
        let for_scope =
            if source.public_hosts_only { for_scope.unwrap_or_else(|| whole.clone()) } else { NOT_TOLD.into() };
        Self { whole, for_scope }
    }

    fn of_outbound(source: &ListSource, error: &OutboundError) -> Self {
        Self::of(source, error.to_string(), Some(error.for_scope(source.public_hosts_only)))
    }

    /// A trouble whose text says nothing about an address, so that everyone may read it.
    fn open(text: String) -> Self {
        Self { for_scope: text.clone(), whole: text }
    }
}

/// A revocation list that was fetched.
pub struct Fetched {
    /// The parsed list.
    pub list: Crl,
    /// The list in DER.
    pub der: Vec<u8>,
}

impl Default for Lists {
    fn default() -> Self {
        let trials = Shares::new(TRIALS_OF_A_SCOPE);
        Self { attempts: Mutex::default(), warned: Mutex::default(), due: Trigger::default(), trials }
    }
}

impl Lists {
    /// Starts fetching at once the lists whose address has changed, or that were removed.
    pub fn look_again(&self) {
        self.due.activate();
    }

    /// Why the last attempt to fetch an issuer's list from its current address failed, if it did.
    pub fn trouble(&self, scope: &IdScope, of: &RevocationRecord) -> Option<FetchFailure> {
        let source = of.rules.source.as_ref()?;
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let attempt = attempts.get(&(scope.clone(), of.id())).filter(|last| last.source.is_the_place_of(source))?;
        attempt.trouble.clone()
    }

    /// The number of lists whose last attempt failed.
    pub fn troubles(&self) -> usize {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.values().filter(|attempt| attempt.trouble.is_some()).count()
    }

    /// Whether a list has to be fetched now. If no list is stored although the last attempt succeeded, an operator has
    /// removed it: the issuer's certificates may be refused until the next one is fetched.
    fn is_due(&self, key: &Of, source: &ListSource, is_there: bool) -> bool {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.get(key).is_none_or(|last| {
            let usual = Duration::from_secs(source.refresh_minutes.saturating_mul(60));
            let pause = match (&last.trouble, is_there) {
                (Some(_), _) => usual.min(RETRY),
                (None, true) => usual,
                (None, false) => Duration::ZERO,
            };
            last.source != *source || last.age.elapsed() >= pause
        })
    }
}

/// Fetches the lists that are due: one run of the task `revocation-lists`. If the run is cut short, fetches that are
/// under way are dropped.
///
/// # Errors
///
/// How many lists could not be fetched at their last attempt, in this run or an earlier one, and the reason for the
/// first of them.
pub async fn fetch_due(service: Arc<Service>) -> Ran {
    let catalogue = service.catalogue().now();
    // Several are fetched at once, so that a slow server does not hold up other lists.
    let (mut fetching, few) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    let (mut there, mut fetched) = (Vec::new(), 0_usize);
    for scope in catalogue.scopes() {
        for said in scope.revocations().all() {
            let Some(source) = &said.record.rules.source else { continue };
            let key = (scope.scope.clone(), said.record.id());
            if service.outside().lists().is_due(&key, source, said.record.list.is_some()) {
                fetched = fetched.saturating_add(1);
                let (service, key, few) = (Arc::clone(&service), key.clone(), Arc::clone(&few));
                let (scope, record, source) = (Arc::clone(scope), said.record.clone(), source.clone());
                fetching.spawn(async move {
                    let _one_of_few = few.acquire().await;
                    let trouble = fetch(&service, &scope, &record, &source).await.err();
                    note(&service, &key, &record, &source, trouble);
                });
            }
            there.push(key);
        }
    }
    while fetching.join_next().await.is_some() {}
    let mut attempts = service.outside().lists().attempts.lock().unwrap_or_else(PoisonError::into_inner);
    attempts.retain(|key, _| there.contains(key));
    drop(attempts);
    warn_of_stale_ones(&service);
    let failures = failures(&service);
    match failures.first() {
        None => Ok(format!("lists that have an address: {}, asked for in this run: {fetched}", there.len())),
        Some(first) => Err(format!("{} of {} lists cannot be fetched; {first}", failures.len(), there.len())),
    }
}

/// The lists whose last attempt failed: the id scope, the issuer and the reason.
fn failures(service: &Service) -> Vec<String> {
    let (catalogue, lists) = (service.catalogue().now(), service.outside().lists());
    let mut failures = Vec::new();
    for scope in catalogue.scopes() {
        for said in scope.revocations().all() {
            if let Some(trouble) = lists.trouble(&scope.scope, &said.record) {
                failures.push(format!("{}, {}: {}", scope.scope, said.record.issuer.name(), trouble.whole));
            }
        }
    }
    failures
}

/// Fetches a list from an address before that address is accepted from an operator. Changes nothing.
///
/// # Errors
///
/// The reason why it cannot be fetched.
pub async fn try_out(
    service: &Service,
    scope: &ScopeCatalogue,
    of: &RevocationRecord,
    source: &ListSource,
) -> Result<Fetched, FetchFailure> {
    // An operator who tries many addresses waits only for its own trials.
    let _one_of_few = service.outside().lists().trials.take(scope.scope.clone()).await;
    fetch_list(scope, of, source, TRIAL_PATIENCE).await
}

/// Records that a list was fetched from this address just now, so that it is not fetched again at once.
pub fn note_fetched(service: &Service, scope: &IdScope, of: &RevocationRecord, source: &ListSource) {
    note(service, &(scope.clone(), of.id()), of, source, None);
}

/// Records the result of an attempt, and logs it if it differs from the last one.
fn note(service: &Service, key: &Of, of: &RevocationRecord, source: &ListSource, trouble: Option<FetchFailure>) {
    let mut attempts = service.outside().lists().attempts.lock().unwrap_or_else(PoisonError::into_inner);
    let age = Stopwatch::start(&service.ambient().clock);
    let attempt = Attempt { source: source.clone(), age, trouble: trouble.clone() };
    let before = attempts.insert(key.clone(), attempt).filter(|before| before.source.is_the_place_of(source));
    let before = before.and_then(|before| before.trouble);
    let (scope, authority) = (&key.0, of.issuer.name());
    match (&before, &trouble) {
        (_, Some(error)) if before != trouble => {
            let error = &error.whole;
            tracing::warn!(%scope, authority, url = %address::masked(&source.url), error, "a revocation list cannot be fetched; a list that is there counts until it is out of date");
        }
        (Some(_), None) => {
            tracing::info!(%scope, authority, url = %address::masked(&source.url), "the revocation list can be fetched again");
        }
        _ => {}
    }
}

async fn fetch(
    service: &Service,
    scope: &ScopeCatalogue,
    of: &RevocationRecord,
    source: &ListSource,
) -> Result<(), FetchFailure> {
    let open = |error: &dyn std::fmt::Display| FetchFailure::open(error.to_string());
    let Fetched { list, der } = fetch_list(scope, of, source, PATIENCE).await?;
    let now = service.ambient().now();
    if of.list.as_ref().is_some_and(|present| present.sha256 == list.facts().sha256) {
        return Ok(());
    }
    let command = RevocationCommand::list(&list, der, now, service.config().clock_skew().as_secs());
    let command = command.map_err(|error| open(&error))?.fetched_from(source);
    let change = RevocationChange { issuer: of.issuer.clone(), commands: vec![command], now };
    match service.catalogue().change(|store| store.change_revocations(&scope.scope, change, None)).await {
        Ok(PutOutcome::Conflict(why)) => Err(FetchFailure::open(conflict::in_words(&why))),
        Ok(_) => {
            tracing::info!(scope = %scope.scope, authority = of.issuer.name(), revoked = list.len(), next = list.facts().next_update(), "a revocation list was fetched");
            Ok(())
        }
        Err(error) => Err(open(&error)),
    }
}

/// Fetches the current list, and checks that it is the issuer's own.
async fn fetch_list(
    scope: &ScopeCatalogue,
    of: &RevocationRecord,
    source: &ListSource,
    patience: Duration,
) -> Result<Fetched, FetchFailure> {
    let said = |error: &dyn std::fmt::Display| FetchFailure::of(source, error.to_string(), None);
    let fetched = outbound::get_signed(&source.url, source.ca_certificate.as_deref(), source.public_hosts_only, LIMITS);
    let fetched = tokio::time::timeout(patience, fetched).await;
    // The time must not tell either what answers at the address.
    let late = |_| {
        let late = format!("it did not come within {} s", patience.as_secs());
        FetchFailure::of(source, late, Some("its host cannot be reached at a public address".to_owned()))
    };
    let bytes = fetched.map_err(late)?.map_err(|error| FetchFailure::of_outbound(source, &error))?;
    let der = list_from(&bytes).map_err(|error| said(&error))?;
    // A large list takes a while to parse and to verify.
    let issuers = certificates_of(scope, of);
    let reading = tokio::task::spawn_blocking(move || read(&der, &issuers).map(|list| Fetched { list, der }));
    reading.await.map_err(|error| said(&error))?.map_err(|error| said(&error))
}

/// The certificates of an issuer: those that were uploaded, and the one by which it was first known.
fn certificates_of(scope: &ScopeCatalogue, of: &RevocationRecord) -> Vec<Anchor> {
    let uploaded = scope.authorities().filter_map(|authority| Anchor::parse(&authority.der).ok());
    let own = uploaded.filter(|anchor| scope.revocations().of(anchor).is_some_and(|said| said.record.id() == of.id()));
    own.chain(Anchor::parse(&of.issuer.certificate)).collect()
}

/// Parses the list. One of the issuer's certificates must verify it.
fn read(der: &[u8], issuers: &[Anchor]) -> Result<Crl, CrlError> {
    let mut wrong = CrlError::NotSigned;
    for issuer in issuers {
        match Crl::parse(der, issuer) {
            Ok(list) => return Ok(list),
            Err(error) => wrong = error,
        }
    }
    Err(wrong)
}

fn warn_of_stale_ones(service: &Service) {
    let mut warned = service.outside().lists().warned.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.as_ref().is_some_and(|ago| ago.elapsed() < WARNED) {
        return;
    }
    let (now, grace) = (service.ambient().now(), service.config().certificates.stale_crl_hours.saturating_mul(3600));
    for scope in service.catalogue().now().scopes() {
        for of in scope.revocations().all().filter(|of| of.is_stale(now, grace)) {
            *warned = Some(Stopwatch::start(&service.ambient().clock));
            let record = &of.record;
            tracing::warn!(scope = %scope.scope, authority = record.issuer.name(), then = ?record.rules.when_stale, "THE REVOCATION LIST IS OUT OF DATE");
        }
    }
}

/// The number of lists that are fetched at once.
const AT_ONCE: usize = 8;
/// The longest pause before a list that could not be fetched is tried again.
const RETRY: Duration = Duration::from_secs(300);
const WARNED: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest trial of an address. An operator waits for it.
const TRIAL_PATIENCE: Duration = Duration::from_secs(20);
/// The number of addresses that are tried at once for one id scope.
const TRIALS_OF_A_SCOPE: usize = 2;
/// What an operator of one id scope is told about an address that the operator of the server has named.
const NOT_TOLD: &str =
    "the list cannot be had from where the server's operator has it fetched; the server's log says why";
const LIMITS: ClientLimits = ClientLimits {
    connect: Duration::from_secs(10),
    silence: Duration::from_secs(20),
    answer_bytes: MAX_BYTES * 2,
    ..ClientLimits::USUAL
};
