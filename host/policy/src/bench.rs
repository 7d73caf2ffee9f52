//! Measures the cost of one decision.
//!
//! The important figure is the **CPU time of the deciding thread**, including passing arguments and checking the
//! answer: it does not change when the machine is shared, and the capacity of a server follows from it. Decisions per
//! second are reported too, for one thread and for several. Their ratio shows whether threads block each other; it
//! means something only on a machine with as many idle cores. Every decision runs as in production: a fresh metered
//! instance, the verdict gate, no batching.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use landfall_domain::clock::Stopwatch;
use landfall_domain::names::Digest;
use serde::{Deserialize, Serialize};

use super::call::{Attestation, Call, CallReport, Candidates, Device, EnrollmentKind, Hub, Label, SelectInput};
use super::failure::CallFailure;
use super::host_view::{Catalogue, EmptyCatalogue};
use super::image::Image;
use super::run::cpu_time;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct BenchPlan {
    /// The numbers of candidates.
    pub hubs: Vec<usize>,
    /// The numbers of threads.
    pub threads: Vec<usize>,
    /// How long each combination of the two is measured.
    pub span: Duration,
}

impl Default for BenchPlan {
    fn default() -> Self {
        Self { hubs: vec![8, 64, 512], threads: vec![1, 2], span: Duration::from_secs(2) }
    }
}

/// The results of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BenchReport {
    /// The plugin's name.
    pub plugin: String,
    pub revision: Digest,
    /// The fingerprint of the engine's version and settings.
    pub engine: Digest,
    /// Whether instances came from a pool.
    pub pooled: bool,
    /// One row for each combination of candidates and threads.
    pub rows: Vec<BenchRow>,
}

/// The result of one measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    /// The number of candidates in each decision.
    pub hubs: usize,
    /// The number of threads that decided.
    pub threads: usize,
    /// The number of decisions that were made.
    pub decisions: u64,
    /// Microseconds of CPU time for one decision.
    pub cpu_us: f64,
    /// Decisions per second, all threads together.
    pub per_second: f64,
    /// Decisions per second, as a multiple of the result for one thread. `None` if one thread was not measured.
    pub scaling: Option<f64>,
    /// Units of fuel for one decision, on average.
    pub fuel: f64,
    /// The largest memory of a decision, in bytes.
    pub peak_memory_bytes: u64,
}

/// Decides repeatedly for generated devices and hubs. Blocks for as long as the plan says.
///
/// # Errors
///
/// The first decision that fails ends the measurement. A policy that needs certain facts must be measured with an
/// input of its own ([`measure_input`]).
pub fn measure(image: &Arc<Image>, plan: &BenchPlan) -> Result<BenchReport, CallFailure> {
    let mut rows: Vec<BenchRow> = Vec::new();
    for &hubs in &plan.hubs {
        let input = made_up(hubs);
        for &threads in &plan.threads {
            let mut row = measure_input(image, &input, threads, plan.span)?;
            let one = if threads == 1 { Some(&row) } else { rows.iter().find(|r| r.hubs == hubs && r.threads == 1) };
            row.scaling = one.map(|one| row.per_second / one.per_second);
            rows.push(row);
        }
    }
    Ok(BenchReport {
        plugin: image.revision.description.name.clone(),
        revision: image.revision.digest,
        engine: image.engine.fingerprint(),
        pooled: image.engine.pooled(),
        rows,
    })
}

/// Decides repeatedly for one input on `threads` threads for about `span`.
///
/// # Errors
///
/// The first decision that fails.
pub fn measure_input(
    image: &Arc<Image>,
    input: &SelectInput,
    threads: usize,
    span: Duration,
) -> Result<BenchRow, CallFailure> {
    let catalogue: Arc<dyn Catalogue> = Arc::new(EmptyCatalogue);
    measure_calls(input.candidates.len(), threads, span, || image.select_hub(input, Arc::clone(&catalogue)))
}

