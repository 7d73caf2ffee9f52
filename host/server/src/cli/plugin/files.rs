//! Reads the files for the commands of authors.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use landfall_domain::decision::log::{Log, LogLevel};
use landfall_domain::json;
use landfall_domain::text::one_line;
use landfall_policy::image::{ConfigureError, Fetched, Image, LoadError, Revision};
use landfall_policy::workbench::expectation::Expectation;
use landfall_policy::workbench::vector::{self, Vector, VectorFile};
use landfall_policy::{Budgets, PolicyHost, workbench};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::CliError;
use super::super::terms::text_or_file;

/// The settings that a command gives to a policy.
#[derive(Debug, Args)]
pub(super) struct SettingsArg {
    /// The settings: JSON, @FILE or a file's name; `{}` when left out.
    #[arg(long, value_name = "JSON|FILE")]
    settings: Option<String>,
}

impl SettingsArg {
    pub(super) fn text(&self) -> Result<String, CliError> {
        match &self.settings {
            None => Ok("{}".to_owned()),
            Some(text) => Ok(text_or_file(text, "--settings")?.0),
        }
    }

    /// The option as it was typed.
    pub(super) fn typed(&self) -> Option<&str> {
        self.settings.as_deref()
    }
}

/// Loads a component as a server would.
pub(super) fn load(host: &PolicyHost, path: &Path) -> Result<Arc<Revision>, CliError> {
    load_component(host, path, component(path)?)
}

/// Loads a component that was read from this path.
pub(super) fn load_component(host: &PolicyHost, path: &Path, component: Fetched) -> Result<Arc<Revision>, CliError> {
    host.load(component).map_err(|error| {
        let log = match &error {
            LoadError::Trial { log, .. } => log_in_words(log),
            _ => String::new(),
        };
        CliError::Failed(format!("{}: {error}{log}", path.display()))
    })
}

/// Configures a component with its settings.
pub(super) fn configure(host: &PolicyHost, revision: &Arc<Revision>, settings: &str) -> Result<Arc<Image>, CliError> {
    configure_within(host, revision, settings, Budgets::default())
}

/// The same, with other budgets.
pub(super) fn configure_within(
    host: &PolicyHost,
    revision: &Arc<Revision>,
    settings: &str,
    budgets: Budgets,
) -> Result<Arc<Image>, CliError> {
    host.configure_within(revision, settings, budgets).map_err(|error| {
        let log = match &error {
            ConfigureError::Broke { log, .. } => log_in_words(log),
            _ => String::new(),
        };
        CliError::Failed(format!("{error}{log}"))
    })
}

/// A policy host with the caches of this user.
pub(super) fn host() -> Result<PolicyHost, CliError> {
    workbench::open().map_err(|error| CliError::Failed(error.to_string()))
}

/// Reads a component, unless it is larger than any server accepts.
pub(super) fn component(path: &Path) -> Result<Fetched, CliError> {
    Fetched::read(path, MOST_BYTES).map_err(|error| CliError::Failed(error.to_string()))
}

/// Reads a JSON file of a certain form. An error names the place in the file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    let text = std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    json::read(&text).map_err(|misfit| CliError::Failed(vector::of_file(path, misfit).to_string()))
}

/// The first call in a file of golden vectors that must be answered, or the first whose name contains a text.
pub(super) fn first_call(path: &Path, only: Option<&str>) -> Result<Vector, CliError> {
    let file = VectorFile::read(path).map_err(|error| CliError::Failed(error.to_string()))?;
    let named = |vector: &Vector| match only {
        Some(only) => vector.name.contains(only),
        None => !matches!(vector.expect, Expectation::Fault(_)),
    };
    let mut calls = file.vectors.into_iter().filter(|vector| !vector.expect.is_of_settings());
    calls.find(named).ok_or_else(|| {
        let which = only.map_or_else(|| "that is answered".to_owned(), |only| format!("with {only:?} in its name"));
        CliError::Failed(format!("{}: there is no call {which}", path.display()))
    })
}

/// The object with one more member.
pub(super) fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
    object
}

/// The log of a policy, as lines under a sentence.
pub(super) fn log_in_words(log: &Log) -> String {
    let mut text = String::new();
    for line in &log.lines {
        let level = match line.level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        // A message of several lines stays one entry: the lines after the first are indented further.
        let message: Vec<_> = line.message.lines().map(one_line).collect();
        text.push_str(&format!("\n  {level:5} {}", message.join("\n          ")));
        for field in &line.fields {
            text.push_str(&format!("  {}={}", one_line(&field.key), one_line(&field.value)));
        }
    }
    if log.dropped > 0 {
        text.push_str(&format!("\n  ({} further lines were over the budget)", log.dropped));
    }
    text
}

/// Larger than any limit of a server.
const MOST_BYTES: usize = 256 << 20;
