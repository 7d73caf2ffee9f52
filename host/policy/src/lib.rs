//! The policy host: runs a solution team's plugins, and trusts none of them.
//!
//! A plugin is a WebAssembly component that chooses a hub for a device, or says where a device belongs (`wit/`). This
//! crate loads plugins, gives them their settings, and asks them, under one rule: **whatever a plugin does, the host
//! goes on, and someone is told what it did.** The way of a decision:
//!
//! ```text
//! bytes ─image─▶ Revision ─configure─▶ Image ─executor─▶ fresh instance ─▶ answer ─verdict─▶ Outcome or Placement
//! ```
//!
//! - [`image`]: everything that can be wrong with a plugin is found when it is loaded and configured;
//! - [`trust`]: whose revisions are taken;
//! - `engine`, [`budget`]: what guests are made of, and what a call may use;
//! - `executor`: threads of their own, shared fairly, behind a bounded line;
//! - `link`: a component's imports are its authority; clock and randomness come from the call;
//! - [`verdict`]: every answer is checked before anything is done with it;
//! - [`failure`]: the policy said no, the policy could not, the policy broke: three things, kept apart.
//!
//! A decision is a pure function of the image, the input and what the catalogue answers, so it can be run again:
//! with a [`RecordedCatalogue`] of its transcript it gives the same bytes. The tools for authors ([`workbench`]) and the
//! replay use this crate as the server does; there is no second implementation. It needs no server and no store: it knows
//! [`landfall_domain`], and the HTTPS client of [`landfall_net`].
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use landfall_domain::decision::call::{Call, Candidates, Device, SelectInput};
//! use landfall_policy::{EmptyCatalogue, PolicyHost, PolicySettings, shipped};
//!
//! # fn example(call: Call, device: Device) -> Result<(), Box<dyn std::error::Error>> {
//! let host = PolicyHost::start(PolicySettings::new("cache"))?;
//! let revision = host.load(shipped::WEIGHTED)?;
//! let image = host.configure(&revision, "{}")?;
//! let input = SelectInput { call, device: Arc::new(device), candidates: Candidates::all([]) };
//! let report = image.select_hub(&input, Arc::new(EmptyCatalogue));
//! println!("{:?}, {} units of fuel", report.result, report.usage.fuel);
//! # Ok(())
//! # }
//! ```

pub mod bench;
pub mod breaker;
pub mod budget;
mod cache;
mod engine;
mod executor;
pub mod failure;
pub mod host_view;
pub mod http;
pub mod image;
mod link;
pub mod log;
pub mod profile;
pub mod program;
mod run;
pub mod shipped;
#[cfg(test)]
mod tests;
pub mod trust;
pub mod verdict;
pub mod watch;
pub mod workbench;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use landfall_domain::clock::{Clock, SystemClock};
pub(crate) use landfall_domain::decision::call;
use landfall_domain::decision::call::{Call, CallReport, Fault, Outcome, PlaceInput, Placement, SelectInput};
use landfall_domain::decision::failure::{Breakage, CallFailure, HostFailure};
use landfall_domain::decision::verdict::Violation;
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::card::Tier;

pub use self::budget::{Budget, BudgetError, Budgets, InitBudget};
pub use self::cache::{CacheError, KeyError};
pub use self::engine::EngineError;
pub use self::executor::{Payer, Payers, Visit};
pub use self::host_view::{Catalogue, EmptyCatalogue, GroupCounts, LiveCatalogue, NoAnswer, RecordedCatalogue};
pub use self::http::{Connection, HttpError, HttpSettings};
pub use self::image::{
    CompileLimits, Compiler, ConfigureError, Configured, FetchError, Fetched, Image, LoadError, Problem, Revision,
};
pub use self::link::LinkError;
pub use self::verdict::{MergeConflict, merge};
use cache::Cache;
use engine::PolicyEngine;
use executor::{Executor, Kind};
use http::Http;
use image::compile::Compiling;
use image::load::Loader;
use run::{Surroundings, run};
use trust::{KeyId, Signature, Subject, Trust};

