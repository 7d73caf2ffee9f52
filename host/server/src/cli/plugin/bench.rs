//! `landfall plugin bench`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use comfy_table::Cell;
use landfall_domain::clock::Stopwatch;
use landfall_domain::decision::call::{CallReport, SelectInput};
use landfall_domain::decision::failure::CallFailure;
use landfall_policy::bench::{BenchRow, made_up, measure_calls, measure_input};
use landfall_policy::image::Image;
use landfall_policy::workbench::vector::Vector;
use landfall_policy::{Budget, Budgets, Catalogue, EmptyCatalogue, PolicyHost, shipped};
use serde_json::json;

use super::super::{CliError, Output};
use super::files::{self, SettingsArg};

/// Measure what a decision of a component costs on this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Hubs are made up. With --vectors, the device, the settings and the services' answers are those of the first vector that is
answered, and its hubs are repeated under other names until there are as many as --hubs says: a policy that asks for a
fact is measured so. A policy that only places devices is measured on the vector as it stands.

CPU is the deciding thread's own time for one decision in a fresh metered instance: handing the hubs over, deciding,
judging the answer. FUEL is the same on every machine; a * stands where a server's limits are not enough. HANDING OVER is what the same hubs cost a Rust policy that only looks
for one name among them (the shipped `fixed`), as a share of CPU: little of a large share can be won in the policy itself.")]
pub(in crate::cli) struct Bench {
    /// The component (.wasm).
    component: PathBuf,
    /// A file of golden vectors, of which the first call that is answered is measured.
    #[arg(long, value_name = "FILE", conflicts_with = "settings")]
    vectors: Option<PathBuf>,
    /// The first vector whose name has this text in it, in place of the first one.
    #[arg(long, value_name = "TEXT", requires = "vectors")]
    only: Option<String>,
    #[command(flatten)]
    settings: SettingsArg,
    /// Numbers of hubs.
    #[arg(long, value_delimiter = ',', default_values_t = [8, 64, 512])]
    hubs: Vec<usize>,
    /// Threads that decide side by side.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds for each number of hubs.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
}

/// A row of the result, and the microseconds for handing over the hubs.
type Row = (BenchRow, Option<f64>);

