//! What is kept of each policy at run time: its circuit breaker, the account that pays for its calls, and the meters
//! of its revision.
//!
//! There is one watch for each plugin of each id scope, each of its revisions that can be asked, and each of the
//! settings that groups give it: two groups whose settings name different services share neither a breaker nor a share
//! of the threads. All individual enrollments with settings of their own share one watch for each revision. Meters are
//! kept for each revision.
//!
//! A bound policy holds its watch, so that a call needs no lookup. The number of watches depends on what the operator
//! published and enrolled, never on what devices do: a change of the catalogue drops every watch that can no longer be
//! used. Beyond a limit for each id scope, the further policies of the scope share one watch. Other scopes are not
//! affected.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use landfall_domain::clock::Ambient;
use landfall_domain::names::{Digest, IdScope, PluginName};

use self::meter::Meters;
use super::breaker::{Breaker, BreakerLimits, Ending, Held, Pass, Reason, Shut, Skip, State};
use super::executor::Payer;
use super::failure::{CallFailure, HostFailure};

pub mod meter;

/// The watches of all policies that can be asked.
pub struct Watches {
    limits: BreakerLimits,
    ambient: Ambient,
    all: RwLock<HashMap<IdScope, OfScope>>,
}

/// The watches of one id scope.
#[derive(Default)]
struct OfScope {
    watches: HashMap<Watched, Arc<Watch>>,
    meters: HashMap<(PluginName, Digest), Arc<Meters>>,
    /// The shared watch of all policies beyond the limit.
    others: Option<Arc<Watch>>,
}

/// What identifies a watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Watched {
    pub scope: IdScope,
    /// The plugin's name.
    pub plugin: PluginName,
    pub revision: Digest,
    /// The SHA-256 of the settings. `None` for all settings that no group has.
    pub settings: Option<Digest>,
}

/// The watch of one policy.
pub struct Watch {
    /// What the watch is for. `None` for the shared watch beyond the limit.
    pub of: Option<Watched>,
    /// The account that pays for its calls.
    pub payer: Payer,
    /// The circuit breaker, which decides whether the policy is called.
    pub breaker: Breaker,
    /// The meters of the revision: cost and results of its calls.
    pub meters: Arc<Meters>,
}

/// What is known of one revision, over all its settings.
#[expect(missing_docs, reason = "the names say it")]
pub struct OfRevision {
    pub scope: IdScope,
    /// The plugin and its revision. `None` for the shared watch beyond the limit.
    pub of: Option<(PluginName, Digest)>,
    /// The meters: cost and results of its calls.
    pub meters: Arc<Meters>,
    /// The state of the breaker that is furthest from closed.
    pub state: State,
}

impl Watches {
    /// Creates an empty set of watches.
    #[must_use]
    pub fn new(limits: BreakerLimits, ambient: Ambient) -> Self {
        Self { limits, ambient, all: RwLock::default() }
    }

