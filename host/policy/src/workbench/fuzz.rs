//! Searches for a device that breaks a policy.
//!
//! These properties must hold for every device and every catalogue, whatever the policy is for:
//!
//! - the policy answers within its budgets: no trap, no panic, no exhausted fuel or memory, no missed deadline;
//! - its answer passes the verdict gate: hubs that it was shown, paths and JSON within their limits;
//! - the same call gives the same answer for the same fuel, so that a decision can be replayed.
//!
//! A policy may say that it could not decide (a fault), because generated input may make no sense. With `no_faults`, a
//! fault is a finding too. A finding is reduced to the smallest call that still shows it, and can be kept as a golden
//! vector.

use std::sync::Arc;
use std::time::Duration;

use landfall_domain::clock::Stopwatch;
use landfall_domain::decision::call::CallReport;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::Serialize;
use serde_json::Value;

use super::expectation::Expectation;
use super::vector::Vector;
use super::{generate, shrink};
use crate::failure::CallFailure;
use crate::image::Image;

/// How long to search, and from which calls to start.
#[derive(Debug, Clone)]
pub struct FuzzPlan {
    /// The longest time to search.
    pub span: Duration,
    /// The largest number of calls.
    pub runs: u64,
    /// The seed of the generator. The same seed gives the same calls.
    pub seed: u64,
    /// Whether a fault is a finding.
    pub no_faults: bool,
    /// Calls from which most of the generated calls are derived.
    pub seeds: Vec<Vector>,
}

/// The result of a search.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FuzzReport {
    /// The number of generated calls. Each is made twice.
    pub runs: u64,
    /// The number of calls for which the policy reported a fault.
    pub faults: u64,
    /// The largest fuel that a call used.
    pub most_fuel: u64,
    /// The largest memory of a call, in bytes.
    pub most_memory_bytes: u64,
    /// The finding, if there is one. The search ends with the first.
    pub finding: Option<Finding>,
}

/// A call that breaks the policy.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What goes wrong, in a sentence.
    pub what: String,
    /// A word for the kind of fault. Two calls with the same word count as the same finding.
    pub kind: String,
    /// The smallest call that showed the fault.
    pub vector: Vector,
    /// How often the call was made smaller.
    pub steps: u32,
}

/// Why no calls could be generated.
#[derive(Debug, thiserror::Error)]
#[error("no calls can be made up for these settings: {0}")]
pub struct FuzzError(String);

/// Searches for a call that breaks the image. Blocks for as long as the plan says.
///
/// # Errors
///
/// No call can be generated, which is a bug of the generator.
pub fn fuzz(image: &Arc<Image>, plan: &FuzzPlan) -> Result<FuzzReport, FuzzError> {
    let selects = image.revision().card().worlds.selects();
    let expect = if selects { Expectation::Assign(<_>::default()) } else { Expectation::Place(<_>::default()) };
    let settings = serde_json::from_str(image.settings()).unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
    let calls = generate::calls(settings, expect, &plan.seeds);
    let mut seed = [0; 32];
    seed.iter_mut().zip(plan.seed.to_le_bytes()).for_each(|(to, from)| *to = from);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { failure_persistence: None, max_local_rejects: 1_000_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);

    let mut report = FuzzReport { runs: 0, faults: 0, most_fuel: 0, most_memory_bytes: 0, finding: None };
    let started = Stopwatch::system();
    while started.elapsed() < plan.span && report.runs < plan.runs {
        let tree = calls.new_tree(&mut runner).map_err(|reason| FuzzError(reason.to_string()))?;
        report.runs += 1;
        let vector = tree.current();
        let Some((kind, what)) = try_call(image, &vector, plan.no_faults, &mut report) else { continue };
        report.finding = Some(smallest(image, plan.no_faults, Finding { what, kind, vector, steps: 0 }));
        break;
    }
    Ok(report)
}

/// Makes a finding smaller, as long as it stays the same finding.
fn smallest(image: &Image, no_faults: bool, found: Finding) -> Finding {
    let Finding { mut what, kind, vector, mut steps } = found;
    let mut unseen = FuzzReport { runs: 0, faults: 0, most_fuel: 0, most_memory_bytes: 0, finding: None };
    let vector = shrink::smallest(vector, |smaller| match try_call(image, smaller, no_faults, &mut unseen) {
        Some((same, said)) if same == kind => {
            what = said;
            steps += 1;
            true
        }
        _ => false,
    });
    Finding { what, kind, vector, steps }
}

/// The fault that a call shows, if any: a word and a sentence.
fn try_call(image: &Image, vector: &Vector, no_faults: bool, report: &mut FuzzReport) -> Option<(String, String)> {
    let worlds = image.revision().card().worlds;
    let (mut wrong, before) = (None, report.faults);
    if worlds.selects() {
        let input = vector.select_input();
        let ask = || image.select_hub(&input, vector.catalogue());
        wrong = judge(ask(), ask(), no_faults, report);
    }
    if let Some(input) = vector.place_input().filter(|_| worlds.places() && wrong.is_none()) {
        let ask = || image.place(&input, vector.catalogue_of_hub(&input));
        wrong = judge(ask(), ask(), no_faults, report);
    }
    // A call that asks for both hub and place counts once.
    report.faults = report.faults.min(before + 1);
    wrong
}

fn judge<T: PartialEq>(
    first: CallReport<T>,
    second: CallReport<T>,
    no_faults: bool,
    report: &mut FuzzReport,
) -> Option<(String, String)> {
    report.most_fuel = report.most_fuel.max(first.usage.fuel);
    report.most_memory_bytes = report.most_memory_bytes.max(first.usage.peak_memory_bytes);
    match &first.result {
        // A busy machine is not a finding.
        Err(CallFailure::Host(_)) => None,
        Err(CallFailure::Fault(_)) if !no_faults => {
            report.faults += 1;
            None
        }
        Err(failure) => Some((failure.kind().to_owned(), failure.to_string())),
        Ok(_) if first.result != second.result => {
            Some(("not-deterministic".into(), "the same call was answered in two ways".into()))
        }
        Ok(_) if first.usage.fuel != second.usage.fuel => {
            let (one, two) = (first.usage.fuel, second.usage.fuel);
            Some(("not-deterministic".into(), format!("the same call took {one} units of fuel and then {two}")))
        }
        Ok(_) => None,
    }
}
