//! `landfall scope`.

use clap::Subcommand;
use landfall_domain::names::IdScope;
use serde_json::json;

use super::{CliError, Common};
use crate::client::management::escaped;

/// What can be done with id scopes.
#[derive(Debug, Subcommand)]
pub(super) enum ScopeCommand {
    /// Make an id scope: a tenant with hubs, enrollments, records and policies of its own.
    Create {
        /// Its name, as devices call it: 0ne and what tells it apart, such as 0ne00A1B2C3.
        name: IdScope,
    },
    /// List the id scopes that the token may see.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
}

pub(super) async fn run(common: &Common, command: ScopeCommand) -> Result<(), CliError> {
    let (mut api, out) = (common.api()?, common.output());
    match command {
        ScopeCommand::Create { name } => {
            let answer = api.put(&format!("/scopes/{}", escaped(name.as_str())), &json!({})).await?;
            out.done(format!("The id scope {name} is there; say --scope {name} to work in it."), &answer)
        }
        ScopeCommand::List { limit } => {
            let page = api.list("/scopes", limit).await?;
            out.list(&page, &[("id scope", "/scope")], "The token sees no id scope.")
        }
    }
}