impl Bench {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let host = files::host()?;
        let vector = self.vectors.as_ref().map(|path| files::first_call(path, self.only.as_deref())).transpose()?;
        let began = Stopwatch::system();
        let revision = files::load(&host, &self.component)?;
        let load = began.elapsed();
        let began = Stopwatch::system();
        let settings = match &vector {
            Some(vector) => vector.settings.to_string(),
            None => self.settings.text()?,
        };
        let image = files::configure_within(&host, &revision, &settings, generous())?;
        let configure = began.elapsed();
        let mut rows = Vec::new();
        let ended = self.measure(&host, &image, vector.as_ref(), &mut rows);
        let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
        if out.is_json() {
            let rows: Vec<_> = rows
                .iter()
                .map(|(row, handing)| {
                    files::with(serde_json::to_value(row).unwrap_or_default(), "handing_over_us", *handing)
                })
                .collect();
            out.value(&json!({
                "plugin": revision.description().name,
                "revision": revision.digest().to_string(),
                "engine": host.fingerprint().to_string(),
                "pooled": host.pooled(),
                "configured": image.configured(),
                "loadMs": milliseconds(load),
                "configureMs": milliseconds(configure),
                "rows": rows,
            }))?;
            return ended;
        }
        let description = revision.description();
        out.say(format!(
            "{} {}: loaded in {:.1} ms and configured in {:.1} ms (compiled, or from the cache).\n",
            description.name,
            description.version,
            milliseconds(load),
            milliseconds(configure)
        ))?;
        let cells = rows.iter().map(|(row, handing)| {
            let handing = match handing {
                Some(us) => format!("{us:.1} µs ({:.0} %)", 100.0 * (us / row.cpu_us).min(1.0)),
                None => "-".to_owned(),
            };
            [
                row.hubs.to_string(),
                format!("{:.1} µs", row.cpu_us),
                format!("{:.0}", row.per_second),
                format!("{:.0}{}", row.fuel, if is_over(row) { " *" } else { "" }),
                format!("{} KiB", row.peak_memory_bytes / 1024),
                handing,
            ]
            .map(Cell::new)
            .to_vec()
        });
        if !rows.is_empty() {
            out.table(&["hubs", "cpu", "a second", "fuel", "memory", "handing over"], cells)?;
        }
        if rows.iter().any(|(row, _)| is_over(row)) {
            let Budget { fuel, deadline_ms, .. } = Budgets::default().call;
            out.say(format!(
                "\n* beyond what a server gives, which is {fuel} units of fuel and {deadline_ms} ms of CPU: fewer hubs in the \
                 enrollment, or\n  landfall plugin set NAME --fuel N --deadline-ms N"
            ))?;
        }
        if !host.pooled() {
            out.say("\nInstances did not come from a pool: there is too little address space (ulimit -v).")?;
        }
        ended
    }

    /// Measures one row after the other. If one fails, the rows before it are still there.
    fn measure(
        &self,
        host: &PolicyHost,
        image: &Arc<Image>,
        vector: Option<&Vector>,
        rows: &mut Vec<Row>,
    ) -> Result<(), CliError> {
        let span = Duration::from_secs(self.seconds);
        let selects = image.revision().card().worlds.selects();
        match vector {
            Some(vector) if !selects || vector.expect.is_of_grouping() => {
                let input = vector.place_input();
                let input = input.ok_or_else(|| CliError::Failed("the vector names no hub".to_owned()))?;
                let services: Arc<dyn Catalogue> = vector.catalogue_of_hub_again(&input);
                let call = || image.place(&input, Arc::clone(&services));
                let row =
                    measure_calls(1, self.threads, span, call).map_err(|failure| self.failed(1, &failure, call()))?;
                rows.push((row, None));
                return Ok(());
            }
            None if !selects => {
                let without = "a policy that only places devices is measured with --vectors FILE";
                return Err(CliError::Failed(without.to_owned()));
            }
            _ => {}
        }
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
        let fixed = shipped::component("fixed").unwrap_or_default().to_vec();
        let fixed = host.load(fixed).map_err(|error| failed(&error))?;
        for &hubs in &self.hubs {
            let (input, services) = asked(vector, hubs);
            let call = || image.select_hub(&input, Arc::clone(&services));
            let row =
                measure_calls(hubs, self.threads, span, call).map_err(|failure| self.failed(hubs, &failure, call()))?;
            let last = input.candidates.iter().last().map(|(_, hub, _)| hub.name.to_string()).unwrap_or_default();
            let plain = host.configure(&fixed, &json!({ "hub": last }).to_string()).map_err(|error| failed(&error))?;
            let handing = measure_input(&plain, &input, self.threads, Duration::from_millis(500));
            rows.push((row, Some(handing.map_err(|error| failed(&error))?.cpu_us)));
        }
        Ok(())
    }

    /// The error of a failed call: which call, why, and what it logged.
    fn failed<T>(&self, hubs: usize, failure: &CallFailure, again: CallReport<T>) -> CliError {
        let advice = match (&self.vectors, failure) {
            (None, CallFailure::Fault(_)) => {
                "\n--vectors FILE measures a call that it can answer: landfall plugin bench --help"
            }
            _ => "",
        };
        CliError::Failed(format!("with {hubs} hubs: {failure}{}{advice}", files::log_in_words(&again.log)))
    }
}

/// Budgets that do not limit the measurement, even if a decision takes more than a server allows.
fn generous() -> Budgets {
    let mut budgets = Budgets::default();
    budgets.call.fuel = budgets.call.fuel.saturating_mul(GENEROUS);
    budgets.call.deadline_ms = budgets.call.deadline_ms.saturating_mul(GENEROUS_TIME);
    budgets
}

/// Whether a server with default limits would end such a decision.
fn is_over(row: &BenchRow) -> bool {
    let Budget { fuel, deadline_ms, .. } = Budgets::default().call;
    Duration::from_secs_f64(row.cpu_us / 1e6) > Duration::from_millis(deadline_ms.into())
        || row.fuel > f64::from(u32::try_from(fuel).unwrap_or(u32::MAX))
}

/// The fuel here, as a multiple of a server's.
const GENEROUS: u64 = 40;
/// The CPU time here, as a multiple of a server's, so that slow machines can measure too.
const GENEROUS_TIME: u32 = 400;

/// The question with this number of hubs.
fn asked(vector: Option<&Vector>, hubs: usize) -> (SelectInput, Arc<dyn Catalogue>) {
    let Some(vector) = vector else { return (made_up(hubs), Arc::new(EmptyCatalogue)) };
    let many = vector.with_hubs(hubs);
    (many.select_input(), many.catalogue_again())
}
