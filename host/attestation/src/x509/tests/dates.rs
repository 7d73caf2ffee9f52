//! Dates: the server's clock counts, for every certificate of a chain.

use std::time::Duration;

use rcgen::{CertificateParams, date_time_ymd};
use time::OffsetDateTime;

use super::super::{ChainError, Flaw, PresentedChain, VerifyPolicy, Which, verify_group, verify_pinned};
use super::authority::{Made, NOW, chain, policy, self_signed};

type Change = fn(&mut CertificateParams);

fn expired(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2029, 12, 31);
}

fn future(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2030, 1, 2);
}

fn without_end(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(9999, 12, 31);
}

fn inverted(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2028, 1, 2);
    params.not_after = date_time_ymd(2028, 1, 1);
}

const KINDS: [(Change, Option<&str>); 4] = [
    (expired, Some("expired at 2029-12-31")),
    (future, Some("is not valid before 2030-01-02")),
    (without_end, None),
    (inverted, Some("ends before it begins")),
];

/// A root, an intermediate and a device, one of which is changed.
fn three(at: usize, change: Change) -> (Result<super::super::Anchor, ChainError>, PresentedChain) {
    let unchanged: Change = |_| {};
    let pick = |place| if place == at { change } else { unchanged };
    let root = Made::root_with("root", pick(2));
    let line = root.intermediate_with("line", pick(1));
    let device = line.device_with("dev-1", pick(0));
    (super::super::Anchor::parse(&root.der), chain([&device, &line.der]))
}

#[test]
fn the_dates_of_device_intermediate_and_root_count_alike() {
    let places = ["the device's certificate", "the intermediate certificate \"CN=line\"", "the certificate authority"];
    for (change, expected) in KINDS {
        for (at, place) in places.iter().enumerate() {
            let (anchor, chain) = three(at, change);
            let got = anchor.and_then(|anchor| verify_group(&chain, &[anchor], &policy()));
            match (got, expected) {
                (Ok(_), None) => {}
                (Err(error), Some(text)) => {
                    let error = error.to_string();
                    assert!(error.starts_with(place) && error.contains(text), "{place}, {text}: {error}");
                }
                (got, expected) => panic!("{place}: {got:?}, expected {expected:?}"),
            }
        }
    }
}

#[test]
fn a_pinned_certificate_is_judged_by_its_own_dates_alone() {
    for (change, expected) in KINDS {
        let shown = chain([&self_signed("dev-1", change)]);
        let got = verify_pinned(&shown, &[shown.leaf().sha256()], &policy());
        assert_eq!(got.map_err(|error| error.to_string().contains(expected.unwrap())).is_ok(), expected.is_none());
        // Other certificates that were sent are ignored.
        for at in [1, 2] {
            let (_, chain) = three(at, change);
            assert!(verify_pinned(&chain, &[chain.leaf().sha256()], &policy()).is_ok());
        }
    }
}

#[test]
fn the_last_second_counts_and_the_next_does_not() {
    let end = OffsetDateTime::from_unix_timestamp(i64::try_from(NOW.as_secs()).unwrap()).unwrap();
    let root = Made::root("root");
    let device = root.device_with("dev-1", |params| params.not_after = end);
    let verdict = |now| verify_group(&chain([&device]), &[root.anchor()], &VerifyPolicy::at(now)).is_ok();
    assert!(verdict(NOW));
    assert!(verdict(NOW.plus(Duration::from_millis(999))));
    assert!(!verdict(NOW.plus(Duration::from_secs(1))));
}

