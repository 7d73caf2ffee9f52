//! Individual enrollments and enrollment groups.

use std::sync::Arc;

use axum::extract::{Request, State};
use landfall_attestation::bearer::TokenRules;
use landfall_domain::enrollment::{EnrollmentRef, Group, GroupAttestation, Individual};
use landfall_domain::names::{DeviceId, GroupId, IdScope, RegistrationId};

use super::authorize::Caller;
use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use super::terms::{self, EnrollmentBody, Proof};
use crate::service::Service;

pub(super) async fn list_groups(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let page = page.of(&service, scope.groups().collect(), |bound| bound.group.id.to_string());
    body::listing(page, |bound| terms::group_view(&bound.group, None, service.config().policy.function_plugin()))
}

pub(super) async fn show_group(State(service): State<Arc<Service>>, At((scope, id)): At<(String, String)>) -> Answer {
    let scope = known(&service, &scope)?;
    let bound = scope.group(&id.parse()?).ok_or_else(|| Problem::not_found(format!("there is no group {id}")))?;
    body::tagged(
        body::ok(&terms::group_view(&bound.group, None, service.config().policy.function_plugin()))?,
        Some(&bound.terms.etag),
    )
}

pub(super) async fn put_group(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    request: Request,
) -> Answer {
    let (scope, id): (_, GroupId) = (known(&service, &scope)?, id.parse()?);
    let (when, bound) = (body::precondition(request.headers()), Caller::is_bound(&request));
    let body: EnrollmentBody = body::json(&service, request).await?;
    if body.device_id.is_some() {
        return Err(Problem::at("/deviceId", "only an individual enrollment has one"));
    }
    let what = format!("group {id}");
    let proof = proof(&service, &scope.scope, EnrollmentRef::Group(id.clone()), &body);
    // Values that the body omits, especially keys, are carried over from the stored enrollment, so it must not change
    // meanwhile.
    for _ in 0..MOST_TRIES {
        let before = service.store().group(&scope.scope, &id).await?;
        let over = match when.over(before.as_ref().map(|group| group.terms.etag.as_str())) {
            Ok(over) => over,
            Err(refused) => return body::put(refused, &what, None, &()),
        };
        let stands = before.as_ref().map(|group| &group.attestation);
        let (attestation, told) = terms::group_attestation(&proof, &scope, stands)?;
        let attestation = if bound { within_reach(attestation, stands) } else { attestation };
        let terms = terms::terms(&service, &scope, &body, before.as_ref().map(|group| &group.terms)).await?;
        let group = Group { id: id.clone(), attestation, terms };
        let (view, etag) =
            (terms::group_view(&group, told, service.config().policy.function_plugin()), group.terms.etag.clone());
        let outcome = service.catalogue().change(|store| store.put_group(&scope.scope, group, over)).await?;
        if !outcome.is_overtaken() {
            return body::put(outcome, &what, Some(&etag), &view);
        }
    }
    Err(contended(&what))
}

/// Restricts what an operator of one id scope may enter: the issuer must be at a public address. A stored issuer keeps
/// its setting.
fn within_reach(attestation: GroupAttestation, stands: Option<&GroupAttestation>) -> GroupAttestation {
    let GroupAttestation::Token(rules) = attestation else { return attestation };
    let same = |before: &&TokenRules| before.issuer == rules.issuer && before.ca_certificate == rules.ca_certificate;
    let before =
        stands.and_then(|stands| if let GroupAttestation::Token(before) = stands { Some(before) } else { None });
    let public_hosts_only = before.filter(same).is_none_or(|before| before.public_hosts_only);
    GroupAttestation::Token(TokenRules { public_hosts_only, ..rules })
}

pub(super) async fn delete_group(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    request: Request,
) -> Answer {
    let when = body::precondition(request.headers());
    let (scope, group) = (scope.parse()?, id.parse()?);
    let outcome = service.catalogue().change(|store| store.delete_group(&scope, &group, when)).await?;
    body::deleted(outcome, &format!("group {id}"))
}

pub(super) async fn list_individuals(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let listing = service.store().individuals(&scope.scope, page.page(&service)).await?;
    body::listing(listing, |individual| {
        terms::individual_view(individual, None, service.config().policy.function_plugin())
    })
}

pub(super) async fn show_individual(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
) -> Answer {
    let found = service.store().individual(&scope.parse()?, &id.parse()?).await?;
    let found = found.ok_or_else(|| Problem::not_found(format!("there is no individual enrollment for {id}")))?;
    body::tagged(
        body::ok(&terms::individual_view(&found, None, service.config().policy.function_plugin()))?,
        Some(&found.terms.etag),
    )
}

pub(super) async fn put_individual(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    request: Request,
) -> Answer {
    let (scope, id): (_, RegistrationId) = (known(&service, &scope)?, id.parse()?);
    let when = body::precondition(request.headers());
    let body: EnrollmentBody = body::json(&service, request).await?;
    let device_id = body.device_id.as_deref().map(str::parse::<DeviceId>).transpose();
    let device_id = device_id.map_err(|error| Problem::at("/deviceId", format!("{error}")))?;
    let what = format!("the enrollment {id}");
    let proof = proof(&service, &scope.scope, EnrollmentRef::Individual(id.clone()), &body);
    for _ in 0..MOST_TRIES {
        let before = service.store().individual(&scope.scope, &id).await?;
        let over = match when.over(before.as_ref().map(|stands| stands.terms.etag.as_str())) {
            Ok(over) => over,
            Err(refused) => return body::put(refused, &what, None, &()),
        };
        let stands = before.as_ref().map(|stands| &stands.attestation);
        let (attestation, told) = terms::individual_attestation(&proof, stands)?;
        let terms = terms::terms(&service, &scope, &body, before.as_ref().map(|stands| &stands.terms)).await?;
        let device_id = device_id.clone();
        let individual = Individual { registration_id: id.clone(), device_id, attestation, terms };
        terms::can_serve(&individual, before.as_ref(), &service.config().verify_policy(service.ambient().now()))?;
        let (view, etag) = (
            terms::individual_view(&individual, told, service.config().policy.function_plugin()),
            individual.terms.etag.clone(),
        );
        let outcome = service.store().put_individual(&scope.scope, individual, over).await?;
        if !outcome.is_overtaken() {
            return body::put(outcome, &what, Some(&etag), &view);
        }
    }
    Err(contended(&what))
}

pub(super) async fn delete_individual(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    request: Request,
) -> Answer {
    let when = body::precondition(request.headers());
    let outcome = service.store().delete_individual(&scope.parse()?, &id.parse()?, when).await?;
    body::deleted(outcome, &format!("the enrollment {id}"))
}

fn proof<'a>(service: &'a Service, scope: &'a IdScope, owner: EnrollmentRef, body: &'a EnrollmentBody) -> Proof<'a> {
    Proof {
        service,
        scope,
        owner,
        x509: body.x509.as_ref(),
        symmetric_key: body.symmetric_key.as_ref(),
        tpm: body.tpm.as_ref(),
        token: body.token.as_ref(),
        password: body.password.as_ref(),
        directory: body.directory.as_ref(),
    }
}

fn contended(what: &str) -> Problem {
    Problem::new(503, format!("{what} was changed by others {MOST_TRIES} times meanwhile; try again"))
}

/// How often a change is retried after a concurrent change.
const MOST_TRIES: usize = 64;
