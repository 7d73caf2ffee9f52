//! The revocation record of one issuer, as the store keeps it, and the commands that change it.

use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;
use landfall_domain::secret::address;
use serde::{Deserialize, Serialize};

use super::super::crl::{Crl, CrlError, ListFacts};
use super::{Issuer, ListSource, RevocationRules, SerialRange, WhenStale};

/// What is said about the revocation of an issuer's certificates. The bytes of the list are stored separately, because
/// they are large and change seldom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RevocationRecord {
    pub issuer: Issuer,
    /// The operator's rules.
    #[serde(default)]
    pub rules: RevocationRules,
    /// The facts of the issuer's own list.
    #[serde(default)]
    pub list: Option<ListFacts>,
    /// The certificate that a proven authority or a group had last. While no other certificate of the issuer is held,
    /// this one is used, only to refuse: so a revocation of an issuer above still reaches the certificates below when
    /// the one between has been deleted.
    #[serde(with = "serde_bytes", default)]
    pub remembered: Option<Vec<u8>>,
    /// When the record last changed.
    pub updated_at: Timestamp,
}

/// A record with the bytes of its list, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct KeptRevocations {
    /// The record of the issuer.
    pub record: RevocationRecord,
    pub list: Option<Vec<u8>>,
}

/// A change of an issuer's record: either all commands are applied or none.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RevocationChange {
    pub issuer: Issuer,
    /// The commands, applied in this order.
    pub commands: Vec<RevocationCommand>,
    pub now: Timestamp,
}

/// One change of a revocation record.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RevocationCommand {
    /// Revokes these serial numbers. Numbers that are revoked already stay so.
    Revoke(Vec<SerialRange>),
    /// Ends the revocation of these ranges. Each must be a range exactly as it was revoked.
    Restore(Vec<SerialRange>),
    /// Revokes the issuer itself, or ends that revocation.
    Whole(bool),
    /// Changes where the list is fetched from. `None`: it is not fetched any more.
    Source(Option<SourceChange>),
    /// Sets what happens while the list is out of date.
    WhenStale(WhenStale),
    /// Sets the list, unless it is older than the present one.
    List {
        /// The facts of the new list.
        facts: ListFacts,
        der: Vec<u8>,
        /// How far the clock of the list's author may be ahead of ours.
        skew_seconds: u64,
        /// Where the list was fetched from. If that is no longer the source, the list is ignored.
        from: Option<ListSource>,
    },
    /// Removes the list.
    RemoveList,
}

/// Why a change does not fit what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationConflict {
    /// More than [`MOST_RANGES`] ranges of serial numbers would be kept.
    TooManyRanges,
    /// This range was not revoked so.
    NotRevokedSo(SerialRange),
    /// A list of the same issuer is there, and is newer.
    OlderList {
        /// The one that came.
        new: Box<ListFacts>,
        /// The one that is there.
        present: Box<ListFacts>,
    },
    /// The masked address is not that of the source that is there.
    MaskedAddress,
    /// There is no source that could be changed.
    NoSource,
}

/// What is changed of where a list is fetched. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceChange {
    /// The address. The address that was read from the API is masked, and may be given back masked.
    pub url: Option<String>,
    /// Minutes between two fetches.
    pub refresh_minutes: Option<u64>,
    /// The certificate authority (PEM) that is trusted for the connection.
    pub ca_certificate: Option<String>,
    /// Whether the caller may name public addresses only.
    pub public_hosts_only: bool,
}

impl SourceChange {
    /// The source after the change.
    ///
    /// # Errors
    ///
    /// There is no source to change, or the masked address is not that of the present source.
    pub fn complete(&self, before: Option<&ListSource>) -> Result<ListSource, RevocationConflict> {
        let mut source = match (&self.url, before) {
            (Some(url), before) => {
                let kept: Vec<&str> = before.iter().map(|before| before.url.as_str()).collect();
                let whole = address::restored(url, &kept).map_err(|_| RevocationConflict::MaskedAddress)?;
                let url = whole.unwrap_or(url).to_owned();
                let stands = before.is_some_and(|before| before.url == url && !before.public_hosts_only);
                ListSource {
                    url,
                    refresh_minutes: before.map_or(REFRESH_MINUTES, |before| before.refresh_minutes),
                    ca_certificate: before.and_then(|before| before.ca_certificate.clone()),
                    public_hosts_only: self.public_hosts_only && !stands,
                }
            }
            (None, Some(before)) => before.clone(),
            (None, None) => return Err(RevocationConflict::NoSource),
        };
        source.refresh_minutes = self.refresh_minutes.unwrap_or(source.refresh_minutes);
        if let Some(pem) = &self.ca_certificate {
            source.ca_certificate = Some(pem.clone());
        }
        Ok(source)
    }
}

