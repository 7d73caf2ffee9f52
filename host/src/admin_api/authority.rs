//! Certificate authorities and the proof that their keys are at hand.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};

use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use crate::attestation::x509::{Anchor, Crl, crl, pem, possession};
use crate::enrollment::CertificateAuthority;
use crate::names::{CaName, IdScope};
use crate::service::Service;
use crate::store::{Precondition, entity_tag};

/// A certificate.
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
    /// Its revocation list, if one was uploaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    crl: Option<CrlView>,
    created_at: String,
    updated_at: String,
}

/// A revocation list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CrlView {
    /// How many certificates it names.
    revoked: usize,
    /// When the next one comes.
    next_update: String,
}

/// A revocation list.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CrlBody {
    /// PEM (`X509 CRL`), or base64 of DER.
    crl: String,
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
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let page = page.of(&service, scope.authorities().collect(), |authority| authority.name.to_string());
    body::listing(page, |authority| view(authority))
}

pub(super) async fn show(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    body::ok(&view(&find(&service, &scope, &name)?))
}

pub(super) async fn upload(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let (scope, name): (IdScope, CaName) = (known(&service, &scope)?.scope.clone(), name.parse()?);
    let when = body::precondition(request.headers());
    let der = certificate(body::json(&service, request).await?)?;
    Anchor::parse(&der).map_err(|error| Problem::at("/certificate", error.to_string()))?;
    let now = service.ambient.now();
    let before = known(&service, scope.as_str())?.authority(&name).cloned();
    // The same certificate again changes nothing; another one begins unproven.
    let authority = match before {
        Some(known) if known.der == der => known,
        _ => CertificateAuthority {
            name: name.clone(),
            der,
            verified: false,
            crl: None,
            verification_code: None,
            created_at: now,
            updated_at: now,
        },
    };
    let shown = view(&authority);
    let outcome = service.store.put_authority(&scope, authority, when).await?;
    service.reload().await?;
    body::put(outcome, &format!("authority {name}"), None, &shown)
}

pub(super) async fn remove(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let outcome = service.store.delete_authority(&scope.parse()?, &name.parse()?).await?;
    service.reload().await?;
    body::deleted(outcome, &format!("authority {name}"))
}

pub(super) async fn code(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let mut authority = find(&service, &scope, &name)?;
    let before = entity_tag(&authority);
    let code: String = service.ambient.random::<24>().iter().map(|byte| format!("{byte:02X}")).collect();
    authority.verification_code = Some(code.clone());
    authority.updated_at = service.ambient.now();
    let outcome = service.store.put_authority(&scope.parse()?, authority, Precondition::Match(before)).await?;
    service.reload().await?;
    body::put(outcome, &format!("authority {name}"), None, &CodeView { verification_code: code })
}

pub(super) async fn verify(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let mut authority = find(&service, &scope, &name)?;
    let before = entity_tag(&authority);
    let proof = certificate(body::json(&service, request).await?)?;
    let Some(code) = &authority.verification_code else {
        return Err(Problem::new(409, "ask for a verification code first: POST .../verification-code"));
    };
    let now = service.ambient.now();
    possession::verify_possession(&authority.der, code, &proof, now)
        .map_err(|error| Problem::at("/certificate", error.to_string()))?;
    authority.verified = true;
    // A code proves once.
    authority.verification_code = None;
    authority.updated_at = now;
    let shown = view(&authority);
    // Whoever uploads another certificate at this moment does not have it taken for proven.
    let outcome = service.store.put_authority(&scope.parse()?, authority, Precondition::Match(before)).await?;
    service.reload().await?;
    body::put(outcome, &format!("authority {name}"), None, &shown)
}

pub(super) async fn put_crl(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let mut authority = find(&service, &scope, &name)?;
    let before = entity_tag(&authority);
    let body: CrlBody = body::json_of(&service, request, crl::MAX_BYTES.saturating_mul(2)).await?;
    let wrong = |reason: String| Problem::at("/crl", reason);
    let der = pem::crl_from(&body.crl).map_err(|error| wrong(error.to_string()))?;
    let anchor = Anchor::parse(&authority.der).map_err(|error| wrong(error.to_string()))?;
    Crl::parse(&der, &anchor).map_err(|error| wrong(error.to_string()))?;
    authority.crl = Some(der);
    authority.updated_at = service.ambient.now();
    let shown = view(&authority);
    let outcome = service.store.put_authority(&scope.parse()?, authority, Precondition::Match(before)).await?;
    service.reload().await?;
    body::put(outcome, &format!("the list of {name}"), None, &shown)
}

pub(super) async fn remove_crl(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let mut authority = find(&service, &scope, &name)?;
    let before = entity_tag(&authority);
    if authority.crl.take().is_none() {
        return Err(Problem::not_found(format!("{name} has no revocation list")));
    }
    authority.updated_at = service.ambient.now();
    let outcome = service.store.put_authority(&scope.parse()?, authority, Precondition::Match(before)).await?;
    service.reload().await?;
    body::put(outcome, &format!("the list of {name}"), None, &())?;
    body::no_content()
}

fn certificate(body: CertificateBody) -> Result<Vec<u8>, Problem> {
    pem::certificate_from(body.certificate).map_err(|error| Problem::at("/certificate", error.to_string()))
}

fn find(service: &Service, scope: &str, name: &str) -> Result<CertificateAuthority, Problem> {
    let scope = known(service, scope)?;
    let missing = || Problem::not_found(format!("there is no certificate authority {name}"));
    scope.authority(&name.parse()?).cloned().ok_or_else(missing)
}

fn view(authority: &CertificateAuthority) -> AuthorityView {
    let anchor = Anchor::parse(&authority.der).ok();
    AuthorityView {
        name: authority.name.to_string(),
        verified: authority.verified,
        subject: anchor.as_ref().map(|anchor| anchor.subject().to_owned()).unwrap_or_default(),
        sha256: crate::names::Digest::of(&authority.der).to_string(),
        crl: authority
            .crl
            .as_ref()
            .zip(anchor.as_ref())
            .and_then(|(der, anchor)| Crl::parse(der, anchor).ok())
            .map(|list| CrlView { revoked: list.len(), next_update: list.next_update() }),
        not_after: anchor.as_ref().map(Anchor::not_after).unwrap_or_default(),
        created_at: authority.created_at.to_string(),
        updated_at: authority.updated_at.to_string(),
    }
}
