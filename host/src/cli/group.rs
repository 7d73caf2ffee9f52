//! `landfall group`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::ca::pem;
use super::shared_key::{SharedKeyArgs, told};
use super::terms::{PreconditionArgs, TermsArgs, json_or_file};
use super::token::without_nulls;
use super::{CliError, Common};
use crate::attestation::x509::pem::{certificates_from, text_of};
use crate::names::{CaName, DirectoryName, GroupId};

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
  landfall group put gateways --tpm-maker tpm-roots.pem --tpm-intermediates tpm-intermediates.pem
  landfall group put gateways --directory fleet --directory-group devices
  landfall group put pumps --intermediate line3.pem --hub hub-eu.example.com --hub hub-us.example.com
  landfall group put pumps --file group.json --if-match ETAG")]
pub(super) struct PutArgs {
    /// Its id.
    id: GroupId,
    /// The uploaded authority that its devices' certificates chain up to.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["intermediate", "symmetric_key", "tpm_maker", "directory", "file"], conflicts_with = "symmetric_key")]
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
    /// Its devices prove themselves by TPMs of these makers: a file with their certificates that are trusted, PEM. The
    /// manufacturing record of a device names its endorsement key.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca", "intermediate", "symmetric_key", "file"])]
    tpm_maker: Option<PathBuf>,
    /// Certificates that lead up to the makers', PEM.
    #[arg(long, value_name = "FILE", requires = "tpm_maker")]
    tpm_intermediates: Option<PathBuf>,
    /// Its devices are accounts of this directory, by its name in the server's landfall.toml. They come with Kerberos tickets.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["ca", "intermediate", "symmetric_key", "tpm_maker", "file"])]
    directory: Option<DirectoryName>,
    /// A group of the directory of which an account must be in one; can be given several times.
    #[arg(long = "directory-group", value_name = "NAME", requires = "directory")]
    directory_groups: Vec<String>,
    /// What kind of account.
    #[arg(long, value_name = "KIND", requires = "directory", default_value = "computers")]
    accounts: AccountName,
    #[command(flatten)]
    terms: TermsArgs,
    /// The whole group as JSON, in place of the words above.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["ca", "intermediate", "symmetric_key"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    precondition: PreconditionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AccountName {
    /// Computers, whose names end with $; the registration id is without it.
    Computers,
    /// All others.
    Users,
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
        if let Some(directory) = &self.directory {
            let accounts = match self.accounts {
                AccountName::Computers => "computers",
                AccountName::Users => "users",
            };
            let rules = json!({ "name": directory, "accounts": accounts, "groups": self.directory_groups });
            return Ok(self.terms.body(("directory", rules))?.into());
        }
        if let Some(roots) = &self.tpm_maker {
            let intermediates = self.tpm_intermediates.as_deref().map(bundle).transpose()?;
            let makers = without_nulls(json!({ "roots": bundle(roots)?, "intermediates": intermediates }));
            return Ok(self.terms.body(("tpm", makers))?.into());
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

/// The certificates of a file, each as PEM.
fn bundle(path: &Path) -> Result<Vec<String>, CliError> {
    let text = std::fs::read_to_string(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    let certificates = certificates_from(&text);
    let certificates = certificates.map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?;
    Ok(certificates.iter().map(|der| text_of(der)).collect())
}

/// The second factor is never off silently.
pub(super) fn warning(body: &Value) -> &'static str {
    if body.get("manufacturing").is_some_and(|how| how == "optional") {
        " No manufacturing record is demanded: the credential alone admits."
    } else {
        ""
    }
}
