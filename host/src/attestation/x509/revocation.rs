//! What was taken back: one certificate, a range of serial numbers, a whole authority.
//!
//! An authority says it by its revocation list (a standard, made elsewhere, brought or fetched), and an operator says it
//! here, at once, without the authority's key: numbers of a lot that was stolen, or the authority itself, whose key was. Each
//! certificate on a verified path is looked for with its issuer, and each authority on it by itself.

use serde::{Deserialize, Serialize};

use super::anchor::Anchor;
use super::certificate::Certificate;
use super::chain::PresentedChain;
use super::crl::Crl;
use super::error::{ChainError, Which};
use super::signature;
use super::verify::VerifiedPath;
use crate::clock::Timestamp;
use crate::registry::SerialNumber;

/// What an operator says of an authority's certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevocationRules {
    /// Where its list is fetched.
    pub source: Option<ListSource>,
    /// What holds while its list is out of date, or was never there.
    pub when_stale: WhenStale,
    /// Numbers that are taken back whatever the list says.
    pub serials: Vec<SerialRange>,
    /// The authority itself is taken back, with all that it issued.
    pub whole: bool,
}

/// Where a list is fetched, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListSource {
    /// An https:// address.
    pub url: String,
    /// Minutes from one time to the next.
    pub refresh_minutes: u64,
    /// The authority that the address is trusted by, PEM; the platform's when absent.
    pub ca_certificate: Option<String>,
}

/// What holds while a list is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenStale {
    /// The authority's devices are refused: nobody knows any more.
    #[default]
    Refuse,
    /// The list counts on, and the log says so now and then.
    Warn,
}

/// From one number to another, both among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialRange {
    /// The first.
    pub from: SerialNumber,
    /// The last.
    pub to: SerialNumber,
}

/// All that is known of one authority's certificates.
#[derive(Clone, Debug)]
pub struct Revocations {
    issuer: Anchor,
    list: Option<Crl>,
    rules: RevocationRules,
}

impl Revocations {
    /// Of an authority; none when nothing is said of its certificates.
    pub fn of(issuer: Anchor, list: Option<Crl>, rules: &RevocationRules) -> Option<Self> {
        let silent = list.is_none() && *rules == RevocationRules::default();
        (!silent).then(|| Self { issuer, list, rules: rules.clone() })
    }

    /// Whether a list is there or expected, and is out of date or missing.
    pub fn is_stale(&self, now: Timestamp, grace_seconds: u64) -> bool {
        match &self.list {
            Some(list) => list.is_stale(now, grace_seconds),
            None => self.rules.source.is_some(),
        }
    }

    /// The authority's subject, as RFC 4514 writes names.
    pub fn subject(&self) -> &str {
        self.issuer.subject()
    }

    /// What holds while it is.
    pub fn when_stale(&self) -> WhenStale {
        self.rules.when_stale
    }

    fn is_of(&self, certificate: &Certificate) -> bool {
        let own = self.issuer.certificate();
        certificate.subject == own.subject && certificate.key.spki_sha256 == own.key.spki_sha256
    }

    /// Whether this authority has issued the certificate.
    fn has_issued(&self, certificate: &Certificate) -> bool {
        let own = self.issuer.certificate();
        // A root's own signature says nothing, and costs as much as any.
        let itself = certificate.subject == certificate.issuer && self.is_of(certificate);
        certificate.issuer == own.subject && (itself || signature::signed_by(certificate, &own.key))
    }

    fn judge(&self, which: &Which, certificate: &Certificate, now: Timestamp, grace: u64) -> Result<(), ChainError> {
        let issuer = || self.issuer.subject().to_owned();
        let serial = SerialNumber::of(&certificate.serial);
        if self.rules.serials.iter().any(|range| range.from <= serial && serial <= range.to) {
            return Err(ChainError::SerialRevoked {
                which: which.clone(),
                issuer: issuer(),
                serial: serial.to_string(),
            });
        }
        if self.rules.when_stale == WhenStale::Refuse && self.is_stale(now, grace) {
            let since = self.list.as_ref().map_or_else(|| "it was never there".to_owned(), Crl::next_update);
            return Err(ChainError::StaleRevocations { issuer: issuer(), since });
        }
        match &self.list {
            Some(list) if list.names(&certificate.serial) => {
                Err(ChainError::Revoked { which: which.clone(), issuer: issuer() })
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a verified path of which something was taken back, or of which that cannot be known.
///
/// # Errors
///
/// [`ChainError::Revoked`], [`ChainError::SerialRevoked`], [`ChainError::AuthorityRevoked`] or
/// [`ChainError::StaleRevocations`].
pub fn not_revoked(
    chain: &PresentedChain,
    path: &VerifiedPath,
    anchors: &[Anchor],
    known: &[Revocations],
    now: Timestamp,
    grace_seconds: u64,
) -> Result<(), ChainError> {
    if known.is_empty() {
        return Ok(());
    }
    let between = path.intermediates.iter().filter_map(|digest| chain.above().iter().find(|one| one.sha256 == *digest));
    let anchor = anchors.iter().find(|anchor| Some(anchor.sha256()) == path.anchor).map(Anchor::certificate);
    let all: Vec<&Certificate> = std::iter::once(&chain.leaf().certificate).chain(between).chain(anchor).collect();
    for (at, certificate) in all.iter().enumerate() {
        if let Some(of) = known.iter().find(|one| one.rules.whole && one.is_of(certificate)) {
            return Err(ChainError::AuthorityRevoked { authority: of.issuer.subject().to_owned() });
        }
        let issuer = all.get(at + 1);
        // One that was renewed with its key may be uploaded twice: what is said of either holds.
        let of = known.iter().filter(|one| match issuer {
            Some(issuer) => one.is_of(issuer),
            // The one at the top may have been issued by another authority that is uploaded here.
            None => one.has_issued(certificate),
        });
        for of in of {
            if of.rules.whole {
                return Err(ChainError::AuthorityRevoked { authority: of.issuer.subject().to_owned() });
            }
            let which = match at {
                0 => Which::Leaf,
                _ => Which::Intermediate(certificate.subject_text.clone()),
            };
            of.judge(&which, certificate, now, grace_seconds)?;
        }
    }
    Ok(())
}
