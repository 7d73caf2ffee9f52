//! `landfall plugin fuzz`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::super::{CliError, Output};
use super::files::{self, SettingsArg};
use crate::clock::Ambient;
use crate::workbench::fuzz::{Finding, FuzzPlan, fuzz};
use crate::workbench::vector::VectorFile;

/// Look for a device that breaks a policy. What is found is made small and kept as a golden vector.
#[derive(Debug, Args)]
pub(in crate::cli) struct Fuzz {
    /// The component (.wasm).
    component: PathBuf,
    #[command(flatten)]
    settings: SettingsArg,
    /// How long at most.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many calls at most.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    runs: u64,
    /// The same seed makes the same calls; drawn when left out.
    #[arg(long)]
    seed: Option<u64>,
    /// A policy that says that it could not decide is a finding too.
    #[arg(long)]
    no_faults: bool,
    /// Where a finding goes.
    #[arg(long, value_name = "FILE", default_value = "finding.json")]
    output: PathBuf,
}

impl Fuzz {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
        let host = files::host()?;
        let revision = files::load(&host, &self.component)?;
        let image = files::configure(&host, &revision, &self.settings.text()?)?;
        let seed = self.seed.unwrap_or_else(|| u64::from(u32::from_le_bytes(Ambient::system().random::<4>())));
        let plan =
            FuzzPlan { span: Duration::from_secs(self.seconds), runs: self.runs, seed, no_faults: self.no_faults };
        let report = fuzz(&image, plan).map_err(|error| failed(&error))?;
        let answer = serde_json::to_value(&report).map_err(|error| failed(&error))?;
        out.value(&files::with(answer, "seed", seed))?;
        out.say(format!(
            "{} calls from seed {seed}, each made twice: at most {} fuel and {} KiB of memory; {} could not be decided, and the policy said so.",
            report.runs,
            report.most_fuel,
            report.most_memory_bytes / 1024,
            report.faults
        ))?;
        match report.finding {
            None => out.say("Nothing was found."),
            Some(finding) => {
                self.keep(&finding)?;
                out.say(self.story(&finding, seed, report.runs))?;
                Err(CliError::Told)
            }
        }
    }

    fn keep(&self, finding: &Finding) -> Result<(), CliError> {
        let mut vector = finding.vector.clone();
        vector.name = format!("found by fuzzing: {}", finding.kind);
        let file = VectorFile { schema: None, vectors: vec![vector] };
        let text = serde_json::to_string_pretty(&file).map_err(|error| CliError::Failed(error.to_string()))?;
        let written = std::fs::write(&self.output, text + "\n");
        written.map_err(|source| CliError::Write { path: self.output.clone(), source })
    }

    fn story(&self, finding: &Finding, seed: u64, runs: u64) -> String {
        let (component, output) = (self.component.display(), self.output.display());
        format!(
            "\nFOUND after {runs} calls, made smaller {} times: {}\n\n  the call is in {output}\n  run it alone:  landfall plugin test {component} {output} --explain\n  from the start: landfall plugin fuzz {component} --seed {seed}",
            finding.steps, finding.what
        )
    }
}
