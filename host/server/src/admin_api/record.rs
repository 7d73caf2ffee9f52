//! Manufacturing records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use landfall_domain::names::{Digest, IdScope, ManufacturerId};
use landfall_domain::registry::{Evidence, ManufacturingRecord, RecordState};
use landfall_store::{PutOutcome, RecordFilter, entity_tag};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::authorize::Caller;
use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use super::uploads::Places;
use crate::record_import::{self, Format, Import, ImportError, ImportReport};
use crate::service::Service;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Only this manufacturer's.
    manufacturer: Option<String>,
    /// Only those in this state.
    state: Option<RecordState>,
    /// Only those whose registration id begins so.
    prefix: Option<String>,
    /// The key after which the page begins: `next` of the page before.
    after: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

/// How to import.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ImportQuery {
    /// Whose records; a manufacturer's token says that by itself.
    manufacturer: Option<String>,
    /// Whether one refused row refuses all.
    #[serde(default)]
    all_or_nothing: bool,
    /// Whether to say only what would be done.
    #[serde(default)]
    dry_run: bool,
    /// Whether evidence that a row leaves out goes from the record; otherwise it stays, and `evidenceLeftOut` says so.
    #[serde(default)]
    drop_evidence: bool,
}

/// A record's state.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StateBody {
    /// Whether the device may be provisioned.
    state: RecordState,
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Extension(caller): Extension<Caller>,
    Asked(filter): Asked<Filter>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let asked = filter.manufacturer.as_deref().map(str::parse::<ManufacturerId>).transpose()?;
    let manufacturer = match caller.manufacturer() {
        Some((own, _)) => Some(own.clone()),
        None => asked,
    };
    let page = PageQuery { after: filter.after, limit: filter.limit };
    let prefix = filter.prefix.map(|prefix| prefix.to_ascii_lowercase());
    let filter = RecordFilter { manufacturer, state: filter.state, prefix };
    let listing = service.store().records(&scope.scope, page.page(&service), filter).await?;
    body::listing(listing, |record| view_for(&caller, record))
}

pub(super) async fn show(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let found = service.store().record(&scope.parse()?, &id.parse()?).await?;
    // The record of another manufacturer counts as missing.
    let found = found.filter(|record| caller.manufacturer().is_none_or(|(own, _)| record.manufacturer == *own));
    let found = found.ok_or_else(|| Problem::not_found(format!("no manufacturing record names {id}")))?;
    // A caller that sees only part of the record could infer the rest from the tag.
    let tag = caller.manufacturer().is_none().then(|| entity_tag(&found));
    body::tagged(body::ok(&view_for(&caller, &found))?, tag.as_deref())
}

pub(super) async fn set_state(
    State(service): State<Arc<Service>>,
    At((scope, id)): At<(String, String)>,
    request: Request,
) -> Answer {
    let when = body::precondition(request.headers());
    let StateBody { state } = body::json(&service, request).await?;
    let (scope, key) = (scope.parse()?, id.parse()?);
    let now = service.ambient().now();
    let record = match service.store().set_record_state(&scope, &key, state, now, when).await? {
        Ok(record) => record,
        Err(PutOutcome::Missing) => {
            return Err(Problem::not_found(format!("no manufacturing record names {id}")));
        }
        Err(refused) => return body::put(refused, &format!("the manufacturing record of {id}"), None, &()),
    };
    if record.state != state {
        return Err(Problem::new(409, format!("{id} is retired, and stays retired")));
    }
    body::tagged(body::ok(&view(&record))?, Some(&entity_tag(&record)))
}

