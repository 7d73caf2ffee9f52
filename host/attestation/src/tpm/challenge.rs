//! Open challenges: which key was wrapped for which TPM, and until when its token is accepted.
//!
//! A device asks for a challenge, gets a wrapped key, and answers with a token that is signed with this key. Its polls
//! carry the same token. A challenge belongs to one registration id, one endorsement key and one storage root key, and
//! lasts a few minutes. Whoever asks for the same TPM meanwhile gets the same challenge. Only that TPM can open it, so
//! a stranger who knows the TPM's public keys gains nothing and takes nothing away by asking.
//!
//! A device can have a few challenges at once: for other keys, and after an answer. When there are too many, the
//! network that asked for the most loses its oldest. Two kinds are never pushed out by others: challenges for the TPM
//! that registered here before, and challenges that were answered. A stranger cannot create more of them: to ask for
//! the first kind, one must know everything that the TPM presents, and then one gets the challenge that is already
//! open; to make one of the second kind, one needs the TPM. An answer begins one registration only, so whoever
//! overheard it cannot begin another.
//!
//! Challenges are held here in memory. They are also stored, sealed, before a device gets them, so an answer counts
//! after a restart too. That a challenge was used is written in the transaction that writes the registration.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use landfall_domain::clock::Timestamp;
use landfall_domain::names::{Digest, IdScope, RegistrationId, TrackingId};
use landfall_domain::secret::sealing::{Sealed, SealingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::PublicArea;
use crate::symmetric_key::{SasToken, SymmetricKey};
use crate::x509::endorsement::EndorsementCertificate;

/// All open challenges.
pub struct Challenges {
    /// The challenges of each device, newest first.
    out: Mutex<HashMap<(IdScope, String), Vec<Challenge>>>,
    lasts: Duration,
    most: usize,
}

#[derive(Clone)]
struct Challenge {
    name: TrackingId,
    chip: Arc<Chip>,
    key: SymmetricKey,
    until: Instant,
    /// A registration was begun with the answer to it.
    spent: bool,
    /// The store has it.
    kept: bool,
    /// The network from which it was asked for. Not known after a restart.
    network: Option<IpAddr>,
    /// It is for the TPM that registered here before.
    own: bool,
}

impl Challenge {
    /// Whether a stranger could not have caused it: it is for the TPM that registered before, or it was answered.
    fn is_of_the_device(&self) -> bool {
        self.own || self.spent
    }
}

/// A TPM as the device presents it: both of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// The endorsement key.
    pub endorsement: PublicArea,
    /// The storage root key.
    pub storage_root: PublicArea,
    /// The certificate of the endorsement key, if the device sent it.
    pub certificate: Option<EndorsementCertificate>,
}

impl Chip {
    /// A digest of everything that the TPM presents.
    pub fn digest(&self) -> Digest {
        let mut all = Vec::new();
        let certificate = self.certificate.as_ref().map(EndorsementCertificate::der);
        for part in [self.endorsement.as_bytes(), self.storage_root.as_bytes(), certificate.unwrap_or_default()] {
            all.extend_from_slice(Digest::of(part).as_bytes());
        }
        Digest::of(&all)
    }
}

/// A challenge as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct KeptChallenge {
    /// The tracking id of the request that asked for it.
    pub name: TrackingId,
    pub scope: IdScope,
    pub registration_id: RegistrationId,
    /// The endorsement key: a `TPMT_PUBLIC` with or without its size, as the device sent it.
    #[serde(with = "serde_bytes")]
    pub endorsement: Vec<u8>,
    /// The storage root key, in the same form.
    #[serde(with = "serde_bytes")]
    pub storage_root: Vec<u8>,
    /// The certificate of the endorsement key that the device sent, in DER.
    #[serde(with = "serde_bytes", default)]
    pub certificate: Option<Vec<u8>>,
    /// The key that was wrapped: 32 bytes, sealed.
    pub key: Sealed,
    /// Until when an answer is accepted.
    pub until: Timestamp,
    /// A registration was begun with the answer to it, and is on disk.
    pub spent: bool,
    /// It is for the TPM that registered here before.
    #[serde(default)]
    pub own: bool,
}

