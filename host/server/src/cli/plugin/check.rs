//! `landfall plugin check`.

use std::path::PathBuf;

use clap::Args;
use landfall_domain::plugin::card::WitVersion;
use landfall_policy::image::Configured;
use serde_json::json;

use super::super::{CliError, Output};
use super::files::{self, SettingsArg};

/// Check that a server would take a component: what it is, what it wants, that it runs and takes its settings.
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// The component (.wasm).
    component: PathBuf,
    /// The version of the contract that it must be built against, such as 0.1.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    target: Option<WitVersion>,
    #[command(flatten)]
    settings: SettingsArg,
    /// Do not give it any settings: it may refuse `{}`.
    #[arg(long, conflicts_with = "settings")]
    no_settings: bool,
}

impl Check {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let host = files::host()?;
        let revision = files::load(&host, &self.component)?;
        let wit = revision.card().wit;
        if let Some(target) = self.target.filter(|target| *target != wit) {
            let (target, wit) = (target.as_str(), wit.as_str());
            let built = format!("it is built against landfall:policy@{wit}, and {target} is demanded");
            return Err(CliError::Failed(format!("{}: {built}", self.component.display())));
        }
        let configured = if self.no_settings {
            None
        } else {
            Some(files::configure(&host, &revision, &self.settings.text()?)?.configured().clone())
        };
        let note = match &configured {
            None => "its settings were not tried".to_owned(),
            Some(Configured::Baked) => "it takes its settings, and they are baked".to_owned(),
            Some(Configured::EachCall { because }) => {
                format!("it takes its settings, and is configured before each call, because {because}")
            }
        };
        let description = revision.description();
        let told = format!("{} {}: a server takes it; {note}.", description.name, description.version);
        let answer = json!({
            "name": description.name,
            "version": description.version,
            "digest": revision.digest().to_string(),
            "card": revision.card(),
            "configured": configured,
        });
        out.done(told, &answer)
    }
}

fn version(text: &str) -> Result<WitVersion, String> {
    let known = WitVersion::KNOWN.iter().find(|known| known.as_str() == text);
    let names = WitVersion::KNOWN.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", ");
    known.copied().ok_or_else(|| format!("this host speaks {names}"))
}
