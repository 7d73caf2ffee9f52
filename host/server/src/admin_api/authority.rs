//! Certificate authorities, and the proof of possession of their keys.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use landfall_attestation::x509::revocation::Said;
use landfall_attestation::x509::{Anchor, pem, possession};
use landfall_domain::enrollment::CertificateAuthority;
use landfall_domain::names::{CaName, IdScope};
use landfall_store::{AuthorityUpload, DeleteOutcome, Precondition, PutOutcome, StoreError, authority_tag, entity_tag};
use serde::{Deserialize, Serialize};

use super::authorize::Caller;
use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use super::revocation::{CrlView, RevocationView};
use crate::catalogue::ScopeCatalogue;
use crate::conflict;
use crate::service::Service;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificateBody {
    /// PEM, or base64 of DER.
    certificate: String,
}

/// An authority as it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthorityView {
    name: String,
    /// Only a proven authority admits devices.
    verified: bool,
    subject: String,
    /// SHA-256 of the DER.
    sha256: String,
    /// When its certificate ends.
    not_after: String,
    /// Its revocation list, if one was brought or fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    crl: Option<CrlView>,
    /// What else is said of its certificates.
    revocation: RevocationView,
    created_at: String,
    updated_at: String,
}

/// How an authority is uploaded.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadQuery {
    /// Whether the certificate may take the place of another: of one with its name and key where groups rest on it, which
    /// then stays proven, or of any that is proven and that nothing rests on.
    #[serde(default)]
    replace: bool,
}

/// A code to be signed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CodeView {
    /// What the CN of the verification certificate must be, exactly.
    verification_code: String,
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Extension(caller): Extension<Caller>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let page = page.of(&service, scope.authorities().collect(), |authority| authority.name.to_string());
    body::listing(page, |authority| view(&service, &scope, authority, caller.is_of_one_scope()))
}

pub(super) async fn show(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    shown(&service, &scope, &name, caller.is_of_one_scope())
}

pub(super) async fn upload(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    Asked(UploadQuery { replace }): Asked<UploadQuery>,
    request: Request,
) -> Answer {
    let (scope, name): (IdScope, CaName) = (known(&service, &scope)?.scope.clone(), name.parse()?);
    let (when, bound) = (body::precondition(request.headers()), Caller::is_bound(&request));
    let der = certificate(body::json(&service, request).await?)?;
    Anchor::parse(&der).map_err(|error| Problem::at("/certificate", error.to_string()))?;
    let upload = AuthorityUpload { name: name.clone(), der, replace, now: service.ambient().now() };
    let outcome = service.catalogue().change(|store| store.upload_authority(&scope, upload, when)).await?;
    let answer = body::put(outcome, &format!("authority {name}"), None, &())?;
    let (status, shown) = (answer.status(), shown(&service, scope.as_str(), name.as_str(), bound)?);
    let mut shown = shown;
    *shown.status_mut() = status;
    Ok(shown)
}

pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let when = body::precondition(request.headers());
    let (scope, authority) = (scope.parse()?, name.parse()?);
    let outcome = service.catalogue().change(|store| store.delete_authority(&scope, &authority, when)).await?;
    match outcome {
        DeleteOutcome::InUse(by) => {
            let by = conflict::use_in_words(&by);
            Err(Problem::new(409, format!("the authority {name} is in use: {by}")))
        }
        other => body::deleted(other, &format!("authority {name}")),
    }
}

pub(super) async fn code(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let mut authority = find(&*known(&service, &scope)?, &name)?;
    let before = entity_tag(&authority);
    let code: String = service.ambient().random::<24>().iter().map(|byte| format!("{byte:02X}")).collect();
    authority.verification_code = Some(code.clone());
    authority.updated_at = service.ambient().now();
    let outcome = replace(&service, &scope.parse()?, authority, before).await?;
    body::put(outcome, &format!("authority {name}"), None, &CodeView { verification_code: code })
}

pub(super) async fn verify(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let mut authority = find(&*known(&service, &scope)?, &name)?;
    let (before, bound) = (entity_tag(&authority), Caller::is_bound(&request));
    let proof = certificate(body::json(&service, request).await?)?;
    let Some(code) = &authority.verification_code else {
        return Err(Problem::new(
            409,
            "no verification code was made yet, which the verification certificate has to name",
        ));
    };
    let now = service.ambient().now();
    possession::verify_possession(&authority.der, code, &proof, now)
        .map_err(|error| Problem::at("/certificate", error.to_string()))?;
    authority.verified = true;
    // A verification code can be used once.
    authority.verification_code = None;
    authority.updated_at = now;
    // If another certificate is uploaded in this moment, it must not be marked as proven.
    let outcome = replace(&service, &scope.parse()?, authority, before).await?;
    body::put(outcome, &format!("authority {name}"), None, &())?;
    shown(&service, &scope, &name, bound)
}

/// Replaces the authority that has this entity tag.
async fn replace(
    service: &Service,
    scope: &IdScope,
    authority: CertificateAuthority,
    before: String,
) -> Result<PutOutcome, StoreError> {
    let when = Precondition::Match(before);
    service.catalogue().change(|store| store.put_authority(scope, authority, when)).await
}

/// Shows an authority to a caller that is, or is not, bound to one id scope.
pub(super) fn shown(service: &Service, scope: &str, name: &str, bound: bool) -> Answer {
    let scope = known(service, scope)?;
    let authority = find(&scope, name)?;
    let said = Anchor::parse(&authority.der).ok().and_then(|anchor| scope.revocations().of(&anchor).cloned());
    let tag = authority_tag(&authority, said.as_ref().map(|said| &said.record));
    body::tagged(body::ok(&view(service, &scope, &authority, bound))?, Some(&tag))
}

pub(super) fn find(scope: &ScopeCatalogue, name: &str) -> Result<CertificateAuthority, Problem> {
    let missing = || Problem::not_found(format!("there is no certificate authority {name}"));
    scope.authority(&name.parse()?).cloned().ok_or_else(missing)
}

fn certificate(body: CertificateBody) -> Result<Vec<u8>, Problem> {
    pem::certificate_from(body.certificate).map_err(|error| Problem::at("/certificate", error.to_string()))
}

fn view(service: &Service, scope: &ScopeCatalogue, authority: &CertificateAuthority, bound: bool) -> AuthorityView {
    let (now, grace) = (service.ambient().now(), service.config().certificates.stale_crl_hours.saturating_mul(3600));
    let anchor = Anchor::parse(&authority.der).ok();
    let known = scope.revocations();
    let record = anchor.as_ref().and_then(|anchor| known.of(anchor)).map(|said: &Said| &said.record);
    let counts = anchor.as_ref().map(|anchor| known.judge_authority(anchor, now, grace));
    AuthorityView {
        name: authority.name.to_string(),
        verified: authority.verified,
        subject: anchor.as_ref().map(|anchor| anchor.subject().to_owned()).unwrap_or_default(),
        sha256: landfall_domain::names::Digest::of(&authority.der).to_string(),
        crl: record.and_then(|record| record.list.as_ref()).map(|list| CrlView::of(list, (now, grace))),
        revocation: RevocationView::of(
            record,
            record
                .and_then(|record| service.outside().lists().trouble(&scope.scope, record))
                .map(|it| it.failure_for(bound).to_owned()),
            counts.and_then(Result::err).map(|error| error.to_string()),
        ),
        not_after: anchor.as_ref().map(Anchor::not_after).unwrap_or_default(),
        created_at: authority.created_at.to_string(),
        updated_at: authority.updated_at.to_string(),
    }
}