impl Challenges {
    /// No challenges yet. Each one lasts for `lasts`, and at most `most` are open at once.
    pub fn new(lasts: Duration, most: usize) -> Self {
        Self { out: Mutex::default(), lasts, most }
    }

    /// The key of the challenge that this TPM has not answered yet, if there is one with enough time left for an
    /// answer and the polls after it.
    pub fn open(&self, (scope, id): (&IdScope, &RegistrationId), chip: &Chip, now: Instant) -> Option<SymmetricKey> {
        let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let known = out.get(&(scope.clone(), id.key().to_owned()))?;
        let enough = now + self.lasts / 2;
        let open = |known: &&Challenge| known.kept && !known.spent && known.until >= enough && *known.chip == *chip;
        known.iter().find(open).map(|known| known.key.clone())
    }

    /// Holds the key that was wrapped for a TPM: 32 bytes. Returns false when there is no room; a challenge of another
    /// device is never dropped before it expires. `name` is the request that asks, and `network` where it came from.
    /// `own` says that the TPM is the one that registered here before.
    pub fn keep(
        &self,
        (name, network): (TrackingId, IpAddr),
        (scope, id): (&IdScope, &RegistrationId),
        (chip, own): (Arc<Chip>, bool),
        key: &[u8; 32],
        now: Instant,
    ) -> bool {
        let Ok(key) = SymmetricKey::of_bytes(Zeroizing::new(key.to_vec())) else { return false };
        let until = now + self.lasts;
        let challenge = Challenge { name, chip, key, until, spent: false, kept: false, network: Some(network), own };
        self.hold(scope, id, challenge, now)
    }

    /// Notes that the store has a challenge. From now on, whoever asks for its TPM gets it.
    pub fn is_kept(&self, name: TrackingId, (scope, id): (&IdScope, &RegistrationId)) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let known = out.get_mut(&(scope.clone(), id.key().to_owned()));
        known.into_iter().flatten().filter(|known| known.name == name).for_each(|known| known.kept = true);
    }

    /// Loads the challenges that the store has kept, oldest first. A challenge that has expired, or was sealed with a
    /// key that is no longer here, is skipped; its device gets a new challenge.
    pub fn take_up(&self, kept: Vec<KeptChallenge>, sealing: &SealingKey, (now, instant): (Timestamp, Instant)) {
        for kept in kept.into_iter().filter(|kept| kept.until > now) {
            // Setting the clock back does not make a challenge last longer.
            let until = instant + kept.until.since(now).min(self.lasts);
            let Some((chip, key)) = kept.open(sealing) else { continue };
            let (name, spent, own) = (kept.name, kept.spent, kept.own);
            let challenge = Challenge { name, chip, key, until, spent, kept: true, network: None, own };
            self.hold(&kept.scope, &kept.registration_id, challenge, instant);
        }
    }

    fn hold(&self, scope: &IdScope, id: &RegistrationId, challenge: Challenge, now: Instant) -> bool {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (scope.clone(), id.key().to_owned());
        if out.len() >= self.most && !out.contains_key(&name) {
            out.retain(|_, challenges| challenges.iter().any(|challenge| challenge.until > now));
            if out.len() >= self.most {
                return false;
            }
        }
        let challenges = out.entry(name).or_default();
        challenges.insert(0, challenge);
        make_room(challenges, now);
        true
    }

    /// How long a challenge lasts.
    pub fn lasts(&self) -> Duration {
        self.lasts
    }

    /// The TPM whose challenge the token answers, if it answers one.
    pub fn answered(&self, scope: &IdScope, id: &RegistrationId, token: &SasToken, now: Instant) -> Option<Arc<Chip>> {
        self.current(scope, id, token, now).map(|known| known.chip)
    }

    /// The name of the challenge that the token answers, if it answers one.
    pub fn name(&self, scope: &IdScope, id: &RegistrationId, token: &SasToken, now: Instant) -> Option<TrackingId> {
        self.current(scope, id, token, now).map(|known| known.name)
    }

    fn current(&self, scope: &IdScope, id: &RegistrationId, token: &SasToken, now: Instant) -> Option<Challenge> {
        let known = {
            let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            out.get(&(scope.clone(), id.key().to_owned())).cloned()
        };
        let mut current = known.into_iter().flatten().filter(|known| known.until > now);
        current.find(|known| token.is_signed_by(&known.key))
    }

    /// Begins a registration with the answer to a challenge. Returns true only once for each challenge. Polls of the
    /// registration carry the same answer.
    pub fn spend(&self, scope: &IdScope, id: &RegistrationId, token: &SasToken, now: Instant) -> bool {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let known = out.get_mut(&(scope.clone(), id.key().to_owned()));
        let mut current = known.into_iter().flatten().filter(|known| known.until > now);
        match current.find(|known| token.is_signed_by(&known.key)) {
            Some(known) => !std::mem::replace(&mut known.spent, true),
            None => false,
        }
    }
}

