//! The one Wasm engine of the process: what guests may be made of, and what they may take.
//!
//! Every setting below bounds something; its comment says what. Three of them matter most:
//!
//! - **Fuel and epochs together.** Fuel counts work the same everywhere and makes budgets testable; epochs bound
//!   time, which fuel does not. Either alone has been the cause of an outage somewhere.
//! - **A pool of instances, reset by scanning which pages were written.** A decision runs in a fresh instance. Made
//!   from nothing that costs four times as much, and on two cores it gets slower, not faster, because every
//!   instance maps and unmaps memory under one lock. The pool keeps its slots mapped and copies only dirty pages back.
//! - **A fixed set of Wasm features.** An upgrade of the engine turns on new proposals by default, which silently
//!   widens what guests may do. The exact set is written down here and pinned by a test.
//!
//! Calls are synchronous, on threads of the policy executor; no guest ever runs on a thread that serves connections.
//! The only compiler is Cranelift: the baseline compiler has had sandbox escapes that it has not.

pub(super) mod ticker;

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

use landfall_domain::clock::Clock;
use landfall_domain::names::Digest;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmFeatures};

use super::budget::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};
use ticker::Ticker;

/// The engine, its name, and what measures its calls.
pub(super) struct PolicyEngine {
    wasm: Engine,
    fingerprint: Digest,
    pooled: bool,
    pub(super) ticker: Ticker,
    clock: Arc<dyn Clock>,
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The settings do not fit this machine.
    #[error("the Wasm engine cannot start: {0}")]
    Wasm(String),
    /// The thread that counts milliseconds could not be started.
    #[error("cannot start the thread that times policies: {0}; the process may have reached its limit of threads")]
    Ticker(std::io::Error),
}

impl PolicyEngine {
    /// An engine with room for `slots` instances at once.
    ///
    /// Where the address space for the pool cannot be had (a container with `ulimit -v`), the engine falls back to
    /// instances made on demand and says so: correct, and several times slower.
    pub(super) fn start(slots: u32, clock: Arc<dyn Clock>) -> Result<Self, EngineError> {
        let mut config = settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
        let (wasm, pooled) = match Engine::new(&config) {
            Ok(wasm) => (wasm, true),
            Err(error) => {
                tracing::warn!(
                    slots,
                    error = format!("{error:#}"),
                    "no address space for the pool of policy instances: every decision makes its instance from \
                     nothing, which is several times slower; raise the limit on virtual memory (ulimit -v unlimited)"
                );
                on_demand(&mut config);
                (Engine::new(&config).map_err(|error| EngineError::Wasm(format!("{error:#}")))?, false)
            }
        };
        let ticker = Ticker::start(wasm.weak()).map_err(EngineError::Ticker)?;
        let fingerprint = Self::fingerprint_of(&wasm);
        Ok(Self { wasm, fingerprint, pooled, ticker, clock })
    }

    /// An engine that makes code for one of these, or for one whose instances are made `on_demand`, and runs nothing.
    /// How instances are made does not go into the code; how their memory is laid out does.
    pub(super) fn for_compiling(on_demand: bool) -> Result<Engine, EngineError> {
        let mut config = settings();
        if on_demand {
            self::on_demand(&mut config);
        }
        Engine::new(&config).map_err(|error| EngineError::Wasm(format!("{error:#}")))
    }

    /// Names version and settings of an engine.
    pub(super) fn fingerprint_of(wasm: &Engine) -> Digest {
        digest_of(&wasm.precompile_compatibility_hash())
    }

    pub(super) fn wasm(&self) -> &Engine {
        &self.wasm
    }

    /// Names version and settings: compiled code and counts of fuel are comparable only under one fingerprint.
    pub(super) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// What tells how long calls take. What ends them is their thread's CPU time.
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Whether instances come from the pool.
    pub(super) fn pooled(&self) -> bool {
        self.pooled
    }
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        // Work, counted in the guest: deterministic, the same on every machine.
        .consume_fuel(true)
        // Time: the guest checks a counter on loops and calls, which the ticker's thread advances each millisecond.
        .epoch_interruption(true)
        // The guest's stack; deeper recursion is a typed trap. The executor's threads have far more than this.
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        // An instance starts from a copy-on-write image of its memory instead of copying data segments.
        .memory_init_cow(true)
        // Up to this size that image is built even when it is sparse. An interpreter's heap comes close to it.
        .memory_guaranteed_dense_image_size(32 << 20)
        // The component model's async is neither offered to guests nor paid for by each store.
        .concurrency_support(false)
        // No memory that two instances share.
        .shared_memory(false)
        // Compiling is rare and cached; deciding is not.
        .cranelift_opt_level(OptLevel::Speed)
        // A NaN has the same bits on every machine, so that a decision replays to the same bytes.
        .cranelift_nan_canonicalization(true)
        // Frames in the report of a trap; unbounded recursion would otherwise report thousands.
        .wasm_backtrace_max_frames(NonZeroUsize::new(32))
        // Nothing outside the engine unwinds guest frames.
        .native_unwind_info(false);
    config.wasm_features(WasmFeatures::all(), false).wasm_features(FEATURES, true);
    config
}