    /// The watch of a policy. It is created if there is none.
    #[must_use]
    pub fn get(&self, of: Watched) -> Arc<Watch> {
        if let Some(known) = self.find(&of) {
            return known;
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let OfScope { watches, meters, others } = all.entry(of.scope.clone()).or_default();
        if watches.len() >= MAX_WATCHES && !watches.contains_key(&of) {
            let new = || Arc::new(Watch::new(None, Arc::default(), self.limits, &self.ambient));
            return Arc::clone(others.get_or_insert_with(new));
        }
        let meters = Arc::clone(meters.entry((of.plugin.clone(), of.revision)).or_default());
        let new = || Arc::new(Watch::new(Some(of.clone()), meters, self.limits, &self.ambient));
        Arc::clone(watches.entry(of.clone()).or_insert_with(new))
    }

    /// The watch of a policy that an individual enrollment uses: the watch of the groups if one of them has the same
    /// settings, otherwise the watch for all settings that no group has.
    #[must_use]
    pub fn get_for_one(&self, of: Watched) -> Arc<Watch> {
        self.find(&of).unwrap_or_else(|| self.get(Watched { settings: None, ..of }))
    }

    /// The watch of a policy, if there is one.
    #[must_use]
    pub fn find(&self, of: &Watched) -> Option<Arc<Watch>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&of.scope)?.watches.get(of).cloned()
    }

    /// The state of a revision's breakers, over all its settings: the one that is furthest from closed.
    #[must_use]
    pub fn state_of(&self, scope: &IdScope, plugin: &PluginName, revision: Digest) -> State {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let watches = all.get(scope).into_iter().flat_map(|scope| &scope.watches);
        let own = watches.filter(|(of, _)| of.revision == revision && of.plugin == *plugin);
        worst(own.map(|(_, watch)| watch.breaker.state()))
    }

    /// Drops the watches of policies that can no longer be asked.
    pub fn retain(&self, asked: &HashSet<Watched>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, OfScope { watches, meters, others }| {
            watches.retain(|of, _| asked.contains(of));
            let revisions: HashSet<_> = watches.keys().map(|of| (&of.plugin, of.revision)).collect();
            meters.retain(|(plugin, revision), _| revisions.contains(&(plugin, *revision)));
            !watches.is_empty() || others.is_some()
        });
    }

    /// All revisions in order. After the revisions of a scope follows its shared watch, if it was ever used.
    #[must_use]
    pub fn revisions(&self) -> Vec<OfRevision> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut scopes: Vec<_> = all.iter().collect();
        scopes.sort_by_key(|(scope, _)| *scope);
        let of_scope = |(scope, of): (&IdScope, &OfScope)| {
            let mut states: BTreeMap<_, Vec<State>> = BTreeMap::new();
            for (of, watch) in &of.watches {
                states.entry((of.plugin.clone(), of.revision)).or_default().push(watch.breaker.state());
            }
            let revisions = states.into_iter().filter_map(|(revision, states)| {
                let meters = Arc::clone(of.meters.get(&revision)?);
                Some(OfRevision { scope: scope.clone(), of: Some(revision), meters, state: worst(states) })
            });
            let others = of.others.iter().filter(|watch| watch.meters.used()).map(|watch| OfRevision {
                scope: scope.clone(),
                of: None,
                meters: Arc::clone(&watch.meters),
                state: watch.breaker.state(),
            });
            revisions.chain(others).collect::<Vec<_>>()
        };
        scopes.into_iter().flat_map(of_scope).collect()
    }
}

/// The state that is furthest from closed.
fn worst(states: impl IntoIterator<Item = State>) -> State {
    let rank = |state: &State| match state {
        State::Closed => 0,
        State::Probation(_) => 1,
        State::Open(_) => 2,
    };
    states.into_iter().max_by_key(rank).unwrap_or(State::Closed)
}

impl Watch {
    fn new(of: Option<Watched>, meters: Arc<Meters>, limits: BreakerLimits, ambient: &Ambient) -> Self {
        static WATCHES: AtomicU64 = AtomicU64::new(0);
        let payer = Payer(WATCHES.fetch_add(1, Ordering::Relaxed));
        Self { of, payer, breaker: Breaker::new(limits, ambient), meters }
    }

    /// Whether a call may be made for a device now. If not, returns the failure to use instead.
    ///
    /// # Errors
    ///
    /// The breaker is open, or the device breaks the policy.
    pub fn admit(&self, device: &str) -> Result<Pass, CallFailure> {
        let millis = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        self.breaker.admit(device).map_err(|skip| {
            CallFailure::Host(match skip {
                Skip::Open(Shut { reason, left }) => {
                    HostFailure::BreakerOpen { reason: reason.to_string(), retry_ms: millis(left) }
                }
                Skip::Device(Held { times, left }) => HostFailure::DeviceHeld { times, retry_ms: millis(left) },
            })
        })
    }

