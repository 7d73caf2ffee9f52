//! The keys of identity providers, as they publish them.
//!
//! An issuer says where its keys are (OpenID Connect Discovery 1.0, section 4): its configuration names the address of
//! its keys, and the issuer in that configuration must be exactly the one that was asked. Both are fetched over TLS,
//! with limits: when a token of the issuer first arrives, and again at intervals. A token that names an unknown key
//! causes another fetch, because the key may be new. Such fetches happen at most twice a minute, whoever sends such
//! tokens; a device that comes in between is told to come back when that time is over. Only issuers that an enrollment
//! names are ever asked.
//!
//! If a provider cannot be reached, devices are not refused. Fetched keys are kept in the store, and are used until
//! they are `limits.device.issuer_keys_hours` old. The log and the metrics tell the operator that they were not
//! renewed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use landfall_attestation::bearer::NamedIssuer as Named;
use landfall_attestation::bearer::{BearerToken, IssuerKey, KeptKeys, SignedToken, TokenRules};
use landfall_domain::clock::{Ambient, Stopwatch, Timestamp};
use landfall_store::Store;

mod fetch;

pub use fetch::FetchError;

/// The keys of all issuers.
pub struct IdentityProviders {
    slots: Mutex<HashMap<Named, Arc<Slot>>>,
    /// How long keys are used if they cannot be fetched again.
    fresh: Duration,
    store: Arc<dyn Store>,
    ambient: Ambient,
}

/// The state of an issuer.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct IssuerState {
    pub issuer: String,
    /// The age of its keys; `None` if there are none.
    pub keys_age: Option<Duration>,
    /// Whether its last fetch failed.
    pub in_trouble: bool,
}

/// The slot of an issuer: what is known about it.
#[derive(Default)]
struct Slot {
    known: Mutex<Known>,
    /// Held while the issuer is asked.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Option<Keys>,
    asked: Option<Instant>,
    trouble: Option<String>,
}

/// The keys that an issuer has published.
#[derive(Clone)]
struct Keys {
    /// How long the keys have been here, and how old they were when they were loaded.
    known: Stopwatch,
    before: Duration,
    all: Arc<Vec<IssuerKey>>,
}

impl Keys {
    fn age(&self) -> Duration {
        self.known.elapsed().saturating_add(self.before)
    }
}

impl IdentityProviders {
    /// Keys of no issuer yet.
    pub fn new(fresh: Duration, store: Arc<dyn Store>, ambient: Ambient) -> Self {
        Self { slots: Mutex::default(), fresh, store, ambient }
    }

    /// Loads the keys that were fetched before a restart.
    pub fn take_up(&self, kept: Vec<KeptKeys>) {
        let (now, known) = (self.ambient.now(), Stopwatch::start(&self.ambient.clock));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in kept {
            let keys = Keys { known: known.clone(), before: now.since(kept.read_at), all: Arc::new(kept.keys()) };
            let slot = Slot { known: Mutex::new(Known { keys: Some(keys), ..Known::default() }), ..Slot::default() };
            slots.insert((kept.issuer, kept.ca_certificate, kept.public_hosts_only), Arc::new(slot));
        }
    }

    /// Forgets the keys of issuers that no enrollment names.
    pub fn retain(&self, named: &HashSet<Named>) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).retain(|slot, _| named.contains(slot));
    }

    /// The state of each issuer that was ever asked. If enrollments trust an issuer by different authorities, the worst
    /// state counts.
    pub fn states(&self) -> Vec<IssuerState> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states = BTreeMap::new();
        for ((issuer, ..), slot) in slots.iter() {
            let known = slot.known();
            let (keys_age, in_trouble) = (known.keys.as_ref().map(Keys::age), known.trouble.is_some());
            let state = IssuerState { issuer: issuer.clone(), keys_age, in_trouble };
            let worst = states.entry(issuer.clone()).or_insert_with(|| state.clone());
            worst.keys_age = worst.keys_age.max(state.keys_age);
            worst.in_trouble |= state.in_trouble;
        }
        states.into_values().collect()
    }

    /// Verifies a token with its issuer's keys, as these rules demand. Answers `None` if none of its keys has signed
    /// it.
    ///
    /// # Errors
    ///
    /// Why that cannot be decided: the issuer was never reached, or not for too long; or no known key fits, and it is
    /// too early to ask the issuer for newer ones.
    pub async fn signed<'a>(
        &self,
        rules: &TokenRules,
        token: &'a BearerToken,
    ) -> Result<Option<SignedToken<'a>>, FetchError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(named(rules)).or_default())
        };
        // A token of a known key is verified at once. It does not wait for an issuer that cannot be reached.
        let (came, known) = (self.ambient.instant(), slot.known());
        if let Some(settled) = known.settles(token, self.fresh) {
            return Ok(settled);
        }
        if known.may_be_asked(PAUSE, self.ambient.instant()) {
            let (asker, slot, rules, token) = (self.asker(), Arc::clone(&slot), rules.clone(), token.clone());
            // A task fetches the keys, because other requests need them as well, and the client of this request may
            // disconnect.
            let asking = tokio::spawn(async move {
                let _asking = slot.asking.lock().await;
                let known = slot.known();
                if known.settles(&token, asker.fresh).is_none() && known.may_be_asked(PAUSE, asker.ambient.instant()) {
                    asker.ask(&slot, &rules).await;
                }
            });
            drop(asking.await);
        } else {
            // Another request is asking. After this wait its answer is there.
            drop(slot.asking.lock().await);
        }
        let known = slot.known();
        if let Some(settled) = known.settles(token, self.fresh) {
            return Ok(settled);
        }
        if known.keys.as_ref().is_none_or(|keys| keys.age() >= self.fresh) {
            return Err(FetchError::Away(known.trouble.unwrap_or_else(|| "it was asked a moment ago".to_owned())));
        }
        // "Not signed" is final only if the issuer has answered since this token arrived: before that, it may not have
        // had the key yet.
        match known.asked {
            Some(asked) if asked >= came && known.trouble.is_none() => Ok(None),
            asked => {
                let left = PAUSE.saturating_sub(
                    asked.map_or(Duration::ZERO, |asked| self.ambient.instant().saturating_duration_since(asked)),
                );
                Err(FetchError::NotYet { seconds: left.as_secs().saturating_add(1) })
            }
        }
    }

    /// Fetches the keys of an issuer again, if they are old. Keys that were never fetched are left for a token to ask
    /// for.
    pub fn renew(&self, rules: &TokenRules) -> Option<impl Future<Output = ()> + Send + 'static> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(&named(rules)).cloned();
        let slot = slot.filter(|slot| {
            let known = slot.known();
            known.is_old() && known.may_be_asked(RETRY, self.ambient.instant())
        })?;
        let (asker, rules) = (self.asker(), rules.clone());
        Some(async move {
            if let Ok(_asking) = slot.asking.try_lock() {
                asker.ask(&slot, &rules).await;
            }
        })
    }

    fn asker(&self) -> Asker {
        Asker { fresh: self.fresh, store: Arc::clone(&self.store), ambient: self.ambient.clone() }
    }
}

