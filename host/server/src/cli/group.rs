//! `landfall group`.

mod change;
mod credential;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use landfall_domain::names::GroupId;
use serde_json::Value;

use self::change::CredentialChangeArgs;
use self::credential::{CredentialArgs, WAYS};
use super::changes::{ChangeArgs, hint_of_fallback, nothing_said, told_of};
use super::proof::with_proof;
use super::shared_key::key_lines;
use super::terms::{PreconditionArgs, TermsArgs, json_or_file};
use super::{CliError, Common};
use crate::client::management::Changed;

/// What can be done with enrollment groups.
#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Make a group, or change all that is said of one: what is not said is as in a new one.
    Put(Box<PutArgs>),
    /// Change what is said of a group; the rest of it stays.
    Set(Box<SetArgs>),
    /// Show a group.
    Show {
        /// Its id.
        id: GroupId,
    },
    /// List groups.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Delete a group. Its devices keep their hubs until they register again.
    Delete {
        /// Its id.
        id: GroupId,
    },
}

/// What `group put` takes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("way").required(true).args(WAYS))]
#[command(after_help = "\
Examples:
  landfall group put pumps --ca factory
  landfall group put pumps --ca factory --allocation table --settings @hubs.json --grouping table=@places.json
  landfall group put meters --symmetric-key
  landfall group put gateways --tpm-maker tpm-roots.pem --tpm-intermediates tpm-intermediates.pem
  landfall group put gateways --directory fleet --directory-group devices
  landfall group put sensors --token-issuer https://login.example.com/tenant --token-audience urn:landfall
  landfall group put pumps --intermediate line3.pem --hub hub-eu.example.com --hub hub-us.example.com
  landfall group put pumps --file group.json --if-match ETAG")]
pub(super) struct PutArgs {
    /// Its id.
    id: GroupId,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    terms: TermsArgs,
    /// The whole group as JSON, in place of the words above.
    #[arg(long, value_name = "JSON")]
    file: Option<PathBuf>,
    #[command(flatten)]
    precondition: PreconditionArgs,
}

/// What `group set` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  landfall group set pumps --disabled
  landfall group set pumps --disabled=false --hub hub-eu.example.com
  landfall group set pumps --settings @hubs.json
  landfall group set pumps --secondary-ca factory-2
  landfall group set pumps --ca factory-2 --no-secondary-ca
  landfall group set meters --new-primary-key

What is not said stays as it is. A word of another way to prove oneself changes over to that way, when all that it needs is
said; somebody at a terminal is asked before.")]
pub(super) struct SetArgs {
    /// Its id.
    id: GroupId,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    credential: CredentialChangeArgs,
}

/// Runs it.
pub(super) async fn run(common: &Common, command: GroupCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    let out = session.out;
    match command {
        GroupCommand::Put(args) => {
            let body = args.body()?;
            let path = session.path(&["enrollment-groups", args.id.as_str()]);
            let Changed { before, answer } = args.precondition.put(&mut session.api, &path, &body).await?;
            let changes = told_of(before.as_ref(), &answer);
            let done = if before.is_some() { "changed" } else { "there" };
            out.done(format!("Group {} is {done}.{}{changes}{}", args.id, warning(&body), key_lines(&answer)), &answer)
        }
        GroupCommand::Set(args) => {
            let path = session.path(&["enrollment-groups", args.id.as_str()]);
            let edits = args.credential.edits()?;
            if !args.change.says_something() && !edits.say_something() {
                return Err(nothing_said());
            }
            let change = |stands: Option<&Value>| {
                let Some(stands) = stands else {
                    let id = &args.id;
                    let text = format!("there is no group {id}; make one with: landfall group put {id}");
                    return Err(CliError::Failed(text));
                };
                let mut body = args.change.over(stands)?;
                edits.apply(common, &format!("Group {}", args.id), &mut body)?;
                Ok(body.into())
            };
            let Changed { before, answer } = session.api.change(&path, change).await?;
            let changes = told_of(before.as_ref(), &answer);
            let (hint, keys) = (hint_of_fallback(before.as_ref(), &answer), key_lines(&answer));
            out.done(format!("Group {} is changed.{}{changes}{hint}{keys}", args.id, warning(&answer)), &answer)
        }
        GroupCommand::Show { id } => {
            let answer = session.api.get(&session.path(&["enrollment-groups", id.as_str()])).await?;
            out.details(&answer)
        }
        GroupCommand::List { limit } => {
            let page = with_proof(out, session.api.list(&session.path(&["enrollment-groups"]), limit).await?);
            let columns = [
                ("group", "/id"),
                ("proof", "/proof"),
                ("enabled", "/enabled"),
                ("manufacturing", "/manufacturing"),
                ("manufacturers", "/manufacturers"),
                ("allocation", "/allocation/selection/plugin"),
                ("hubs", "/hubs"),
                ("updated", "/updatedAt"),
            ];
            out.list(&page, &columns, "There is no group; make one with: landfall group put ID --ca NAME")
        }
        GroupCommand::Delete { id } => {
            common.sure(&format!("Group {id} is deleted, and its devices are refused when they register again."))?;
            let answer = session.api.delete(&session.path(&["enrollment-groups", id.as_str()])).await?;
            out.done(format!("Group {id} is deleted."), &answer)
        }
    }
}

impl PutArgs {
    fn body(&self) -> Result<Value, CliError> {
        if let Some(file) = &self.file {
            return json_or_file(&format!("@{}", file.display()), "");
        }
        Ok(self.terms.body(self.credential.member()?)?.into())
    }
}

/// The second factor is never off silently.
pub(super) fn warning(body: &Value) -> &'static str {
    if body.get("manufacturing").is_some_and(|how| how == "optional") {
        " No manufacturing record is demanded: the credential alone admits."
    } else {
        ""
    }
}
