//! The only Wasm engine of the process: which features guests may use, and how much.
//!
//! Every setting below limits something, and its comment says what. Three of them matter most:
//!
//! - **Both fuel and epochs.** Fuel counts work in the same way on every machine and makes budgets testable. Epochs
//!   limit time, which fuel does not. Using only one of them has caused outages elsewhere.
//! - **A pool of instances, reset by scanning which pages were written.** A decision runs in a fresh instance.
//!   Creating one from nothing costs four times as much, and becomes slower with two cores, because every instance
//!   maps and unmaps memory under one lock. The pool keeps its slots mapped and copies only dirty pages back.
//! - **A fixed set of Wasm features.** An upgrade of the engine enables new proposals by default, which would silently
//!   extend what guests may do. The exact set is written here and checked by a test.
//!
//! Calls are synchronous, on threads of the policy executor. No guest ever runs on a thread that serves connections.
//! The only compiler is Cranelift: the baseline compiler has had sandbox escapes that Cranelift has not had.

pub(super) mod ticker;

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;

use landfall_domain::clock::Clock;
use landfall_domain::names::Digest;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmFeatures};

use super::budget::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};
use ticker::Ticker;

/// The engine, its fingerprint, and the parts that measure its calls.
pub(super) struct PolicyEngine {
    wasm: Engine,
    fingerprint: Digest,
    pooled: bool,
    pub(super) ticker: Ticker,
    clock: Arc<dyn Clock>,
}

/// Why the engine could not be created.
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
    /// Creates an engine with room for `slots` instances at once.
    ///
    /// If the address space for the pool is not available (a container with `ulimit -v`), the engine creates instances
    /// on demand instead, and logs that. It is then correct, and several times slower.
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

    /// An engine that compiles code for one of these engines (or for one with instances `on_demand`) and runs nothing.
    /// How instances are created does not affect the code; how their memory is laid out does.
    pub(super) fn for_compiling(on_demand: bool) -> Result<Engine, EngineError> {
        let mut config = settings();
        if on_demand {
            self::on_demand(&mut config);
        }
        Engine::new(&config).map_err(|error| EngineError::Wasm(format!("{error:#}")))
    }

    /// The fingerprint of an engine's version and settings.
    pub(super) fn fingerprint_of(wasm: &Engine) -> Digest {
        digest_of(&wasm.precompile_compatibility_hash())
    }

    pub(super) fn wasm(&self) -> &Engine {
        &self.wasm
    }

    /// The fingerprint of version and settings. Compiled code and fuel counts are comparable only under one
    /// fingerprint.
    pub(super) fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// The clock that measures how long calls take. Deadlines do not use it: they are the CPU time of the call's
    /// thread.
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
        // Work, counted in the guest: deterministic and the same on every machine.
        .consume_fuel(true)
        // Time: on loops and calls, the guest checks a counter that the ticker's thread advances each millisecond.
        .epoch_interruption(true)
        // The guest's stack. Deeper recursion is a typed trap. The executor's threads have a far larger stack.
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        // An instance starts from a copy-on-write image of its memory instead of copying data segments.
        .memory_init_cow(true)
        // Up to this size the image is built even if it is sparse. An interpreter's heap comes close to it.
        .memory_guaranteed_dense_image_size(32 << 20)
        // The component model's async is not offered to guests, and no store pays for it.
        .concurrency_support(false)
        // Two instances cannot share memory.
        .shared_memory(false)
        // Compiling is rare and cached; decisions are frequent.
        .cranelift_opt_level(OptLevel::Speed)
        // A NaN has the same bits on every machine, so that a replay of a decision gives the same bytes.
        .cranelift_nan_canonicalization(true)
        // The number of frames in the report of a trap. Endless recursion would otherwise report thousands.
        .wasm_backtrace_max_frames(NonZeroUsize::new(32))
        // Nothing outside the engine unwinds the frames of guests.
        .native_unwind_info(false);
    config.wasm_features(WasmFeatures::all(), false).wasm_features(FEATURES, true);
    config
}

/// Instances are created from nothing, each within little more address space than its memory may have. Guests then
/// check their bounds themselves, which is slower again; but there is no room for 4 GiB each.
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
        // Instances at once: those of the executor's threads, of tools and of trials. Not the number of requests in
        // progress.
        .total_component_instances(slots)
        // These are counters, not memory: a component consists of several core instances.
        .total_core_instances(slots.saturating_mul(64))
        .max_core_instances_per_component(narrow(MAX_CORE_INSTANCES))
        // Address space: about 4 GiB is reserved, not used, for each memory.
        .total_memories(slots.saturating_mul(2))
        .max_memories_per_component(narrow(MAX_MEMORIES))
        .total_tables(slots.saturating_mul(4))
        .max_tables_per_component(narrow(MAX_TABLES).min(8))
        // The engine's internal data for one instance.
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        // The most that any plugin can be granted. Its budget is usually less.
        .max_memory_size(MAX_MEMORY_BYTES)
        .table_elements(MAX_TABLE_ELEMENTS)
        // Memory that stays mapped in each slot and is reset by copying. Resident memory is at most the number of
        // slots times this.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        // Asks the kernel which pages were written (Linux 6.7 and later) instead of resetting all of them.
        .pagemap_scan(Enabled::Auto)
        // A slot stays with the image that it ran last, whose memory is then already in place.
        .max_unused_warm_slots(slots);
    pool
}

/// SHA-256 over everything that a value feeds to a hasher. The engine exposes its settings only in this form.
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

/// The largest memory that a budget may grant.
pub(super) const MAX_MEMORY_BYTES: usize = 64 << 20;
/// The largest number of table elements that a budget may grant.
pub(super) const MAX_TABLE_ELEMENTS: usize = 20_000;
/// The size of the guest's stack.
pub(super) const MAX_WASM_STACK_BYTES: usize = 512 << 10;

/// The Wasm features that guests may use: the WebAssembly 2.0 core that toolchains emit by default, extended constant
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
    // The engine's own marker for possible garbage-collected types. No such type is enabled.
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
        // Some names stand for several features, so the bits are compared too.
        assert_eq!(enabled.bits(), FEATURES.bits());
    }

    #[test]
    fn without_address_space_for_the_pool_instances_are_made_on_demand() {
        // A million slots need more address space than any processor has.
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
