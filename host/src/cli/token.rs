//! `landfall token`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::output::text;
use super::{CliError, Common};
use crate::client::management::escaped;
use crate::folder::DataFolder;
use crate::names::ManufacturerId;

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token. It is shown once.
    Create(CreateArgs),
    /// List tokens; their secret parts are not kept anywhere.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// End a token at once.
    Revoke {
        /// Its id, as `token list` shows it.
        id: String,
    },
}

/// What `token create` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall token create --role manufacturer --manufacturer acme --quota 100000 --note 'line 3' --out acme.token
  landfall token create --role manufacturer --manufacturer bolt --prefix valve- --note 'valves' --out bolt.token
  landfall token create --role auditor --days 30 --note 'audit 2026'

An operator's token is good for all scopes unless --scope names one; any other is good for one scope.")]
pub(super) struct CreateArgs {
    /// What its holder may do.
    #[arg(long)]
    role: RoleName,
    /// Whose records a manufacturer's token imports.
    #[arg(long, value_name = "M", required_if_eq("role", "manufacturer"))]
    manufacturer: Option<ManufacturerId>,
    /// How many records the manufacturer may have; without it there is no bound.
    #[arg(long, value_name = "N", requires = "manufacturer")]
    quota: Option<u64>,
    /// How the registration ids begin that it imports; can be given several times. Without it, in any way.
    #[arg(long = "prefix", value_name = "TEXT", requires = "manufacturer")]
    prefixes: Vec<String>,
    /// In how many days it ends; without it, never.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: Option<u32>,
    /// What it is for.
    #[arg(long)]
    note: String,
    /// A new file to write it to, which only its owner may read.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Everything.
    Operator,
    /// Imports and reads the records of one manufacturer.
    Manufacturer,
    /// Publishes plugins.
    Publisher,
    /// Reads everything, changes nothing.
    Auditor,
}

/// Runs it.
pub(super) async fn run(common: &Common, command: TokenCommand) -> Result<(), CliError> {
    let out = common.output();
    match command {
        TokenCommand::Create(args) => create(common, args).await,
        TokenCommand::List { limit } => {
            let page = common.api()?.list("/tokens", limit).await?;
            let columns = [
                ("id", "/id"),
                ("role", "/role"),
                ("manufacturer", "/manufacturer"),
                ("quota", "/quota"),
                ("prefixes", "/prefixes"),
                ("scope", "/scope"),
                ("expires", "/expiresAt"),
                ("note", "/note"),
            ];
            out.list(&page, &columns, "There are no tokens.")
        }
        TokenCommand::Revoke { id } => {
            let answer = common.api()?.delete(&format!("/tokens/{}", escaped(&id))).await?;
            out.done(format!("Token {id} is revoked."), &answer)
        }
    }
}

async fn create(common: &Common, args: CreateArgs) -> Result<(), CliError> {
    let CreateArgs { role, manufacturer, quota, prefixes, days, note, out: file } = args;
    if role != RoleName::Manufacturer && manufacturer.is_some() {
        return Err(CliError::Usage("--manufacturer goes with --role manufacturer only".to_owned()));
    }
    if let Some(file) = file.as_ref().filter(|file| file.exists()) {
        return Err(CliError::Failed(format!("{} is there already; --out writes new files only", file.display())));
    }
    let scope = match &common.scope {
        None if role == RoleName::Operator => None,
        _ => Some(common.session()?.scope),
    };
    let role = role.to_possible_value().map(|value| value.get_name().to_owned());
    let wanted = json!({
        "role": role, "manufacturer": manufacturer, "quota": quota, "days": days, "note": note, "scope": scope,
        "prefixes": (!prefixes.is_empty()).then_some(prefixes),
    });
    let answer = common.api()?.post("/tokens", &without_nulls(wanted)).await?;
    let (id, token) = (text(answer.get("id")), text(answer.get("token")));
    let Some(file) = file else {
        return common.output().done(format!("Token {id}. It is shown only now; keep it secret:\n{token}"), &answer);
    };
    let written = DataFolder::write_new(&file, token.as_bytes(), true);
    written.map_err(|source| CliError::Write { path: file.clone(), source })?;
    common
        .output()
        .done(format!("Token {id} is in {}. Keep it secret.", file.display()), &json!({ "id": id, "file": file }))
}

/// Members that were not given are not sent.
pub(super) fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, value| !value.is_null());
    }
    value
}
