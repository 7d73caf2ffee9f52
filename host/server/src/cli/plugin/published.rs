//! Commands on the plugins of a server.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Subcommand;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use landfall_domain::names::PluginName;

use super::super::output::text;
use super::super::{CliError, Common, Session};
use super::{files, revisions, rules, sign};
use crate::admin_api::SIGNATURE;

/// What can be done with the plugins of a server.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PublishedCommand {
    /// Publish a component under a name. Enrollments that name it use it from then on.
    Publish {
        /// The name to publish it under.
        name: PluginName,
        /// The component (.wasm).
        file: PathBuf,
        /// Its signatures; by default those of the file with its name and `.sig`, if there is one.
        #[arg(long, value_name = "FILE")]
        signatures: Option<PathBuf>,
    },
    /// List the published plugins.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show a plugin: what it decides, and what settings it takes.
    Show {
        /// The plugin's name.
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
        /// The plugin's name.
        name: PluginName,
    },
}

impl PublishedCommand {
    pub(super) async fn run(self, common: &Common) -> Result<(), CliError> {
        let mut session = common.session()?;
        let out = session.out;
        match self {
            Self::Publish { name, file, signatures } => publish(&mut session, name, file, signatures).await,
            Self::List { limit } => {
                let page = session.api.list(&session.path(&["plugins"]), limit).await?;
                let columns = [
                    ("plugin", "/name"),
                    ("version", "/description/version"),
                    ("decides", "/worlds"),
                    ("digest", "/digest"),
                    ("published", "/publishedAt"),
                    ("by", "/publishedBy"),
                    ("kept bytes", "/keptBytes"),
                    ("problem", "/problem"),
                ];
                out.list(&page, &columns, "No plugin is published.")
            }
            Self::Show { name } => {
                let mut answer = session.api.get(&session.path(&["plugins", name.as_str()])).await?;
                if let (false, Some(resorts)) = (out.is_json(), answer.get_mut("onFailure")) {
                    *resorts = rules::in_words(Some(resorts)).into();
                }
                out.details(&answer)
            }
            Self::Revisions(args) => revisions::list(&mut session, args).await,
            Self::Rollback(args) => revisions::rollback(&mut session, args).await,
            Self::Set(args) => rules::set(&mut session, args).await,
            Self::Delete { name } => {
                common.sure(&format!("Plugin {name} is deleted with all its revisions."))?;
                let answer = session.api.delete(&session.path(&["plugins", name.as_str()])).await?;
                out.done(format!("Plugin {name} is taken away."), &answer)
            }
        }
    }
}

async fn publish(
    session: &mut Session,
    name: PluginName,
    file: PathBuf,
    signatures: Option<PathBuf>,
) -> Result<(), CliError> {
    let component = files::component(&file)?;
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
    session.out.done(format!("Plugin {name} is published as {}.", text(answer.get("digest"))), &answer)
}
