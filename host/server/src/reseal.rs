//! Seals the secrets of all enrollments with another key.

use std::sync::Arc;

use landfall_domain::clock::Ambient;
use landfall_domain::enrollment::{
    EnrollmentRef, Group, GroupAttestation, Individual, IndividualAttestation, SealedKeys,
};
use landfall_domain::secret::sealing::{SealError, SealingKey};
use landfall_store::{Page, Precondition, PutOutcome, Store, StoreError};

use crate::conflict;

/// Whether any enrollment has sealed keys.
///
/// # Errors
///
/// If the store cannot be read.
pub async fn has_sealed(store: &dyn Store) -> Result<bool, StoreError> {
    for records in store.load_catalogue().await?.scopes {
        if records.groups.iter().any(|group| matches!(group.attestation, GroupAttestation::SymmetricKey(_))) {
            return Ok(true);
        }
        let mut page = Page { after: None, limit: PAGE };
        loop {
            let listing = store.individuals(&records.scope, page.clone()).await?;
            let mut attestations = listing.items.iter().map(|individual| &individual.attestation);
            if attestations.any(|one| matches!(one, IndividualAttestation::SymmetricKey(_))) {
                return Ok(true);
            }
            match listing.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
    }
    Ok(false)
}

/// Why not every secret was sealed with the new key. Those that were can be opened with the new key, all others with
/// the old one. Running it again continues where it stopped.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ResealError {
    /// A secret cannot be opened with either key.
    #[error("the keys of {enrollment} cannot be opened: {reason}")]
    Sealed { enrollment: EnrollmentRef, reason: SealError },
    /// The store did not accept the new keys.
    #[error("the new keys of {what} were not taken: {why}; run the same command again")]
    NotTaken {
        what: String,
        /// The reason that it gave.
        why: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the keys of all enrollments and seals them with another key. Answers the number of these enrollments.
///
/// # Errors
///
/// [`ResealError`].
pub async fn reseal(
    store: &Arc<dyn Store>,
    old: &SealingKey,
    new: &SealingKey,
    ambient: &Ambient,
) -> Result<usize, ResealError> {
    let mut resealed = 0;
    for records in store.load_catalogue().await?.scopes {
        let scope = &records.scope;
        let anew = |sealed: &SealedKeys, owner: &EnrollmentRef| -> Result<SealedKeys, ResealError> {
            let opened =
                sealed.open(owner, scope, old).or_else(|error| sealed.open(owner, scope, new).map_err(|_| error));
            let keys = opened.map_err(|reason| ResealError::Sealed { enrollment: owner.clone(), reason })?;
            Ok(SealedKeys::seal(&keys, owner, scope, new, ambient))
        };
        for group in records.groups {
            let GroupAttestation::SymmetricKey(sealed) = &group.attestation else { continue };
            let attestation = GroupAttestation::SymmetricKey(anew(sealed, &EnrollmentRef::Group(group.id.clone()))?);
            let what = format!("the enrollment group {}", group.id);
            let when = Precondition::Match(group.terms.etag.clone());
            match store.put_group(scope, Group { attestation, ..group }, when).await? {
                PutOutcome::Created | PutOutcome::Replaced => resealed += 1,
                PutOutcome::Conflict(why) => {
                    return Err(ResealError::NotTaken { what, why: conflict::in_words(&why) });
                }
                PutOutcome::AlreadyThere | PutOutcome::Missing | PutOutcome::Changed => {
                    let why = "it is not what it was when it was read".to_owned();
                    return Err(ResealError::NotTaken { what, why });
                }
            }
        }
        let mut page = Page { after: None, limit: PAGE };
        loop {
            let listing = store.individuals(scope, page.clone()).await?;
            let mut changed = Vec::new();
            for individual in listing.items {
                let IndividualAttestation::SymmetricKey(sealed) = &individual.attestation else { continue };
                let owner = EnrollmentRef::Individual(individual.registration_id.clone());
                let attestation = IndividualAttestation::SymmetricKey(anew(sealed, &owner)?);
                let when = Precondition::Match(individual.terms.etag.clone());
                changed.push((Individual { attestation, ..individual }, when));
            }
            // All of a page are written in one transaction, because each flush to disk takes milliseconds.
            if !changed.is_empty() {
                let all = changed.len();
                let outcomes = store.replace_individuals(scope, changed).await?;
                let taken = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Replaced).count();
                if taken != all {
                    let what = format!("{} of {all} individual enrollments of {scope}", all.saturating_sub(taken));
                    let why = "they are not what they were when they were read".to_owned();
                    return Err(ResealError::NotTaken { what, why });
                }
                resealed += taken;
            }
            match listing.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
    }
    Ok(resealed)
}

/// The number of enrollments that are read at once.
const PAGE: usize = 1000;

#[cfg(test)]
mod tests {
    use landfall_domain::secret::symmetric_key::SymmetricKey;
    use landfall_store::memory::MemoryStore;
    use landfall_store::suite::make;

    use super::*;

    #[tokio::test]
    async fn sealing_anew_takes_a_transaction_for_many_enrollments() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let (scope, ambient) = (make::scope(), Ambient::system());
        make::policies(&store).await;
        let key = |byte| SealingKey::new(&[byte; 32]).unwrap();
        let keys = || {
            [SymmetricKey::of_bytes(vec![7; 32].into()).unwrap(), SymmetricKey::of_bytes(vec![8; 32].into()).unwrap()]
        };
        let old = make::individual("none", "e", "c", None);
        for number in 0..50 {
            let owner = EnrollmentRef::Individual(format!("d-{number}").parse().unwrap());
            let sealed = SealedKeys::seal(&keys(), &owner, &scope, &key(1), &ambient);
            let registration_id = format!("d-{number}").parse().unwrap();
            let attestation = IndividualAttestation::SymmetricKey(sealed);
            let entry = Individual { registration_id, attestation, ..old.clone() };
            store.put_individual(&scope, entry, Precondition::New).await.unwrap();
        }
        let before = store.sequence();
        assert_eq!(reseal(&store, &key(1), &key(2), &ambient).await.unwrap(), 50);
        assert_eq!(store.sequence(), before + 1);
        let id = "d-7".parse().unwrap();
        let entry = store.individual(&scope, &id).await.unwrap().unwrap();
        let IndividualAttestation::SymmetricKey(sealed) = &entry.attestation else { panic!("{entry:?}") };
        let opened = sealed.open(&EnrollmentRef::Individual(id), &scope, &key(2)).unwrap();
        assert_eq!(opened[0].expose(), &[7; 32]);
        // Running it again continues where it stopped.
        assert_eq!(reseal(&store, &key(1), &key(2), &ambient).await.unwrap(), 50);
    }
}