impl KeptChallenge {
    /// Seals a challenge for the store.
    pub fn seal(
        name: TrackingId,
        (scope, id): (&IdScope, &RegistrationId),
        (chip, own): (&Chip, bool),
        key: &[u8; 32],
        until: Timestamp,
        (sealing, nonce): (&SealingKey, [u8; 12]),
    ) -> Self {
        Self {
            name,
            scope: scope.clone(),
            registration_id: id.clone(),
            endorsement: chip.endorsement.as_bytes().to_vec(),
            storage_root: chip.storage_root.as_bytes().to_vec(),
            certificate: chip.certificate.as_ref().map(|certificate| certificate.der().to_vec()),
            key: sealing.seal(key, &place(name, scope, id), nonce),
            until,
            spent: false,
            own,
        }
    }

    fn open(&self, sealing: &SealingKey) -> Option<(Arc<Chip>, SymmetricKey)> {
        let key = sealing.open(&self.key, &place(self.name, &self.scope, &self.registration_id)).ok()?;
        let chip = Chip {
            endorsement: PublicArea::parse(&self.endorsement).ok()?,
            storage_root: PublicArea::parse(&self.storage_root).ok()?,
            certificate: self.certificate.as_deref().map(EndorsementCertificate::parse).transpose().ok()?,
        };
        Some((Arc::new(chip), SymmetricKey::of_bytes(key).ok()?))
    }
}

/// Limits the number of challenges of a device. Expired ones are dropped first; then, of those that a stranger may
/// have caused, the oldest of the network with the most; and only then the oldest of the device's own.
fn make_room(challenges: &mut Vec<Challenge>, now: Instant) {
    if challenges.len() <= MOST_A_DEVICE {
        return;
    }
    challenges.retain(|known| known.until > now);
    while challenges.len() > MOST_A_DEVICE {
        let of_its_network =
            |known: &Challenge| challenges.iter().filter(|other| other.network == known.network).count();
        // Among several networks with equally many, the last in the list is chosen, which is the oldest.
        let of_strangers = challenges.iter().enumerate().filter(|(_, known)| !known.is_of_the_device());
        match of_strangers.max_by_key(|(_, known)| of_its_network(known)).map(|(at, _)| at) {
            Some(at) => drop(challenges.remove(at)),
            None => drop(challenges.pop()),
        }
    }
}

fn place(name: TrackingId, scope: &IdScope, id: &RegistrationId) -> String {
    format!("challenge\0{name}\0{scope}\0{}", id.key())
}

/// Maximum number of open challenges of one device.
const MOST_A_DEVICE: usize = 8;

#[cfg(test)]
mod tests {
    use landfall_domain::clock::{Clock as _, SystemClock};

    use super::*;

    fn chip(certificate: Option<EndorsementCertificate>) -> Arc<Chip> {
        let area = PublicArea::parse(&super::super::tests::storage_key()).unwrap();
        Arc::new(Chip { endorsement: area.clone(), storage_root: area, certificate })
    }

