//! `landfall plugin fuzz`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use landfall_domain::clock::Ambient;
use landfall_policy::workbench::fuzz::{Finding, FuzzPlan, fuzz};
use landfall_policy::workbench::vector::VectorFile;

use super::super::{CliError, Output};
use super::files::{self, SettingsArg};

/// Look for a device that breaks a policy. What is found is made small and kept as a golden vector.
#[derive(Debug, Args)]
pub(in crate::cli) struct Fuzz {
    /// The component (.wasm).
    component: PathBuf,
    #[command(flatten)]
    settings: SettingsArg,
    /// Golden vectors, as which most calls begin before a part of them is changed; can be given several times. Without them,
    /// a policy that asks for a certain fact is seldom asked more than that.
    #[arg(long, value_name = "FILE")]
    vectors: Vec<PathBuf>,
    /// For how many seconds to search at most.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many calls to make at most.
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
        let mut seeds = Vec::new();
        for path in &self.vectors {
            let file = VectorFile::read(path).map_err(|error| failed(&error))?;
            seeds.extend(file.vectors.into_iter().filter(|vector| !vector.expect.is_of_settings()));
        }
        let (span, no_faults) = (Duration::from_secs(self.seconds), self.no_faults);
        let plan = FuzzPlan { span, runs: self.runs, seed, no_faults, seeds };
        let report = fuzz(&image, &plan).map_err(|error| failed(&error))?;
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
        let (component, output) = (shell_word(&self.component), shell_word(&self.output));
        format!(
            "\nFOUND after {runs} calls, made smaller {} times: {}\n\n  the call is in {}\n  run it alone:   landfall plugin test {component} {output} --explain\n  from the start: {}",
            finding.steps,
            finding.what,
            self.output.display(),
            self.again(seed, runs)
        )
    }

    /// The command that makes the same findings again, with everything that calls and findings depend on.
    fn again(&self, seed: u64, runs: u64) -> String {
        let mut words = vec!["landfall plugin fuzz".to_owned(), shell_word(&self.component)];
        if let Some(settings) = self.settings.typed() {
            words.push(format!("--settings {}", shell_word(Path::new(settings))));
        }
        words.extend(self.vectors.iter().map(|vectors| format!("--vectors {}", shell_word(vectors))));
        words.push(format!("--seed {seed} --runs {runs} --seconds {}", self.seconds.max(LONG_ENOUGH)));
        if self.no_faults {
            words.push("--no-faults".to_owned());
        }
        words.join(" ")
    }
}

/// Quotes a word for a shell.
fn shell_word(word: &Path) -> String {
    let word = word.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@=+,:".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The number of seconds that is long enough for the number of calls to end first.
const LONG_ENOUGH: u64 = 600;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        fuzz: Fuzz,
    }

    #[test]
    fn the_command_that_finds_the_same_has_all_that_it_depends_on() {
        let line = ["landfall", "a b.wasm", "--settings", r#"{"a": "it's"}"#, "--vectors", "v.json", "--no-faults"];
        let again = Line::parse_from(line).fuzz.again(7, 40);
        let wanted = r#"landfall plugin fuzz 'a b.wasm' --settings '{"a": "it'\''s"}' --vectors v.json --seed 7 --runs 40 --seconds 600 --no-faults"#;
        assert_eq!(again, wanted);
    }
}