impl RevocationRecord {
    /// A record without any revocation.
    pub fn silent(issuer: Issuer, now: Timestamp) -> Self {
        Self { issuer, rules: RevocationRules::default(), list: None, remembered: None, updated_at: now }
    }

    /// The id of the record within its id scope: SHA-256 of the certificate by which the issuer was first known.
    pub fn id(&self) -> Digest {
        Digest::of(&self.issuer.certificate)
    }

    /// Whether the record contains nothing.
    pub fn is_silent(&self) -> bool {
        self.list.is_none() && self.rules == RevocationRules::default()
    }

    /// Applies a command. The caller stores the bytes of the list.
    ///
    /// # Errors
    ///
    /// The command does not fit the record as it is now.
    pub fn apply(&mut self, command: &RevocationCommand, now: Timestamp) -> Result<(), RevocationConflict> {
        match command {
            RevocationCommand::Revoke(ranges) => {
                for range in ranges {
                    if !self.rules.serials.contains(range) {
                        self.rules.serials.push(range.clone());
                    }
                }
                if self.rules.serials.len() > MOST_RANGES {
                    return Err(RevocationConflict::TooManyRanges);
                }
            }
            RevocationCommand::Restore(ranges) => {
                for range in ranges {
                    let at = self.rules.serials.iter().position(|known| known == range);
                    let Some(at) = at else {
                        return Err(RevocationConflict::NotRevokedSo(range.clone()));
                    };
                    self.rules.serials.remove(at);
                }
            }
            RevocationCommand::Whole(whole) => self.rules.whole = *whole,
            RevocationCommand::Source(None) => self.rules.source = None,
            RevocationCommand::Source(Some(change)) => {
                self.rules.source = Some(change.complete(self.rules.source.as_ref())?);
            }
            RevocationCommand::WhenStale(when) => self.rules.when_stale = *when,
            // An operator changed the source while the list was being fetched.
            RevocationCommand::List { from: Some(from), .. } if self.rules.source.as_ref() != Some(from) => {}
            RevocationCommand::List { facts, skew_seconds, .. } => {
                // A list from the future, which earlier versions accepted, must not block a genuine list. A list
                // within the skew is genuine.
                let present = self.list.as_ref().filter(|present| present.has_begun(now, *skew_seconds).is_ok());
                if let Some(present) = present.filter(|present| facts.is_older_than(present)) {
                    let (new, present) = (Box::new(facts.clone()), Box::new(present.clone()));
                    return Err(RevocationConflict::OlderList { new, present });
                }
                self.list = Some(facts.clone());
            }
            RevocationCommand::RemoveList => self.list = None,
        }
        Ok(())
    }

    /// Merges another record of the same issuer into this one, without losing anything of either. Returns whether the
    /// other record's list is the newer one; then that list counts.
    pub fn merge(&mut self, other: &Self) -> bool {
        for range in &other.rules.serials {
            if !self.rules.serials.contains(range) {
                self.rules.serials.push(range.clone());
            }
        }
        self.rules.whole |= other.rules.whole;
        if self.rules.source.is_none() {
            self.rules.source.clone_from(&other.rules.source);
        }
        if other.rules.when_stale == WhenStale::Refuse {
            self.rules.when_stale = WhenStale::Refuse;
        }
        if self.remembered.is_none() {
            self.remembered.clone_from(&other.remembered);
        }
        let newer = match (&self.list, &other.list) {
            (None, Some(_)) => true,
            (Some(own), Some(others)) => own.is_older_than(others),
            _ => false,
        };
        if newer {
            self.list.clone_from(&other.list);
        }
        newer
    }
}

impl RevocationCommand {
    /// The command that sets a list, after a check that the list is not from the future.
    ///
    /// # Errors
    ///
    /// A list from the future.
    pub fn list(list: &Crl, der: Vec<u8>, now: Timestamp, skew_seconds: u64) -> Result<Self, CrlError> {
        list.facts().has_begun(now, skew_seconds)?;
        Ok(Self::List { facts: list.facts().clone(), der, skew_seconds, from: None })
    }