/// How the policy host is set up.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PolicySettings {
    /// Where compiled components are kept. Made if it is not there; the key to it is kept beside it.
    pub cache_dir: PathBuf,
    /// Bytes that compiled components may take there. Default 1 GiB; a Rust plugin takes a quarter of a megabyte for
    /// each of its settings, an interpreter 40.
    pub cache_bytes: u64,
    /// Threads that run policies. As many as the machine has cores.
    pub workers: usize,
    /// Calls that may wait for a worker. More are refused at once.
    pub queue: usize,
    /// Threads that run policies which ask services, and wait. One plugin has at most half of them.
    pub connected_workers: usize,
    /// Calls that may wait for one of those. More are refused at once.
    pub connected_queue: usize,
    /// Which plugins may ask which services.
    pub http: HttpSettings,
    /// What a plugin may use, unless it is configured otherwise.
    pub budgets: Budgets,
    /// Bytes of a component that are taken. 32 MiB holds an interpreter.
    pub max_component_bytes: usize,
    /// Bytes of a component whose settings are baked, which compiles the whole of it for each settings. Default 4 MiB: a
    /// Rust policy takes a tenth of a second, an interpreter half a minute and 40 MiB of the cache, to save a millisecond.
    pub max_baked_bytes: usize,
    pub compiler: Compiler,
    /// Whose signatures count.
    pub trust: Trust,
    /// What the time is.
    pub clock: Arc<dyn Clock>,
}

impl PolicySettings {
    /// The defaults, with compiled components in `cache_dir`.
    #[must_use]
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            cache_dir: cache_dir.into(),
            cache_bytes: 1 << 30,
            workers,
            queue: workers.saturating_mul(QUEUE_PER_WORKER),
            connected_workers: 32,
            connected_queue: 256,
            http: HttpSettings::default(),
            budgets: Budgets::default(),
            max_component_bytes: 32 << 20,
            max_baked_bytes: 4 << 20,
            compiler: Compiler::default(),
            trust: Trust::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Loads plugins and runs them.
pub struct PolicyHost {
    engine: Arc<PolicyEngine>,
    compiling: Compiling,
    executor: Executor,
    trust: Trust,
    /// Calls that may wait for others never hold up those that do not. Its threads begin with the first grant.
    connected: Option<Executor>,
    http: Http,
    budgets: Budgets,
    max_component_bytes: usize,
    loaded: Mutex<HashMap<Digest, Weak<Revision>>>,
}

/// How full the pool of instances is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolGauges {
    /// Component instances in use.
    pub instances: usize,
    /// Linear memories in use.
    pub memories: usize,
    /// Linear memories that wait for the image that they had.
    pub warm_memories: usize,
    /// Bytes that unused memories and tables keep.
    pub resident_bytes: usize,
}

/// The policy host could not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StartError {
    /// The engine could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A budget is out of its range.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// Policies are to have the network, and it cannot be had.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The executor's threads could not be started.
    #[error("cannot start {workers} threads for policies: {source}; the process may have reached its limit of threads")]
    Threads {
        /// How many were wanted.
        workers: usize,
        source: std::io::Error,
    },
}

impl PolicyHost {
    /// Starts the engine, opens the cache and starts the workers.
    ///
    /// # Errors
    ///
    /// A [`StartError`] says which of them failed and what to do.
    pub fn start(settings: PolicySettings) -> Result<Self, StartError> {
        let PolicySettings { cache_dir, cache_bytes, workers, queue, connected_workers, connected_queue, .. } =
            settings;
        let PolicySettings { budgets, max_component_bytes, max_baked_bytes, compiler, trust, clock, .. } = settings;
        budgets.check()?;
        let workers = workers.max(1);
        let http = Http::start(settings.http, &clock)?;
        let waiting = if http.is_granted() { connected_workers.max(1) } else { 0 };
        let slots = workers.saturating_mul(2).saturating_add(EXTRA_SLOTS).saturating_add(waiting);
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        let threads = |kind, workers, queue| {
            Executor::start(kind, workers, queue, &clock).map_err(|source| StartError::Threads { workers, source })
        };
        Ok(Self {
            engine: Arc::new(PolicyEngine::start(slots, Arc::clone(&clock))?),
            compiling: Compiling::new(
                Cache::open(&cache_dir, cache_bytes, Arc::clone(&clock))?,
                compiler,
                max_baked_bytes,
            ),
            executor: threads(Kind::Decides, workers, queue)?,
            connected: (waiting > 0).then(|| threads(Kind::Waits, waiting, connected_queue)).transpose()?,
            http,
            trust,
            budgets,
            max_component_bytes,
            loaded: Mutex::default(),
        })
    }

