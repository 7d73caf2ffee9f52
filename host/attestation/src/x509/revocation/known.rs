//! Everything that is known about revocations in an id scope, and the decision whether a path is good.
//!
//! The certificates that are held here form a graph: each one was issued by one issuer, and an issuer may have several
//! certificates (it was renewed, or two other issuers certified it). A path is checked link by link. Above its top,
//! the graph is followed. There, an issuer is sound if *one* of its certificates is: an authority with certificates
//! from two issuers, one of which was revoked, is still certified by the other. A certificate that is really on the
//! path must itself be good. Of an issuer's certificates, only those with the best [`Standing`] count. Expired ones
//! count only if all of these have expired: a certificate that the issuer has replaced does not make it sound.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;
use landfall_domain::registry::SerialNumber;

use super::super::anchor::Anchor;
use super::super::certificate::Certificate;
use super::super::chain::PresentedChain;
use super::super::crl::Crl;
use super::super::error::{ChainError, Which};
use super::super::signature;
use super::super::verify::VerifiedPath;
use super::issuer::has_issued;
use super::{KeptRevocations, RevocationRecord, WhenStale};

/// Everything that is known about revocations in an id scope.
#[derive(Debug, Default)]
pub struct Known {
    issuers: Vec<KnownIssuer>,
    by_key: HashMap<Digest, Vec<usize>>,
    /// The issuer of each held certificate, by the certificate's SHA-256. `None` if its issuer is not held.
    parents: HashMap<Digest, Option<usize>>,
    /// Results of signature checks: of the certificate, by the key.
    checked: HashMap<(Digest, Digest), bool>,
    /// Keys of issuers with a revocation record whose certificate can no longer be parsed.
    unreadable: HashSet<Digest>,
}

/// Why a certificate of an issuer is held, from the weakest reason to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It belongs to an uploaded authority whose key is not proven. It does not count beside better ones.
    Unproven,
    /// It was held earlier, or a revocation record identifies its issuer by it.
    Remembered,
    /// A proven authority or a group has it.
    Held,
}

/// An issuer, its revocation record, and those of its own certificates that are held.
#[derive(Debug)]
struct KnownIssuer {
    certificate: Arc<Certificate>,
    said: Option<Said>,
    held: Vec<Arc<Certificate>>,
    /// The standing of all certificates in `held`.
    standing: Standing,
}

/// What is known about revocations of an issuer's certificates.
#[derive(Clone, Debug)]
pub struct Said {
    /// The record, as the store keeps it.
    pub record: RevocationRecord,
    list: Option<Arc<Crl>>,
}

impl Said {
    /// Whether a list exists or is expected, and is out of date or missing.
    pub fn is_stale(&self, now: Timestamp, grace_seconds: u64) -> bool {
        match &self.record.list {
            Some(list) => list.is_stale(now, grace_seconds),
            None => self.record.rules.source.is_some(),
        }
    }

    fn judge(
        &self,
        (which, certificate): (Which, &Certificate),
        issuer: &Certificate,
        (now, grace): (Timestamp, u64),
    ) -> Result<(), ChainError> {
        let name = || issuer.subject_text.clone();
        let rules = &self.record.rules;
        if rules.whole {
            return Err(ChainError::AuthorityRevoked { authority: name() });
        }
        let serial = SerialNumber::of(&certificate.serial);
        if rules.serials.iter().any(|range| range.from <= serial && serial <= range.to) {
            return Err(ChainError::SerialRevoked { which, issuer: name(), serial: serial.to_string() });
        }
        // A certificate on an outdated list is revoked all the same, and that is the more useful answer.
        if self.list.as_ref().is_some_and(|list| list.names(&certificate.serial)) {
            return Err(ChainError::Revoked { which, issuer: name() });
        }
        if rules.when_stale == WhenStale::Refuse && self.list.as_ref().is_some_and(|list| !list.covers(certificate)) {
            return Err(ChainError::OtherPart { which, issuer: name() });
        }
        let unread = self.record.list.is_some() && self.list.is_none();
        if unread || (rules.when_stale == WhenStale::Refuse && self.is_stale(now, grace)) {
            let since = self.record.list.as_ref().map(super::super::crl::ListFacts::next_update);
            let since = since.unwrap_or_else(|| "it was never there".to_owned());
            return Err(ChainError::StaleRevocations { issuer: name(), since });
        }
        Ok(())
    }
}