/// Makes a call repeatedly, with `hubs` hubs, on `threads` threads for about `span`.
///
/// # Errors
///
/// The first call that fails.
pub fn measure_calls<T>(
    hubs: usize,
    threads: usize,
    span: Duration,
    call: impl Fn() -> CallReport<T> + Sync,
) -> Result<BenchRow, CallFailure> {
    let threads = threads.max(1);
    // Warm-up: the slots of the pool load the image, and the processor reaches its usual speed.
    worker(&call, &AtomicBool::new(false), WARM_UP)?;
    let stop = AtomicBool::new(false);
    let started = Stopwatch::system();
    let tallies: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(|| worker(&call, &stop, span))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(Ok(Tally::default()))).collect()
    });
    let seconds = started.elapsed().as_secs_f64();

    let mut all = Tally::default();
    for tally in tallies {
        let tally = tally?;
        all.decisions += tally.decisions;
        all.cpu += tally.cpu;
        all.fuel += tally.fuel;
        all.peak_memory_bytes = all.peak_memory_bytes.max(tally.peak_memory_bytes);
    }
    let each = |sum: f64| sum / count(all.decisions).max(1.0);
    Ok(BenchRow {
        hubs,
        threads,
        decisions: all.decisions,
        cpu_us: each(all.cpu.as_secs_f64() * 1e6),
        per_second: count(all.decisions) / seconds,
        scaling: None,
        fuel: each(count(all.fuel)),
        peak_memory_bytes: all.peak_memory_bytes,
    })
}

#[derive(Default)]
struct Tally {
    decisions: u64,
    cpu: Duration,
    fuel: u64,
    peak_memory_bytes: u64,
}

fn worker<T>(call: &impl Fn() -> CallReport<T>, stop: &AtomicBool, span: Duration) -> Result<Tally, CallFailure> {
    let mut tally = Tally::default();
    let (started, cpu) = (Stopwatch::system(), cpu_time());
    while started.elapsed() < span && !stop.load(Ordering::Relaxed) {
        for _ in 0..DECISIONS_A_LOOK {
            let report = call();
            if let Err(failure) = report.result {
                stop.store(true, Ordering::Relaxed);
                return Err(failure);
            }
            tally.decisions += 1;
            tally.fuel += report.usage.fuel;
            tally.peak_memory_bytes = tally.peak_memory_bytes.max(report.usage.peak_memory_bytes);
        }
    }
    tally.cpu = cpu_time().saturating_sub(cpu);
    Ok(tally)
}

/// A device and hubs as they are in production: host names of usual length, different weights, some labels.
#[must_use]
pub fn made_up(hubs: usize) -> SelectInput {
    let label = |key: &str, value: &str| Label { key: key.into(), value: value.into() };
    let hub = |n: u64, number: usize| Hub {
        name: format!("hub-{number:04}.region-{}.example.net", number % 7).into(),
        weight: u32::try_from(1 + n % 10).unwrap_or(1),
        capacity: 100_000,
        location: None,
        labels: [label("region", "eu-central"), label("tier", "gold")].into(),
    };
    SelectInput {
        call: Call {
            decision_id: "0197f3a0-6c2e-7b1a-9f4e-2f6f0c1d2e3f".into(),
            now: 1_767_225_600_000,
            seed: 0x5eed,
            catalog_revision: 7,
            attempt: 0,
        },
        device: Arc::new(Device {
            registration_id: "pump-7f3a-000123".into(),
            attestation: Attestation::X509,
            enrollment: EnrollmentKind::Group,
            enrollment_id: "pumps".into(),
            facts: vec![label("model", "px-200"), label("site", "north"), label("year", "2026")],
            claims: vec![label("issuer", "CN=Factory CA 3"), label("subject", "CN=pump-7f3a-000123")],
            tags: Vec::new(),
            payload: None,
            prior: None,
        }),
        candidates: Candidates::all((0..).zip(0..hubs).map(|(n, number)| (hub(n, number), n * 37 % 90_000))),
    }
}

/// Exact up to 2^53, which no measurement reaches.
#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds' work")]
fn count(n: u64) -> f64 {
    n as f64
}

const WARM_UP: Duration = Duration::from_millis(100);
/// How many decisions are made between two readings of the clock.
const DECISIONS_A_LOOK: u32 = 16;
