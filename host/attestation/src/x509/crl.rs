//! Certificate revocation lists (RFC 5280, section 5): which of its certificates an authority has revoked.
//!
//! An operator uploads a list, or it is fetched from an address that an operator gave. It is believed because the
//! authority's key signed it. No address in a certificate is used. Every certificate of a verified path is looked up
//! in the list of its issuer, if there is one. A list states when the next one is due. After that time and a
//! configured grace period, the authority's certificates are refused, because their status is no longer known.
//!
//! Only complete lists of one issuer are accepted. Refused are delta lists, lists for a part of the certificates or of
//! the reasons, lists with entries of other issuers, and lists with critical extensions that are not understood here
//! (5.2, 5.3). Of two lists, the one with the greater CRLNumber is newer (5.2.3); without numbers, the one that was
//! made later.

mod text;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;
use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::oid_registry as oid;
use x509_parser::revocation_list::CertificateRevocationList;

pub use self::text::{ListTextError, list_from};
use super::anchor::Anchor;
use super::certificate::{self, Certificate, moment};
use super::distinguished::Name;
use super::{name, object_id, signature, signed};

/// The revocation list of one authority.
#[derive(Clone, Debug)]
pub struct Crl {
    /// The serial numbers, in the form that [`plain`] gives.
    revoked: HashSet<Box<[u8]>>,
    /// The addresses at which the list says that it is published, if it does.
    addresses: Vec<String>,
    facts: ListFacts,
}

/// The facts of a list, without its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListFacts {
    /// SHA-256 of its DER.
    pub sha256: Digest,
    /// CRLNumber, in hexadecimal. A list need not have one.
    pub number: Option<String>,
    /// When the list was made, in seconds since 1970-01-01 UTC.
    pub this_update: i64,
    /// When the next list is due, in seconds since 1970-01-01 UTC.
    pub next_update: i64,
    /// How many certificates the list contains.
    pub revoked: usize,
}

/// Why a list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CrlError {
    /// The list is larger than the limit.
    #[error("the list has {0} bytes, and at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// The bytes are not a revocation list.
    #[error("it is no certificate revocation list (RFC 5280) in DER or PEM: {0}")]
    Malformed(String),
    /// The list names another issuer.
    #[error("the list was issued by {0:?}, not by this authority")]
    OtherIssuer(String),
    /// The list was not signed with the authority's key.
    #[error("the list was not signed by the authority's key, or with an algorithm that is not accepted")]
    NotSigned,
    /// The authority's certificate does not allow it to sign lists (RFC 5280, 6.3.3 (f)).
    #[error("this authority may not sign revocation lists (keyUsage has no cRLSign)")]
    MayNotSign,
    /// The list does not say when the next one is due.
    #[error("the list does not say when the next one comes (nextUpdate)")]
    NoNextUpdate,
    /// The list ends before it begins.
    #[error("the next list is due at {next}, before this one was made at {this} (nextUpdate before thisUpdate)")]
    Inverted { this: String, next: String },
    /// The list says that it was made in the future.
    #[error(
        "the list is not valid before {0} (thisUpdate); are the clocks of this machine and of the authority right?"
    )]
    NotYetValid(String),
    /// The list is a delta list, or does not cover all certificates.
    #[error("the list is not the whole one: it is of {0}; bring the complete list of all certificates")]
    Partial(&'static str),
    /// The list has a critical extension that is not understood.
    #[error("the list has the critical extension {0}, which is not understood here")]
    UnknownCritical(String),
    /// An entry has a critical extension that is not understood.
    #[error("an entry of the list has the critical extension {0}, which is not understood here")]
    UnknownCriticalOfEntry(String),
    /// The list has an extension twice.
    #[error("the list has the extension {0} twice")]
    Duplicate(String),
}

impl Crl {
    /// Parses an authority's list from DER, and checks everything that does not change with time.
    ///
    /// # Errors
    ///
    /// [`CrlError`].
    pub fn parse(der: &[u8], authority: &Anchor) -> Result<Self, CrlError> {
        // The list comes from outside, and a parser of revocation lists has panicked before (RUSTSEC-2026-0104).
        let parsed = catch_unwind(AssertUnwindSafe(|| Self::read(der, Some(authority.certificate()))));
        parsed.unwrap_or_else(|_| Err(CrlError::Malformed("its reader gave up".to_owned())))
    }

    /// Parses a list from the store. It was verified when it was accepted.
    ///
    /// # Errors
    ///
    /// [`CrlError`].
    pub fn kept(der: &[u8]) -> Result<Self, CrlError> {
        Self::read(der, None)
    }

