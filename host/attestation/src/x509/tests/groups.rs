//! Two groups side by side: a chain is verified up to the authorities of one group, never to those of another.

use super::super::{ChainError, VerifiedPath, verify_group, verify_group_if};
use super::authority::{Made, chain, policy};

#[test]
fn a_device_is_taken_by_the_group_of_its_own_authority_only() {
    let root = Made::root("root");
    let other_root = Made::root("other root");
    let (east, west) = (root.intermediate("east"), root.intermediate("west"));
    let other = other_root.intermediate("east");
    let in_east = chain([&east.device("dev-1"), &east.der]);
    let in_west = chain([&west.device("dev-1"), &west.der]);
    let elsewhere = chain([&other.device("dev-1"), &other.der]);
    // Columns: the group's authority, the device in east, the device in west, the device below another root's
    // intermediate of the same name.
    let expected = [
        (&root, [true, true, false]),
        (&other_root, [false, false, true]),
        (&east, [true, false, false]),
        (&west, [false, true, false]),
        (&other, [false, false, true]),
    ];
    for (authority, taken) in expected {
        let anchors = [authority.anchor()];
        for (device, expected) in [&in_east, &in_west, &elsewhere].into_iter().zip(taken) {
            let got = verify_group(device, &anchors, &policy());
            assert_eq!(got.is_ok(), expected, "{:?} below {:?}: {got:?}", device.leaf().issuer(), anchors[0].subject());
        }
    }
}

#[test]
fn a_cross_signed_intermediate_leads_to_both_roots_over_the_certificate_that_was_sent() {
    let (first, second) = (Made::root("first"), Made::root("second"));
    let shared = first.intermediate("shared");
    let crossed = second.issue(shared.params.clone(), rcgen::KeyPair::from_pem(&shared.key.serialize_pem()).unwrap());
    let device = shared.device("dev-1");
    let cases = [
        (vec![&device, &shared.der], true, false),
        (vec![&device, &crossed.der], false, true),
        (vec![&device, &crossed.der, &shared.der], true, true),
    ];
    for (sent, by_first, by_second) in cases {
        let chain = chain(sent);
        assert_eq!(verify_group(&chain, &[first.anchor()], &policy()).is_ok(), by_first);
        assert_eq!(verify_group(&chain, &[second.anchor()], &policy()).is_ok(), by_second);
    }
}

#[test]
fn the_path_that_was_verified_is_told() {
    let root = Made::root("root");
    let upper = root.intermediate("upper");
    let lower = upper.intermediate("lower");
    let chain = chain([&lower.device("dev-1"), &root.der, &upper.der, &lower.der]);
    let path = verify_group(&chain, &[root.anchor()], &policy()).unwrap();
    assert_eq!(path.anchor, Some(root.anchor().sha256()));
    assert_eq!(path.intermediates, [lower.anchor().sha256(), upper.anchor().sha256()]);
}

#[test]
fn a_secondary_authority_serves_as_well_as_the_primary() {
    let (primary, secondary) = (Made::root("primary"), Made::root("secondary"));
    let anchors = [primary.anchor(), secondary.anchor()];
    let path = verify_group(&chain([&secondary.device("dev-1")]), &anchors, &policy()).unwrap();
    assert_eq!(path.anchor, Some(secondary.anchor().sha256()));
}

#[test]
fn a_renewed_authority_of_the_same_key_serves_when_the_old_one_has_expired() {
    let renewed = Made::root("root");
    let mut params = renewed.params.clone();
    params.not_after = rcgen::date_time_ymd(2029, 1, 1);
    let old = params.self_signed(&renewed.key).unwrap().der().clone();
    let anchors = [super::super::Anchor::parse(&old).unwrap(), renewed.anchor()];
    let path = verify_group(&chain([&renewed.device("dev-1")]), &anchors, &policy()).unwrap();
    assert_eq!(path.anchor, Some(renewed.anchor().sha256()));
}