    fn token(key: u8) -> SasToken {
        super::super::tests::token(&SymmetricKey::of_bytes(Zeroizing::new(vec![key; 32])).unwrap())
    }

    #[test]
    fn an_answer_begins_one_registration_and_there_is_room_for_so_many_devices() {
        let challenges = Challenges::new(Duration::from_secs(60), 2);
        let (scope, now) = ("0ne1".parse().unwrap(), SystemClock.instant());
        let keep = |id: &str, key: u8, now| {
            let asks = (name(key), IpAddr::from([10, 0, 0, 1]));
            challenges.keep(asks, (&scope, &id.parse().unwrap()), (chip(None), false), &[key; 32], now)
        };
        assert!(keep("a", 1, now) && keep("b", 2, now) && !keep("c", 3, now));
        assert!(keep("A", 4, now), "the same device");
        let answers =
            |id: &str, key, now| challenges.answered(&scope, &id.parse().unwrap(), &token(key), now).is_some();
        assert!(answers("a", 1, now) && answers("a", 4, now));
        assert!(!answers("b", 4, now), "another's");
        let spend = |id: &str, key, now| challenges.spend(&scope, &id.parse().unwrap(), &token(key), now);
        assert!(spend("a", 1, now) && !spend("a", 1, now) && spend("a", 4, now), "each answer begins one registration");
        assert!(answers("a", 1, now), "whose polls carry it on");
        assert!(!spend("b", 1, now), "another's");
        let later = now + Duration::from_secs(60);
        assert!(!answers("a", 4, later), "over");
        assert!(keep("c", 3, later), "what is over makes room");
    }

    #[test]
    fn one_challenge_is_open_for_a_tpm_until_it_is_answered_or_nearly_over() {
        let challenges = Challenges::new(Duration::from_secs(60), 9);
        let (scope, id): (IdScope, RegistrationId) = ("0ne1".parse().unwrap(), "a".parse().unwrap());
        let (now, tpm) = (SystemClock.instant(), chip(None));
        let open = |now| challenges.open((&scope, &id), &tpm, now).map(|key| key.expose()[0]);
        let keep = |key: u8, now| {
            let asks = (name(key), IpAddr::from([10, 0, 0, 1]));
            assert!(challenges.keep(asks, (&scope, &id), (Arc::clone(&tpm), false), &[key; 32], now));
        };
        keep(1, now);
        assert_eq!(open(now), None, "it is not in the store yet");
        challenges.is_kept(name(1), (&scope, &id));
        assert_eq!(open(now), Some(1));
        assert_eq!(challenges.open((&scope, &"b".parse().unwrap()), &tpm, now).map(drop), None, "another device");
        assert_eq!(open(now + Duration::from_secs(30)), Some(1));
        assert_eq!(open(now + Duration::from_secs(31)), None, "too little is left for polls");
        assert!(challenges.spend(&scope, &id, &token(1), now));
        assert_eq!(open(now), None, "answered");
    }

    #[test]
    fn strangers_push_out_their_own_challenges_and_not_the_devices() {
        let challenges = Challenges::new(Duration::from_secs(60), 9);
        let (scope, id): (IdScope, RegistrationId) = ("0ne1".parse().unwrap(), "a".parse().unwrap());
        let now = SystemClock.instant();
        let keep = |key: u8, network: u8| {
            let asks = (name(key), IpAddr::from([10, 0, 0, network]));
            assert!(challenges.keep(asks, (&scope, &id), (chip(None), false), &[key; 32], now));
        };
        keep(1, 1);
        (100..150).for_each(|key| keep(key, 2));
        let answered = |key| challenges.answered(&scope, &id, &token(key), now).is_some();
        assert!(answered(1) && answered(149) && answered(143) && !answered(142));
        (2..20).for_each(|key| keep(key, 1));
        assert!(answered(19) && answered(149), "each network keeps some");
    }