    /// The same command for a list that was fetched from this source.
    #[must_use]
    pub fn fetched_from(self, source: &ListSource) -> Self {
        match self {
            Self::List { facts, der, skew_seconds, .. } => {
                Self::List { facts, der, skew_seconds, from: Some(source.clone()) }
            }
            other => other,
        }
    }
}

/// Minutes between two fetches, unless an operator sets another value.
const REFRESH_MINUTES: u64 = 60;

/// Maximum number of ranges: more than an operator types.
pub const MOST_RANGES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn record() -> RevocationRecord {
        let issuer = Issuer { key: Digest::of(b"key"), certificate: Vec::new() };
        RevocationRecord::silent(issuer, NOW)
    }

    fn list(number: u8, this_update: i64, from: Option<&ListSource>) -> RevocationCommand {
        let number = Some(number.to_string());
        let facts = ListFacts { sha256: Digest::of(b"list"), number, this_update, next_update: 9999, revoked: 0 };
        RevocationCommand::List { facts, der: Vec::new(), skew_seconds: 300, from: from.cloned() }
    }

    fn source(url: &str) -> SourceChange {
        SourceChange { url: Some(url.to_owned()), ..SourceChange::default() }
    }

    fn set(record: &mut RevocationRecord, change: SourceChange) -> Result<ListSource, RevocationConflict> {
        record.apply(&RevocationCommand::Source(Some(change)), NOW)?;
        Ok(record.rules.source.clone().unwrap())
    }

    #[test]
    fn of_two_who_each_change_a_part_of_the_source_both_are_heard() {
        let mut record = record();
        let minutes = || SourceChange { refresh_minutes: Some(5), ..SourceChange::default() };
        let trusted = SourceChange { ca_certificate: Some("pem".to_owned()), ..SourceChange::default() };
        assert!(set(&mut record, minutes()).is_err(), "of nothing");
        assert_eq!(set(&mut record, source("http://a/")).unwrap().refresh_minutes, 60);
        set(&mut record, minutes()).unwrap();
        set(&mut record, trusted).unwrap();
        let all = set(&mut record, source("http://b/?sig=1")).unwrap();
        assert_eq!((all.refresh_minutes, all.ca_certificate.as_deref()), (5, Some("pem")));
        // The masked address, as it was read.
        let masked = address::masked("http://b/?sig=1").into_owned();
        assert_eq!(set(&mut record, source(&masked)).unwrap(), all);
        record.apply(&RevocationCommand::Source(None), NOW).unwrap();
        assert!(set(&mut record, source(&masked)).is_err(), "its key is gone");
    }

    #[test]
    fn who_may_name_public_addresses_only_names_no_other() {
        let mut record = record();
        let bound = |url| SourceChange { public_hosts_only: true, ..source(url) };
        assert!(set(&mut record, bound("http://a/")).unwrap().public_hosts_only);
        assert!(!set(&mut record, source("http://b/")).unwrap().public_hosts_only);
        assert!(!set(&mut record, bound("http://b/")).unwrap().public_hosts_only, "it is what it was");
        let minutes = SourceChange { url: None, refresh_minutes: Some(5), ..bound("") };
        assert!(!set(&mut record, minutes).unwrap().public_hosts_only);
        assert!(set(&mut record, bound("http://c/")).unwrap().public_hosts_only);
    }

    #[test]
    fn a_list_that_was_fetched_where_none_is_fetched_any_more_changes_nothing() {
        let mut record = record();
        let first = set(&mut record, source("http://a/")).unwrap();
        let second = set(&mut record, source("http://b/")).unwrap();
        record.apply(&list(1, 900, Some(&first)), NOW).unwrap();
        assert_eq!(record.list, None);
        record.apply(&list(1, 900, Some(&second)), NOW).unwrap();
        assert!(record.list.is_some());
        for command in [RevocationCommand::RemoveList, RevocationCommand::Source(None), list(1, 900, Some(&second))] {
            record.apply(&command, NOW).unwrap();
        }
        assert!(record.is_silent(), "{record:?}");
    }

    #[test]
    fn a_list_that_was_taken_within_the_skew_gives_way_to_no_older_one() {
        let mut record = record();
        record.apply(&list(7, 1200, None), NOW).unwrap();
        assert!(record.apply(&list(6, 900, None), NOW).is_err());
        record.list = None;
        record.apply(&list(7, 1301, None), NOW).unwrap();
        assert_eq!(record.apply(&list(6, 900, None), NOW), Ok(()), "one of the future holds none back");
    }
}
