//! The desk keeps what is remembered of devices between their requests.
//!
//! All of it is bounded and in memory. A restart forgets it and does no harm: an operation begins again when its device
//! polls, the throttle's buckets are empty, a password is hashed once more. Only the challenges of TPMs are in the
//! store as well, because a device answers a challenge once.
//!
//! Work that anybody can ask for, and that is slow or takes much memory, takes turns here: checking passwords, and
//! checking a token with the keys of many groups.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use landfall_attestation::password::{BasicCredential, Remembered, hash_of_no_password};
use landfall_attestation::symmetric_key::{SasToken, SymmetricKey};
use landfall_attestation::tpm::challenge::{Challenges, Chip, KeptChallenge};
use landfall_domain::clock::Ambient;
use landfall_domain::decision::Entry;
use landfall_domain::enrollment::PasswordHash;
use landfall_domain::names::{Digest, IdScope, RegistrationId, TrackingId};
use landfall_domain::registration::Registration;
use landfall_domain::secret::sealing::{SealError, SealingKey};
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

use self::answered::Answered;
use self::decoy::Decoy;
use self::operations::{Operations, WaitingDevice};
use self::report_limits::ReportLimits;
use self::throttle::{Throttle, TooOften};
use crate::config::Config;
use crate::counters::Counters;
use crate::listener::LogLimiter;
use crate::network;
use crate::turns::{Turn, Turns};

mod answered;
mod decoy;
pub(super) mod operations;
mod report_limits;
pub(super) mod throttle;

/// What is remembered of devices between their requests.
pub struct Desk {
    /// The registrations that are under way.
    operations: Operations,
    /// Bounds how often devices may ask.
    throttle: Throttle,
    /// The challenges of TPMs: open ones, and those that were answered a short time ago.
    challenges: Challenges,
    /// What checking passwords needs.
    passwords: Passwords,
    /// Bounds how many tokens are checked at once with the keys of many groups.
    token_checks: Arc<Turns>,
    /// The keys that are opened and tried for a device that has none.
    decoy: Decoy,
    /// Bounds how many refusals are logged and kept.
    report_limits: ReportLimits,
    /// Warns of policies' replies that some devices cannot read.
    odd_replies: LogLimiter,
    /// The counters of this process, for metrics.
    counters: Arc<Counters>,
    ambient: Ambient,
    /// Warns of requests that are not served here.
    not_served: LogLimiter,
    answered: Answered,
    /// Makes the keys with which TPMs authenticate to their hubs.
    hub_keys: hmac::Key,
}

/// What checking passwords needs.
struct Passwords {
    /// The devices that were admitted by a password a short time ago.
    remembered: Remembered,
    /// The hash that is compared when an id has no password.
    decoy: PasswordHash,
    /// Bounds how many passwords are checked at once.
    checks: Arc<Turns>,
}

impl Desk {
    /// An empty desk. `key` makes this installation's operation ids and the keys for hubs.
    pub(super) fn new(config: &Config, ambient: Ambient, key: &[u8; 32], counters: Arc<Counters>) -> Option<Self> {
        let device = &config.limits.device;
        let passwords = Passwords {
            remembered: Remembered::new(&ambient.random()),
            decoy: hash_of_no_password(ambient.random()),
            checks: Arc::new(Turns::new(PASSWORD_CHECKS, device.max_passwords_waiting)),
        };
        Some(Self {
            operations: Operations::new(key, device.max_operations, device.waiting_bytes),
            throttle: Throttle::new(&config.limits.throttle, ambient.clone()),
            challenges: Challenges::new(Duration::from_secs(device.challenge_seconds), device.max_challenges),
            passwords,
            token_checks: Arc::new(Turns::new(TOKEN_CHECKS, device.max_tokens_waiting)),
            decoy: Decoy::new(&ambient)?,
            report_limits: ReportLimits::new(Arc::clone(&ambient.clock)),
            odd_replies: LogLimiter::new(&ambient.clock),
            counters,
            not_served: LogLimiter::new(&ambient.clock),
            answered: Answered::new(device.answers_kept),
            hub_keys: hmac::Key::new(hmac::HMAC_SHA256, key),
            ambient,
        })
    }

