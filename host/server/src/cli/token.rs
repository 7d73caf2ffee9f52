//! `landfall token`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use landfall_domain::api_token::{Role, TokenRecord};
use landfall_domain::clock::Ambient;
use landfall_domain::names::ManufacturerId;
use landfall_domain::secret::Token;
use landfall_domain::text::hex;
use landfall_store::redb::RedbStore;
use landfall_store::{TokenStore as _, Upkeep as _};
use serde_json::{Value, json};

use super::output::text;
use super::{CliError, Common};
use crate::client::management::escaped;
use crate::folder::DataFolder;

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
    /// Make an operator's token when none is left. The server must not run.
    ///
    /// It is written into the database of the data folder: whoever can write there owns this Landfall. Tokens that are
    /// lost are listed by `token list` and ended by `token revoke`.
    Recover {
        /// The file to write it to, in place of what is there; by default operator.token in the data folder.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
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
  landfall token create --role publisher --plugin 'line3-*' --plugins-mib 64 --note 'CI of line 3' --out ci.token
  landfall token create --role auditor --days 30 --note 'audit 2026'
  landfall token create --role monitor --note prometheus --out prometheus.token

An operator's token is good for all id scopes unless --scope names one. A monitor's is always good for all of them. Any
other is good for one id scope; an auditor's for all of them with --all-scopes.")]
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
    /// Good for all id scopes, which an auditor's token is not by itself.
    #[arg(long, conflicts_with = "scope")]
    all_scopes: bool,
    /// A name that a publisher's token may publish under, or a prefix that ends with `*`; may be given several times.
    /// Without it, every name but those of the policies that come with Landfall.
    #[arg(long = "plugin", value_name = "NAME")]
    plugins: Vec<String>,
    /// How many MiB of plugins a publisher's token may have published.
    #[arg(long, value_name = "N")]
    plugins_mib: Option<u64>,
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
    /// May do everything.
    Operator,
    /// Imports and reads the records of one manufacturer.
    Manufacturer,
    /// Publishes and reads plugins.
    Publisher,
    /// Reads everything, changes nothing.
    Auditor,
    /// Reads the metrics (for Prometheus) and nothing else.
    Monitor,
}

impl RoleName {
    /// Whether a token of this role is valid for all id scopes unless a scope is named.
    fn is_for_all(self) -> bool {
        matches!(self, Self::Operator | Self::Monitor)
    }
}

pub(super) async fn run(common: &Common, command: TokenCommand) -> Result<(), CliError> {
    let out = common.output();
    match command {
        TokenCommand::Create(args) => create(common, args).await,
        TokenCommand::Recover { out: file } => recover(common, file).await,
        TokenCommand::List { limit } => {
            let page = common.api()?.list("/tokens", limit).await?;
            let columns = [
                ("id", "/id"),
                ("role", "/role"),
                ("manufacturer", "/manufacturer"),
                ("quota", "/quota"),
                ("prefixes", "/prefixes"),
                ("plugins", "/plugins"),
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
    let CreateArgs { role, manufacturer, quota, prefixes, plugins, plugins_mib, all_scopes, days, note, out: file } =
        args;
    if all_scopes && !(role.is_for_all() || role == RoleName::Auditor) {
        return Err(CliError::Usage("--all-scopes goes with the roles operator, auditor and monitor only".to_owned()));
    }
    if role != RoleName::Manufacturer && manufacturer.is_some() {
        return Err(CliError::Usage("--manufacturer goes with --role manufacturer only".to_owned()));
    }
    if role != RoleName::Publisher && (!plugins.is_empty() || plugins_mib.is_some()) {
        return Err(CliError::Usage("--plugin and --plugins-mib go with --role publisher only".to_owned()));
    }
    if let Some(file) = file.as_ref().filter(|file| file.exists()) {
        return Err(CliError::Failed(format!("{} is there already; --out writes new files only", file.display())));
    }
    let scope = match &common.scope {
        None if role.is_for_all() || all_scopes => None,
        _ => Some(common.session()?.scope),
    };
    let role = role.to_possible_value().map(|value| value.get_name().to_owned());
    let wanted = json!({
        "role": role, "manufacturer": manufacturer, "quota": quota, "days": days, "note": note, "scope": scope,
        "prefixes": (!prefixes.is_empty()).then_some(prefixes),
        "plugins": (!plugins.is_empty()).then_some(plugins), "pluginsMib": plugins_mib,
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

/// Makes an operator's token in the database. Who can write the data folder can do everything already, so this grants
/// nothing new.
async fn recover(common: &Common, file: Option<PathBuf>) -> Result<(), CliError> {
    let (folder, config, ambient) = (common.folder(), common.config()?, Ambient::system());
    let failed = |error: &dyn std::fmt::Display| CliError::Failed(error.to_string());
    let database = folder.database();
    let store = RedbStore::open(&database, config.offline_store_settings()).map_err(|error| failed(&error))?;
    let token = Token::generate(ambient.random());
    let id = format!("recovered-{}", hex(&ambient.random::<4>()));
    let record = TokenRecord {
        id: id.clone(),
        secret_sha256: token.digest(),
        note: "made by landfall token recover".to_owned(),
        role: Role::Operator,
        scope: None,
        created_at: ambient.now(),
        expires_at: None,
        plugins: Vec::new(),
        plugins_mib: None,
    };
    store.put_token(record).await.map_err(|error| failed(&error))?;
    store.close().await.map_err(|error| failed(&error))?;
    let file = file.unwrap_or_else(|| folder.operator_token());
    DataFolder::replace(&file, token.expose().as_bytes(), true)
        .map_err(|source| CliError::Write { path: file.clone(), source })?;
    common.output().done(
        format!(
            "Token {id}, an operator's, is in {}. Keep it secret. End the ones that are lost: landfall token list, landfall \
             token revoke ID",
            file.display()
        ),
        &json!({ "id": id, "file": file }),
    )
}

/// Removes members that were not given, so that they are not sent.
pub(super) fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, value| !value.is_null());
    }
    value
}
