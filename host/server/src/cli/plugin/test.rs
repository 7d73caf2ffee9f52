//! `landfall plugin test`.

use std::path::PathBuf;

use clap::Args;
use landfall_policy::workbench::trial::{Trial, Tried};
use landfall_policy::workbench::vector::{Vector, VectorFile};
use serde_json::{Value, json};

use super::super::output::cleaned;
use super::super::{CliError, Output};
use super::files;

/// Run golden vectors against a component, under the engine that production runs.
///
/// A file that is not right is told with its JSON pointer before anything runs. It ends with 0 when every vector passes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// The component (.wasm).
    #[arg(required_unless_present = "schema")]
    component: Option<PathBuf>,
    /// Files of golden vectors (JSON).
    #[arg(required_unless_present = "schema")]
    vectors: Vec<PathBuf>,
    /// Only vectors whose name has this text in it.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Keep and show every log line. Lines cost fuel, so `max_fuel` is not judged then.
    #[arg(long)]
    explain: bool,
    /// Print the JSON Schema of the format and do nothing else.
    #[arg(long)]
    schema: bool,
}

impl Test {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        if self.schema {
            return Output::new(true).value(&VectorFile::json_schema());
        }
        let mut vectors = Vec::new();
        for path in &self.vectors {
            let file = VectorFile::read(path).map_err(|error| CliError::Failed(error.to_string()))?;
            vectors.extend(file.vectors);
        }
        vectors.retain(|vector| self.only.as_deref().is_none_or(|only| vector.name.contains(only)));
        if vectors.is_empty() {
            return Err(CliError::Failed("there is no vector to run".to_owned()));
        }
        let host = files::host()?;
        let revision = files::load(&host, &self.component.unwrap_or_default())?;
        let mut trial = Trial::new(&host, revision);
        if self.explain {
            trial = trial.explaining();
        }
        let tried = vectors.iter().map(|vector| {
            let mut tried = trial.run(vector);
            if self.explain {
                tried.max_fuel = None;
            }
            tried
        });
        let tried: Vec<Tried> = tried.collect();
        report(out, &vectors, &tried, self.explain)
    }
}

fn report(out: Output, vectors: &[Vector], tried: &[Tried], explain: bool) -> Result<(), CliError> {
    let failed = tried.iter().filter(|tried| !tried.passed()).count();
    if out.is_json() {
        let results: Vec<Value> = tried
            .iter()
            .map(|tried| files::with(serde_json::to_value(tried).unwrap_or_default(), "passed", tried.passed()))
            .collect();
        out.value(&json!({ "passed": tried.len() - failed, "failed": failed, "vectors": results }))?;
    } else {
        for (vector, tried) in vectors.iter().zip(tried) {
            out.say(line(vector, tried, explain))?;
        }
        out.say(format!("\n{} passed, {failed} failed", tried.len() - failed))?;
    }
    if failed > 0 { Err(CliError::Told) } else { Ok(()) }
}

fn line(vector: &Vector, tried: &Tried, explain: bool) -> String {
    let fuel = match (vector.expect.is_of_settings(), tried.max_fuel) {
        (true, _) => String::new(),
        (false, None) => format!("  ({} fuel)", tried.usage.fuel),
        (false, Some(most)) => format!("  ({} of {most} fuel)", tried.usage.fuel),
    };
    let mut text = format!("{}  {}{fuel}", if tried.passed() { "ok    " } else { "FAILED" }, tried.name);
    for difference in &tried.differences {
        let at = if difference.at.is_empty() { "the outcome" } else { difference.at.as_str() };
        text.push_str(&format!(
            "\n        {at}\n          expected  {}\n          got       {}",
            difference.expected, difference.got
        ));
    }
    if tried.is_over_its_fuel() {
        text.push_str("\n        it took more fuel than its max_fuel");
    }
    if explain || !tried.passed() {
        for sentence in &tried.said {
            text.push_str(&format!("\n        {}", cleaned(sentence)));
        }
    }
    if explain {
        text.push_str(&format!("\n        answered {}", tried.answer));
    }
    if explain || !tried.passed() {
        text.push_str(&files::log_in_words(&tried.log).replace('\n', "\n      "));
    }
    text
}
