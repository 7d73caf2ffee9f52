//! Revocations of a certificate authority. They are addressed by its name, stored under its identity, and changed by
//! commands.

use std::sync::Arc;

use axum::extract::{Request, State};
use http::{HeaderMap, Uri};
use landfall_attestation::x509::crl::{self, ListFacts, list_from};
use landfall_attestation::x509::revocation::{
    Issuer, ListSource, MOST_RANGES, RevocationChange, RevocationCommand, RevocationRecord, SerialRange, SourceChange,
    WhenStale,
};
use landfall_attestation::x509::{Anchor, Crl};
use landfall_domain::clock::Timestamp;
use landfall_domain::names::{CaName, IdScope};
use landfall_domain::registry::SerialNumber;
use landfall_domain::secret::address;
use landfall_store::Precondition;
use serde::{Deserialize, Serialize};

use super::authority::{find, shown};
use super::authorize::Caller;
use super::body::{self, Answer, At};
use super::hub::known;
use super::problem::Problem;
use crate::catalogue::ScopeCatalogue;
use crate::conflict;
use crate::service::Service;
use crate::service::revocation_refresh::{self, Fetched};

pub(super) mod issuers;

/// A revocation list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CrlView {
    /// How many certificates it names.
    revoked: usize,
    /// CRLNumber, hexadecimal, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    /// When it was made.
    this_update: String,
    /// When the next one comes.
    next_update: String,
    /// Whether that was too long ago.
    stale: bool,
}

impl CrlView {
    pub(super) fn of(list: &ListFacts, (now, grace): (Timestamp, u64)) -> Self {
        Self {
            revoked: list.revoked,
            number: list.number.clone(),
            this_update: list.this_update(),
            next_update: list.next_update(),
            stale: list.is_stale(now, grace),
        }
    }
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
    /// Why no device of it is admitted: it is revoked itself, or an authority above it is or has revoked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_because: Option<String>,
}

impl RevocationView {
    pub(super) fn of(
        record: Option<&RevocationRecord>,
        crl_trouble: Option<String>,
        refused_because: Option<String>,
    ) -> Self {
        let rules = record.map(|record| record.rules.clone()).unwrap_or_default();
        let serials = rules.serials.iter().map(|range| SerialRangeBody {
            from: range.from.to_string(),
            to: (range.to != range.from).then(|| range.to.to_string()),
        });
        Self {
            serials: serials.collect(),
            crl_refresh_minutes: rules.source.as_ref().map(|source| source.refresh_minutes),
            crl_url: rules.source.map(|source| address::masked(&source.url).into_owned()),
            crl_trouble,
            when_stale: rules.when_stale,
            revoked: rules.whole,
            refused_because,
        }
    }
}

/// What to change in what is said of an authority's certificates. What is left out stays as it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RevocationBody {
    /// Where its list is fetched: an https:// or http:// address, or nothing for nowhere. The list is fetched from there
    /// before the address is taken, and counts at once; where none can be had, nothing is changed.
    crl_url: Option<String>,
    /// Take the address without fetching the list from it first. Where no list is there yet, the authority's devices are
    /// refused until one could be fetched, unless `whenStale` is `warn`.
    #[serde(default)]
    crl_unchecked: bool,
    /// Minutes from one time to the next; 60 when nothing was said.
    crl_refresh_minutes: Option<u64>,
    /// The authority that an https:// address is trusted by, PEM; the platform's when nothing was said.
    crl_ca_certificate: Option<String>,
    /// What holds while the list is out of date.
    when_stale: Option<WhenStale>,
    /// Serial numbers to revoke, whatever the list says. Those that are revoked already stay so.
    revoke_serials: Option<Vec<SerialRangeBody>>,
    /// Ranges of serial numbers to restore, each as it was revoked.
    restore_serials: Option<Vec<SerialRangeBody>>,
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

/// The issuer whose revocations a request is about.
struct Whose {
    scope: IdScope,
    issuer: Issuer,
    /// Its stored revocations.
    record: Option<RevocationRecord>,
    /// Its name in messages.
    name: String,
    /// The authority that the request names, and the precondition of the request.
    seen: Option<(CaName, Precondition)>,
}

/// A source that was tried before it is accepted.
struct Tried {
    record: RevocationRecord,
    source: ListSource,
    /// The command for the fetched list, unless it is the stored list.
    list: Option<RevocationCommand>,
}

