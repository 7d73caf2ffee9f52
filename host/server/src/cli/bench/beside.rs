//! `landfall bench decision --beside`: how long the devices of one plugin wait because of another plugin.
//!
//! Decisions of one policy arrive at a steady rate. They are timed as the server runs them: from the queue of the
//! workers to the answer. First they run alone. Then calls of another plugin keep the queue full. Then they run alone
//! once more. All three are measured in one run, so that their ratio is the same on every machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use landfall_domain::clock::{Clock as _, SystemClock};
use landfall_domain::decision::call::{Device, Label, SelectInput};
use landfall_policy::bench::made_up;
use landfall_policy::host_view::EmptyCatalogue;
use landfall_policy::image::Image;
use landfall_policy::{Payer, Payers, PolicyHost, shipped};
use serde::Serialize;

use super::BenchError;
use crate::cli::output::say;

/// The plugin whose calls fill the queue.
#[derive(Clone, Debug)]
pub(super) enum Neighbour {
    /// A plugin that uses everything that a call may use: `table` with a rule that is expensive to evaluate, and a
    /// device whose claim fills its memory. In a server its breaker would stop it, but that is not measured here.
    Hostile,
    Component(PathBuf),
}

/// The plan of a measurement.
pub(super) struct Plan {
    pub(super) hubs: usize,
    pub(super) rate: u32,
    pub(super) span: Duration,
}

/// Parses the command line's value of `--beside`.
pub(super) fn neighbour(text: &str) -> Result<Neighbour, String> {
    Ok(if text == "hostile" { Neighbour::Hostile } else { Neighbour::Component(text.into()) })
}

/// How long decisions took, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Times {
    decisions: usize,
    failed: usize,
    p50_us: u128,
    p99_us: u128,
}

#[derive(Debug, Serialize)]
struct Report {
    alone: Times,
    beside: Times,
    alone_again: Times,
    neighbours_calls: u64,
    neighbours_us: u64,
    p50_ratio: f64,
    p99_ratio: f64,
}

/// Measures, and prints the result.
pub(super) fn run(
    host: &Arc<PolicyHost>,
    image: &Arc<Image>,
    neighbour: &Neighbour,
    plan: &Plan,
    json: bool,
) -> Result<(), BenchError> {
    let (component, settings) = match neighbour {
        Neighbour::Hostile => (shipped::component("table").unwrap_or_default().to_vec(), hostile_settings()),
        Neighbour::Component(path) => (std::fs::read(path)?, "{}".to_owned()),
    };
    let other = host.configure(&host.load(component)?, &settings)?;
    let theirs = Arc::new(match neighbour {
        Neighbour::Hostile => hard_to_look_at(made_up(plan.hubs)),
        Neighbour::Component(_) => made_up(plan.hubs),
    });
    let runtime = tokio::runtime::Handle::current();
    let input = Arc::new(made_up(plan.hubs));
    let (own, others) = (payers(0)?, payers(1)?);
    let measured = || runtime.block_on(timed(host, &own, image, &input, plan));
    // After this call the queue knows both plugins. Nothing is counted before that.
    let _ = measured();
    let alone = measured();
    let noise = Noise::of(host, others, other, &theirs);
    let (beside, calls, cpu) = runtime.block_on(async {
        let mut filling = tokio::task::JoinSet::new();
        for _ in 0..FILLING {
            filling.spawn(Arc::clone(&noise).fill());
        }
        let beside = timed(host, &own, image, &input, plan).await;
        noise.stop.store(true, Ordering::Relaxed);
        filling.join_all().await;
        (beside, noise.calls.load(Ordering::Relaxed), noise.spent_us.load(Ordering::Relaxed))
    });
    let alone_again = measured();
    let ratio = |of: u128, to: u128| float(of) / float(to.max(1));
    let report = Report {
        p50_ratio: ratio(beside.p50_us, alone.p50_us),
        p99_ratio: ratio(beside.p99_us, alone.p99_us),
        alone,
        beside,
        alone_again,
        neighbours_calls: calls,
        neighbours_us: cpu.checked_div(calls).unwrap_or_default(),
    };
    if json {
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    say!("{} decisions a second over {} hubs, each through the line of the workers:\n", plan.rate, plan.hubs);
    for (name, times) in [("alone", alone), ("beside", beside), ("alone again", alone_again)] {
        let Times { decisions, failed, p50_us, p99_us } = times;
        say!("  {name:12} {decisions:6} decisions  p50 {p50_us:6} µs  p99 {p99_us:6} µs  {failed} without an answer");
    }
    say!(
        "\nThe neighbour made {} calls of {} µs. p50 is {:.2} times, p99 {:.2} times what it is alone.",
        report.neighbours_calls,
        report.neighbours_us,
        report.p50_ratio,
        report.p99_ratio
    );
    Ok(())
}

/// Decisions at a steady rate. A decision that begins late is timed from when it should have begun.
async fn timed(host: &PolicyHost, payers: &Payers, image: &Arc<Image>, input: &Arc<SelectInput>, plan: &Plan) -> Times {
    let step = Duration::from_secs(1) / plan.rate.max(1);
    let began = SystemClock.instant();
    let mut took = Vec::new();
    let (mut failed, mut due) = (0, began);
    while due.saturating_duration_since(began) < plan.span {
        tokio::time::sleep_until(due.into()).await;
        let (image, input) = (Arc::clone(image), Arc::clone(input));
        let decided = host.run(payers.clone(), move |visit| {
            visit.paid_by(Payer::of_bench(0), || image.select_hub(&input, Arc::new(EmptyCatalogue)).result.is_ok())
        });
        if decided.await == Ok(true) {
            took.push(SystemClock.instant().saturating_duration_since(due).as_micros());
        } else {
            failed += 1;
        }
        due += step;
    }
    took.sort_unstable();
    let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1))).copied();
    Times { decisions: took.len(), failed, p50_us: at(50).unwrap_or_default(), p99_us: at(99).unwrap_or_default() }
}