pub(super) async fn import(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Extension(caller): Extension<Caller>,
    Extension(places): Extension<Arc<Places>>,
    Asked(query): Asked<ImportQuery>,
    request: Request,
) -> Answer {
    let scope = known(&service, &scope)?.scope.clone();
    let asked = query.manufacturer.as_deref().map(str::parse::<ManufacturerId>).transpose()?;
    let (manufacturer, quota) = match (caller.manufacturer(), asked) {
        (Some((own, _)), Some(asked)) if *own != asked => {
            return Err(Problem::new(403, format!("the token is bound to {own}, and the import is for {asked}")));
        }
        (Some((own, quota)), _) => (own.clone(), quota),
        (None, Some(asked)) => (asked, None),
        (None, None) => return Err(Problem::parameter("manufacturer", "say whose records these are")),
    };
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(Problem::new(415, "send the file as it is, not compressed"));
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = match kind.split(';').next().map(str::trim) {
        Some("application/x-ndjson" | "application/jsonl") => Format::JsonLines,
        Some("text/csv") => Format::Csv,
        _ => return Err(Problem::new(415, "send application/x-ndjson (one JSON object a line) or text/csv")),
    };
    let whose = manufacturer.clone();
    let import = Import {
        scope: scope.clone(),
        manufacturer,
        quota,
        prefixes: caller.prefixes().to_vec(),
        format,
        all_or_nothing: query.all_or_nothing,
        dry_run: query.dry_run,
        drop_evidence: query.drop_evidence,
        now: service.ambient().now(),
    };
    let _one_of_few = places.imports.begin(&caller)?;
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let silence = Duration::from_secs(service.config().limits.management.body_seconds);
    let importing = record_import::import(service.store(), &service.config().limits.management, import, pieces);
    // Both must end before the answer is sent: a client that is still sending would not read it.
    let (imported, ()) = tokio::join!(importing, feed(&service, &caller, request, sender, silence));
    let report = match &imported {
        Ok(report) => Some(report),
        Err(ImportError::Store { report, .. }) => Some(&**report),
        Err(_) => None,
    };
    if let Some(report) = report.filter(|_| !query.dry_run) {
        log_claims(&service, &scope, &whose, report).await;
    }
    match imported {
        Ok(report) => body::ok(&report),
        Err(error @ ImportError::TooLarge { .. }) => Err(Problem::new(413, error.to_string())),
        Err(ImportError::Store { error, report }) => {
            let so_far = if report.written {
                format!("{} were added and {} updated before that", report.added, report.updated)
            } else {
                "nothing was imported".to_owned()
            };
            Err(Problem::from(error).noting(&so_far))
        }
        Err(error) => {
            tracing::error!(%error, "an import failed");
            Err(Problem::new(503, error.to_string()))
        }
    }
}

/// Warns the operator about effects between manufacturers: claims of another's devices, and groups that accept records
/// of every manufacturer.
async fn log_claims(service: &Service, scope: &IdScope, manufacturer: &ManufacturerId, report: &ImportReport) {
    service.counters().claimed(report.of_others);
    if report.of_others > 0 {
        let of_others = report.errors.iter().filter(|error| error.of_other);
        let some: Vec<_> = of_others.filter_map(|error| error.registration_id.as_deref()).take(IDS_TOLD).collect();
        let how = if report.written {
            "`landfall registry show ID` says who has them and who claims them"
        } else {
            "nothing of its import was written"
        };
        tracing::warn!(
            %scope, %manufacturer, rows = report.of_others, some = some.join(" "),
            "a manufacturer names devices that another one has: {how}"
        );
    }
    if let Some(left_out) = report.evidence_left_out.as_ref().filter(|left_out| left_out.dropped && report.written) {
        let members = left_out.members.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        tracing::warn!(
            %scope, %manufacturer, records = left_out.rows, members,
            "an import took evidence away from manufacturing records, as it was told to"
        );
    }
    if report.added > 0 && report.written {
        service.warn_of_mixed_manufacturers(scope).await;
    }
}

