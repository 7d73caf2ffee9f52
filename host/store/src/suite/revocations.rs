//! Revocations of issuers' certificates, and the authorities of these issuers.

use landfall_attestation::x509::crl::ListFacts;
use landfall_attestation::x509::make::Authority;
use landfall_attestation::x509::revocation::{
    Issuer, KeptRevocations, RevocationChange, RevocationCommand, RevocationConflict, SerialRange,
};
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::{CertificatePin, GroupAttestation};
use landfall_domain::names::{CaName, Digest};

use super::make::{Shared, group, policies, scope};
use crate::{AuthorityUpload, Conflict, DeleteOutcome, InUse, Leaning, Precondition, PutOutcome};

const NOW: Timestamp = Timestamp::from_millis(1_893_456_000_000);

pub async fn what_is_revoked_of_an_issuer_outlives_its_authority(store: Shared) {
    let (root, other) = (Authority::root("CA", NOW, 30).unwrap(), Authority::root("CA", NOW, 30).unwrap());
    assert_eq!(upload(&store, "root", &root.certificate_der, false).await, PutOutcome::Created);
    assert_eq!(change(&store, &root, vec![RevocationCommand::Whole(true)]).await, PutOutcome::Replaced);
    assert_eq!(
        store.delete_authority(&scope(), &"root".parse().unwrap(), Precondition::Any).await.unwrap(),
        DeleteOutcome::Deleted
    );
    assert!(kept(&store).await[0].record.rules.whole);
    // An issuer with the same name and another key is a different issuer.
    change(&store, &other, vec![RevocationCommand::Whole(false)]).await;
    assert_eq!(kept(&store).await.len(), 1);
    change(&store, &root, vec![RevocationCommand::Whole(false)]).await;
    assert_eq!(kept(&store).await, [], "of what nothing is said nothing is kept");
}