#[test]
fn a_certificate_may_begin_as_much_later_as_the_skew_allows() {
    let begin = |minutes: i64| {
        move |params: &mut CertificateParams| {
            let now = OffsetDateTime::from_unix_timestamp(i64::try_from(NOW.as_secs()).unwrap()).unwrap();
            params.not_before = now + time::Duration::minutes(minutes);
        }
    };
    for (minutes, expected) in [(4, true), (5, true), (6, false)] {
        let pinned = chain([&self_signed("dev-1", begin(minutes))]);
        assert_eq!(verify_pinned(&pinned, &[pinned.leaf().sha256()], &policy()).is_ok(), expected, "pinned, {minutes}");
        let root = Made::root_with("root", begin(minutes));
        let line = root.intermediate_with("line", begin(minutes));
        let device = line.device_with("dev-1", begin(minutes));
        let got = verify_group(&chain([&device, &line.der]), &[root.anchor()], &policy());
        assert_eq!(got.is_ok(), expected, "group, {minutes}: {got:?}");
        let strict = VerifyPolicy { clock_skew: Duration::ZERO, ..policy() };
        assert!(verify_group(&chain([&device, &line.der]), &[root.anchor()], &strict).is_err());
    }
}

#[test]
fn a_waived_expiry_is_the_devices_alone() {
    let waived = VerifyPolicy { ignore_expiry: true, ..policy() };
    let (anchor, device) = three(0, expired);
    assert!(verify_group(&device, &[anchor.unwrap()], &waived).is_ok());
    for at in [1, 2] {
        let (anchor, chain) = three(at, expired);
        let got = verify_group(&chain, &[anchor.unwrap()], &waived);
        assert!(matches!(got, Err(ChainError::Flawed { flaw: Flaw::Expired(_), .. })), "{got:?}");
    }
    let (anchor, chain) = three(0, future);
    let got = verify_group(&chain, &[anchor.unwrap()], &waived);
    assert!(matches!(got, Err(ChainError::Flawed { which: Which::Leaf, flaw: Flaw::NotYetValid(_) })), "{got:?}");
}

#[test]
fn an_intermediate_that_expired_after_the_device_did_is_refused_though_expiry_is_waived() {
    let waived = VerifyPolicy { ignore_expiry: true, ..policy() };
    let root = Made::root("root");
    let line = root.intermediate_with("line", expired);
    let device = line.device_with("dev-1", |params| params.not_after = date_time_ymd(2025, 1, 1));
    let got = verify_group(&chain([&device, &line.der]), &[root.anchor()], &waived);
    assert!(
        matches!(got, Err(ChainError::Flawed { which: Which::Intermediate(_), flaw: Flaw::Expired(_) })),
        "{got:?}"
    );
}

/// Only the expiry of the device's certificate is ignored. The certificates above are checked at the present time,
/// however long ago the device's certificate expired.
#[test]
fn an_intermediate_that_is_younger_than_the_devices_end_serves_where_expiry_is_waived() {
    let waived = VerifyPolicy { ignore_expiry: true, ..policy() };
    let root = Made::root("root");
    let old = root.intermediate_with("line", |params| params.not_after = date_time_ymd(2025, 6, 1));
    let mut renewed = old.params.clone();
    (renewed.not_before, renewed.not_after) = (date_time_ymd(2029, 11, 1), date_time_ymd(2040, 1, 1));
    let renewed = root.issue(renewed, rcgen::KeyPair::from_pem(&old.key.serialize_pem()).unwrap());
    let device = old.device_with("dev-1", |params| params.not_after = date_time_ymd(2025, 1, 1));
    for sent in
        [vec![&device, &renewed.der], vec![&device, &old.der, &renewed.der], vec![&device, &renewed.der, &old.der]]
    {
        let got = verify_group(&chain(sent.clone()), &[root.anchor()], &waived);
        assert!(got.is_ok(), "{got:?}");
        assert!(verify_group(&chain(sent), &[root.anchor()], &policy()).is_err());
    }
}

#[test]
fn a_device_whose_clock_runs_ahead_is_taken_though_its_authority_ends_before() {
    let now = OffsetDateTime::from_unix_timestamp(i64::try_from(NOW.as_secs()).unwrap()).unwrap();
    let root = Made::root("root");
    let line = root.intermediate_with("line", |params| params.not_after = now + time::Duration::minutes(2));
    let device = line.device_with("dev-1", |params| params.not_before = now + time::Duration::minutes(4));
    let got = verify_group(&chain([&device, &line.der]), &[root.anchor()], &policy());
    assert!(got.is_ok(), "{got:?}");
}