    /// Loads a component: reads what it is, compiles it or takes it from the cache, links it, and tries it.
    ///
    /// Takes a tenth of a second for a Rust plugin that is new, and many for an interpreter: call it where blocking is
    /// allowed. The same bytes are loaded once, as long as anyone holds them.
    ///
    /// # Errors
    ///
    /// A [`LoadError`] for the stage that refused it.
    pub fn load(&self, fetched: impl Into<Fetched>) -> Result<Arc<Revision>, LoadError> {
        let fetched = fetched.into();
        let revision = self.load_verified(&fetched)?;
        fetched.is_of(&revision.description().version, &self.trust)?;
        Ok(revision)
    }

    fn load_verified(&self, fetched: &Fetched) -> Result<Arc<Revision>, LoadError> {
        let digest = fetched.digest();
        // Before what is loaded is looked at: signatures that are wrong are wrong the second time as well.
        let verified = fetched.clone().verified(&self.trust)?;
        if let Some(revision) = self.loaded(digest) {
            return Ok(revision);
        }
        let revision = verified.load(&Loader {
            engine: &self.engine,
            compiling: &self.compiling,
            budgets: &self.budgets,
            limit_bytes: self.max_component_bytes,
        })?;
        let revision = Arc::new(revision);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, revision| revision.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&revision));
        Ok(revision)
    }

    /// Gives settings (JSON text) to a revision, under the host's budgets. Blocks as [`PolicyHost::load`] does.
    ///
    /// # Errors
    ///
    /// A [`ConfigureError`]; problems that the plugin finds carry JSON pointers.
    pub fn configure(&self, revision: &Arc<Revision>, settings: &str) -> Result<Arc<Image>, ConfigureError> {
        self.configure_within(revision, settings, self.budgets.clone())
    }

    /// As [`PolicyHost::configure`], under budgets of its own.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn configure_within(
        &self,
        revision: &Arc<Revision>,
        settings: &str,
        budgets: Budgets,
    ) -> Result<Arc<Image>, ConfigureError> {
        image::configure::configure(&self.engine, &self.compiling, budgets, revision, settings).map(Arc::new)
    }

    /// What a plugin may use that has no limits of its own.
    #[must_use]
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Runs what calls policies on a worker, at the cost of `payers`, to its end even when the returned future is dropped.
    ///
    /// # Errors
    ///
    /// No worker took it, or it panicked, which is a bug of the host.
    pub async fn run<R: Send + 'static>(
        &self,
        payers: Payers,
        calls: impl FnOnce(&Visit) -> R + Send + 'static,
    ) -> Result<R, HostFailure> {
        self.executor.run(payers, calls).await
    }

    /// As [`PolicyHost::run`], on threads of their own, for calls that may wait for a service.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn run_connected<R: Send + 'static>(
        &self,
        payers: Payers,
        calls: impl FnOnce(&Visit) -> R + Send + 'static,
    ) -> Result<R, HostFailure> {
        self.connected.as_ref().unwrap_or(&self.executor).run(payers, calls).await
    }

    /// Whether the operator granted the network to the plugin that an id scope has under a name.
    #[must_use]
    pub fn grants_http(&self, scope: &IdScope, plugin: &PluginName) -> bool {
        self.http.grant(scope, plugin).is_some()
    }

    /// The trusted keys that signed a revision, as these signatures that were kept say, without loading it.
    ///
    /// # Errors
    ///
    /// It is not signed as the configuration demands.
    pub fn signers(&self, subject: &Subject<'_>, kept: &[Signature]) -> Result<Vec<KeyId>, LoadError> {
        Ok(self.trust.verify(subject, kept)?)
    }

    /// The rules by which signatures count.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The network of one call of a plugin; none when nothing is granted to it.
    #[must_use]
    pub fn connection(
        &self,
        scope: &IdScope,
        plugin: &PluginName,
        image: http::ImageKey,
        memory: &Arc<http::Memory>,
    ) -> Option<Connection> {
        self.http.connection(scope, plugin, image, memory)
    }

    /// Names the engine's version and settings. Counts of fuel and compiled code belong to one fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        self.engine.fingerprint()
    }

    /// Whether instances come from a pool. If not, the log says why.
    #[must_use]
    pub fn pooled(&self) -> bool {
        self.engine.pooled()
    }

    /// Calls that wait or run now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.executor.in_flight() + self.connected.as_ref().map_or(0, Executor::in_flight)
    }

    /// How full the pool of instances is; none when there is no pool.
    #[must_use]
    pub fn pool(&self) -> Option<PoolGauges> {
        let pool = self.engine.wasm().pooling_allocator_metrics()?;
        Some(PoolGauges {
            instances: usize::try_from(pool.component_instances()).unwrap_or(usize::MAX),
            memories: pool.memories(),
            warm_memories: usize::try_from(pool.unused_warm_memories()).unwrap_or(usize::MAX),
            resident_bytes: pool.unused_memory_bytes_resident().saturating_add(pool.unused_table_bytes_resident()),
        })
    }

    /// Takes no more calls. Those that run end by themselves, within their deadline.
    pub fn close(&self) {
        self.executor.close();
        if let Some(connected) = &self.connected {
            connected.close();
        }
    }

    fn loaded(&self, digest: Digest) -> Option<Arc<Revision>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(&digest)?.upgrade()
    }
}

