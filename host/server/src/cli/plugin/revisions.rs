//! `landfall plugin revisions` and `landfall plugin rollback`.

use clap::Args;
use landfall_domain::names::{Digest, PluginName};
use serde_json::json;

use super::super::output::text;
use super::super::{CliError, Session};

/// Which revisions to list.
#[derive(Debug, Args)]
pub(in crate::cli) struct RevisionsArgs {
    /// The plugin's name.
    name: PluginName,
    /// How many at most.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

/// Where to go back to.
#[derive(Debug, Args)]
#[command(after_help = "\
The revision is tried with every enrollment that follows the name first; if it does not fit one of them, nothing changes.
The live revision and the one before it are in memory, so that going back takes no longer than the next decision.
Going back twice comes out where it began: what is left behind is then the one before.")]
pub(in crate::cli) struct RollbackArgs {
    /// The plugin's name.
    name: PluginName,
    /// The revision, by the digest that `landfall plugin revisions` shows; without it, the one before.
    #[arg(long, value_name = "DIGEST")]
    to: Option<Digest>,
}

pub(super) async fn list(session: &mut Session, args: RevisionsArgs) -> Result<(), CliError> {
    let path = session.path(&["plugins", args.name.as_str(), "revisions"]);
    let page = session.api.list(&path, args.limit).await?;
    let columns = [
        ("revision", "/digest"),
        ("version", "/version"),
        ("live", "/live"),
        ("loaded", "/loaded"),
        ("breaker", "/breaker/state"),
        ("published", "/publishedAt"),
        ("by", "/publishedBy"),
        ("live since", "/liveSince"),
        ("live by", "/liveBy"),
    ];
    session.out.list(&page, &columns, "It has no revision.")
}

pub(super) async fn rollback(session: &mut Session, args: RollbackArgs) -> Result<(), CliError> {
    let path = session.path(&["plugins", args.name.as_str(), "rollback"]);
    let body = match args.to {
        Some(revision) => json!({ "revision": revision }),
        None => json!({}),
    };
    let answer = session.api.post(&path, &body).await?;
    let (version, digest) = (text(answer.pointer("/description/version")), text(answer.get("digest")));
    session.out.done(format!("Plugin {} is back at {version}, revision {digest}.", args.name), &answer)
}
