//! `landfall plugin`.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Subcommand;
use http::Method;

use super::output::text;
use super::{CliError, Common};
use crate::names::PluginName;

mod revisions;
mod rules;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Publish a component under a name. Enrollments that name it use it from then on.
    Publish {
        /// The name.
        name: PluginName,
        /// The component (.wasm).
        file: PathBuf,
    },
    /// List plugins.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show a plugin: what it decides, and what settings it takes.
    Show {
        /// Its name.
        name: PluginName,
    },
    /// List a plugin's revisions, newest first.
    Revisions(revisions::RevisionsArgs),
    /// Make an earlier revision of a plugin live again.
    Rollback(revisions::RollbackArgs),
    /// Set what calls of a plugin may use, and who is asked when it gives no answer.
    Set(rules::SetArgs),
    /// Take a plugin away that no enrollment names.
    Delete {
        /// Its name.
        name: PluginName,
    },
}

/// Runs it.
pub(super) async fn run(common: &Common, command: PluginCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    let out = session.out;
    match command {
        PluginCommand::Publish { name, file } => {
            let component = std::fs::read(&file).map_err(|source| CliError::Read { path: file, source })?;
            let path = session.path(&["plugins", name.as_str()]);
            let answer = session.api.upload(Method::PUT, &path, "application/wasm", Bytes::from(component)).await?;
            out.done(format!("Plugin {name} is published as {}.", text(answer.get("digest"))), &answer)
        }
        PluginCommand::List { limit } => {
            let page = session.api.list(&session.path(&["plugins"]), limit).await?;
            let columns = [
                ("plugin", "/name"),
                ("version", "/description/version"),
                ("decides", "/worlds"),
                ("digest", "/digest"),
                ("published", "/publishedAt"),
                ("by", "/publishedBy"),
            ];
            out.list(&page, &columns, "No plugin is published.")
        }
        PluginCommand::Show { name } => {
            let answer = session.api.get(&session.path(&["plugins", name.as_str()])).await?;
            out.details(&answer)
        }
        PluginCommand::Revisions(args) => revisions::list(&mut session, args).await,
        PluginCommand::Rollback(args) => revisions::rollback(&mut session, args).await,
        PluginCommand::Set(args) => rules::set(&mut session, args).await,
        PluginCommand::Delete { name } => {
            let answer = session.api.delete(&session.path(&["plugins", name.as_str()])).await?;
            out.done(format!("Plugin {name} is taken away."), &answer)
        }
    }
}