impl Image {
    /// Asks for a hub, on the thread of the caller, which must be none that serves connections: [`PolicyHost::run`].
    #[must_use]
    pub fn select_hub(&self, input: &SelectInput, catalogue: Arc<dyn Catalogue>) -> CallReport<Outcome> {
        if !self.revision.card.worlds.selects() {
            return not_exported("hub-selection");
        }
        let budget = self.budgets.call.for_hubs(input.candidates.len());
        let report =
            run(&*self.linked, self.surroundings(&input.call, &budget, catalogue), |store, instance| {
                match self.prepare(store, instance)? {
                    Ok(()) => self.linked.select_hub(store, instance, input),
                    Err(fault) => Ok(Err(fault)),
                }
            });
        report.and_then(|outcome| {
            self.sized(verdict::size_of_outcome(&outcome))?;
            verdict::outcome(outcome, input.candidates.len()).map_err(invalid)
        })
    }

    /// Asks where a device belongs, as [`Image::select_hub`] asks for a hub.
    #[must_use]
    pub fn place(&self, input: &PlaceInput, catalogue: Arc<dyn Catalogue>) -> CallReport<Placement> {
        if !self.revision.card.worlds.places() {
            return not_exported("grouping");
        }
        let surroundings = self.surroundings(&input.call, &self.budgets.call, catalogue);
        let report = run(&*self.linked, surroundings, |store, instance| match self.prepare(store, instance)? {
            Ok(()) => self.linked.place(store, instance, input),
            Err(fault) => Ok(Err(fault)),
        });
        report.and_then(|placement| {
            self.sized(verdict::size_of_placement(&placement))?;
            verdict::placement(placement).map_err(invalid)
        })
    }

    fn surroundings<'a>(&'a self, call: &Call, budget: &'a Budget, catalogue: Arc<dyn Catalogue>) -> Surroundings<'a> {
        let waits = self.revision.card.tier == Tier::Recorded;
        Surroundings { engine: &self.engine, budget, waits, now: call.now, seed: call.seed, catalogue }
    }

    /// An image that is not baked is configured before each call, without clock, randomness and catalogue, as it would
    /// have been when it was baked.
    fn prepare(
        &self,
        store: &mut wasmtime::Store<link::CallState>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Result<(), Fault>> {
        if self.configured == Configured::Baked {
            return Ok(Ok(()));
        }
        let call = store.data_mut().set_aside();
        let configured = self.linked.configure(store, instance, &self.settings)?;
        store.data_mut().take_up(call);
        Ok(configured.map_err(|_| Fault::Internal("it refuses settings that it accepted before".into())))
    }

    fn sized(&self, bytes: usize) -> Result<(), CallFailure> {
        let limit = self.budgets.call.output_bytes;
        if bytes > limit {
            let detail = format!("it has {bytes} bytes; at most {limit} are taken");
            return Err(CallFailure::Broke(Breakage::Output { detail }));
        }
        Ok(())
    }
}

fn invalid(violation: Violation) -> CallFailure {
    CallFailure::Broke(Breakage::InvalidVerdict(violation))
}

fn not_exported<T>(interface: &str) -> CallReport<T> {
    CallReport::never_began(CallFailure::Host(HostFailure::NotExported { interface: interface.into() }))
}

/// Calls that may wait for each worker: at 50 µs a call, a wait of 6 ms.
const QUEUE_PER_WORKER: usize = 128;
/// Instances beyond the workers' own: trials, tools, and calls on the thread of the caller.
const EXTRA_SLOTS: usize = 16;
