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
use landfall_attestation::password::{Remembered, hash_of_no_password};
use landfall_attestation::symmetric_key::SasToken;
use landfall_attestation::tpm::challenge::{Challenges, Chip};
use landfall_domain::clock::Ambient;
use landfall_domain::decision::Entry;
use landfall_domain::enrollment::PasswordHash;
use landfall_domain::names::{Digest, IdScope, RegistrationId, TrackingId};
use landfall_domain::registration::Registration;
use zeroize::Zeroizing;

use self::answered::Answered;
use self::decoy::Decoy;
use self::operations::{Operations, WaitingDevice};
use self::report_limits::ReportLimits;
use self::throttle::Throttle;
use crate::config::Config;
use crate::counters::Counters;
use crate::listener::LogLimiter;
use crate::network;
use crate::turns::Turns;

mod answered;
mod decoy;
pub(super) mod operations;
mod report_limits;
pub(super) mod throttle;

/// What is remembered of devices between their requests.
pub struct Desk {
    /// The registrations that are under way.
    pub(super) operations: Operations,
    /// Bounds how often devices may ask.
    pub(super) throttle: Throttle,
    /// The challenges of TPMs: open ones, and those that were answered a short time ago.
    pub(super) challenges: Challenges,
    /// What checking passwords needs.
    pub(super) passwords: Passwords,
    /// Bounds how many tokens are checked at once with the keys of many groups.
    pub(super) token_checks: Arc<Turns>,
    /// The keys that are opened and tried for a device that has none.
    pub(super) decoy: Decoy,
    /// Bounds how many refusals are logged and kept.
    pub(super) report_limits: ReportLimits,
    /// Warns of policies' replies that some devices cannot read.
    pub(super) odd_replies: LogLimiter,
    /// The counters of this process, for metrics.
    pub(super) counters: Arc<Counters>,
    pub(super) ambient: Ambient,
    /// Warns of requests that are not served here.
    not_served: LogLimiter,
    answered: Answered,
    /// Makes the keys with which TPMs authenticate to their hubs.
    hub_keys: hmac::Key,
}

/// What checking passwords needs.
pub(super) struct Passwords {
    /// The devices that were admitted by a password a short time ago.
    pub(super) remembered: Remembered,
    /// The hash that is compared when an id has no password.
    pub(super) decoy: PasswordHash,
    /// Bounds how many passwords are checked at once.
    pub(super) checks: Arc<Turns>,
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
        let chip = self.challenges.answered(scope, id, token, self.ambient.instant())?;
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