    fn read(der: &[u8], issuer: Option<&Certificate>) -> Result<Self, CrlError> {
        if der.len() > MAX_BYTES {
            return Err(CrlError::TooLarge(der.len()));
        }
        let malformed = |what: &dyn std::fmt::Display| CrlError::Malformed(what.to_string());
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(malformed(&"bytes follow it"));
        }
        if let Some(issuer) = issuer {
            is_of(issuer, der, &list)?;
            whole(&list)?;
        }
        let next_update = list.next_update().ok_or(CrlError::NoNextUpdate)?.timestamp();
        let this_update = list.last_update().timestamp();
        if issuer.is_some() && next_update < this_update {
            return Err(CrlError::Inverted { this: moment(this_update), next: moment(next_update) });
        }
        // The reason "removed from the list" occurs in delta lists only.
        let revoked: HashSet<_> = list.iter_revoked_certificates().map(|one| plain(one.raw_serial()).into()).collect();
        let point = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::IssuingDistributionPoint(point) => point.distribution_point.as_ref(),
            _ => None,
        });
        let addresses = point.into_iter().flat_map(certificate::addresses).collect();
        let number = list.crl_number().map(|number| format!("{number:X}"));
        let facts = ListFacts { sha256: Digest::of(der), number, this_update, next_update, revoked: revoked.len() };
        Ok(Self { revoked, addresses, facts })
    }

    /// The facts of the list, without its entries.
    pub fn facts(&self) -> &ListFacts {
        &self.facts
    }

    /// How many certificates the list contains.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether the list contains no certificate.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// Whether the list contains a serial number, given as the octets in the certificate's DER.
    pub(super) fn names(&self, serial: &[u8]) -> bool {
        self.revoked.contains(plain(serial))
    }

    /// Whether the list is the one that would contain this certificate. If both name the addresses at which the list
    /// is published, they must have one in common (RFC 5280, 6.3.3 (b) (2)): some authorities publish many lists, each
    /// for some of their certificates.
    pub(super) fn covers(&self, certificate: &Certificate) -> bool {
        let named = &certificate.extensions.list_addresses;
        self.addresses.is_empty() || named.is_empty() || named.iter().any(|address| self.addresses.contains(address))
    }

    /// Whether the next list is overdue by more than the grace period.
    pub fn is_stale(&self, now: Timestamp, grace_seconds: u64) -> bool {
        self.facts.is_stale(now, grace_seconds)
    }
}

impl ListFacts {
    /// Facts for a list that cannot be parsed. It counts as out of date, and as older than every list that can be
    /// parsed.
    pub fn unread(der: &[u8]) -> Self {
        Self { sha256: Digest::of(der), number: None, this_update: 0, next_update: 0, revoked: 0 }
    }

    /// When the next list is due, in the form in which DPS writes moments.
    pub fn next_update(&self) -> String {
        moment(self.next_update)
    }

    /// When the list was made, in the form in which DPS writes moments.
    pub fn this_update(&self) -> String {
        moment(self.this_update)
    }

    /// Whether the next list is overdue by more than the grace period.
    pub fn is_stale(&self, now: Timestamp, grace_seconds: u64) -> bool {
        let last = self.next_update.saturating_add(i64::try_from(grace_seconds).unwrap_or(i64::MAX));
        seconds(now) > last
    }

    /// Refuses a list from the future (RFC 5280, 5.1.2.4): every genuine list would count as older.
    ///
    /// # Errors
    ///
    /// [`CrlError::NotYetValid`].
    pub fn has_begun(&self, now: Timestamp, skew_seconds: u64) -> Result<(), CrlError> {
        let latest = seconds(now).saturating_add(i64::try_from(skew_seconds).unwrap_or(i64::MAX));
        if self.this_update > latest {
            return Err(CrlError::NotYetValid(self.this_update()));
        }
        Ok(())
    }

    /// Whether this list is older than the other: by their numbers; where these do not decide, by the times at which
    /// they were made.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let by_number = match (&self.number, &other.number) {
            // Without leading zeros, the longer number is greater.
            (Some(own), Some(others)) => (own.len(), own).cmp(&(others.len(), others)),
            _ => std::cmp::Ordering::Equal,
        };
        by_number.then(self.this_update.cmp(&other.this_update)).is_lt()
    }
}

impl std::fmt::Display for ListFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.number {
            Some(number) => write!(f, "CRLNumber {number}, made at {}", self.this_update()),
            None => write!(f, "made at {}", self.this_update()),
        }
    }
}

/// Checks that the list is the issuer's own.
fn is_of(issuer: &Certificate, der: &[u8], list: &CertificateRevocationList<'_>) -> Result<(), CrlError> {
    if Name::of(list.issuer()) != issuer.subject {
        return Err(CrlError::OtherIssuer(name::text(list.issuer())));
    }
    let tbs = list.tbs_cert_list.as_ref();
    let malformed = || CrlError::Malformed("its signature is not in DER".to_owned());
    let parts = signed::parts(der, tbs.len()).ok_or_else(malformed)?;
    if !signature::verifies(&issuer.key, parts.algorithm, tbs, parts.value) {
        return Err(CrlError::NotSigned);
    }
    if issuer.extensions.may_sign_lists == Some(false) {
        return Err(CrlError::MayNotSign);
    }
    Ok(())
}

