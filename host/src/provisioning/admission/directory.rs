//! A Kerberos ticket, before the groups that take accounts of a directory.
//!
//! The ticket is opened with the keytab of each directory that a group names, and a registration id belongs to the account of
//! that name. An individual enrollment of the id counts alone, and demands another kind of credential: it refuses. Of
//! the groups, the first that takes the account counts.

use std::sync::Arc;

use serde_json::json;

use super::{Evidential, Proven, Shown};
use crate::attestation::kerberos::{Accepted, NegotiateToken};
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::directory::{Account, Directory, DirectoryFlaw};
use crate::enrollment::{AccountKind, DirectoryRules, EnrollmentRef, GroupAttestation};
use crate::names::Digest;
use crate::policy::call::{Attestation, Label};
use crate::provisioning::Request;
use crate::provisioning::refusal::{Cause, RegisterError};
use crate::service::Service;

/// Finds the group that takes the account.
pub(super) async fn prove(
    service: &Service,
    request: &Request,
    scope: &ScopeCatalogue,
    token: &NegotiateToken,
) -> Result<Proven, RegisterError> {
    let taking: Vec<(&Arc<BoundGroup>, &DirectoryRules)> = scope
        .groups()
        .filter_map(|bound| match &bound.group.attestation {
            GroupAttestation::Directory(rules) => Some((bound, rules)),
            _ => None,
        })
        .collect();
    let (name, directory, accepted) = open(service, request, &taking, token)?;
    if !service.directories.is_new(&accepted, request.received_at) {
        return Err(Cause::TicketAgain(accepted.principal).into());
    }
    let account = match directory.account(&accepted.principal).await {
        Ok(account) => account,
        Err(DirectoryFlaw::NoAccount(account)) => return Err(Cause::NoAccount { directory: name, account }.into()),
        Err(error) => {
            // The ticket is good: its device is told to come back, not that it may not come.
            tracing::error!(tracking_id = %request.tracking_id, directory = name, %error, "a directory does not answer; its devices are told to come back");
            return Err(RegisterError::Busy);
        }
    };
    if service.store.individual(&request.scope, &request.registration_id).await?.is_some() {
        let enrollment = EnrollmentRef::Individual(request.registration_id.clone()).to_string();
        let (demands, shown) = ("another credential", "a ticket of a directory");
        return Err(Cause::OtherMechanism { enrollment, demands, shown }.into());
    }
    let mut cause = None;
    for (bound, rules) in taking.into_iter().filter(|(_, rules)| rules.directory.as_str() == name) {
        match takes(request, bound, rules, &accepted, &account) {
            Ok(()) => return Ok(proven(bound, rules, &accepted, &account)),
            Err(refused) => drop(cause.get_or_insert(refused)),
        }
    }
    Err(cause.unwrap_or(Cause::NoDirectoryGroup).into())
}

/// Opens the ticket with the keytab of one of the directories: of that whose service it is for.
fn open(
    service: &Service,
    request: &Request,
    taking: &[(&Arc<BoundGroup>, &DirectoryRules)],
    token: &NegotiateToken,
) -> Result<(String, Arc<Directory>, Accepted), Cause> {
    let skew = service.verify_policy().clock_skew;
    let mut cause = Cause::NoDirectoryGroup;
    let mut tried = Vec::new();
    for (_, rules) in taking {
        if tried.contains(&&rules.directory) {
            continue;
        }
        tried.push(&rules.directory);
        let Some(directory) = service.directories.get(&rules.directory) else { continue };
        match directory.open(token.bytes(), request.received_at, skew) {
            Ok(accepted) => return Ok((rules.directory.to_string(), Arc::clone(directory), accepted)),
            Err(reason) => cause = Cause::Ticket { directory: rules.directory.to_string(), reason },
        }
    }
    Err(cause)
}

fn takes(
    request: &Request,
    bound: &BoundGroup,
    rules: &DirectoryRules,
    accepted: &Accepted,
    account: &Account,
) -> Result<(), Cause> {
    let named = match rules.accounts {
        // Never with or without the sign by choice: an account that takes another's name but for it would be let in.
        AccountKind::Computers => accepted.principal.strip_suffix('$'),
        AccountKind::Users => Some(accepted.principal.as_str()).filter(|name| !name.ends_with('$')),
    };
    if named.and_then(|name| name.parse().ok()).as_ref() != Some(&request.registration_id) {
        let (account, id) = (accepted.principal.clone(), request.registration_id.clone());
        return Err(Cause::AccountOfAnother { account, id });
    }
    let enrollment = || EnrollmentRef::Group(bound.group.id.clone()).to_string();
    let is_in = |group: &String| account.groups.iter().any(|own| own.eq_ignore_ascii_case(group));
    if !rules.groups.is_empty() && !rules.groups.iter().any(is_in) {
        let (account, wanted) = (accepted.principal.clone(), rules.groups.join(", "));
        return Err(Cause::NotInDirectoryGroup { enrollment: enrollment(), account, wanted });
    }
    if bound.terms.enabled { Ok(()) } else { Err(Cause::EnrollmentDisabled(enrollment())) }
}

fn proven(bound: &BoundGroup, rules: &DirectoryRules, accepted: &Accepted, account: &Account) -> Proven {
    let identity = [b"directory\0".as_slice(), accepted.realm.as_bytes(), b"\0", &account.sid].concat();
    let Accepted { principal, realm, .. } = accepted;
    let claim = |key: &str, value: String| Label { key: key.to_owned(), value };
    Proven {
        credential: format!("Kerberos ticket of {principal}@{realm}, an account of the directory {}", rules.directory),
        allocation: Arc::clone(&bound.allocation),
        device_id: None,
        terms: Arc::clone(&bound.terms),
        pinned: false,
        shown: Shown {
            // The contract of policies has no word of its own for it; the claims tell it apart.
            mechanism: Attestation::Token,
            of: Evidential::Token { issuer: realm.clone(), subject: principal.clone() },
            key_identity: Digest::of(&identity),
        },
        claims: vec![
            claim("directory.account", principal.clone()),
            claim("directory.groups", json!(account.groups).to_string()),
            claim("directory.realm", realm.clone()),
        ],
        enrollment: EnrollmentRef::Group(bound.group.id.clone()),
    }
}