    #[test]
    fn strangers_in_many_networks_push_out_neither_the_known_tpms_challenge_nor_an_answered_one() {
        let (scope, id): (IdScope, RegistrationId) = ("0ne1".parse().unwrap(), "a".parse().unwrap());
        let now = SystemClock.instant();
        for own in [true, false] {
            let challenges = Challenges::new(Duration::from_secs(60), 9);
            let keep = |key: u8, network: u8, own: bool| {
                let asks = (name(key), IpAddr::from([10, 0, 0, network]));
                assert!(challenges.keep(asks, (&scope, &id), (chip(None), own), &[key; 32], now));
            };
            let answered = |key| challenges.answered(&scope, &id, &token(key), now).is_some();
            keep(1, 1, own);
            if !own {
                assert!(challenges.spend(&scope, &id, &token(1), now));
            }
            (100..200).for_each(|key| keep(key, key, false));
            assert!(answered(1) && answered(199) && !answered(100), "own: {own}");
            // The device's own make room for each other, and strangers have the rest.
            (2..20).for_each(|key| keep(key, 1, true));
            assert!(answered(19) && answered(12) && !answered(11) && !answered(199), "own: {own}");
            keep(200, 7, false);
            assert!(answered(19) && answered(12) && !answered(200), "own: {own}");
        }
    }

    #[test]
    fn the_digest_of_a_tpm_tells_apart_all_that_it_shows() {
        let area = PublicArea::parse(&super::super::tests::storage_key()).unwrap();
        let other = PublicArea::parse(&super::super::tests::storage_key_of(0xd1)).unwrap();
        let of = |endorsement: &PublicArea, storage_root: &PublicArea| {
            Chip { endorsement: endorsement.clone(), storage_root: storage_root.clone(), certificate: None }.digest()
        };
        assert_eq!(of(&area, &other), of(&area, &other));
        assert_ne!(of(&area, &other), of(&other, &area));
        assert_ne!(of(&area, &other), of(&area, &area));
    }

    #[test]
    fn what_was_kept_is_taken_up_again_with_the_time_that_is_left() {
        let (scope, id): (IdScope, RegistrationId) = ("0ne1".parse().unwrap(), "a".parse().unwrap());
        let chip = Chip::clone(&chip(None));
        let (sealing, other) = (SealingKey::new(&[1; 32]).unwrap(), SealingKey::new(&[2; 32]).unwrap());
        let kept = |key: u8, until, sealing| {
            let until = Timestamp::from_millis(until);
            KeptChallenge::seal(name(key), (&scope, &id), (&chip, false), &[key; 32], until, (sealing, [key; 12]))
        };
        let spent = KeptChallenge { spent: true, ..kept(2, 60_000, &sealing) };
        let mut moved = kept(5, 60_000, &sealing);
        moved.registration_id = "b".parse().unwrap();
        let all = vec![kept(1, 5_000, &sealing), moved, kept(4, 60_000, &other), spent, kept(3, 20_000, &sealing)];
        let (challenges, now) = (Challenges::new(Duration::from_secs(60), 9), SystemClock.instant());
        challenges.take_up(all, &sealing, (Timestamp::from_millis(10_000), now));
        let known = |key, now| challenges.name(&scope, &id, &token(key), now);
        assert_eq!([1, 2, 3, 4, 5].map(|key| known(key, now).is_some()), [false, true, true, false, false]);
        assert_eq!(known(3, now), Some(name(3)));
        assert_eq!(challenges.answered(&scope, &id, &token(3), now), Some(Arc::new(chip.clone())));
        let later = now + Duration::from_secs(10);
        assert_eq!((known(2, later).is_some(), known(3, later)), (true, None), "each has its own time");
        assert!(!challenges.spend(&scope, &id, &token(2), now), "which was spent before");
        assert!(challenges.spend(&scope, &id, &token(3), now));
    }

    fn name(number: u8) -> TrackingId {
        TrackingId::new(Timestamp::from_millis(number.into()), [number; 10])
    }
}