impl Known {
    /// What is known, from the kept records and the held certificates (DER). What `before` already parsed and verified
    /// is reused.
    pub fn new<'a>(
        records: Vec<KeptRevocations>,
        held: impl Iterator<Item = (&'a [u8], Standing)>,
        before: Option<&Self>,
    ) -> Self {
        let mut this = Self::default();
        // Without any record, no certificate needs to be looked at.
        if records.is_empty() {
            return this;
        }
        for KeptRevocations { record, list } in records {
            let remembered = record.remembered.as_deref().and_then(|der| Certificate::read(der).ok());
            let Some(certificate) = remembered.or_else(|| Certificate::read(&record.issuer.certificate).ok()) else {
                tracing::error!(issuer = %record.issuer.key, "a certificate of an authority of which something is revoked cannot be read any more: all that its key has issued is refused");
                if !record.is_silent() {
                    this.unreadable.insert(record.issuer.key);
                }
                continue;
            };
            let list = list.and_then(|der| read_list(&record, &der, before));
            let at = this.hold(certificate, Standing::Remembered);
            if let Some(issuer) = this.issuers.get_mut(at).filter(|_| !record.is_silent()) {
                issuer.said = Some(Said { record, list });
            }
        }
        for (der, standing) in held {
            if let Ok(certificate) = Certificate::read(der) {
                this.hold(certificate, standing);
            }
        }
        this.find_issuers(before);
        this
    }

    /// Adds a certificate to the issuer that owns it. Returns the index of that issuer.
    fn hold(&mut self, certificate: Certificate, standing: Standing) -> usize {
        let certificate = Arc::new(certificate);
        let at = match self.find(&certificate) {
            Some(at) => at,
            None => {
                let at = self.issuers.len();
                self.by_key.entry(certificate.key.spki_sha256).or_default().push(at);
                let certificate = Arc::clone(&certificate);
                self.issuers.push(KnownIssuer { certificate, said: None, held: Vec::new(), standing });
                at
            }
        };
        let Some(issuer) = self.issuers.get_mut(at) else { return at };
        if standing > issuer.standing {
            issuer.held.clear();
            issuer.standing = standing;
        }
        if standing == issuer.standing && !issuer.held.iter().any(|held| held.sha256 == certificate.sha256) {
            issuer.held.push(certificate);
        }
        at
    }

    /// Finds the issuer of each held certificate.
    fn find_issuers(&mut self, before: Option<&Self>) {
        let mut checked = HashMap::new();
        let mut parents = HashMap::new();
        for child in self.issuers.iter().flat_map(|issuer| &issuer.held) {
            let named = self.issuers.iter().enumerate();
            let mut named = named.filter(|(_, issuer)| child.issuer == issuer.certificate.subject);
            let parent = named.find(|(_, issuer)| {
                let link = (child.sha256, issuer.certificate.key.spki_sha256);
                let known = before.and_then(|before| before.checked.get(&link).copied());
                let signed = known.unwrap_or_else(|| signature::signed_by(child, &issuer.certificate.key));
                checked.insert(link, signed);
                signed
            });
            parents.insert(child.sha256, parent.map(|(at, _)| at));
        }
        self.checked = checked;
        self.parents = parents;
    }

    fn find(&self, certificate: &Certificate) -> Option<usize> {
        let same_key = self.by_key.get(&certificate.key.spki_sha256)?;
        let is = |at: &&usize| {
            self.issuers.get(**at).is_some_and(|issuer| issuer.certificate.subject == certificate.subject)
        };
        same_key.iter().find(is).copied()
    }

    /// What is known about revocations of an authority's certificates.
    pub fn of(&self, authority: &Anchor) -> Option<&Said> {
        self.find(authority.certificate()).and_then(|at| self.issuers.get(at)?.said.as_ref())
    }

    /// What is known about revocations, for each issuer.
    pub fn all(&self) -> impl Iterator<Item = &Said> {
        self.issuers.iter().filter_map(|issuer| issuer.said.as_ref())
    }