/// The name under which the keys for these rules are kept.
pub fn named(rules: &TokenRules) -> Named {
    (rules.issuer.clone(), rules.ca_certificate.clone(), rules.public_hosts_only)
}

/// Fetches an issuer's keys, for all requests that wait for them.
struct Asker {
    fresh: Duration,
    store: Arc<dyn Store>,
    ambient: Ambient,
}

impl Asker {
    /// Fetches the issuer's keys and keeps them.
    async fn ask(&self, slot: &Slot, rules: &TokenRules) {
        let change =
            |change: &dyn Fn(&mut Known)| change(&mut slot.known.lock().unwrap_or_else(PoisonError::into_inner));
        let (began, known) = (self.ambient.instant(), Stopwatch::start(&self.ambient.clock));
        change(&|known| known.asked = Some(began));
        let fetched = tokio::time::timeout(PATIENCE, fetch::keys(rules)).await;
        match fetched.unwrap_or_else(|_| Err(FetchError::TimedOut(PATIENCE.as_secs()))) {
            Ok(published) => {
                if slot.known().trouble.is_some() {
                    tracing::info!(issuer = rules.issuer, "the issuer of tokens answers again");
                }
                let kept = KeptKeys::new(named(rules), &published, self.ambient.now());
                let keys = Keys { known, before: Duration::ZERO, all: Arc::new(kept.keys()) };
                change(&|known| (known.keys, known.trouble) = (Some(keys.clone()), None));
                let oldest = Timestamp::from_millis(kept.read_at.as_millis().saturating_sub(millis(self.fresh)));
                if let Err(error) = self.store.keep_issuer_keys(kept, oldest).await {
                    tracing::warn!(issuer = rules.issuer, %error, "the keys of an issuer are not kept for a restart");
                }
            }
            Err(error) => {
                let left = slot.known().keys.map(|keys| self.fresh.saturating_sub(keys.age()).as_secs() / 60);
                tracing::warn!(
                    issuer = rules.issuer, %error, keys_good_for_minutes = left,
                    "the keys of an issuer of tokens cannot be read; those that were read before are used"
                );
                // Refusals can be read by the operators of one id scope. Only the log, above, says to which address a
                // name leads.
                let trouble = error.for_scope(rules.public_hosts_only);
                change(&|known| known.trouble = Some(trouble.clone()));
            }
        }
    }
}

impl Slot {
    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Known {
    /// What the known keys say about a token: signed, or not signed. `None` if a key that is not known may have signed
    /// it.
    fn settles<'a>(&self, token: &'a BearerToken, fresh: Duration) -> Option<Option<SignedToken<'a>>> {
        let keys = self.keys.as_ref().filter(|keys| keys.age() < fresh)?;
        match token.signed_by(&keys.all) {
            Some(signed) => Some(Some(signed)),
            None if token.names_one_of(&keys.all) => Some(None),
            None => None,
        }
    }

    fn is_old(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.age() >= RENEWED)
    }

    fn may_be_asked(&self, pause: Duration, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= pause)
    }
}

/// The age at which keys are fetched again.
const RENEWED: Duration = Duration::from_secs(3600);
/// The longest wait for an issuer, for all its addresses together.
const PATIENCE: Duration = Duration::from_secs(10);
/// The shortest time between two fetches that a token causes.
const PAUSE: Duration = Duration::from_secs(30);
/// The shortest time between two fetches that a task causes.
const RETRY: Duration = Duration::from_secs(300);
