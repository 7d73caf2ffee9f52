//! `landfall plugin profile`.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use landfall_policy::Catalogue;
use landfall_policy::bench::made_up;
use landfall_policy::profile::Question;
use serde_json::json;

use super::super::{CliError, Output};
use super::files::{self, SettingsArg};

/// See where a policy spends its time: samples of its stack, in the format of the Firefox profiler.
///
/// Build the component with names for this (`strip = false`, `debug = 1` in the profile), or functions are numbers.
#[derive(Debug, Args)]
pub(in crate::cli) struct Profile {
    /// The component (.wasm).
    component: PathBuf,
    /// Where the profile goes; <https://profiler.firefox.com> opens it.
    #[arg(short, long, value_name = "FILE", default_value = "profile.json")]
    output: PathBuf,
    /// A file of golden vectors, of which the first call that is answered is made again and again; 64 made-up hubs when left
    /// out.
    #[arg(long, value_name = "FILE", conflicts_with = "settings")]
    vectors: Option<PathBuf>,
    /// The first vector whose name has this text in it, in place of the first one.
    #[arg(long, value_name = "TEXT", requires = "vectors")]
    only: Option<String>,
    #[command(flatten)]
    settings: SettingsArg,
    /// For how many seconds samples are taken.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

impl Profile {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
        let vector = self.vectors.as_ref().map(|path| files::first_call(path, self.only.as_deref())).transpose()?;
        let host = files::host()?;
        let revision = files::load(&host, &self.component)?;
        let settings = match &vector {
            Some(vector) => vector.settings.to_string(),
            None => self.settings.text()?,
        };
        let image = files::configure(&host, &revision, &settings)?;
        let selects = revision.card().worlds.selects();
        let (question, catalogue): (_, Arc<dyn Catalogue>) = match &vector {
            Some(vector) if selects && !vector.expect.is_of_grouping() => {
                (Question::Select(Box::new(vector.select_input())), vector.catalogue_again())
            }
            Some(vector) => {
                let input = vector.place_input().ok_or_else(|| failed(&"the vector names no hub"))?;
                let catalogue = vector.catalogue_of_hub_again(&input);
                (Question::Place(Box::new(input)), catalogue)
            }
            None if selects => (Question::Select(Box::new(made_up(HUBS))), Arc::new(landfall_policy::EmptyCatalogue)),
            None => return Err(failed(&"a policy that places devices is profiled with --vectors FILE")),
        };
        let profile = image.profile(&question, &catalogue, Duration::from_secs(self.seconds));
        let profile = profile.map_err(|error| match &self.vectors {
            Some(_) => failed(&error),
            None => failed(&format!(
                "made-up hubs and a made-up device: {error}; --vectors FILE names a call that it can answer"
            )),
        })?;
        let (calls, samples) = (profile.calls, profile.samples);
        let file = File::create(&self.output);
        let file = file.map_err(|source| CliError::Write { path: self.output.clone(), source })?;
        profile.write(BufWriter::new(file)).map_err(|error| failed(&error))?;
        let told = format!(
            "{samples} samples of {calls} calls are in {}; open it at https://profiler.firefox.com.",
            self.output.display()
        );
        out.done(told, &json!({ "calls": calls, "samples": samples, "profile": self.output }))
    }
}

/// The number of made-up hubs.
const HUBS: usize = 64;