    /// Whether an authority is good, given all records about it and about the issuers above it.
    ///
    /// # Errors
    ///
    /// The same as [`Known::judge`].
    pub fn judge_authority(&self, authority: &Anchor, now: Timestamp, grace_seconds: u64) -> Result<(), ChainError> {
        let mut judgement = Judgement::new(self, now, grace_seconds);
        let certificate = authority.certificate();
        judgement.is_not_revoked(certificate)?;
        judgement.above(certificate, Which::Anchor(certificate.subject_text.clone()))
    }

    /// Refuses a verified path if something on it was revoked, or if that cannot be known.
    ///
    /// # Errors
    ///
    /// [`ChainError::Revoked`], [`ChainError::SerialRevoked`], [`ChainError::AuthorityRevoked`] or
    /// [`ChainError::StaleRevocations`].
    pub fn judge(
        &self,
        chain: &PresentedChain,
        path: &VerifiedPath,
        anchors: &[Anchor],
        now: Timestamp,
        grace_seconds: u64,
    ) -> Result<(), ChainError> {
        if self.issuers.is_empty() && self.unreadable.is_empty() {
            return Ok(());
        }
        let mut judgement = Judgement::new(self, now, grace_seconds);
        let leaf = &chain.leaf().certificate;
        if path.anchor.is_none() {
            return judgement.climb(leaf, Which::Leaf, chain.above());
        }
        let between = path.intermediates.iter().filter_map(|used| chain.above().iter().find(|one| one.sha256 == *used));
        let anchor = anchors.iter().find(|anchor| Some(anchor.sha256()) == path.anchor).map(Anchor::certificate);
        let all: Vec<&Certificate> = std::iter::once(leaf).chain(between).chain(anchor).collect();
        for (at, certificate) in all.iter().enumerate() {
            judgement.is_not_revoked(certificate)?;
            let which = if at == 0 { Which::Leaf } else { Which::Intermediate(certificate.subject_text.clone()) };
            match all.get(at + 1) {
                Some(issuer) => judgement.link(certificate, which, issuer)?,
                None => judgement.above(certificate, which)?,
            }
        }
        Ok(())
    }
}

struct Judgement<'k> {
    known: &'k Known,
    now: Timestamp,
    grace: u64,
    /// The results for the issuers that were visited. An issuer counts as sound while it is being checked, so that two
    /// issuers that certified each other do not make each other unsound.
    judged: HashMap<usize, Result<(), ChainError>>,
    /// The results for the certificates that the device sent. `None` for a certificate that is being checked.
    sent: HashMap<Digest, Option<Result<(), ChainError>>>,
}

impl<'k> Judgement<'k> {
    fn new(known: &'k Known, now: Timestamp, grace: u64) -> Self {
        Self { known, now, grace, judged: HashMap::new(), sent: HashMap::new() }
    }

    /// Refuses a key whose revocation record can no longer be parsed.
    fn is_readable(&self, issuer: &Certificate) -> Result<(), ChainError> {
        if self.known.unreadable.contains(&issuer.key.spki_sha256) {
            return Err(ChainError::AuthorityRevoked { authority: issuer.subject_text.clone() });
        }
        Ok(())
    }