    /// Reports to the breaker how a call for a device ended.
    pub fn tell<T>(&self, pass: Pass, device: &str, result: &Result<T, CallFailure>) {
        let ending = match result {
            Ok(_) | Err(CallFailure::Fault(_)) => Ending::Answered,
            Err(CallFailure::Broke(_)) => Ending::Broke,
            Err(CallFailure::Host(_)) => Ending::NotItsDoing,
        };
        let Some(reason) = self.breaker.tell(pass, device, ending) else { return };
        self.meters.opened(reason);
        if let Some(Watched { scope, plugin, revision, settings }) = &self.of {
            let (revision, settings) = (revision.short(), settings.map(|settings| settings.short()));
            tracing::error!(%scope, %plugin, revision, settings, %reason, "a policy is not asked for a while: its breaker opened");
        }
    }
}

impl Meters {
    fn opened(&self, reason: Reason) {
        self.openings(reason).inc();
    }
}

/// Maximum number of policies of an id scope with a watch of their own.
const MAX_WATCHES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn watches() -> Watches {
        let limits = BreakerLimits {
            failures: 5,
            window: Duration::from_secs(30),
            least_calls: 20,
            success_percent: 50,
            open: Duration::from_secs(1),
            open_most: Duration::from_secs(60),
        };
        Watches::new(limits, Ambient::system())
    }

    fn watched(number: usize) -> Watched {
        let revision = Digest::of(number.to_string().as_bytes());
        Watched { scope: "s".parse().unwrap(), plugin: "p".parse().unwrap(), revision, settings: None }
    }

    fn with_settings(text: &str) -> Watched {
        Watched { settings: Some(Digest::of(text.as_bytes())), ..watched(1) }
    }

    #[test]
    fn those_of_a_scope_beyond_the_limit_share_one_and_another_scope_has_its_own() {
        let watches = watches();
        for number in 0..MAX_WATCHES + 5 {
            let watch = watches.get(watched(number));
            assert_eq!(watch.of.is_none(), number >= MAX_WATCHES, "{number}");
        }
        assert_eq!(watches.revisions().len(), MAX_WATCHES);
        let of_another = Watched { scope: "t".parse().unwrap(), ..watched(MAX_WATCHES + 1) };
        assert_eq!(watches.get(of_another.clone()).of, Some(of_another));
        watches.retain(&HashSet::from([watched(3)]));
        assert_eq!(watches.revisions().len(), 1);
        assert_eq!(watches.get(watched(MAX_WATCHES + 1)).of, Some(watched(MAX_WATCHES + 1)));
    }

    #[test]
    fn groups_with_other_settings_share_neither_breaker_nor_payer_and_one_set_of_meters() {
        let watches = watches();
        let (slow, fast) = (watches.get(with_settings("slow")), watches.get(with_settings("fast")));
        assert_ne!(slow.payer, fast.payer);
        assert!(Arc::ptr_eq(&slow.meters, &fast.meters));
        for number in 0..64 {
            let device = format!("dev-{number}");
            let Ok(pass) = slow.admit(&device) else { break };
            let broke = CallFailure::Broke(super::super::failure::Breakage::OutOfFuel { fuel: 1 });
            slow.tell::<()>(pass, &device, &Err(broke));
        }
        assert!(slow.admit("another").is_err(), "its breaker is open");
        assert!(fast.admit("another").is_ok());
        assert_eq!(watches.revisions().len(), 1);
        assert!(matches!(watches.revisions()[0].state, State::Open(_)), "the worst is shown");
    }

    #[test]
    fn an_individual_enrollment_has_the_watch_of_a_group_with_its_settings_or_that_of_the_others() {
        let watches = watches();
        let group = watches.get(with_settings("a"));
        assert!(Arc::ptr_eq(&watches.get_for_one(with_settings("a")), &group));
        let one = watches.get_for_one(with_settings("b"));
        assert_eq!(one.of, Some(watched(1)));
        assert!(Arc::ptr_eq(&watches.get_for_one(with_settings("c")), &one));
    }
}
