//! Revocations above an issuer, over all of its certificates that are held or remembered, and records that cannot be
//! parsed.

use rcgen::{KeyPair, SerialNumber, date_time_ymd};

use super::super::error::ChainError;
use super::super::revocation::{
    Issuer, KeptRevocations, Known, RevocationRecord, RevocationRules, SerialRange, Standing,
};
use super::super::{PresentedChain, verify_group, verify_pinned};
use super::authority::{Made, NOW, chain, policy};

/// Factory > line > cell. The line was renewed with the same key.
struct World {
    root: Made,
    old: Made,
    renewed: Made,
    cell: Made,
}

impl World {
    fn new() -> Self {
        let root = Made::root("factory");
        let old = numbered(&root, "line", 1);
        let mut params = old.params.clone();
        params.serial_number = Some(SerialNumber::from(2));
        let renewed = root.issue(params, KeyPair::from_pem(&old.key.serialize_pem()).unwrap());
        let cell = renewed.intermediate("cell");
        Self { root, old, renewed, cell }
    }

    /// Checks whether the cell is good.
    fn judge(&self, records: Vec<RevocationRecord>, held: &[(&Made, Standing)]) -> Result<(), ChainError> {
        known(records, held).judge_authority(&self.cell.anchor(), NOW, 0)
    }
}

fn numbered(issuer: &Made, cn: &str, serial: u64) -> Made {
    issuer.intermediate_with(cn, |params| params.serial_number = Some(SerialNumber::from(serial)))
}

fn known(records: Vec<RevocationRecord>, held: &[(&Made, Standing)]) -> Known {
    let kept = records.into_iter().map(|record| KeptRevocations { record, list: None }).collect();
    Known::new(kept, held.iter().map(|(made, standing)| (made.der.as_ref(), *standing)), None)
}

/// A record that revokes one serial number of an issuer.
fn revoked(issuer: &Made, serial: &str) -> RevocationRecord {
    let range = SerialRange { from: serial.parse().unwrap(), to: serial.parse().unwrap() };
    let rules = RevocationRules { serials: vec![range], ..RevocationRules::default() };
    RevocationRecord { rules, ..silent(issuer) }
}

fn silent(issuer: &Made) -> RevocationRecord {
    RevocationRecord::silent(Issuer::of(&issuer.der).unwrap(), NOW)
}

fn is_refused(judged: &Result<(), ChainError>) -> bool {
    matches!(judged, Err(ChainError::SerialRevoked { .. }))
}

#[test]
fn an_issuer_is_not_sound_by_a_certificate_that_it_has_left_behind() {
    let world = World::new();
    let World { root, old, renewed, .. } = &world;
    // The line has a record, which remembers its old certificate.
    let records = || vec![revoked(root, "2"), revoked(old, "63")];
    assert!(is_refused(&world.judge(records(), &[(renewed, Standing::Held)])));
    assert_eq!(world.judge(records(), &[]), Ok(()), "nothing is known but the old one, which nobody has revoked");
    assert_eq!(world.judge(vec![revoked(root, "1"), revoked(old, "63")], &[(renewed, Standing::Held)]), Ok(()));
    // Both certificates are held: one good one is enough.
    assert_eq!(world.judge(records(), &[(old, Standing::Held), (renewed, Standing::Held)]), Ok(()));
}

#[test]
fn an_issuer_is_not_sound_by_a_certificate_that_has_expired_while_another_runs() {
    let world = World::new();
    let mut params = world.old.params.clone();
    params.not_after = date_time_ymd(2029, 1, 1);
    let expired = world.root.issue(params, KeyPair::from_pem(&world.old.key.serialize_pem()).unwrap());
    let records = || vec![revoked(&world.root, "2")];
    for held in [[&expired, &world.renewed], [&world.renewed, &expired]] {
        assert!(is_refused(&world.judge(records(), &held.map(|made| (made, Standing::Held)))));
    }
    assert_eq!(world.judge(records(), &[(&expired, Standing::Held)]), Ok(()), "it was not revoked");
}