    /// Refuses the certificate of an authority that was revoked as a whole.
    fn is_not_revoked(&self, certificate: &Certificate) -> Result<(), ChainError> {
        self.is_readable(certificate)?;
        let known = self.known;
        let issuer = known.find(certificate).and_then(|at| known.issuers.get(at));
        match issuer.and_then(|issuer| issuer.said.as_ref()) {
            Some(said) if said.record.rules.whole => {
                Err(ChainError::AuthorityRevoked { authority: certificate.subject_text.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Applies this issuer's record to the certificate.
    fn link(&self, certificate: &Certificate, which: Which, issuer: &Certificate) -> Result<(), ChainError> {
        self.is_readable(issuer)?;
        let known = self.known;
        let said = known.find(issuer).and_then(|at| known.issuers.get(at)?.said.as_ref());
        said.map_or(Ok(()), |said| said.judge((which, certificate), issuer, (self.now, self.grace)))
    }

    /// Applies the record of the certificate's issuer to the certificate, and the records of those above to the
    /// issuer.
    fn above(&mut self, certificate: &Certificate, which: Which) -> Result<(), ChainError> {
        let known = self.known;
        let Some(at) = known.issuer_of(certificate) else { return Ok(()) };
        let Some(issuer) = known.issuers.get(at) else { return Ok(()) };
        self.is_readable(&issuer.certificate)?;
        if let Some(said) = &issuer.said {
            said.judge((which, certificate), &issuer.certificate, (self.now, self.grace))?;
        }
        // A root is its own issuer, and nothing is above it.
        if known.find(certificate) == Some(at) { Ok(()) } else { self.sound(at) }
    }

    /// Whether one of the issuer's own certificates is good.
    fn sound(&mut self, at: usize) -> Result<(), ChainError> {
        if let Some(judged) = self.judged.get(&at) {
            return judged.clone();
        }
        self.judged.insert(at, Ok(()));
        let mut found = Ok(());
        let held = self.known.issuers.get(at).map(|issuer| issuer.held.as_slice()).unwrap_or_default();
        let now = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let runs = |certificate: &Certificate| certificate.not_after >= now;
        let some_run = held.iter().any(|certificate| runs(certificate));
        for certificate in held.iter().filter(|certificate| !some_run || runs(certificate)) {
            match self.above(certificate, Which::Intermediate(certificate.subject_text.clone())) {
                Ok(()) => {
                    found = Ok(());
                    break;
                }
                Err(error) if found.is_ok() => found = Err(error),
                Err(_) => {}
            }
        }
        self.judged.insert(at, found.clone());
        found
    }

    /// Checks a pinned certificate over the certificates that the device sent and those that are held. Each sent
    /// certificate is checked once, so that certificates that certified each other end the search.
    fn climb(&mut self, certificate: &Certificate, which: Which, sent: &[Certificate]) -> Result<(), ChainError> {
        match self.sent.get(&certificate.sha256) {
            Some(Some(judged)) => return judged.clone(),
            Some(None) => return Ok(()),
            None => self.sent.insert(certificate.sha256, None),
        };
        let judged = self.climb_on(certificate, which, sent);
        self.sent.insert(certificate.sha256, Some(judged.clone()));
        judged
    }

    fn climb_on(&mut self, certificate: &Certificate, which: Which, sent: &[Certificate]) -> Result<(), ChainError> {
        self.is_not_revoked(certificate)?;
        self.above(certificate, which.clone())?;
        let mut found = None;
        for issuer in sent.iter().filter(|one| one.sha256 != certificate.sha256 && has_issued(one, certificate)) {
            // The search came from this certificate.
            if matches!(self.sent.get(&issuer.sha256), Some(None)) {
                continue;
            }
            let name = Which::Intermediate(issuer.subject_text.clone());
            let linked = self.link(certificate, which.clone(), issuer);
            match linked.and_then(|()| self.climb(issuer, name, sent)) {
                Ok(()) => return Ok(()),
                Err(error) => drop(found.get_or_insert(error)),
            }
        }
        found.map_or(Ok(()), Err)
    }
}

impl Known {
    /// The issuer of a certificate, among those that are held.
    fn issuer_of(&self, certificate: &Certificate) -> Option<usize> {
        if let Some(parent) = self.parents.get(&certificate.sha256) {
            return *parent;
        }
        // A pinned certificate may be signed with an algorithm that is not accepted here. Then the issuer's name and
        // key identifier say who issued it.
        let unverifiable = !signature::accepted(certificate);
        let issued = |issuer: &Certificate| {
            certificate.issuer == issuer.subject
                && (signature::signed_by(certificate, &issuer.key)
                    || (unverifiable && certificate.key_identifiers_agree(issuer)))
        };
        self.issuers.iter().position(|issuer| issued(&issuer.certificate))
    }
}

fn read_list(record: &RevocationRecord, der: &[u8], before: Option<&Known>) -> Option<Arc<Crl>> {
    let sha256 = record.list.as_ref()?.sha256;
    let same = |said: &&Said| said.record.list.as_ref().is_some_and(|list| list.sha256 == sha256);
    if let Some(list) = before.and_then(|before| before.all().find(same)?.list.clone()) {
        return Some(list);
    }
    Crl::kept(der).map(Arc::new).map_err(|error| {
        tracing::error!(issuer = record.issuer.name(), %error, "a revocation list cannot be read any more: the devices of its authority are refused");
    }).ok()
}
