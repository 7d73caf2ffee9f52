//! Certificate authorities and the proof that their keys are at hand.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};

use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use crate::attestation::x509::revocation::{ListSource, RevocationRules, SerialRange, WhenStale};
use crate::attestation::x509::{Anchor, Crl, crl, pem, possession};
use crate::enrollment::CertificateAuthority;
use crate::names::{CaName, IdScope};
use crate::registry::SerialNumber;
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
    /// What else is said of its certificates.
    revocation: RevocationView,
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
    /// Whether that was too long ago.
    stale: bool,
}

/// What is said of an authority's certificates besides its list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevocationView {
    /// Where its list is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_url: Option<String>,
    /// Minutes from one time to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_refresh_minutes: Option<u64>,
    /// Why that failed the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_trouble: Option<String>,
    /// What holds while the list is out of date.
    when_stale: WhenStale,
    /// Serial numbers that are revoked whatever the list says.
    serials: Vec<SerialRangeBody>,
    /// The authority itself is revoked.
    revoked: bool,
}

/// What to say of an authority's certificates. What is left out stays as it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RevocationBody {
    /// Where its list is fetched: an https:// address, or nothing for nowhere.
    crl_url: Option<String>,
    /// Minutes from one time to the next; 60 when nothing was said.
    crl_refresh_minutes: Option<u64>,
    /// The authority that the address is trusted by, PEM; the platform's when nothing was said.
    crl_ca_certificate: Option<String>,
    /// What holds while the list is out of date.
    when_stale: Option<WhenStale>,
    /// All serial numbers that are revoked whatever the list says.
    serials: Option<Vec<SerialRangeBody>>,
    /// Whether the authority itself is revoked, with all that it issued.
    revoked: Option<bool>,
}

/// Serial numbers, hexadecimal: one, or from one to another.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SerialRangeBody {
    from: String,
    /// The same as `from` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
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
    body::listing(page, |authority| view(&service, &scope.scope, authority))
}

pub(super) async fn show(State(service): State<Arc<Service>>, At((scope, name)): At<(String, String)>) -> Answer {
    let authority = find(&service, &scope, &name)?;
    body::ok(&view(&service, &scope.parse()?, &authority))
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
            revocation: RevocationRules::default(),
            verification_code: None,
            created_at: now,
            updated_at: now,
        },
    };
    let shown = view(&service, &scope, &authority);
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
    let shown = view(&service, &scope.parse()?, &authority);
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
    let shown = view(&service, &scope.parse()?, &authority);
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

pub(super) async fn put_revocation(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let mut authority = find(&service, &scope, &name)?;
    let before = entity_tag(&authority);
    let body: RevocationBody = body::json(&service, request).await?;
    authority.revocation = rules(body, &authority.revocation)?;
    authority.updated_at = service.ambient.now();
    let scope: IdScope = scope.parse()?;
    let shown = view(&service, &scope, &authority);
    let outcome = service.store.put_authority(&scope, authority, Precondition::Match(before)).await?;
    service.reload().await?;
    service.lists.look_again();
    body::put(outcome, &format!("what is revoked of {name}"), None, &shown)
}