/// Passes the body on as it arrives. If it stops arriving, the import ends with what was read so far. If the import
/// stops reading, the rest of the body is discarded for a while, so that the client can read its answer. An import may
/// take hours; it ends when its token is revoked.
async fn feed(
    service: &Service,
    caller: &Caller,
    request: Request,
    pieces: mpsc::Sender<record_import::Piece>,
    silence: Duration,
) {
    let (mut body, mut unwanted) = (request.into_body(), 0_usize);
    loop {
        let piece = match tokio::time::timeout(silence, body.frame()).await {
            Err(_) => Err(format!("nothing came for {} s", silence.as_secs())),
            Ok(None) => return,
            Ok(Some(Err(error))) => Err(error.to_string()),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_) => continue,
            },
        };
        let piece = match piece {
            Ok(_) if caller.is_still_good(service).await.is_err() => {
                Err("the token was revoked or has ended meanwhile".to_owned())
            }
            piece => piece,
        };
        let last = piece.is_err();
        if pieces.is_closed() {
            unwanted = unwanted.saturating_add(piece.as_ref().map_or(0, bytes::Bytes::len));
        } else {
            // If the import has ended in this moment, the next piece notices it.
            drop(pieces.send(piece).await);
        }
        if last || unwanted > MAX_UNWANTED_BYTES {
            return;
        }
    }
}

/// A manufacturing record as it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecordView {
    registration_id: String,
    /// Who made the device, and alone may change what is said of it.
    manufacturer: String,
    /// Whether it may be provisioned.
    state: RecordState,
    /// SHA-256 of its certificate's DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<String>,
    /// SHA-256 of its public key (SubjectPublicKeyInfo, DER).
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key_sha256: Option<String>,
    /// Who issued its certificate, as RFC 4514 writes names.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_issuer: Option<String>,
    /// The number that this issuer has given it, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_serial: Option<String>,
    /// SHA-256 of its TPM's endorsement key.
    #[serde(skip_serializing_if = "Option::is_none")]
    endorsement_key_sha256: Option<String>,
    /// The certificate of that key, base64 of DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    endorsement_certificate: Option<String>,
    /// The identity provider whose token it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_issuer: Option<String>,
    /// The subject of that token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_subject: Option<String>,
    /// What policies may use.
    facts: BTreeMap<String, String>,
    imported_at: String,
    updated_at: String,
    /// Another manufacturer that says it made the device; told to operators and auditors.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_by: Option<ClaimView>,
}

/// A manufacturer that names a device which another one has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimView {
    manufacturer: String,
    /// When it first did.
    at: String,
}

/// The record as the caller may see it: a manufacturer learns nothing about others.
fn view_for(caller: &Caller, record: &ManufacturingRecord) -> RecordView {
    let seen = view(record);
    if caller.manufacturer().is_some() { RecordView { claimed_by: None, ..seen } } else { seen }
}

fn view(record: &ManufacturingRecord) -> RecordView {
    let Evidence {
        certificate_sha256,
        public_key_sha256,
        certificate_issuer,
        certificate_serial,
        endorsement_key_sha256,
        endorsement_certificate,
        token_issuer,
        token_subject,
    } = &record.evidence;
    let text = |digest: &Option<Digest>| digest.map(|digest| digest.to_string());
    RecordView {
        registration_id: record.registration_id.to_string(),
        manufacturer: record.manufacturer.to_string(),
        state: record.state,
        certificate_sha256: text(certificate_sha256),
        public_key_sha256: text(public_key_sha256),
        certificate_issuer: certificate_issuer.clone(),
        certificate_serial: certificate_serial.as_ref().map(ToString::to_string),
        endorsement_key_sha256: text(endorsement_key_sha256),
        endorsement_certificate: endorsement_certificate.as_ref().map(|der| STANDARD.encode(der)),
        token_issuer: token_issuer.clone(),
        token_subject: token_subject.clone(),
        facts: record.facts.clone(),
        imported_at: record.imported_at.to_string(),
        updated_at: record.updated_at.to_string(),
        claimed_by: record
            .claim
            .as_ref()
            .map(|claim| ClaimView { manufacturer: claim.manufacturer.to_string(), at: claim.at.to_string() }),
    }
}

/// The maximum number of ids in a line of the log.
const IDS_TOLD: usize = 5;

/// How many bytes are discarded so that the client reads the answer.
const MAX_UNWANTED_BYTES: usize = 64 << 20;

/// How many pieces of a body may wait for the parser.
const PIECES_AHEAD: usize = 16;
