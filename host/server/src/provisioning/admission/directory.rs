//! Verifies a Kerberos ticket, for the groups that take accounts of a directory.
//!
//! The ticket is opened with the keytab of each directory that a group names. A registration id belongs to the account
//! with that name. If the id has an individual enrollment, only that one counts. It demands another kind of credential,
//! so the device is refused. Otherwise the first group that takes the account counts.

use std::sync::Arc;

use landfall_attestation::kerberos::{Accepted, KerberosFlaw, NegotiateToken};
use landfall_domain::clock::Timestamp;
use landfall_domain::decision::call::{Attestation, Label};
use landfall_domain::enrollment::{AccountKind, DirectoryRules, EnrollmentRef, GroupAttestation};
use landfall_domain::names::{Digest, DirectoryName, RegistrationId};
use serde_json::json;

use super::{Evidential, Grounds, Proven, Shown};
use crate::catalogue::{BoundGroup, ScopeCatalogue};
use crate::directory::Account;
use crate::provisioning::Request;
use crate::provisioning::refusal::{Cause, RegisterError};

/// Finds the group that takes the account.
pub(super) async fn prove(
    grounds: &Grounds<'_>,
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
    let (directory, accepted) = open(grounds, request, &taking, token)?;
    let seconds = u64::try_from(accepted.replay_until).unwrap_or_default();
    let until = Timestamp::from_millis(seconds.saturating_mul(1000));
    if !grounds.kept.spend_authenticator(accepted.replay_id, until, request.received_at).await? {
        return Err(Cause::TicketAgain(accepted.principal).into());
    }
    // The ticket is good. If its directory cannot be reached now, the device is told to come back, and is not refused.
    let principal = &accepted.principal;
    let account = grounds.vouchers.account(&request.scope, directory, principal, request.received_at).await;
    let account = account.map_err(|error| {
        let (directory, account) = (directory.to_string(), principal.clone());
        RegisterError::NotNow(Cause::DirectoryAway { directory, account, reason: error.to_string() })
    })?;
    let (name, principal) = (directory.to_string(), principal.clone());
    let Some(account) = account else {
        return Err(Cause::NoAccount { directory: name, account: principal }.into());
    };
    if account.sid != accepted.sid {
        return Err(Cause::AccountChanged { directory: name, account: principal }.into());
    }
    if let Some(individual) = grounds.kept.individual(&request.scope, &request.registration_id).await? {
        let enrollment = EnrollmentRef::Individual(individual.registration_id.clone()).to_string();
        let (demands, shown) = (individual.attestation.in_words(), "a ticket of a directory");
        return Err(Cause::OtherMechanism { enrollment, demands, shown }.into());
    }
    let mut cause = None;
    for (bound, rules) in taking.into_iter().filter(|(_, rules)| rules.directory == *directory) {
        match takes(request, bound, rules, &accepted, &account) {
            Ok(name) => return Ok(proven(name, bound, rules, &accepted, &account)),
            // This group would have taken the account, so no other group may take it instead.
            Err(Cause::EnrollmentDisabled(enrollment)) => return Err(Cause::EnrollmentDisabled(enrollment).into()),
            Err(refused) => drop(cause.get_or_insert(refused)),
        }
    }
    Err(cause.unwrap_or(Cause::NoDirectoryGroup).into())
}

/// Opens the ticket with the keytab of the directory whose service the ticket is for.
fn open<'a>(
    grounds: &Grounds<'_>,
    request: &Request,
    taking: &[(&Arc<BoundGroup>, &'a DirectoryRules)],
    token: &NegotiateToken,
) -> Result<(&'a DirectoryName, Accepted), Cause> {
    let mut cause = None;
    let mut tried = Vec::new();
    for (_, rules) in taking {
        if tried.contains(&&rules.directory) {
            continue;
        }
        tried.push(&rules.directory);
        let vouchers = grounds.vouchers;
        match vouchers.open_ticket(&request.scope, &rules.directory, token.bytes(), request.received_at) {
            None => {}
            Some(Ok(accepted)) => return Ok((&rules.directory, accepted)),
            Some(Err(reason)) => {
                // The directory whose service the ticket is for gives the best reason.
                let is_for = !matches!(reason, KerberosFlaw::Service { .. });
                if is_for || cause.is_none() {
                    cause = Some(Cause::Ticket { directory: rules.directory.to_string(), reason });
                }
                if is_for {
                    break;
                }
            }
        }
    }
    Err(cause.unwrap_or(Cause::NoDirectoryGroup))
}

fn takes(
    request: &Request,
    bound: &BoundGroup,
    rules: &DirectoryRules,
    accepted: &Accepted,
    account: &Account,
) -> Result<RegistrationId, Cause> {
    let named = match rules.accounts {
        _ if account.kind != rules.accounts => None,
        // The `$` is always demanded here and never optional: otherwise an account whose name differs from another's
        // only by the `$` would be admitted as that other account.
        AccountKind::Computers => accepted.principal.strip_suffix('$'),
        AccountKind::Users => Some(accepted.principal.as_str()).filter(|name| !name.ends_with('$')),
    };
    let name = named.and_then(|name| name.parse().ok()).filter(|name| *name == request.registration_id);
    let Some(name) = name else {
        let (account, id) = (accepted.principal.clone(), request.registration_id.clone());
        return Err(Cause::AccountOfAnother { account, id });
    };
    let enrollment = || EnrollmentRef::Group(bound.group.id.clone()).to_string();
    let is_in = |group: &String| account.groups.iter().any(|own| own.eq_ignore_ascii_case(group));
    if !rules.groups.is_empty() && !rules.groups.iter().any(is_in) {
        let (account, wanted) = (accepted.principal.clone(), rules.groups.join(", "));
        return Err(Cause::NotInDirectoryGroup { enrollment: enrollment(), account, wanted });
    }
    if bound.terms.enabled { Ok(name) } else { Err(Cause::EnrollmentDisabled(enrollment())) }
}

fn proven(
    name: RegistrationId,
    bound: &BoundGroup,
    rules: &DirectoryRules,
    accepted: &Accepted,
    account: &Account,
) -> Proven {
    let identity = [b"directory\0".as_slice(), accepted.realm.as_bytes(), b"\0", &account.sid].concat();
    let Accepted { principal, realm, .. } = accepted;
    let claim = |key: &str, value: String| Label { key: key.to_owned(), value };
    let credential = format!("Kerberos ticket of {principal}@{realm}, an account of the directory {}", rules.directory);
    let shown = Shown {
        // The contract of policies has no word for a ticket; the claims tell it apart.
        mechanism: Attestation::Token,
        of: Evidential::Token { issuer: realm.clone(), subject: principal.clone() },
        key_identity: Digest::of(&identity),
    };
    let claims = vec![
        claim("directory.account", principal.clone()),
        claim("directory.groups", json!(account.groups).to_string()),
        claim("directory.realm", realm.clone()),
    ];
    Proven::by_group(bound, name, credential, shown, claims)
}
