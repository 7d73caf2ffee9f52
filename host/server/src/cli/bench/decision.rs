//! `landfall bench decision`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use landfall_policy::bench::{BenchPlan, BenchReport, measure};
use landfall_policy::{PolicyHost, PolicySettings, shipped};

use super::{BenchError, beside};
use crate::cli::output::say;

/// What is measured.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// The component; the shipped `weighted` when absent.
    #[arg(long)]
    plugin: Option<PathBuf>,
    /// Its settings, JSON.
    #[arg(long, default_value = "{}")]
    settings: String,
    /// Numbers of hubs.
    #[arg(long, value_delimiter = ',', default_values_t = [8, 64, 512])]
    hubs: Vec<usize>,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<usize>,
    /// Seconds for each pair of the two, or for each part of --beside.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Measure instead how long decisions take beside another plugin's, and alone: a component whose calls are asked as fast
    /// as they are taken, or `hostile` for one that takes as long as it may.
    #[arg(long, value_name = "COMPONENT", value_parser = beside::neighbour)]
    beside: Option<beside::Neighbour>,
    /// Decisions a second that are measured with --beside.
    #[arg(long, default_value_t = 100, requires = "beside")]
    rate: u32,
}

/// Measures, and prints the result.
pub(super) fn run(options: &Options, json: bool) -> Result<(), BenchError> {
    let component = match &options.plugin {
        Some(path) => std::fs::read(path)?,
        None => shipped::component("weighted").unwrap_or_default().to_vec(),
    };
    let cache = tempfile::tempdir()?;
    let host = Arc::new(PolicyHost::start(PolicySettings::new(cache.path().join("policies")))?);
    let image = host.configure(&host.load(component)?, &options.settings)?;
    if let Some(neighbour) = &options.beside {
        let hubs = options.hubs.first().copied().unwrap_or(8);
        let span = Duration::from_secs(options.seconds);
        return beside::run(&host, &image, neighbour, &beside::Plan { hubs, rate: options.rate, span }, json);
    }
    let plan = BenchPlan {
        hubs: options.hubs.clone(),
        threads: options.threads.clone(),
        span: Duration::from_secs(options.seconds),
    };
    let report = measure(&image, &plan)?;
    if json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &BenchReport) {
    say!("{} {}, each decision in a fresh metered instance:\n", report.plugin, report.revision.short());
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "HUBS",
        "THREADS",
        "CPU A DECISION",
        "DECISIONS A SECOND",
        "SCALING",
        "FUEL",
        "MEMORY",
    ]);
    for row in &report.rows {
        table.add_row([
            row.hubs.to_string(),
            row.threads.to_string(),
            format!("{:.1} µs", row.cpu_us),
            format!("{:.0}", row.per_second),
            row.scaling.map_or_else(|| "-".to_owned(), |scaling| format!("{scaling:.2}")),
            format!("{:.0}", row.fuel),
            format!("{} KiB", row.peak_memory_bytes / 1024),
        ]);
    }
    say!("{table}");
    if !report.pooled {
        say!("\nInstances did not come from a pool: there is too little address space (ulimit -v).");
    }
}