#[test]
fn a_missing_intermediate_is_told_with_the_issuer_that_is_missing() {
    let root = Made::root("root");
    let lower = root.intermediate("lower");
    let got = verify_group(&chain([&lower.device("dev-1")]), &[root.anchor()], &policy());
    assert_eq!(got, Err(ChainError::NoPath { issuer: "CN=lower".to_owned() }));
}

#[test]
fn a_good_copy_beside_a_bad_one_serves_in_any_order() {
    let root = Made::root("root");
    let good = root.intermediate("line");
    let mut params = good.params.clone();
    params.not_after = rcgen::date_time_ymd(2029, 1, 1);
    let expired = root.issue(params, rcgen::KeyPair::from_pem(&good.key.serialize_pem()).unwrap());
    let device = good.device("dev-1");
    for sent in [[&device, &good.der, &expired.der], [&device, &expired.der, &good.der]] {
        let chain = chain(sent);
        let path = verify_group(&chain, &[root.anchor()], &policy()).unwrap();
        assert_eq!(path.intermediates, [good.anchor().sha256()]);
        // If the caller refuses one copy, the other copy is tried as well. If the caller refuses both, its error is
        // returned.
        let refused = ChainError::AuthorityRevoked { authority: "it".to_owned() };
        let against = |bad| {
            let refused = refused.clone();
            move |path: &VerifiedPath| if path.intermediates == bad { Err(refused.clone()) } else { Ok(()) }
        };
        let judge = against(vec![good.anchor().sha256()]);
        assert_eq!(verify_group_if(&chain, &[root.anchor()], &policy(), &judge), Err(refused.clone()));
        assert!(verify_group_if(&chain, &[root.anchor()], &policy(), &against(Vec::new())).is_ok());
    }
}

/// RFC 5280, 7.1: the name of one authority, written by two tools in two string types.
#[test]
fn a_name_in_another_string_type_or_case_is_the_same_name() {
    let named = |value: rcgen::DnValue| {
        let mut name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::CommonName, value);
        name
    };
    let root = Made::root("Factory Root");
    for issuer in [
        rcgen::DnValue::PrintableString("Factory Root".try_into().unwrap()),
        rcgen::DnValue::Utf8String("factory  ROOT ".to_owned()),
    ] {
        let mut params = root.params.clone();
        params.distinguished_name = named(issuer);
        let key = rcgen::KeyPair::from_pem(&root.key.serialize_pem()).unwrap();
        let other_hand = Made { der: root.der.clone(), params, key };
        let shown = chain([&other_hand.device("dev-1")]);
        let got = verify_group(&shown, &[root.anchor()], &policy());
        assert!(got.is_ok(), "{got:?}");
        let mut index = super::super::AnchorIndex::default();
        index.insert(&root.anchor(), "group");
        assert_eq!(index.nearest(&shown), [&"group"]);
    }
}

/// RFC 8446, 4.4.2: four intermediates, the authority's own certificate, and three that belong to nothing.
#[test]
fn what_is_sent_too_much_stands_in_nobodys_way() {
    let root = Made::root("root");
    let mut line = vec![root.intermediate("line 1")];
    for at in 2..=5 {
        let next = line.last().unwrap().intermediate(&format!("line {at}"));
        line.push(next);
    }
    let strangers: Vec<_> = (0..3).map(|_| Made::root("stranger")).collect();
    let verdict = |length: usize| {
        let device = line[length - 1].device("dev-1");
        let between = line[..length].iter().map(|one| &one.der);
        let spare = strangers[..5 - length.min(5)].iter().map(|one| &one.der);
        let sent: Vec<_> = std::iter::once(&device).chain(spare).chain([&root.der]).chain(between).collect();
        verify_group(&chain(sent), &[root.anchor()], &policy())
    };
    assert!(verdict(2).is_ok() && verdict(4).is_ok());
    assert_eq!(verdict(5), Err(ChainError::PathTooLong { found: 5, max: 4 }));
}
