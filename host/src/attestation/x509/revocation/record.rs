//! What is said of one issuer's certificates, as the store keeps it, and the commands that change it.

use serde::{Deserialize, Serialize};

use super::super::crl::{Crl, CrlError, ListFacts};
use super::{Issuer, ListSource, RevocationRules, SerialRange, WhenStale};
use crate::clock::Timestamp;
use crate::names::Digest;

/// What is said of an issuer's certificates. Its list's bytes are kept beside it: they are large and change seldom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationRecord {
    /// Whose certificates.
    pub issuer: Issuer,
    /// What an operator says.
    #[serde(default)]
    pub rules: RevocationRules,
    /// The issuer's own list.
    #[serde(default)]
    pub list: Option<ListFacts>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A record with its list's bytes, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRevocations {
    /// What is said.
    pub record: RevocationRecord,
    /// The list.
    pub list: Option<Vec<u8>>,
}

/// Something to change in what is said of an issuer's certificates: all commands, or none.
#[derive(Clone, Debug)]
pub struct RevocationChange {
    /// Whose certificates.
    pub issuer: Issuer,
    /// What is changed, in this order.
    pub commands: Vec<RevocationCommand>,
    /// Now.
    pub now: Timestamp,
}

/// One thing to change.
#[derive(Clone, Debug)]
pub enum RevocationCommand {
    /// Takes these numbers back. Those that are taken back already stay so.
    Revoke(Vec<SerialRange>),
    /// Gives these ranges free, each as it was revoked.
    Restore(Vec<SerialRange>),
    /// The issuer itself is taken back, or is not any more.
    Whole(bool),
    /// Where its list is fetched.
    Source(Option<ListSource>),
    /// What holds while its list is out of date.
    WhenStale(WhenStale),
    /// Its list, unless an older one than that which is there.
    List {
        /// What is known of it.
        facts: ListFacts,
        /// DER.
        der: Vec<u8>,
    },
    /// No list is there any more.
    RemoveList,
}

impl RevocationRecord {
    /// Of an issuer of which nothing is said.
    pub fn silent(issuer: Issuer, now: Timestamp) -> Self {
        Self { issuer, rules: RevocationRules::default(), list: None, updated_at: now }
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
    pub fn apply(&mut self, command: &RevocationCommand, now: Timestamp) -> Result<(), String> {
        match command {
            RevocationCommand::Revoke(ranges) => {
                for range in ranges {
                    if !self.rules.serials.contains(range) {
                        self.rules.serials.push(range.clone());
                    }
                }
                if self.rules.serials.len() > MOST_RANGES {
                    return Err(format!(
                        "at most {MOST_RANGES} ranges of serial numbers are kept for an authority; a revocation list takes more"
                    ));
                }
            }
            RevocationCommand::Restore(ranges) => {
                for range in ranges {
                    let at = self.rules.serials.iter().position(|known| known == range);
                    let Some(at) = at else {
                        return Err(format!("{range} was not revoked so; landfall ca show says what was"));
                    };
                    self.rules.serials.remove(at);
                }
            }
            RevocationCommand::Whole(whole) => self.rules.whole = *whole,
            RevocationCommand::Source(source) => self.rules.source.clone_from(source),
            RevocationCommand::WhenStale(when) => self.rules.when_stale = *when,
            RevocationCommand::List { facts, .. } => {
                // One of the future, which earlier versions took, holds no true list back.
                let present = self.list.as_ref().filter(|present| present.has_begun(now, 0).is_ok());
                if let Some(present) = present.filter(|present| facts.is_older_than(present)) {
                    return Err(format!(
                        "the list ({facts}) is older than the list that is there ({present}); if it is the right one all the \
                         same, take the present one away first: landfall ca crl NAME --remove"
                    ));
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
        Ok(Self::List { facts: list.facts().clone(), der })
    }
}

/// More than an operator types.
pub const MOST_RANGES: usize = 1000;