/// Instances made from nothing, each within little more address space than its memory may have. Guests then check their
/// bounds themselves, which is slower again, but 4 GiB for each is what there was no room for.
fn on_demand(config: &mut Config) {
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(u64::try_from(MAX_MEMORY_BYTES).unwrap_or(u64::MAX))
        .memory_reservation_for_growth(0)
        .memory_guard_size(64 << 10)
        .guard_before_linear_memory(false);
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool
        // Instances at once: the executor's threads, tools and trials. Not the number of requests in flight.
        .total_component_instances(slots)
        // Counters, not memory: a component is made of several core instances.
        .total_core_instances(slots.saturating_mul(64))
        .max_core_instances_per_component(narrow(MAX_CORE_INSTANCES))
        // Address space: about 4 GiB is reserved, not used, for each of these.
        .total_memories(slots.saturating_mul(2))
        .max_memories_per_component(narrow(MAX_MEMORIES))
        .total_tables(slots.saturating_mul(4))
        .max_tables_per_component(narrow(MAX_TABLES).min(8))
        // The engine's own records of one instance.
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        // What any plugin may at most be granted; its budget is usually less.
        .max_memory_size(MAX_MEMORY_BYTES)
        .table_elements(MAX_TABLE_ELEMENTS)
        // Stays mapped in each slot and is reset by copying; resident memory is bounded by slots times this.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        // Asks the kernel which pages were written (Linux 6.7 and later) instead of resetting all of them.
        .pagemap_scan(Enabled::Auto)
        // A slot stays with the image that it last ran, whose memory is then already in place.
        .max_unused_warm_slots(slots);
    pool
}

/// SHA-256 over whatever a value feeds to a hasher: the engine names its settings only in this form.
fn digest_of(value: &impl Hash) -> Digest {
    struct Collect(aws_lc_rs::digest::Context);
    impl Hasher for Collect {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut collect = Collect(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256));
    value.hash(&mut collect);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(collect.0.finish().as_ref());
    Digest::from_bytes(bytes)
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The most memory that a budget may grant.
pub(super) const MAX_MEMORY_BYTES: usize = 64 << 20;
/// The most table elements that a budget may grant.
pub(super) const MAX_TABLE_ELEMENTS: usize = 20_000;
/// The guest's stack.
pub(super) const MAX_WASM_STACK_BYTES: usize = 512 << 10;

/// What guests may be made of: the WebAssembly 2.0 core that toolchains emit by default, extended constant
/// expressions (Python needs them) and the component model. Nothing else, whatever the engine's defaults become.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL)
    // The engine's own marker that it may hold garbage-collected types; no such type is enabled.
    .union(WasmFeatures::GC_TYPES);

#[cfg(test)]
mod tests {
    use landfall_domain::clock::SystemClock;

    use super::*;

    fn engine(slots: u32) -> PolicyEngine {
        PolicyEngine::start(slots, Arc::new(SystemClock)).unwrap()
    }

    #[test]
    fn guests_are_made_of_exactly_these_features() {
        let enabled = engine(4);
        let enabled = enabled.wasm().get_wasm_features();
        let names: Vec<_> = enabled.iter_names().map(|(name, _)| name).collect();
        let expected = [
            "MUTABLE_GLOBAL",
            "SATURATING_FLOAT_TO_INT",
            "SIGN_EXTENSION",
            "REFERENCE_TYPES",
            "MULTI_VALUE",
            "BULK_MEMORY",
            "SIMD",
            "FLOATS",
            "EXTENDED_CONST",
            "COMPONENT_MODEL",
            "GC_TYPES",
        ];
        assert_eq!(names, expected);
        // Some names stand for several; the bits are the whole truth.
        assert_eq!(enabled.bits(), FEATURES.bits());
    }

    #[test]
    fn without_address_space_for_the_pool_instances_are_made_on_demand() {
        // A million slots want more than any processor can address.
        let too_large = engine(1_000_000);
        assert!(!too_large.pooled());
        assert_ne!(too_large.fingerprint(), engine(4).fingerprint());
        assert!(engine(4).pooled());
    }

    #[test]
    fn what_the_compilers_process_makes_is_for_the_servers_engine() {
        for slots in [4, 1_000_000] {
            let server = engine(slots);
            let compiler = PolicyEngine::for_compiling(!server.pooled()).unwrap();
            assert_eq!(PolicyEngine::fingerprint_of(&compiler), server.fingerprint());
        }
    }

    #[test]
    fn two_engines_of_one_process_have_one_fingerprint() {
        let one = engine(4);
        let two = engine(8);
        assert_eq!(one.fingerprint(), two.fingerprint());
    }
}