impl Whose {
    /// The issuer that is an uploaded authority.
    fn of_authority(catalogue: &ScopeCatalogue, name: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let authority = find(catalogue, name)?;
        let issuer = Issuer::of(&authority.der)
            .ok_or_else(|| Problem::new(409, format!("the certificate of {name} cannot be read any more")))?;
        let anchor = Anchor::parse(&authority.der).ok();
        let said = anchor.and_then(|anchor| catalogue.revocations().of(&anchor));
        let when = body::precondition(headers);
        Ok(Self {
            scope: catalogue.scope.clone(),
            issuer,
            record: said.map(|said| said.record.clone()),
            name: format!("authority {name}"),
            seen: (when != Precondition::Any).then_some((authority.name, when)),
        })
    }

    async fn change(self, service: &Service, commands: Vec<RevocationCommand>) -> Result<(), Problem> {
        let Self { scope, issuer, name, seen, .. } = self;
        let change = RevocationChange { issuer, commands, now: service.ambient().now() };
        let outcome = service.catalogue().change(|store| store.change_revocations(&scope, change, seen)).await?;
        body::put(outcome, &name, None, &()).map(drop)
    }

    /// Applies the changes that a body states.
    async fn change_as_told(self, service: &Service, request: Request) -> Result<(), Problem> {
        let bound = Caller::is_bound(&request);
        let body: RevocationBody = body::json(service, request).await?;
        let before = self.record.as_ref().and_then(|record| record.rules.source.as_ref());
        let unchecked = body.crl_unchecked;
        let mut commands = commands(body, before, bound)?;
        let tried = if unchecked { None } else { self.try_new_place(service, &commands, bound).await? };
        commands.extend(tried.as_ref().and_then(|tried| tried.list.clone()));
        let scope = self.scope.clone();
        self.change(service, commands).await?;
        // Only after the change was accepted: a refused source counts as not fetched.
        if let Some(Tried { record, source, .. }) = &tried {
            revocation_refresh::note_fetched(service, &scope, record, source);
        }
        service.outside().lists().look_again();
        Ok(())
    }

    /// Tries to fetch from a new source: a mistyped address must not block a whole factory.
    async fn try_new_place(
        &self,
        service: &Service,
        commands: &[RevocationCommand],
        bound: bool,
    ) -> Result<Option<Tried>, Problem> {
        let change = commands.iter().find_map(|command| match command {
            RevocationCommand::Source(Some(change)) => Some(change),
            _ => None,
        });
        let Some(change) = change else { return Ok(None) };
        let now = service.ambient().now();
        let record = self.record.clone().unwrap_or_else(|| RevocationRecord::silent(self.issuer.clone(), now));
        let before = record.rules.source.as_ref();
        let source = change.complete(before).map_err(|why| Problem::at("/crlUrl", conflict::of_revocations(&why)))?;
        if record.list.is_some() && before.is_some_and(|before| before.is_the_place_of(&source)) {
            return Ok(None);
        }
        let scope = known(service, self.scope.as_str())?;
        let not_had = |why: &str| {
            let url = address::masked(&source.url);
            Problem::new(422, format!("no list of {} can be had from {url}: {why}; nothing was changed", self.name))
        };
        let fetched = revocation_refresh::try_out(service, &scope, &record, &source).await;
        let Fetched { list, der } = fetched.map_err(|trouble| not_had(trouble.failure_for(bound)))?;
        if record.list.as_ref().is_some_and(|present| present.sha256 == list.facts().sha256) {
            return Ok(Some(Tried { record, source, list: None }));
        }
        let skew = service.config().clock_skew().as_secs();
        let command = RevocationCommand::list(&list, der, now, skew).map_err(|error| not_had(&error.to_string()))?;
        let list = Some(command.fetched_from(&source));
        Ok(Some(Tried { record, source, list }))
    }

    async fn without_list(self, service: &Service) -> Answer {
        if self.record.as_ref().is_none_or(|record| record.list.is_none()) {
            return Err(Problem::not_found(format!("{} has no revocation list", self.name)));
        }
        self.change(service, vec![RevocationCommand::RemoveList]).await?;
        // If the list has a source, it is fetched again at once.
        service.outside().lists().look_again();
        body::no_content()
    }
}

