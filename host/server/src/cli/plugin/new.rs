//! `landfall plugin new`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use landfall_domain::names::PluginName;
use landfall_domain::plugin::card::Worlds;
use landfall_policy::workbench::scaffold::{Language, Scaffold};
use serde_json::json;

use super::super::{CliError, Output};

/// Begin a policy: a folder that builds and passes its tests as it comes.
#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// The policy's name: lower-case letters, digits and hyphens.
    name: PluginName,
    /// The language of the policy.
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// What it decides: hubs, places, or both.
    #[arg(long, value_enum, default_value = "policy")]
    world: World,
    /// The folder; by default the policy's name.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum World {
    /// It chooses the hub.
    Selector,
    /// It places the device on its hub.
    Grouper,
    /// It chooses the hub and places the device.
    Policy,
}

impl New {
    pub(in crate::cli) fn run(self, out: Output) -> Result<(), CliError> {
        let worlds = match self.world {
            World::Selector => Worlds::Selector,
            World::Grouper => Worlds::Grouper,
            World::Policy => Worlds::Policy,
        };
        let folder = self.path.unwrap_or_else(|| PathBuf::from(self.name.as_str()));
        let scaffold = Scaffold { name: self.name.clone(), language: self.lang, worlds };
        scaffold.write(&folder).map_err(|error| CliError::Failed(error.to_string()))?;
        let next = match self.lang {
            Language::Rust => {
                "cargo test\n  cargo test --target wasm32-wasip2\n  cargo build --release --target wasm32-wasip2"
            }
            Language::Js => "npm ci\n  npm test",
            Language::Python => {
                "python3 -m venv venv && . venv/bin/activate && pip install -r requirements.txt\n  ./build.sh\n  landfall plugin test policy.wasm golden-vectors.json"
            }
        };
        let told = format!(
            "{} is a policy that builds and passes its tests. README.md says more. Next:\n\n  cd {}\n  {next}",
            self.name,
            folder.display()
        );
        out.done(told, &json!({ "name": self.name.as_str(), "folder": folder }))
    }
}