    /// The registrations that are under way.
    pub(super) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// What is counted, for metrics.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The time and the randomness of this process.
    pub(super) fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// Counts a request of a device, unless there were too many.
    pub(super) fn admit_request(&self, source: IpAddr, scope: &IdScope, id: &RegistrationId) -> Result<(), TooOften> {
        self.throttle.admit(source, scope, id).inspect_err(|full| self.counters.throttled(full.measure))
    }

    /// Counts a password that is tried, unless there were too many.
    pub(super) fn admit_password(&self, source: IpAddr, scope: &IdScope, id: &RegistrationId) -> Result<(), TooOften> {
        self.throttle.try_password(source, scope, id).inspect_err(|full| self.counters.throttled(full.measure))
    }

    /// Whether a device was admitted with this password a short time ago.
    pub(super) fn remembers_password(
        &self,
        (scope, id): (&IdScope, &RegistrationId),
        hash: &PasswordHash,
        said: &BasicCredential,
    ) -> bool {
        self.passwords.remembered.knows(scope, id, hash, said, self.ambient.instant())
    }

    /// Remembers that a password is the right one.
    pub(super) fn remember_password(
        &self,
        (scope, id): (&IdScope, &RegistrationId),
        hash: &PasswordHash,
        said: &BasicCredential,
    ) {
        self.passwords.remembered.remember(scope, id, hash, said, self.ambient.instant());
    }

    /// The hash that is compared when an id has no password.
    pub(super) fn decoy_password(&self) -> &PasswordHash {
        &self.passwords.decoy
    }

    /// The keys that are opened and tried for a device that has none.
    pub(super) fn decoy_keys(&self) -> Result<[SymmetricKey; 2], SealError> {
        self.decoy.open()
    }

    /// A turn to check a password; none when too many wait.
    pub(super) async fn turn_for_a_password(&self, source: IpAddr) -> Option<Turn> {
        let turn = self.passwords.checks.begin(network::turn(source)).await;
        if turn.is_none() {
            self.counters.throttled("passwords-waiting");
        }
        turn
    }

    /// A turn to check a token with the keys of many groups; none when too many wait.
    pub(super) async fn turn_for_a_token(&self, source: IpAddr) -> Option<Turn> {
        let turn = self.token_checks.begin(network::turn(source)).await;
        if turn.is_none() {
            self.counters.throttled("tokens-waiting");
        }
        turn
    }

    /// The TPM that answered a challenge with this token, if it did so a short time ago.
    pub(super) fn chip_that_answered(
        &self,
        (scope, id): (&IdScope, &RegistrationId),
        token: &SasToken,
    ) -> Option<Arc<Chip>> {
        self.challenges.answered(scope, id, token, self.ambient.instant())
    }

    /// The challenge that this token answers.
    pub(super) fn challenge_of(
        &self,
        (scope, id): (&IdScope, &RegistrationId),
        token: &SasToken,
    ) -> Option<TrackingId> {
        self.challenges.name(scope, id, token, self.ambient.instant())
    }

    /// Uses the answer to a challenge; false when it was used before.
    pub(super) fn spend_answer(&self, (scope, id): (&IdScope, &RegistrationId), token: &SasToken) -> bool {
        self.challenges.spend(scope, id, token, self.ambient.instant())
    }

    /// The key of the challenge that is open for a TPM.
    pub(super) fn open_challenge(&self, device: (&IdScope, &RegistrationId), chip: &Chip) -> Option<SymmetricKey> {
        self.challenges.open(device, chip, self.ambient.instant())
    }

    /// Holds a new challenge, which is not told before it is in the store; false when there is no room. `own` says whether
    /// the TPM registered here before.
    pub(super) fn hold_challenge(
        &self,
        (name, source): (TrackingId, IpAddr),
        device: (&IdScope, &RegistrationId),
        (chip, own): (Arc<Chip>, bool),
        key: &[u8; 32],
    ) -> bool {
        let asks = (name, network::of(source));
        self.challenges.keep(asks, device, (chip, own), key, self.ambient.instant())
    }

    /// Notes that a challenge is in the store.
    pub(super) fn challenge_is_kept(&self, name: TrackingId, device: (&IdScope, &RegistrationId)) {
        self.challenges.is_kept(name, device);
    }

