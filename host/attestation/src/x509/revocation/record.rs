//! What is said of one issuer's certificates, as the store keeps it, and the commands that change it.

use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;
use landfall_domain::secret::address;
use serde::{Deserialize, Serialize};

use super::super::crl::{Crl, CrlError, ListFacts};
use super::{Issuer, ListSource, RevocationRules, SerialRange, WhenStale};

/// What is said of an issuer's certificates. Its list's bytes are kept beside it: they are large and change seldom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RevocationRecord {
    pub issuer: Issuer,
    /// What an operator says.
    #[serde(default)]
    pub rules: RevocationRules,
    /// The issuer's own list.
    #[serde(default)]
    pub list: Option<ListFacts>,
    /// The certificate of a proven authority or of a group that was held last. It counts, for refusing, while no other of
    /// the issuer is held: what was revoked above reaches those below when the one in the middle is gone.
    #[serde(with = "serde_bytes", default)]
    pub remembered: Option<Vec<u8>>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A record with its list's bytes, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct KeptRevocations {
    /// What is said.
    pub record: RevocationRecord,
    pub list: Option<Vec<u8>>,
}

/// Something to change in what is said of an issuer's certificates: all commands, or none.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct RevocationChange {
    pub issuer: Issuer,
    /// What is changed, in this order.
    pub commands: Vec<RevocationCommand>,
    pub now: Timestamp,
}

/// One thing to change.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RevocationCommand {
    /// Takes these numbers back. Those that are taken back already stay so.
    Revoke(Vec<SerialRange>),
    /// Gives these ranges free, each as it was revoked.
    Restore(Vec<SerialRange>),
    /// The issuer itself is taken back, or is not any more.
    Whole(bool),
    /// Where its list is fetched: changed as far as this says anything, or nowhere any more.
    Source(Option<SourceChange>),
    /// What holds while its list is out of date.
    WhenStale(WhenStale),
    /// Its list, unless an older one than that which is there.
    List {
        /// What is known of it.
        facts: ListFacts,
        der: Vec<u8>,
        /// How far ahead of ours the clock of whoever made a list may run.
        skew_seconds: u64,
        /// Where it was fetched; nothing changes when that is not its source any more.
        from: Option<ListSource>,
    },
    /// No list is there any more.
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
        new: ListFacts,
        /// The one that is there.
        present: ListFacts,
    },
    /// The masked address is not that of the source that is there.
    MaskedAddress,
    /// There is no source that could be changed.
    NoSource,
}

/// What is changed of where a list is fetched. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceChange {
    /// The address. What was read is masked, and may come back so.
    pub url: Option<String>,
    /// Minutes from one time to the next.
    pub refresh_minutes: Option<u64>,
    /// The authority that the address is trusted by, PEM.
    pub ca_certificate: Option<String>,
    /// Whoever names an address here may name public ones only.
    pub public_hosts_only: bool,
}

impl SourceChange {
    /// The source that results.
    ///
    /// # Errors
    ///
    /// There is none to change, or none of which the masked address is.
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
    /// Of an issuer of which nothing is said.
    pub fn silent(issuer: Issuer, now: Timestamp) -> Self {
        Self { issuer, rules: RevocationRules::default(), list: None, remembered: None, updated_at: now }
    }

    /// What tells it from all others of its id scope: SHA-256 of the certificate by which its issuer was first known.
    pub fn id(&self) -> Digest {
        Digest::of(&self.issuer.certificate)
    }

    /// Whether it says nothing.
    pub fn is_silent(&self) -> bool {
        self.list.is_none() && self.rules == RevocationRules::default()
    }

    /// Changes it as told. The list's bytes are the caller's to keep.
    ///
    /// # Errors
    ///
    /// What does not fit what stands there by now.
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
            // An operator has changed that while it was fetched.
            RevocationCommand::List { from: Some(from), .. } if self.rules.source.as_ref() != Some(from) => {}
            RevocationCommand::List { facts, skew_seconds, .. } => {
                // One of the future, which earlier versions took, holds no true list back; one within the skew is true.
                let present = self.list.as_ref().filter(|present| present.has_begun(now, *skew_seconds).is_ok());
                if let Some(present) = present.filter(|present| facts.is_older_than(present)) {
                    return Err(RevocationConflict::OlderList { new: facts.clone(), present: present.clone() });
                }
                self.list = Some(facts.clone());
            }
            RevocationCommand::RemoveList => self.list = None,
        }
        Ok(())
    }

    /// Takes up what another record says of the same issuer: nothing of either is lost. Whether the other's list is the
    /// newer one, which then counts.
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
    /// The command that brings a list, after what the list says of its own times was judged.
    ///
    /// # Errors
    ///
    /// A list of the future.
    pub fn list(list: &Crl, der: Vec<u8>, now: Timestamp, skew_seconds: u64) -> Result<Self, CrlError> {
        list.facts().has_begun(now, skew_seconds)?;
        Ok(Self::List { facts: list.facts().clone(), der, skew_seconds, from: None })
    }

    /// The same of a list that was fetched there.
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

/// From one fetch to the next where nothing else was said.
const REFRESH_MINUTES: u64 = 60;

/// More than an operator types.
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
        // As it was read.
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
