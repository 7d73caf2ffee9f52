//! Challenges that are out: which key was wrapped for which TPM, and until when its token is taken.
//!
//! A device asks, gets a wrapped key, and answers with a token that the key has signed; its polls carry the same token. A
//! challenge is for one registration id, one endorsement key and one storage root key, and for a few minutes. Two
//! are out for a device at most, of which a new one takes the place of the older: a stranger who knows its public keys has to
//! be quick to make it begin again, and can do nothing else. An answer begins one registration: who has overheard it begins
//! none. They are not kept on disk: after a restart a device is challenged again, and no answer counts twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::PublicArea;
use crate::attestation::symmetric_key::{SasToken, SymmetricKey};
use crate::attestation::x509::endorsement::EndorsementCertificate;
use crate::names::{IdScope, RegistrationId};

/// All challenges that are out.
pub struct Challenges {
    /// For each device the newest, and the one before it.
    out: Mutex<HashMap<(IdScope, String), Vec<Challenge>>>,
    lasts: Duration,
    most: usize,
}

#[derive(Clone)]
struct Challenge {
    chip: Arc<Chip>,
    key: SymmetricKey,
    until: Instant,
    /// A registration was begun with its answer.
    spent: bool,
}

/// A TPM as a device names it: both of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// The endorsement key.
    pub endorsement: PublicArea,
    /// The storage root key.
    pub storage_root: PublicArea,
    /// The certificate of the endorsement key, if the device has sent it along.
    pub certificate: Option<EndorsementCertificate>,
}

impl Challenges {
    /// None yet; each lasts so long, and so many are out at most.
    pub fn new(lasts: Duration, most: usize) -> Self {
        Self { out: Mutex::default(), lasts, most }
    }

    /// Keeps the key that is wrapped for a TPM: 32 bytes. False when there is no room, which is never made at another's expense
    /// before that one's time is over.
    pub fn keep(&self, scope: &IdScope, id: &RegistrationId, chip: Arc<Chip>, key: &[u8; 32], now: Instant) -> bool {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (scope.clone(), id.key().to_owned());
        if out.len() >= self.most && !out.contains_key(&name) {
            out.retain(|_, challenges| challenges.iter().any(|challenge| challenge.until > now));
            if out.len() >= self.most {
                return false;
            }
        }
        let Ok(key) = SymmetricKey::of_bytes(Zeroizing::new(key.to_vec())) else { return false };
        let challenges = out.entry(name).or_default();
        challenges.insert(0, Challenge { chip, key, until: now + self.lasts, spent: false });
        challenges.truncate(MOST_A_DEVICE);
        true
    }

    /// The TPM whose challenge the token answers, if it does.
    pub fn answered(&self, scope: &IdScope, id: &RegistrationId, token: &SasToken, now: Instant) -> Option<Arc<Chip>> {
        let known = {
            let out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            out.get(&(scope.clone(), id.key().to_owned())).cloned()
        };
        let mut current = known.into_iter().flatten().filter(|known| known.until > now);
        current.find(|known| known.key.has_signed(token)).map(|known| known.chip)
    }

    /// Begins a registration with the answer to a challenge: true once. Polls of it carry the answer on.
    pub fn spend(&self, scope: &IdScope, id: &RegistrationId, token: &SasToken, now: Instant) -> bool {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let known = out.get_mut(&(scope.clone(), id.key().to_owned()));
        let mut current = known.into_iter().flatten().filter(|known| known.until > now);
        match current.find(|known| known.key.has_signed(token)) {
            Some(known) => !std::mem::replace(&mut known.spent, true),
            None => false,
        }
    }
}

/// Challenges that are out for one device.
const MOST_A_DEVICE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn there_is_one_challenge_a_device_and_room_for_so_many_devices() {
        let challenges = Challenges::new(Duration::from_secs(60), 2);
        let (scope, now) = ("0ne1".parse().unwrap(), clock::instant());
        let area = PublicArea::parse(&super::super::tests::storage_key()).unwrap();
        let chip = Arc::new(Chip { endorsement: area.clone(), storage_root: area, certificate: None });
        let keep =
            |id: &str, key: u8, now| challenges.keep(&scope, &id.parse().unwrap(), Arc::clone(&chip), &[key; 32], now);
        let token = |key: u8| {
            let key = SymmetricKey::of_bytes(Zeroizing::new(vec![key; 32])).unwrap();
            super::super::tests::token(&key)
        };
        assert!(keep("a", 1, now) && keep("b", 2, now) && !keep("c", 3, now));
        assert!(keep("A", 4, now), "the same device");
        let answers =
            |id: &str, key, now| challenges.answered(&scope, &id.parse().unwrap(), &token(key), now).is_some();
        assert!(answers("a", 1, now) && answers("a", 4, now), "the newest and the one before it");
        assert!(keep("a", 5, now) && answers("a", 5, now) && answers("a", 4, now));
        assert!(!answers("a", 1, now), "and none before those");
        assert!(!answers("b", 4, now), "another's");
        let spend = |id: &str, key, now| challenges.spend(&scope, &id.parse().unwrap(), &token(key), now);
        assert!(spend("a", 5, now) && !spend("a", 5, now) && spend("a", 4, now), "each answer begins one registration");
        assert!(answers("a", 5, now), "whose polls carry it on");
        assert!(!spend("b", 5, now), "another's");
        let later = now + Duration::from_secs(60);
        assert!(!answers("a", 4, later), "over");
        assert!(keep("c", 3, later), "what is over makes room");
    }
}
