//! `landfall plugin inspect`.

use std::path::PathBuf;

use clap::Args;
use landfall_domain::clock::Stopwatch;
use landfall_domain::plugin::card::Card;
use landfall_policy::image::{Configured, Image, Revision};
use serde_json::{Value, json};

use super::super::{CliError, Output};
use super::files::{self, SettingsArg};

/// Show what a component is, what it may do, and what settings it takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The component (.wasm).
    component: PathBuf,
    /// Show the JSON Schema of its settings as well.
    #[arg(long)]
    schema: bool,
    #[command(flatten)]
    settings: SettingsArg,
}

impl Inspect {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let host = files::host()?;
        let began = Stopwatch::system();
        let revision = files::load(&host, &self.component)?;
        let loaded_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Many policies do not accept `{}`. Inspecting them is not an error.
        let image = files::configure(&host, &revision, &self.settings.text()?);
        let schema = revision.description().settings_schema.as_deref().and_then(|text| serde_json::from_str(text).ok());
        if out.is_json() {
            return out.value(&as_json(&revision, &image, schema, &host.fingerprint().to_string(), loaded_ms));
        }
        out.say(card(&revision, &image, loaded_ms))?;
        match schema {
            Some(schema) if self.schema => out.say(format!("\n{schema:#}")),
            Some(schema) => out.say(format!("\n{}", outline(&schema))),
            None => out.say("\nIt does not say what settings it takes."),
        }
    }
}

fn card(revision: &Revision, image: &Result<std::sync::Arc<Image>, CliError>, loaded_ms: u64) -> String {
    let (description, Card { tier, wit, worlds, imports, size_bytes }) = (revision.description(), revision.card());
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let tier = word(json!(tier));
    let settings = match image.as_ref().map(|image| image.configured()) {
        Ok(Configured::Baked) => "baked into the image".to_owned(),
        Ok(Configured::EachCall { because }) => format!("given before each call, because {because}"),
        Err(error) => format!("not taken: {error}"),
    };
    let mut text = format!(
        "{} {}\n{}\n\n  digest    sha256:{}\n  contract  landfall:policy@{}\n  world     {}\n  size      {} KiB, loaded in {loaded_ms} ms\n  tier      {tier}\n  settings  {settings}\n\n  It may use, because it imports it, and nothing else:\n",
        description.name,
        description.version,
        description.summary,
        revision.digest(),
        wit.as_str(),
        word(json!(worlds)),
        size_bytes.div_ceil(1024),
    );
    for import in imports {
        text.push_str(&format!("    {import:44} {}\n", meaning(import)));
    }
    text.trim_end().to_owned()
}

/// What an import allows a policy to do.
fn meaning(import: &str) -> &'static str {
    let name = import.split('@').next().unwrap_or(import);
    match name {
        "landfall:policy/types" => "the contract's types",
        "landfall:policy/log" => "log lines, kept with the decision",
        "landfall:policy/catalog" => "labels of hubs, counts of groups; kept with the decision",
        "wasi:clocks/wall-clock" | "wasi:clocks/monotonic-clock" => "stands still at the call's `now`",
        "wasi:random/random" | "wasi:random/insecure" | "wasi:random/insecure-seed" => "follows from the call's `seed`",
        "wasi:cli/stdout" | "wasi:cli/stderr" => "goes into the log",
        _ if name.starts_with("wasi:filesystem") => "empty: no folder is there",
        _ if name.starts_with("wasi:cli") => "empty: no arguments, no environment",
        _ if name.starts_with("wasi:io") => "what the others are made of",
        _ if name.starts_with("wasi:http") => "calls out, where the operator allows it; kept with the decision",
        _ => "",
    }
}

/// The names of the settings and their purpose, from the schema.
fn outline(schema: &Value) -> String {
    let Some(members) = schema.get("properties").and_then(Value::as_object).filter(|members| !members.is_empty())
    else {
        return "It takes no settings.".to_owned();
    };
    let required = |name: &str| {
        let listed = schema.get("required").and_then(Value::as_array);
        listed.is_some_and(|listed| listed.iter().any(|one| one == name))
    };
    let mut text = "Settings (--schema shows all of their schema):\n".to_owned();
    for (name, about) in members {
        let about = about.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let must = if required(name) { " (required)" } else { "" };
        text.push_str(&format!("  {name}{must}\n      {about}\n"));
    }
    text.trim_end().to_owned()
}

fn as_json(
    revision: &Revision,
    image: &Result<std::sync::Arc<Image>, CliError>,
    schema: Option<Value>,
    engine: &str,
    loaded_ms: u64,
) -> Value {
    json!({
        "digest": revision.digest().to_string(),
        "description": revision.description(),
        "card": revision.card(),
        "settingsSchema": schema,
        "configured": image.as_ref().ok().map(|image| image.configured()),
        "settingsRefused": image.as_ref().err().map(ToString::to_string),
        "engine": engine,
        "loadedMs": loaded_ms,
    })
}