#[test]
fn one_in_the_middle_that_is_remembered_or_unproven_counts_for_refusing_only() {
    let world = World::new();
    let World { root, old, renewed, .. } = &world;
    let remembered = || RevocationRecord { remembered: Some(renewed.der.to_vec()), ..silent(old) };
    let records = |serial| vec![revoked(root, serial), remembered()];
    assert!(is_refused(&world.judge(records("2"), &[])), "the one that was held last");
    assert_eq!(world.judge(records("1"), &[]), Ok(()));
    let only_records = |serial| vec![revoked(root, serial)];
    assert_eq!(world.judge(only_records("2"), &[]), Ok(()), "nothing is known of the line");
    assert!(is_refused(&world.judge(only_records("2"), &[(renewed, Standing::Unproven)])));
    // Neither certificate makes the line sound.
    assert!(is_refused(&world.judge(records("2"), &[(old, Standing::Unproven)])));
    for held in
        [[(old, Standing::Unproven), (renewed, Standing::Held)], [(renewed, Standing::Held), (old, Standing::Unproven)]]
    {
        assert!(is_refused(&world.judge(only_records("2"), &held)));
    }
    let known = known(records("2"), &[]);
    assert_eq!(known.all().count(), 1, "of the one that is only remembered nothing is said");
}

#[test]
fn pinned_certificates_that_have_certified_each_other_hide_no_revocation() {
    let world = World::new();
    let World { root, old, renewed, .. } = &world;
    let key = || KeyPair::from_pem(&old.key.serialize_pem()).unwrap();
    // The line has certified itself, twice.
    let [first, second] = [3_u64, 4].map(|serial| {
        let mut params = old.params.clone();
        params.serial_number = Some(SerialNumber::from(serial));
        old.issue(params, key())
    });
    let device = old.device("pump-1");
    let judge = |sent: &[&Made], serial| {
        let shown = chain(std::iter::once(&device).chain(sent.iter().map(|made| &made.der)));
        judge_pinned(&known(vec![revoked(root, serial)], &[]), &shown)
    };
    assert!(is_refused(&judge(&[renewed], "2")));
    assert!(is_refused(&judge(&[&first, &second, renewed], "2")));
    assert_eq!(judge(&[&first, &second, renewed], "1"), Ok(()));
}

#[test]
fn what_an_issuer_issued_of_which_nobody_can_read_any_more_what_was_revoked_is_refused() {
    let world = World::new();
    let device = world.renewed.device("pump-1");
    let unreadable = |record: RevocationRecord| {
        let issuer = Issuer { certificate: b"no certificate".to_vec(), ..record.issuer };
        RevocationRecord { issuer, ..record }
    };
    let is_revoked = |judged| matches!(judged, Err(ChainError::AuthorityRevoked { .. }));
    let in_group = chain([&device, &world.renewed.der]);
    let anchors = [world.root.anchor()];
    let path = verify_group(&in_group, &anchors, &policy()).unwrap();
    for issuer in [&world.root, &world.old] {
        let known = known(vec![unreadable(revoked(issuer, "63"))], &[]);
        assert!(is_revoked(known.judge(&in_group, &path, &anchors, NOW, 0)));
    }
    let held = [(&world.renewed, Standing::Held), (&world.root, Standing::Held)];
    let known = known(vec![unreadable(revoked(&world.root, "63"))], &held);
    assert!(is_revoked(judge_pinned(&known, &chain([&device]))));
}

fn judge_pinned(known: &Known, shown: &PresentedChain) -> Result<(), ChainError> {
    let pin = shown.leaf().sha256();
    let path = verify_pinned(shown, &[pin], &policy()).unwrap();
    known.judge(shown, &path, &[], NOW, 0)
}
