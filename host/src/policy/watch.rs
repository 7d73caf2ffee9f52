//! What is kept of each revision while it decides: its breaker and its meters.
//!
//! One watch for each plugin of each id scope and each of its revisions that can be asked. Bound policies hold theirs, so
//! that a call looks nothing up. How many there are follows what the operator published and never what devices do: a
//! change of the catalogue drops every watch that nothing in it can ask any more, and what individual enrollments name on
//! their own (a revision of long ago) shares one watch beyond a limit.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use self::meter::Meters;
use super::breaker::{Breaker, BreakerLimits, Ending, Held, Pass, Reason, Shut, Skip};
use super::executor::Payer;
use super::failure::{CallFailure, HostFailure};
use crate::clock::Ambient;
use crate::names::{Digest, IdScope, PluginName};

pub mod meter;

/// The watches of all revisions that can be asked.
pub struct Watches {
    limits: BreakerLimits,
    ambient: Ambient,
    all: RwLock<HashMap<Watched, Arc<Watch>>>,
    /// For what is beyond the limit.
    others: Arc<Watch>,
}

/// What a watch is kept of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Watched {
    /// The tenant.
    pub scope: IdScope,
    /// The plugin's name.
    pub plugin: PluginName,
    /// The revision.
    pub revision: Digest,
}

/// What is kept of one revision.
pub struct Watch {
    /// Of what; nothing for the one that is shared by what is beyond the limit.
    pub of: Option<Watched>,
    /// Who pays for its calls.
    pub payer: Payer,
    /// Whether it is asked.
    pub breaker: Breaker,
    /// What its calls took and what came of them.
    pub meters: Meters,
}

impl Watches {
    /// None yet.
    #[must_use]
    pub fn new(limits: BreakerLimits, ambient: Ambient) -> Self {
        let others = Arc::new(Watch::new(None, limits, &ambient));
        Self { limits, ambient, all: RwLock::default(), others }
    }

    /// The watch of a revision.
    #[must_use]
    pub fn get(&self, of: Watched) -> Arc<Watch> {
        if let Some(known) = self.find(&of) {
            return known;
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_WATCHES && !all.contains_key(&of) {
            return Arc::clone(&self.others);
        }
        let new = || Arc::new(Watch::new(Some(of.clone()), self.limits, &self.ambient));
        Arc::clone(all.entry(of.clone()).or_insert_with(new))
    }

    /// The watch of a revision, if there is one.
    #[must_use]
    pub fn find(&self, of: &Watched) -> Option<Arc<Watch>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(of).cloned()
    }

    /// Drops what can not be asked any more.
    pub fn retain(&self, asked: &HashSet<Watched>) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).retain(|of, _| asked.contains(of));
    }

    /// All of them in order, and the shared one when it was ever needed.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Watch>> {
        let mut all: Vec<_> = self.all.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_by(|a, b| a.of.cmp(&b.of));
        if self.others.meters.used() {
            all.push(Arc::clone(&self.others));
        }
        all
    }
}

impl Watch {
    fn new(of: Option<Watched>, limits: BreakerLimits, ambient: &Ambient) -> Self {
        static WATCHES: AtomicU64 = AtomicU64::new(0);
        let payer = Payer(WATCHES.fetch_add(1, Ordering::Relaxed));
        Self { of, payer, breaker: Breaker::new(limits, ambient), meters: Meters::default() }
    }

    /// Whether a call may be made for a device now; if not, the failure that stands for it.
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

    /// Tells the breaker how a call for a device ended.
    pub fn tell<T>(&self, pass: Pass, device: &str, result: &Result<T, CallFailure>) {
        let ending = match result {
            Ok(_) | Err(CallFailure::Fault(_)) => Ending::Answered,
            Err(CallFailure::Broke(_)) => Ending::Broke,
            Err(CallFailure::Host(_)) => Ending::NotItsDoing,
        };
        let Some(reason) = self.breaker.tell(pass, device, ending) else { return };
        self.meters.opened(reason);
        if let Some(Watched { scope, plugin, revision }) = &self.of {
            let revision = revision.short();
            tracing::error!(%scope, %plugin, revision, %reason, "a policy is not asked for a while: its breaker opened");
        }
    }
}

impl Meters {
    fn opened(&self, reason: Reason) {
        self.openings(reason).inc();
    }
}

/// Revisions that are watched apart from each other.
const MAX_WATCHES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(number: usize) -> Watched {
        let revision = Digest::of(number.to_string().as_bytes());
        Watched { scope: "s".parse().unwrap(), plugin: "p".parse().unwrap(), revision }
    }

    #[test]
    fn there_are_never_more_than_the_limit_and_those_beyond_share_one() {
        let limits = crate::config::Limits::default().policy.breaker();
        let watches = Watches::new(limits, Ambient::system());
        for number in 0..MAX_WATCHES + 5 {
            let watch = watches.get(watched(number));
            assert_eq!(watch.of.is_none(), number >= MAX_WATCHES, "{number}");
        }
        assert_eq!(watches.all().len(), MAX_WATCHES);
        watches.retain(&HashSet::from([watched(3)]));
        assert_eq!(watches.all().len(), 1);
        assert_eq!(watches.get(watched(MAX_WATCHES + 1)).of, Some(watched(MAX_WATCHES + 1)));
    }
}
