//! All revocations in an id scope by issuer, whether or not the issuer is an uploaded authority.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use landfall_attestation::x509::Anchor;
use landfall_attestation::x509::revocation::Said;
use serde::Serialize;

use super::{CrlView, RevocationView, Whose};
use crate::admin_api::authorize::Caller;
use crate::admin_api::body::{self, Answer, Asked, At, PageQuery};
use crate::admin_api::hub::known;
use crate::admin_api::problem::Problem;
use crate::catalogue::ScopeCatalogue;
use crate::service::Service;

/// What is revoked of an issuer: of a name with a key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin_api) struct IssuerView {
    /// By which it is told from the others.
    id: String,
    /// Its name, as RFC 4514 writes names.
    issuer: String,
    /// SHA-256 of its public key.
    key_sha256: String,
    /// The authorities that it is uploaded as; none when it was deleted.
    authorities: Vec<String>,
    /// Its revocation list, if one was brought or fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    crl: Option<CrlView>,
    /// What else is said of its certificates.
    revocation: RevocationView,
    updated_at: String,
}

pub(in crate::admin_api) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Extension(caller): Extension<Caller>,
    Asked(page): Asked<PageQuery>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let page = page.of(&service, scope.revocations().all().collect(), |said| said.record.id().to_string());
    body::listing(page, |said| view(&service, &scope, said, caller.is_of_one_scope()))
}

pub(in crate::admin_api) async fn show(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let scope = known(&service, &scope)?;
    body::ok(&view(&service, &scope, find(&scope, &id)?, caller.is_of_one_scope()))
}

pub(in crate::admin_api) async fn put(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    request: Request,
) -> Answer {
    let (before, bound) = (known(&service, &scope)?, Caller::is_bound(&request));
    let said = find(&before, &id)?;
    whose(&before, said).change_as_told(&service, request).await?;
    // If the record of the issuer is gone now, the last known one is shown, without its revocations.
    let now = known(&service, &scope)?;
    match find(&now, &id) {
        Ok(said) => body::ok(&view(&service, &now, said, bound)),
        Err(_) => body::ok(&IssuerView {
            crl: None,
            revocation: RevocationView::of(None, None, None),
            ..view(&service, &before, said, bound)
        }),
    }
}

pub(in crate::admin_api) async fn remove_crl(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
) -> Answer {
    let scope = known(&service, &scope)?;
    whose(&scope, find(&scope, &id)?).without_list(&service).await
}

fn find<'a>(scope: &'a ScopeCatalogue, id: &str) -> Result<&'a Said, Problem> {
    let found = scope.revocations().all().find(|said| said.record.id().to_string() == id);
    found.ok_or_else(|| {
        Problem::not_found(format!(
            "nothing is revoked of an issuer {id}; those of whom something is: landfall ca revocations"
        ))
    })
}

fn whose(scope: &ScopeCatalogue, said: &Said) -> Whose {
    Whose {
        scope: scope.scope.clone(),
        issuer: said.record.issuer.clone(),
        record: Some(said.record.clone()),
        name: format!("issuer {}", said.record.issuer.name()),
        seen: None,
    }
}

fn view(service: &Service, scope: &ScopeCatalogue, said: &Said, bound: bool) -> IssuerView {
    let (now, grace) = (service.ambient().now(), service.config().certificates.stale_crl_hours.saturating_mul(3600));
    let (record, known) = (&said.record, scope.revocations());
    let is_it = |der: &[u8]| {
        let anchor = Anchor::parse(der).ok();
        anchor.and_then(|anchor| known.of(&anchor)).is_some_and(|found| found.record.id() == record.id())
    };
    let named = scope.authorities().filter(|authority| is_it(&authority.der));
    let counts = Anchor::parse(&record.issuer.certificate).ok();
    let counts = counts.map(|anchor| known.judge_authority(&anchor, now, grace));
    IssuerView {
        id: record.id().to_string(),
        issuer: record.issuer.name(),
        key_sha256: record.issuer.key.to_string(),
        authorities: named.map(|authority| authority.name.to_string()).collect(),
        crl: record.list.as_ref().map(|list| CrlView::of(list, (now, grace))),
        revocation: RevocationView::of(
            Some(record),
            service
                .outside()
                .lists()
                .trouble(&scope.scope, record)
                .map(|trouble| trouble.failure_for(bound).to_owned()),
            counts.and_then(Result::err).map(|error| error.to_string()),
        ),
        updated_at: record.updated_at.to_string(),
    }
}
