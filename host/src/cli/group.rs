//! `landfall group`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::ca::pem;
use super::shared_key::{SharedKeyArgs, told};
use super::terms::{PreconditionArgs, TermsArgs, json_or_file};
use super::token::without_nulls;
use super::{CliError, Common};
use crate::names::{CaName, GroupId};

/// What can be done with enrollment groups.
#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Make a group, or change all that is said of one.
    Put(Box<PutArgs>),
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
#[command(after_help = "\
Examples:
  landfall group put pumps --ca factory
  landfall group put pumps --ca factory --allocation table --settings @hubs.json --grouping table=@places.json
  landfall group put meters --symmetric-key
  landfall group put pumps --intermediate line3.pem --hub hub-eu.example.com --hub hub-us.example.com
  landfall group put pumps --file group.json --if-match ETAG")]
pub(super) struct PutArgs {
    /// Its id.
    id: GroupId,
    /// The uploaded authority that its devices' certificates chain up to.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["intermediate", "symmetric_key", "file"], conflicts_with = "symmetric_key")]
    ca: Option<CaName>,
    /// The authority's successor.
    #[arg(long, value_name = "NAME", requires = "ca")]
    secondary_ca: Option<CaName>,
    /// An intermediate that its devices' certificates chain up to, PEM. Its own issuer must be an uploaded authority.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca", "symmetric_key"])]
    intermediate: Option<PathBuf>,
    /// The intermediate's successor.
    #[arg(long, value_name = "FILE", requires = "intermediate")]
    secondary_intermediate: Option<PathBuf>,
    #[command(flatten)]
    shared_key: SharedKeyArgs,
    #[command(flatten)]
    terms: TermsArgs,
    /// The whole group as JSON, in place of the words above.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["ca", "intermediate", "symmetric_key"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    precondition: PreconditionArgs,
}

/// Runs it.
pub(super) async fn run(common: &Common, command: GroupCommand) -> Result<(), CliError> {
    let mut session = common.session()?;
    let out = session.out;
    match command {
        GroupCommand::Put(args) => {
            let body = args.body()?;
            let path = session.path(&["enrollment-groups", args.id.as_str()]);
            let answer = session.api.put_if(&path, &body, args.precondition.headers()?).await?;
            out.done(format!("Group {} is there.{}{}", args.id, warning(&body), told(&answer)), &answer)
        }
        GroupCommand::Show { id } => {
            let answer = session.api.get(&session.path(&["enrollment-groups", id.as_str()])).await?;
            out.details(&answer)
        }
        GroupCommand::List { limit } => {
            let page = session.api.list(&session.path(&["enrollment-groups"]), limit).await?;
            let columns = [
                ("group", "/id"),
                ("enabled", "/enabled"),
                ("manufacturing", "/manufacturing"),
                ("manufacturers", "/manufacturers"),
                ("authorities", "/x509/authorities"),
                ("allocation", "/allocation/selection/plugin"),
                ("hubs", "/hubs"),
                ("updated", "/updatedAt"),
            ];
            out.list(&page, &columns, "There is no group; make one with: landfall group put ID --ca NAME")
        }
        GroupCommand::Delete { id } => {
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
        if let Some(keys) = self.shared_key.body()? {
            return Ok(self.terms.body(("symmetricKey", keys))?.into());
        }
        let x509 = match &self.intermediate {
            Some(primary) => {
                let secondary = self.secondary_intermediate.as_deref().map(pem).transpose()?;
                let intermediates = without_nulls(json!({ "primary": pem(primary)?, "secondary": secondary }));
                json!({ "intermediates": intermediates })
            }
            None => {
                let authorities = without_nulls(json!({ "primary": self.ca, "secondary": self.secondary_ca }));
                json!({ "authorities": authorities })
            }
        };
        Ok(self.terms.body(("x509", x509))?.into())
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