pub async fn of_changes_at_the_same_time_none_is_lost(store: Shared) {
    let root = Authority::root("CA", NOW, 30).unwrap();
    let ranges: Vec<_> = (1..=20_u8).map(range).collect();
    let all = ranges.iter().map(|range| {
        let (store, issuer) = (Shared::clone(&store), Issuer::of(&root.certificate_der).unwrap());
        let change =
            RevocationChange { issuer, commands: vec![RevocationCommand::Revoke(vec![range.clone()])], now: NOW };
        tokio::spawn(async move { store.change_revocations(&scope(), change, None).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap().unwrap(), PutOutcome::Replaced);
    }
    let stand = kept(&store).await.remove(0).record.rules.serials;
    assert!(ranges.iter().all(|range| stand.contains(range)), "{stand:?}");
}

pub async fn a_request_is_done_as_a_whole_or_not_at_all(store: Shared) {
    let root = Authority::root("CA", NOW, 30).unwrap();
    let revoke = |number| RevocationCommand::Revoke(vec![range(number)]);
    change(&store, &root, vec![revoke(1)]).await;
    let before = kept(&store).await;
    let outcome = change(&store, &root, vec![revoke(2), RevocationCommand::Restore(vec![range(3)])]).await;
    assert_eq!(outcome, PutOutcome::Conflict(Conflict::Revocation(RevocationConflict::NotRevokedSo(range(3)))));
    assert_eq!(kept(&store).await, before);
}

pub async fn a_list_takes_the_place_of_an_older_one_only(store: Shared) {
    let root = Authority::root("CA", NOW, 30).unwrap();
    let list = |number: &str, der: &[u8]| RevocationCommand::List {
        facts: ListFacts {
            sha256: Digest::of(der),
            number: Some(number.to_owned()),
            this_update: 1,
            next_update: 2,
            revoked: 0,
        },
        der: der.to_vec(),
        skew_seconds: 0,
        from: None,
    };
    assert_eq!(change(&store, &root, vec![list("5", b"five")]).await, PutOutcome::Replaced);
    let older = change(&store, &root, vec![list("4", b"four")]).await;
    let older_list =
        |conflict: &Conflict| matches!(conflict, Conflict::Revocation(RevocationConflict::OlderList { .. }));
    assert!(matches!(older, PutOutcome::Conflict(conflict) if older_list(&conflict)));
    assert_eq!(kept(&store).await[0].list.as_deref(), Some(&b"five"[..]));
    change(&store, &root, vec![list("A", b"ten")]).await;
    assert_eq!(kept(&store).await[0].list.as_deref(), Some(&b"ten"[..]));
    change(&store, &root, vec![RevocationCommand::RemoveList]).await;
    assert_eq!(kept(&store).await, []);
}

pub async fn what_was_held_last_in_the_middle_is_remembered(store: Shared) {
    let root = Authority::root("CA", NOW, 30).unwrap();
    let line = root.intermediate("Line 3", NOW, 30).unwrap();
    let cell = line.intermediate("Cell 7", NOW, 30).unwrap();
    let remembered =
        async || -> Vec<_> { kept(&store).await.into_iter().filter_map(|kept| kept.record.remembered).collect() };
    let proven = async |name: &str, der: &[u8]| {
        upload(&store, name, der, false).await;
        let mut all = store.load_catalogue().await.unwrap().scopes.remove(0).authorities;
        let mut authority = all.remove(all.iter().position(|one| one.name.as_str() == name).unwrap());
        authority.verified = true;
        store.put_authority(&scope(), authority, Precondition::Exists).await.unwrap();
    };
    proven("root", &root.certificate_der).await;
    proven("line", &line.certificate_der).await;
    upload(&store, "cell", &cell.certificate_der, false).await;
    for name in ["root", "cell"] {
        store.delete_authority(&scope(), &name.parse().unwrap(), Precondition::Any).await.unwrap();
    }
    assert_eq!(kept(&store).await, [], "a root, and one that nobody has proven");
    let other = root.intermediate("Line 4", NOW, 30).unwrap();
    assert_eq!(upload(&store, "line", &other.certificate_der, true).await, PutOutcome::Replaced);
    assert_eq!(remembered().await, std::slice::from_ref(&line.certificate_der), "replaced");
    // The remembered certificate outlives revocations that come and go.
    for whole in [true, false] {
        change(&store, &line, vec![RevocationCommand::Whole(whole)]).await;
    }
    assert_eq!(remembered().await, std::slice::from_ref(&line.certificate_der));
    proven("cell", &cell.certificate_der).await;
    store.delete_authority(&scope(), &"cell".parse().unwrap(), Precondition::Any).await.unwrap();
    assert!(remembered().await.contains(&cell.certificate_der), "deleted");
}

pub async fn an_authority_stays_while_a_groups_intermediate_leans_on_it(store: Shared) {
    let root = Authority::root("CA", NOW, 30).unwrap();
    let line = root.intermediate("Line 3", NOW, 30).unwrap();
    let name: CaName = "root".parse().unwrap();
    policies(&store).await;
    upload(&store, "root", &root.certificate_der, false).await;
    let mut authority = store.load_catalogue().await.unwrap().scopes.remove(0).authorities.remove(0);
    authority.verified = true;
    store.put_authority(&scope(), authority, Precondition::Exists).await.unwrap();
    let der = line.certificate_der.clone();
    let pin = CertificatePin { sha256: Digest::of(&der), der: Some(der) };
    let held = GroupAttestation::X509Intermediates { primary: pin, secondary: None };
    store.put_group(&scope(), group("pumps", held), Precondition::New).await.unwrap();
    let leaning = || Leaning::HoldsIssued("pumps".parse().unwrap());
    let stays = store.delete_authority(&scope(), &name, Precondition::Any).await.unwrap();
    assert_eq!(stays, DeleteOutcome::InUse(InUse::Leans(leaning())));
    let stranger = Authority::root("Another CA", NOW, 30).unwrap();
    let over = upload(&store, "root", &stranger.certificate_der, true).await;
    let leaned_on = Conflict::LeanedOn { authority: name.clone(), leaning: leaning() };
    assert_eq!(over, PutOutcome::Conflict(leaned_on));
    store.delete_group(&scope(), &"pumps".parse().unwrap(), Precondition::Any).await.unwrap();
    assert_eq!(store.delete_authority(&scope(), &name, Precondition::Any).await.unwrap(), DeleteOutcome::Deleted);
    let remembered: Vec<_> = kept(&store).await.into_iter().filter_map(|kept| kept.record.remembered).collect();
    assert_eq!(remembered, [line.certificate_der], "pinned certificates may be below the group's intermediate");
}

fn range(number: u8) -> SerialRange {
    let number: landfall_domain::registry::SerialNumber = format!("{number:X}").parse().unwrap();
    SerialRange { from: number.clone(), to: number }
}

async fn upload(store: &Shared, name: &str, der: &[u8], replace: bool) -> PutOutcome {
    let upload = AuthorityUpload { name: name.parse().unwrap(), der: der.to_vec(), replace, now: NOW };
    store.upload_authority(&scope(), upload, Precondition::Any).await.unwrap()
}

async fn change(store: &Shared, of: &Authority, commands: Vec<RevocationCommand>) -> PutOutcome {
    let issuer = Issuer::of(&of.certificate_der).unwrap();
    store.change_revocations(&scope(), RevocationChange { issuer, commands, now: NOW }, None).await.unwrap()
}

async fn kept(store: &Shared) -> Vec<KeptRevocations> {
    store.load_catalogue().await.unwrap().scopes.remove(0).revocations
}
