//! Revocation lists that are fetched, by a task of their own and never for a request.
//!
//! Every authority that names an address has its list read again after the time that it names, or at once when that was
//! changed. A list must be the authority's own, whole, and not older than the one that is there; then it takes that one's
//! place. Whatever goes wrong, the list that is there counts until it is out of date, and what then holds the authority's
//! rules say. The log tells of every change of fortune, and of lists that are out of date once an hour.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::Service;
use crate::attestation::x509::crl::MAX_BYTES;
use crate::attestation::x509::revocation::ListSource;
use crate::attestation::x509::{Anchor, Crl, pem};
use crate::client::ClientLimits;
use crate::clock;
use crate::enrollment::CertificateAuthority;
use crate::names::{CaName, IdScope};
use crate::outbound;
use crate::store::{Precondition, PutOutcome, entity_tag};

/// How the fetching of lists goes.
#[derive(Default)]
pub struct Lists {
    attempts: Mutex<HashMap<(IdScope, CaName), Attempt>>,
    warned: Mutex<Option<Instant>>,
    wake: Notify,
}

/// The last attempt to fetch one.
#[derive(Clone)]
struct Attempt {
    source: ListSource,
    at: Instant,
    trouble: Option<String>,
}

impl Lists {
    /// Has those fetched at once whose address has changed.
    pub fn look_again(&self) {
        self.wake.notify_one();
    }

    /// Why the last attempt to fetch an authority's list failed, if it did.
    pub fn trouble(&self, scope: &IdScope, name: &CaName) -> Option<String> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.get(&(scope.clone(), name.clone())).and_then(|attempt| attempt.trouble.clone())
    }

    /// How many lists could not be fetched the last time.
    pub fn troubles(&self) -> usize {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.values().filter(|attempt| attempt.trouble.is_some()).count()
    }

    fn is_due(&self, key: &(IdScope, CaName), source: &ListSource) -> bool {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.get(key).is_none_or(|last| {
            let usual = Duration::from_secs(source.refresh_minutes.saturating_mul(60));
            let pause = if last.trouble.is_some() { usual.min(RETRY) } else { usual };
            last.source != *source || last.at.elapsed() >= pause
        })
    }
}

/// Fetches lists until the server stops.
pub async fn keep_fetching(service: Arc<Service>, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            // What is being fetched is let go.
            () = look_at_all(Arc::clone(&service)) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = service.lists.wake.notified() => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

async fn look_at_all(service: Arc<Service>) {
    let catalogue = service.catalogue();
    // A place that is slow keeps no other list waiting.
    let (mut fetching, few) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    let mut there = Vec::new();
    for scope in catalogue.scopes() {
        for authority in scope.authorities() {
            let Some(source) = &authority.revocation.source else { continue };
            let key = (scope.scope.clone(), authority.name.clone());
            if service.lists.is_due(&key, source) {
                let (service, key, few) = (Arc::clone(&service), key.clone(), Arc::clone(&few));
                let (authority, source) = (authority.clone(), source.clone());
                fetching.spawn(async move {
                    let _one_of_few = few.acquire().await;
                    let trouble = fetch(&service, &key.0, &authority, &source).await.err();
                    note(&service, &key, &source, trouble);
                });
            }
            there.push(key);
        }
    }
    while fetching.join_next().await.is_some() {}
    let mut attempts = service.lists.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    attempts.retain(|key, _| there.contains(key));
    drop(attempts);
    warn_of_stale_ones(&service);
}

/// Keeps what came of an attempt, and tells when that changed.
fn note(service: &Service, key: &(IdScope, CaName), source: &ListSource, trouble: Option<String>) {
    let mut attempts = service.lists.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    let attempt = Attempt { source: source.clone(), at: clock::instant(), trouble: trouble.clone() };
    let before = attempts.insert(key.clone(), attempt).and_then(|before| before.trouble);
    let (scope, authority) = key;
    match (&before, &trouble) {
        (_, Some(error)) if before != trouble => {
            tracing::warn!(%scope, %authority, url = source.url, error, "a revocation list cannot be fetched; the one that is there counts until it is out of date");
        }
        (Some(_), None) => {
            tracing::info!(%scope, %authority, url = source.url, "the revocation list can be fetched again");
        }
        _ => {}
    }
}

async fn fetch(
    service: &Service,
    scope: &IdScope,
    authority: &CertificateAuthority,
    source: &ListSource,
) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let tls = outbound::trusting(source.ca_certificate.as_deref()).map_err(|error| said(&error))?;
    let fetched = tokio::time::timeout(PATIENCE, outbound::get(&source.url, &tls, &source.url, LIMITS)).await;
    let fetched = fetched.map_err(|_| format!("it did not come within {} s", PATIENCE.as_secs()))?;
    let bytes = fetched.map_err(|error| said(&error))?;
    let der = match std::str::from_utf8(&bytes) {
        Ok(text) => pem::crl_from(text).map_err(|error| said(&error))?,
        Err(_) => bytes.to_vec(),
    };
    let anchor = Anchor::parse(&authority.der).map_err(|error| said(&error))?;
    // It comes from elsewhere, and a parser of such lists has panicked before (RUSTSEC-2026-0104).
    let parsed = catch_unwind(AssertUnwindSafe(|| Crl::parse(&der, &anchor)));
    let parsed = parsed.map_err(|_| "it cannot be read".to_owned())?.map_err(|error| said(&error))?;
    if authority.crl.as_ref() == Some(&der) {
        return Ok(());
    }
    let present = authority.crl.as_deref().and_then(|der| Crl::parse(der, &anchor).ok());
    if present.is_some_and(|present| parsed.is_older_than(&present)) {
        return Err("it is older than the list that is there".to_owned());
    }
    let next = CertificateAuthority { crl: Some(der), updated_at: service.ambient.now(), ..authority.clone() };
    let when = Precondition::Match(entity_tag(authority));
    match service.store.put_authority(scope, next, when).await {
        Ok(PutOutcome::Created | PutOutcome::Replaced) => {
            tracing::info!(%scope, authority = %authority.name, revoked = parsed.len(), next = parsed.next_update(), "a revocation list was fetched");
            service.reload().await.map_err(|error| said(&error))
        }
        Ok(_) => Err("the authority was changed meanwhile".to_owned()),
        Err(error) => Err(said(&error)),
    }
}

fn warn_of_stale_ones(service: &Service) {
    let mut warned = service.lists.warned.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.is_some_and(|at| at.elapsed() < WARNED) {
        return;
    }
    let (now, grace) = (service.ambient.now(), service.config.certificates.stale_crl_hours.saturating_mul(3600));
    for scope in service.catalogue().scopes() {
        for of in scope.revocations().iter().filter(|of| of.is_stale(now, grace)) {
            *warned = Some(clock::instant());
            tracing::warn!(scope = %scope.scope, authority = of.subject(), then = ?of.when_stale(), "THE REVOCATION LIST IS OUT OF DATE");
        }
    }
}

/// Lists that are fetched at the same time.
const AT_ONCE: usize = 8;
/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(30);
/// After how long one that could not be fetched is tried again, at most.
const RETRY: Duration = Duration::from_secs(300);
const WARNED: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(60);
const LIMITS: ClientLimits =
    ClientLimits { connect: Duration::from_secs(10), silence: Duration::from_secs(20), answer_bytes: MAX_BYTES * 2 };