    /// How long a challenge is open.
    pub(super) fn challenge_lasts(&self) -> Duration {
        self.challenges.lasts()
    }

    /// Takes up the challenges that were open before a restart.
    pub(super) fn take_up_challenges(&self, kept: Vec<KeptChallenge>, sealing: &SealingKey) {
        self.challenges.take_up(kept, sealing, (self.ambient.now(), self.ambient.instant()));
    }

    /// Whether a refusal may be logged now; then also how many before it were not.
    pub(super) fn may_log_refusal(&self, source: IpAddr, stranger: bool) -> Option<u64> {
        self.report_limits.may_be_said(source, stranger)
    }

    /// A place for a refusal that is to be kept, if it may be kept.
    pub(super) fn place_for_refusal(&self, source: IpAddr, stranger: bool) -> Option<OwnedSemaphorePermit> {
        let kept = !stranger || self.throttle.keeps_a_strangers(source);
        kept.then(|| self.report_limits.place(stranger)).flatten()
    }

    /// Whether it may be logged now that a policy's reply is one that some devices cannot read; then also how many times it
    /// was not.
    pub(super) fn may_log_odd_reply(&self) -> Option<u64> {
        self.odd_replies.may_be_said()
    }

    /// The number of registrations that are being worked on.
    pub fn registrations_under_way(&self) -> usize {
        self.operations.running()
    }

    /// The devices of an id scope that wait, in no particular order.
    pub fn waiting(&self, scope: &IdScope) -> Vec<WaitingDevice> {
        self.operations.waiting(scope)
    }

    /// The device's operations that wait. Each key that claims the id has an operation of its own.
    pub fn waiting_of(&self, scope: &IdScope, id: &RegistrationId) -> Vec<WaitingDevice> {
        self.operations.waiting_of(scope, id)
    }

    /// The number of devices that wait: by id scope, and by the word for what holds them up.
    pub fn waiting_counts(&self) -> impl Iterator<Item = ((String, &'static str), u64)> {
        self.operations.waiting_counts().into_iter()
    }

    /// Keeps the story of an answer that is neither a decision nor a refusal, for the operator who asks for its
    /// tracking id. `admitted` says whether the connection has proven itself.
    pub fn keep_answer(&self, source: IpAddr, admitted: bool, entry: Entry) {
        self.answered.keep(network::of(source), admitted, entry);
    }

    /// The story of such an answer, if it is still kept.
    pub fn answer(&self, id: TrackingId) -> Option<Entry> {
        self.answered.get(id)
    }

    /// Whether a request that is not served here may be logged now. If so, also how many such requests were not logged
    /// before.
    pub fn may_log_not_served(&self) -> Option<u64> {
        self.not_served.may_be_said()
    }

    /// The chip that answered the challenge with this token, and the key with which it authenticates to its hub. `None`
    /// if the registration has no hub.
    pub fn chip_and_hub_key(
        &self,
        scope: &IdScope,
        registration: &Registration,
        token: Option<&SasToken>,
    ) -> Option<(Arc<Chip>, Zeroizing<[u8; 32]>)> {
        let token = token.filter(|_| registration.hub().is_some())?;
        let id = &registration.registration_id;
        let chip = self.chip_that_answered((scope, id), token)?;
        let key = self.hub_key(scope, id, chip.endorsement.sha256());
        Some((chip, key))
    }

    /// The key with which a TPM authenticates to its hub. The hub must have it as well. It is derived from this
    /// installation's key and the TPM's endorsement key, so it is the same at every registration and is stored nowhere.
    pub fn hub_key(&self, scope: &IdScope, id: &RegistrationId, endorsement: Digest) -> Zeroizing<[u8; 32]> {
        let text = format!("hub key\0{scope}\0{}\0{endorsement}", id.key());
        let tag = hmac::sign(&self.hub_keys, text.as_bytes());
        let mut key = Zeroizing::new([0; 32]);
        for (to, from) in key.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        key
    }
}

/// The number of passwords that are checked at once: each takes a core and 19 MiB.
const PASSWORD_CHECKS: usize = 2;

/// The number of tokens that are checked at once with the keys of more groups than a request tries by itself.
const TOKEN_CHECKS: usize = 2;
