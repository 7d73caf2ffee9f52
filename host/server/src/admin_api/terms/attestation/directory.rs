//! Reads the rules for directory accounts from a body.

use landfall_domain::enrollment::{AccountKind, DirectoryRules, GroupAttestation};
use landfall_domain::names::DirectoryName;
use serde::{Deserialize, Serialize};

use super::Proof;
use crate::admin_api::problem::Problem;

/// Accounts of a directory (Active Directory), which come with a Kerberos ticket.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct DirectoryBody {
    /// Its name in `landfall.toml`.
    pub(in crate::admin_api::terms) name: String,
    /// What kind of account. The account's name is the registration id; a computer's without the `$` at its end.
    #[serde(default)]
    pub(in crate::admin_api::terms) accounts: AccountKind,
    /// Security groups of which it must be in one, those in them included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::admin_api::terms) groups: Vec<String>,
    /// Any account of this kind will do. In place of groups; every user of a domain may make ten computers, as domains come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::admin_api::terms) any_account: bool,
}

/// The accounts that a group accepts.
pub(super) fn directory_rules(proof: &Proof<'_>, body: &DirectoryBody) -> Result<GroupAttestation, Problem> {
    let wrong = |what: String| Problem::at("/directory/name", what);
    let name: DirectoryName = body.name.parse().map_err(|error| wrong(format!("{error}")))?;
    if let Some(refused) = proof.service.outside().directories().refusal(proof.scope, &name) {
        return Err(wrong(refused));
    }
    if body.groups.is_empty() != body.any_account {
        let what = "say `groups`, of which an account must be in one, or `anyAccount: true`, not both";
        return Err(Problem::at("/directory/groups", what));
    }
    if let Some(at) = body.groups.iter().position(|group| group.is_empty() || group.len() > 256) {
        return Err(Problem::at(format!("/directory/groups/{at}"), "the name of a group has 1 to 256 bytes"));
    }
    let (accounts, groups) = (body.accounts, body.groups.clone());
    Ok(GroupAttestation::Directory(DirectoryRules { directory: name, accounts, groups }))
}
