//! `landfall plugin run`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use landfall_domain::decision::call::{CallReport, Usage};
use landfall_domain::decision::log::{Log, LogLevel};
use landfall_policy::Budgets;
use landfall_policy::workbench::expectation::{Answered, Expectation};
use landfall_policy::workbench::sentences;
use landfall_policy::workbench::service::ServiceVector;
use landfall_policy::workbench::vector::{CallVector, CatalogueVector, DeviceVector, HubVector, Vector};
use serde_json::json;

use super::super::output::cleaned;
use super::super::terms::json_or_file;
use super::super::{CliError, Output};
use super::files::{self, SettingsArg};

/// Ask a component once, for a device and hubs from files.
#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// The component (.wasm).
    component: PathBuf,
    /// The device (JSON, as `device` in golden vectors); a plain one when left out.
    #[arg(long, value_name = "FILE")]
    device: Option<PathBuf>,
    /// The hubs (JSON list, as `hubs` in golden vectors).
    #[arg(long, value_name = "FILE")]
    hubs: PathBuf,
    #[command(flatten)]
    settings: SettingsArg,
    /// What services answer (JSON list, as `http` in golden vectors). Nothing is sent anywhere.
    #[arg(long, value_name = "FILE")]
    http: Option<PathBuf>,
    /// What the device says of itself (JSON, @FILE or a file's name), in place of what its file says.
    #[arg(long, value_name = "JSON|FILE")]
    payload: Option<String>,
    /// The moment of the call, milliseconds since 1970-01-01 UTC.
    #[arg(long, value_name = "MS")]
    now: Option<u64>,
    /// The randomness of the call.
    #[arg(long)]
    seed: Option<u64>,
    /// The hub that was chosen before, for grouping; the first one when left out.
    #[arg(long, value_name = "HUB")]
    chosen: Option<String>,
    /// Show every log line, what was asked of the host, and what the call took.
    #[arg(long)]
    explain: bool,
}

impl Run {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let vector = self.vector()?;
        let host = files::host()?;
        let revision = files::load(&host, &self.component)?;
        let mut budgets = Budgets::default();
        if self.explain {
            budgets.call.log_level = LogLevel::Trace;
        }
        let settings = self.settings.text()?;
        let image = files::configure_within(&host, &revision, &settings, budgets)?;
        let worlds = revision.card().worlds;
        let mut whole = true;
        let services = vector.catalogue();
        if worlds.selects() {
            let input = vector.select_input();
            let report = image.select_hub(&input, Arc::clone(&services) as _);
            let answered = Answered::selected(&report.result, &input.candidates);
            whole &= self.show(out, "selection", &answered, &sentences::of_outcome(&report.result), &report)?;
        }
        if let Some(input) = vector.place_input().filter(|_| worlds.places()) {
            let report = image.place(&input, vector.catalogue_after(&services, &input));
            let said = sentences::of_placement(&report.result);
            whole &= self.show(out, "grouping", &Answered::placed(&report.result), &said, &report)?;
        }
        if whole { Ok(()) } else { Err(CliError::Told) }
    }

    fn vector(&self) -> Result<Vector, CliError> {
        let mut device: DeviceVector = self.device.as_deref().map(files::read_json).transpose()?.unwrap_or_default();
        if let Some(text) = &self.payload {
            device.payload = Some(json_or_file(text, "--payload")?);
        }
        let hubs: Vec<HubVector> = files::read_json(&self.hubs)?;
        if hubs.is_empty() {
            return Err(CliError::Failed(format!("{}: name at least one hub", self.hubs.display())));
        }
        if let Some(chosen) = self.chosen.as_ref().filter(|chosen| !hubs.iter().any(|hub| hub.name == **chosen)) {
            return Err(CliError::Failed(format!("--chosen {chosen} is none of the hubs in {}", self.hubs.display())));
        }
        let http: Vec<ServiceVector> = self.http.as_deref().map(files::read_json).transpose()?.unwrap_or_default();
        let usual = CallVector::default();
        let call = CallVector { now: self.now.unwrap_or(usual.now), seed: self.seed.unwrap_or(usual.seed), ..usual };
        Ok(Vector {
            name: String::new(),
            settings: json!({}),
            call,
            device,
            hubs,
            chosen: self.chosen.clone(),
            catalogue: CatalogueVector::default(),
            http,
            expect: Expectation::Assign(<_>::default()),
            max_fuel: None,
        })
    }

    /// Prints an answer. Says whether the call was answered.
    fn show<T>(
        &self,
        out: Output,
        step: &str,
        answered: &Answered,
        said: &[String],
        report: &CallReport<T>,
    ) -> Result<bool, CliError> {
        let CallReport { usage, log, transcript, .. } = report;
        let whole = !matches!(answered, Answered::Broke(_));
        if out.is_json() {
            let exchanges = transcript.exchanges();
            out.value(&json!({
                "step": step, "answer": answered.as_expected(), "said": said, "usage": usage, "log": log, "asked": exchanges,
            }))?;
            return Ok(whole);
        }
        match answered {
            Answered::Broke(why) => out.say(format!("{step}: {why}"))?,
            answered => out.say(format!("{step}: {:#}", answered.as_expected()))?,
        }
        for sentence in said {
            out.say(format!("  {}", cleaned(sentence)))?;
        }
        if self.explain || !whole {
            out.say(explained(usage, log))?;
        }
        if self.explain && !transcript.exchanges().is_empty() {
            out.say(format!("It asked the host {} things; --json shows them.", transcript.exchanges().len()))?;
        }
        Ok(whole)
    }
}

fn explained(usage: &Usage, log: &Log) -> String {
    let Usage { fuel, peak_memory_bytes, instantiate_us, guest_us, .. } = usage;
    let lines = if log.lines.is_empty() { "\n  It logged nothing.".to_owned() } else { files::log_in_words(log) };
    format!(
        "{}\n  {fuel} fuel, {} KiB of memory, {instantiate_us} µs to make the instance, {guest_us} µs in the policy",
        lines.trim_start_matches('\n'),
        peak_memory_bytes / 1024
    )
}