fn rules(body: RevocationBody, before: &RevocationRules) -> Result<RevocationRules, Problem> {
    let source = match (body.crl_url.as_deref(), &before.source) {
        (Some(""), _) => None,
        (Some(url), before) => {
            let uri: Option<http::Uri> = url.parse().ok();
            if !uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some()) {
                return Err(Problem::at("/crlUrl", "a list is fetched from an https:// address"));
            }
            let refresh_minutes = before.as_ref().map_or(60, |before| before.refresh_minutes);
            let ca_certificate = before.as_ref().and_then(|before| before.ca_certificate.clone());
            Some(ListSource { url: url.to_owned(), refresh_minutes, ca_certificate })
        }
        (None, before) => before.clone(),
    };
    let source = match source {
        Some(source) => {
            let refresh_minutes = body.crl_refresh_minutes.unwrap_or(source.refresh_minutes);
            if !(1..=43_200).contains(&refresh_minutes) {
                return Err(Problem::at("/crlRefreshMinutes", "it must be from 1 to 43200 (30 days)"));
            }
            let ca_certificate = body.crl_ca_certificate.or(source.ca_certificate);
            if let Some(pem) = &ca_certificate {
                let wrong = crate::client::tls::client(pem.as_bytes(), None).err();
                if let Some(error) = wrong {
                    return Err(Problem::at("/crlCaCertificate", error.to_string()));
                }
            }
            Some(ListSource { refresh_minutes, ca_certificate, ..source })
        }
        None if body.crl_refresh_minutes.is_some() || body.crl_ca_certificate.is_some() => {
            return Err(Problem::at("/crlUrl", "say where the list is fetched"));
        }
        None => None,
    };
    let serials = match body.serials {
        Some(ranges) if ranges.len() > MOST_RANGES => {
            return Err(Problem::at(
                "/serials",
                format!("at most {MOST_RANGES} are taken; a revocation list takes more"),
            ));
        }
        Some(ranges) => ranges.iter().enumerate().map(serial_range).collect::<Result<_, _>>()?,
        None => before.serials.clone(),
    };
    Ok(RevocationRules {
        source,
        when_stale: body.when_stale.unwrap_or(before.when_stale),
        serials,
        whole: body.revoked.unwrap_or(before.whole),
    })
}

fn serial_range((at, range): (usize, &SerialRangeBody)) -> Result<SerialRange, Problem> {
    let read = |text: &str, member: &str| -> Result<SerialNumber, Problem> {
        text.parse().map_err(|error| Problem::at(format!("/serials/{at}/{member}"), format!("{error}")))
    };
    let from = read(&range.from, "from")?;
    let to = range.to.as_deref().map_or_else(|| Ok(from.clone()), |to| read(to, "to"))?;
    if to < from {
        return Err(Problem::at(format!("/serials/{at}/to"), "it is less than `from`"));
    }
    Ok(SerialRange { from, to })
}

fn certificate(body: CertificateBody) -> Result<Vec<u8>, Problem> {
    pem::certificate_from(body.certificate).map_err(|error| Problem::at("/certificate", error.to_string()))
}

fn find(service: &Service, scope: &str, name: &str) -> Result<CertificateAuthority, Problem> {
    let scope = known(service, scope)?;
    let missing = || Problem::not_found(format!("there is no certificate authority {name}"));
    scope.authority(&name.parse()?).cloned().ok_or_else(missing)
}

fn view(service: &Service, scope: &IdScope, authority: &CertificateAuthority) -> AuthorityView {
    let (now, grace) = (service.ambient.now(), service.config.certificates.stale_crl_hours.saturating_mul(3600));
    let rules = &authority.revocation;
    let serials = rules.serials.iter().map(|range| SerialRangeBody {
        from: range.from.to_string(),
        to: (range.to != range.from).then(|| range.to.to_string()),
    });
    let anchor = Anchor::parse(&authority.der).ok();
    AuthorityView {
        name: authority.name.to_string(),
        verified: authority.verified,
        subject: anchor.as_ref().map(|anchor| anchor.subject().to_owned()).unwrap_or_default(),
        sha256: crate::names::Digest::of(&authority.der).to_string(),
        crl: authority.crl.as_ref().zip(anchor.as_ref()).and_then(|(der, anchor)| Crl::parse(der, anchor).ok()).map(
            |list| CrlView { revoked: list.len(), next_update: list.next_update(), stale: list.is_stale(now, grace) },
        ),
        revocation: RevocationView {
            crl_url: rules.source.as_ref().map(|source| source.url.clone()),
            crl_refresh_minutes: rules.source.as_ref().map(|source| source.refresh_minutes),
            crl_trouble: service.lists.trouble(scope, &authority.name),
            when_stale: rules.when_stale,
            serials: serials.collect(),
            revoked: rules.whole,
        },
        not_after: anchor.as_ref().map(Anchor::not_after).unwrap_or_default(),
        created_at: authority.created_at.to_string(),
        updated_at: authority.updated_at.to_string(),
    }
}

/// More than an operator types.
const MOST_RANGES: usize = 1000;
