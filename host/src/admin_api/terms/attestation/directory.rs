//! Accounts of a directory, as a body says it.

use serde::{Deserialize, Serialize};

use crate::admin_api::problem::Problem;
use crate::enrollment::{AccountKind, DirectoryRules, GroupAttestation};
use crate::names::DirectoryName;
use crate::service::Service;

/// Accounts of a directory (Active Directory), which come with a Kerberos ticket.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct DirectoryBody {
    /// Its name in `landfall.toml`.
    pub(in crate::admin_api::terms) name: String,
    /// What kind of account. The account's name is the registration id; a computer's without the `$` at its end.
    #[serde(default)]
    pub(in crate::admin_api::terms) accounts: AccountKind,
    /// Groups of which it must be in one, those in them included; any account will do when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::admin_api::terms) groups: Vec<String>,
}

/// The accounts that a group takes.
pub(super) fn directory_rules(service: &Service, body: &DirectoryBody) -> Result<GroupAttestation, Problem> {
    let wrong = |what: String| Problem::at("/directory/name", what);
    let name: DirectoryName = body.name.parse().map_err(|error| wrong(format!("{error}")))?;
    if service.directories.get(&name).is_none() {
        let known = service.directories.names();
        return Err(wrong(format!("no directory {name} is in landfall.toml ([directory.{name}]); there are: {known}")));
    }
    if let Some(at) = body.groups.iter().position(|group| group.is_empty() || group.len() > 256) {
        return Err(Problem::at(format!("/directory/groups/{at}"), "the name of a group has 1 to 256 bytes"));
    }
    let (accounts, groups) = (body.accounts, body.groups.clone());
    Ok(GroupAttestation::Directory(DirectoryRules { directory: name, accounts, groups }))
}
