//! `landfall plugin`.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Subcommand;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

mod sign;

use super::output::text;
use super::{CliError, Common};
use crate::admin_api::SIGNATURE;
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
        /// Its signatures; by default those of the file with its name and `.sig`, if there is one.
        #[arg(long, value_name = "FILE")]
        signatures: Option<PathBuf>,
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
    Key(sign::Key),
    Sign(sign::Sign),
    Verify(sign::Verify),
}

/// Runs it.
pub(super) async fn run(common: &Common, command: PluginCommand) -> Result<(), CliError> {
    let command = match command {
        PluginCommand::Key(key) => return key.run(common.output()),
        PluginCommand::Sign(sign) => return sign.run(common.output()),
        PluginCommand::Verify(verify) => return verify.run(common.output()),
        of_server => of_server,
    };
    let mut session = common.session()?;
    let out = session.out;
    match command {
        PluginCommand::Key(_) | PluginCommand::Sign(_) | PluginCommand::Verify(_) => Ok(()),
        PluginCommand::Publish { name, file, signatures } => {
            let component = sign::fetched(&file)?;
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/wasm"));
            for signature in sign::of_component(&file, signatures)? {
                let line = signature.to_string();
                let line = HeaderValue::from_str(&line).map_err(|error| CliError::Failed(error.to_string()))?;
                headers.append(SIGNATURE, line);
            }
            let path = session.path(&["plugins", name.as_str()]);
            let body = Bytes::from_owner(Arc::clone(component.bytes()));
            let answer = session.api.upload_with(Method::PUT, &path, headers, body).await?;
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