/// Checks that the list covers all of the issuer's certificates, and that everything in it is understood.
fn whole(list: &CertificateRevocationList<'_>) -> Result<(), CrlError> {
    let mut seen = Vec::new();
    for extension in list.extensions() {
        if seen.contains(&&extension.oid) {
            return Err(CrlError::Duplicate(object_id::text(&extension.oid)));
        }
        seen.push(&extension.oid);
        if extension.oid == oid::OID_X509_EXT_DELTA_CRL_INDICATOR {
            return Err(CrlError::Partial("changes only (deltaCRLIndicator)"));
        }
        if extension.oid == oid::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT {
            covers_everything(extension.value)?;
        } else if extension.critical {
            // No other extension may be critical (5.2.1, 5.2.3), and no other one narrows a list.
            return Err(CrlError::UnknownCritical(object_id::text(&extension.oid)));
        }
    }
    for entry in list.iter_revoked_certificates() {
        for extension in entry.extensions() {
            if extension.oid.as_bytes() == CERTIFICATE_ISSUER {
                return Err(CrlError::Partial("certificates of other issuers too (certificateIssuer)"));
            }
            if extension.critical && !is_understood_of_entry(extension) {
                return Err(CrlError::UnknownCriticalOfEntry(object_id::text(&extension.oid)));
            }
        }
    }
    Ok(())
}

/// issuingDistributionPoint (5.2.5): it may say where the list is published. It must not narrow the list's scope.
fn covers_everything(value: &[u8]) -> Result<(), CrlError> {
    let malformed = || CrlError::Malformed("its issuingDistributionPoint is not of its form".to_owned());
    let (rest, whole) = Any::from_der(value).map_err(|_| malformed())?;
    if !rest.is_empty() || whole.tag() != Tag::Sequence {
        return Err(malformed());
    }
    let mut rest = whole.data;
    while !rest.is_empty() {
        let (after, member) = Any::from_der(rest).map_err(|_| malformed())?;
        if member.class() != Class::ContextSpecific {
            return Err(malformed());
        }
        match (member.tag().0, member.data) {
            (0, _) => {}
            // False is the default, which some programs write explicitly.
            (1 | 2 | 4 | 5, [0]) => {}
            (1, _) => return Err(CrlError::Partial("devices' certificates only (onlyContainsUserCerts)")),
            (2, _) => return Err(CrlError::Partial("authorities' certificates only (onlyContainsCACerts)")),
            (3, _) => return Err(CrlError::Partial("some reasons only (onlySomeReasons)")),
            (4, _) => return Err(CrlError::Partial("certificates of other issuers too (indirectCRL)")),
            (5, _) => return Err(CrlError::Partial("attribute certificates only (onlyContainsAttributeCerts)")),
            _ => return Err(malformed()),
        }
        rest = after;
    }
    Ok(())
}

/// The certificate is revoked, whatever the reason and the date.
fn is_understood_of_entry(extension: &X509Extension<'_>) -> bool {
    [oid::OID_X509_EXT_REASON_CODE, oid::OID_X509_EXT_INVALIDITY_DATE].contains(&extension.oid)
}

/// A serial number without leading zeros: programs that write the same number may differ in them. A zero that keeps a
/// number from being negative stays, so that 255 and -1 differ.
fn plain(mut serial: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = serial {
        if rest.first().is_some_and(|first| first & 0x80 != 0) {
            break;
        }
        serial = rest;
    }
    serial
}

fn seconds(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_secs()).unwrap_or(i64::MAX)
}

/// certificateIssuer (5.3.3), 2.5.29.29, in DER.
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 0x1d];
/// Maximum size of a list in bytes: enough for more than a hundred thousand entries.
pub const MAX_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_many_zeros_stand_before_it_and_none_is_its_negative() {
        assert_eq!(plain(&[0, 0, 7]), [7]);
        assert_eq!(plain(&[0, 0, 0xff]), [0, 0xff]);
        assert_eq!(plain(&[0xff]), [0xff]);
        assert_eq!(plain(&[0, 0]), [0; 0]);
    }

    #[test]
    fn of_two_lists_the_one_with_the_greater_number_is_newer_and_without_one_the_one_made_later() {
        let facts = |number: Option<&str>, this_update| ListFacts {
            sha256: Digest::of(b""),
            number: number.map(ToOwned::to_owned),
            this_update,
            next_update: 100,
            revoked: 0,
        };
        for (older, newer) in [
            ((Some("3"), 9), (Some("5"), 1)),
            ((Some("F"), 9), (Some("10"), 1)),
            ((Some("5"), 1), (Some("5"), 2)),
            ((None, 1), (Some("5"), 2)),
            ((Some("5"), 1), (None, 2)),
        ] {
            let (older, newer) = (facts(older.0, older.1), facts(newer.0, newer.1));
            assert!(older.is_older_than(&newer) && !newer.is_older_than(&older), "{older} {newer}");
        }
        assert!(!facts(Some("5"), 1).is_older_than(&facts(Some("5"), 1)));
    }
}
