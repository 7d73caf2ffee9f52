//! `landfall plugin bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use comfy_table::Cell;
use serde_json::json;

use super::super::{CliError, Output};
use super::files::{self, SettingsArg};
use crate::clock;
use crate::policy::bench::{BenchRow, made_up, measure_input};
use crate::policy::shipped;

/// Measure what a decision of a component costs on this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
CPU is the deciding thread's own time for one decision in a fresh metered instance: handing the hubs over, deciding,
judging the answer. FUEL is the same on every machine. HANDING OVER is what the same hubs cost a Rust policy that only looks
for one name among them (the shipped `fixed`), as a share of CPU: little of a large share can be won in the policy itself.")]
pub(in crate::cli) struct Bench {
    /// The component (.wasm).
    component: PathBuf,
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

impl Bench {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
        let host = files::host()?;
        let began = clock::instant();
        let revision = files::load(&host, &self.component)?;
        let load = began.elapsed();
        let began = clock::instant();
        let image = files::configure(&host, &revision, &self.settings.text()?)?;
        let configure = began.elapsed();
        if !revision.card().worlds.selects() {
            return Err(failed(
                &"only policies that choose hubs are measured; `landfall plugin run --explain` shows one call",
            ));
        }
        let plain =
            host.load(shipped::component("fixed").unwrap_or_default().to_vec()).map_err(|error| failed(&error))?;
        let mut rows: Vec<(BenchRow, f64)> = Vec::new();
        for &hubs in &self.hubs {
            let input = made_up(hubs);
            let row = measure_input(&image, &input, self.threads, Duration::from_secs(self.seconds));
            let row = row.map_err(|error| failed(&error))?;
            let last = input.candidates.iter().last().map(|(_, hub, _)| hub.name.to_string()).unwrap_or_default();
            let plain = host.configure(&plain, &json!({ "hub": last }).to_string()).map_err(|error| failed(&error))?;
            let handing = measure_input(&plain, &input, self.threads, Duration::from_millis(500));
            let handing = handing.map_err(|error| failed(&error))?.cpu_us;
            rows.push((row, handing));
        }
        let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
        if out.is_json() {
            let rows: Vec<_> = rows
                .iter()
                .map(|(row, handing)| {
                    files::with(serde_json::to_value(row).unwrap_or_default(), "handing_over_us", *handing)
                })
                .collect();
            return out.value(&json!({
                "plugin": revision.description().name,
                "revision": revision.digest().to_string(),
                "engine": host.fingerprint().to_string(),
                "pooled": host.pooled(),
                "configured": image.configured(),
                "loadMs": milliseconds(load),
                "configureMs": milliseconds(configure),
                "rows": rows,
            }));
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
            let share = 100.0 * (handing / row.cpu_us).min(1.0);
            [
                row.hubs.to_string(),
                format!("{:.1} µs", row.cpu_us),
                format!("{:.0}", row.per_second),
                format!("{:.0}", row.fuel),
                format!("{} KiB", row.peak_memory_bytes / 1024),
                format!("{handing:.1} µs ({share:.0} %)"),
            ]
            .map(Cell::new)
            .to_vec()
        });
        out.table(&["hubs", "cpu", "a second", "fuel", "memory", "handing over"], cells)?;
        if !host.pooled() {
            out.say("\nInstances did not come from a pool: there is too little address space (ulimit -v).")?;
        }
        Ok(())
    }
}