pub(super) async fn put_crl(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let whose = Whose::of_authority(&*known(&service, &scope)?, &name, request.headers())?;
    let bound = Caller::is_bound(&request);
    let body: CrlBody = body::json_of(&service, request, crl::MAX_BYTES.saturating_mul(2)).await?;
    let wrong = |reason: String| Problem::at("/crl", reason);
    let der = list_from(body.crl.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let anchor = Anchor::parse(&whose.issuer.certificate).map_err(|error| wrong(error.to_string()))?;
    // Parsing and verifying a large list takes a while.
    let reading = tokio::task::spawn_blocking(move || Crl::parse(&der, &anchor).map(|list| (list, der)));
    let read = reading.await.map_err(|error| Problem::new(500, error.to_string()))?;
    let (list, der) = read.map_err(|error| wrong(error.to_string()))?;
    let (now, skew) = (service.ambient().now(), service.config().clock_skew().as_secs());
    let command = RevocationCommand::list(&list, der, now, skew).map_err(|error| wrong(error.to_string()))?;
    whose.change(&service, vec![command]).await?;
    shown(&service, &scope, &name, bound)
}

pub(super) async fn remove_crl(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    Whose::of_authority(&*known(&service, &scope)?, &name, request.headers())?.without_list(&service).await
}

pub(super) async fn put_revocation(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    request: Request,
) -> Answer {
    let whose = Whose::of_authority(&*known(&service, &scope)?, &name, request.headers())?;
    let bound = Caller::is_bound(&request);
    whose.change_as_told(&service, request).await?;
    shown(&service, &scope, &name, bound)
}

fn commands(body: RevocationBody, before: Option<&ListSource>, bound: bool) -> Result<Vec<RevocationCommand>, Problem> {
    let mut commands = Vec::new();
    commands.extend(source(&body, before, bound)?.map(RevocationCommand::Source));
    commands.extend(body.when_stale.map(RevocationCommand::WhenStale));
    if let Some(given) = &body.restore_serials {
        commands.push(RevocationCommand::Restore(ranges(given, "restoreSerials")?));
    }
    if let Some(given) = &body.revoke_serials {
        commands.push(RevocationCommand::Revoke(ranges(given, "revokeSerials")?));
    }
    commands.extend(body.revoked.map(RevocationCommand::Whole));
    Ok(commands)
}

/// The change of the source of the list, if the body states one. A caller that is bound to an id scope may name public
/// hosts only. The store merges the change with the state at the time of the write.
fn source(
    body: &RevocationBody,
    before: Option<&ListSource>,
    bound: bool,
) -> Result<Option<Option<SourceChange>>, Problem> {
    let said_more = body.crl_refresh_minutes.is_some() || body.crl_ca_certificate.is_some();
    match body.crl_url.as_deref() {
        Some("") if said_more => return Err(Problem::at("/crlUrl", "say where the list is fetched")),
        Some("") => return Ok(Some(None)),
        None if !said_more => return Ok(None),
        Some(_) | None => {}
    }
    let change = SourceChange {
        url: body.crl_url.clone(),
        refresh_minutes: body.crl_refresh_minutes,
        ca_certificate: body.crl_ca_certificate.clone(),
        public_hosts_only: bound,
    };
    let source = change.complete(before).map_err(|why| Problem::at("/crlUrl", conflict::of_revocations(&why)))?;
    let uri: Option<Uri> = source.url.parse().ok();
    let fits = |uri: Uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some();
    if !uri.is_some_and(fits) {
        return Err(Problem::at("/crlUrl", "a list is fetched from an https:// or http:// address"));
    }
    if !(1..=43_200).contains(&source.refresh_minutes) {
        return Err(Problem::at("/crlRefreshMinutes", "it must be from 1 to 43200 (30 days)"));
    }
    if let Some(pem) = &body.crl_ca_certificate
        && let Err(error) = crate::client::tls::client(pem.as_bytes(), None)
    {
        return Err(Problem::at("/crlCaCertificate", error.to_string()));
    }
    Ok(Some(Some(change)))
}

fn ranges(given: &[SerialRangeBody], member: &str) -> Result<Vec<SerialRange>, Problem> {
    if given.len() > MOST_RANGES {
        let what = format!("at most {MOST_RANGES} are taken; a revocation list takes more");
        return Err(Problem::at(format!("/{member}"), what));
    }
    given.iter().enumerate().map(|(at, range)| serial_range(range, &format!("/{member}/{at}"))).collect()
}

fn serial_range(range: &SerialRangeBody, at: &str) -> Result<SerialRange, Problem> {
    let read = |text: &str, member: &str| -> Result<SerialNumber, Problem> {
        text.parse().map_err(|error| Problem::at(format!("{at}/{member}"), format!("{error}")))
    };
    let from = read(&range.from, "from")?;
    let to = range.to.as_deref().map_or_else(|| Ok(from.clone()), |to| read(to, "to"))?;
    if to < from {
        return Err(Problem::at(format!("{at}/to"), "it is less than `from`"));
    }
    Ok(SerialRange { from, to })
}
