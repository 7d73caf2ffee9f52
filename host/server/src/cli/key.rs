//! `landfall key`: keys for the factory floor. It needs neither a server nor a data folder.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use landfall_domain::names::RegistrationId;
use serde_json::{Value, json};

use super::{CliError, Common, shared_key};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Derive devices' keys from their group's key and their registration ids.
    Derive(DeriveArgs),
}

/// What `key derive` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall key derive --group-key group.key pump-1 pump-2
  landfall key derive --group-key group.key < serial-numbers.txt > keys.txt

A line for each device: its registration id, a tab, and its key (base64). The group's key stays in the factory's safe; a
device gets its own key only, and must not get the group's.")]
pub(super) struct DeriveArgs {
    /// The file with one of the group's keys, base64.
    #[arg(long, value_name = "FILE")]
    group_key: PathBuf,
    /// The devices; without any, one a line from standard input.
    ids: Vec<RegistrationId>,
}

pub(super) fn run(common: &Common, command: &KeyCommand) -> Result<(), CliError> {
    let KeyCommand::Derive(args) = command;
    let group = shared_key::read(&args.group_key)?;
    let out = common.output();
    let mut derived: Vec<Value> = Vec::new();
    let mut derive = |id: &RegistrationId| {
        let key = group.derive(id.as_str()).to_base64();
        if out.is_json() {
            derived.push(json!({ "registrationId": id, "key": key.expose() }));
            return Ok(());
        }
        // If a key could not be printed, the device would have none.
        out.line(format_args!("{id}\t{}", key.expose()))
    };
    if args.ids.is_empty() {
        if std::io::stdin().is_terminal() {
            return Err(CliError::Usage("name devices, or give a file of registration ids: < ids.txt".to_owned()));
        }
        for (at, line) in std::io::stdin().lock().lines().enumerate() {
            let line = line.map_err(|source| CliError::Read { path: "standard input".into(), source })?;
            if line.trim().is_empty() {
                continue;
            }
            let id = line.trim().parse().map_err(|error| CliError::Failed(format!("line {}: {error}", at + 1)))?;
            derive(&id)?;
        }
    } else {
        args.ids.iter().try_for_each(derive)?;
    }
    out.value(&json!({ "items": derived }))
}
