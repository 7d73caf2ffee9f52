//! `landfall group`.

mod change;
mod credential;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use landfall_domain::names::GroupId;
use serde_json::Value;

use self::change::CredentialChangeArgs;
use self::credential::{CredentialArgs, WAYS};
use super::changes::{ChangeArgs, nothing_said};
use super::enrolled::Kind;
use super::terms::{PreconditionArgs, TermsArgs, json_or_file};
use super::ways::Edits;
use super::{CliError, Common};

/// What can be done with enrollment groups.
#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Make a group, or change all that is said of one: what is not said is as in a new one.
    Put(Box<PutArgs>),
    /// Change what is said of a group; the rest of it stays.
    Set(Box<SetArgs>),
    /// Show a group.
    Show {
        /// The group's id.
        id: GroupId,
    },
    /// List the enrollment groups.
    List {
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Delete a group. Its devices keep their hubs until they register again.
    Delete {
        /// The group's id.
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
    id: GroupId,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    credential: CredentialChangeArgs,
}

pub(super) async fn run(common: &Common, command: GroupCommand) -> Result<(), CliError> {
    let session = &mut common.session()?;
    match command {
        GroupCommand::Put(args) => {
            let (id, body) = (&args.id, args.body()?);
            let done = |before| format!("Group {id} is {}.", if before { "changed" } else { "there" });
            GROUPS.put(session, (id.as_str(), &args.precondition, &body), &[], done).await
        }
        GroupCommand::Set(args) => {
            let edits = args.credential.edits()?;
            if !args.change.says_something() && !edits.say_something() {
                return Err(nothing_said());
            }
            let over = |stands: Option<&Value>| args.over(common, &edits, stands);
            GROUPS.set(session, args.id.as_str(), &[], over, &format!("Group {} is changed.", args.id)).await
        }
        GroupCommand::Show { id } => GROUPS.show(session, id.as_str()).await,
        GroupCommand::List { limit } => GROUPS.list(session, limit).await,
        GroupCommand::Delete { id } => {
            let sure = format!("Group {id} is deleted, and its devices are refused when they register again.");
            GROUPS.delete((common, session), id.as_str(), &sure, format!("Group {id} is deleted.")).await
        }
    }
}

const GROUPS: Kind = Kind {
    collection: "enrollment-groups",
    id: ("group", "/id"),
    none: "There is no group; make one with: landfall group put ID --ca NAME",
};

impl SetArgs {
    fn over(&self, common: &Common, edits: &Edits, stands: Option<&Value>) -> Result<Value, CliError> {
        let Some(stands) = stands else {
            let id = &self.id;
            let text = format!("there is no group {id}; make one with: landfall group put {id}");
            return Err(CliError::Failed(text));
        };
        let mut body = self.change.over(stands)?;
        edits.apply(common, &format!("Group {}", self.id), &mut body)?;
        Ok(body.into())
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