/// The calls of the neighbour.
struct Noise {
    host: Arc<PolicyHost>,
    payers: Payers,
    image: Arc<Image>,
    input: Arc<SelectInput>,
    stop: AtomicBool,
    calls: AtomicU64,
    spent_us: AtomicU64,
}

impl Noise {
    fn of(host: &Arc<PolicyHost>, payers: Payers, image: Arc<Image>, input: &Arc<SelectInput>) -> Arc<Self> {
        Arc::new(Self {
            host: Arc::clone(host),
            payers,
            image,
            input: Arc::clone(input),
            stop: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            spent_us: AtomicU64::new(0),
        })
    }

    /// One of the loops that keep the queue full.
    async fn fill(self: Arc<Self>) {
        while !self.stop.load(Ordering::Relaxed) {
            let noise = Arc::clone(&self);
            let ran = self.host.run(self.payers.clone(), move |visit| {
                let ask = || noise.image.select_hub(&noise.input, Arc::new(EmptyCatalogue)).usage;
                let usage = visit.paid_by(Payer::of_bench(1), ask);
                noise.calls.fetch_add(1, Ordering::Relaxed);
                noise.spent_us.fetch_add(usage.instantiate_us + usage.guest_us, Ordering::Relaxed);
            });
            if ran.await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Settings of the policy `table` with a rule that matches no device, which is known only at the end of a text.
fn hostile_settings() -> String {
    serde_json::json!({ "rules": [{ "when": [{ "claim": "subject", "glob": "*ab" }], "hub": "none" }] }).to_string()
}

/// A device for that rule. Its claim needs five times the policy's memory, and more work than a call may use.
fn hard_to_look_at(input: SelectInput) -> SelectInput {
    let claim = Label { key: "subject".into(), value: "a".repeat(CLAIM_BYTES) };
    SelectInput { device: Arc::new(Device { claims: vec![claim], ..Device::clone(&input.device) }), ..input }
}

/// Two plugins of one id scope: for groups of the same tenant, which share more than two tenants do.
fn payers(number: u64) -> Result<Payers, BenchError> {
    Ok(Payers::new("0nebench".parse()?, [Payer::of_bench(number)]))
}

/// The conversion is exact below 2^53, which no time reaches.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a few seconds")]
fn float(number: u128) -> f64 {
    number as f64
}

/// The size of the claim of the hostile neighbour's device.
const CLAIM_BYTES: usize = 1_000_000;
/// The number of the neighbour's calls that wait or run.
const FILLING: usize = 64;
