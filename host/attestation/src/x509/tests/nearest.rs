//! Whose authority stands lowest on a chain.

use super::super::{AnchorIndex, PresentedChain};
use super::authority::{Made, chain};

fn index(of: &[(&Made, &'static str)]) -> AnchorIndex<&'static str> {
    let mut index = AnchorIndex::default();
    for (authority, owner) in of {
        index.insert(&authority.anchor(), *owner);
    }
    index
}

#[test]
fn a_lower_intermediate_wins_over_a_higher_one_and_over_the_root() {
    let root = Made::root("root");
    let upper = root.intermediate("upper");
    let lower = upper.intermediate("lower");
    let device = lower.device("dev-1");
    let sent = [&device, &lower.der, &upper.der, &root.der];
    for (owners, expected) in [
        (vec![(&root, "root"), (&upper, "upper"), (&lower, "lower")], Some("lower")),
        (vec![(&root, "root"), (&upper, "upper")], Some("upper")),
        (vec![(&root, "root")], Some("root")),
        (vec![], None),
    ] {
        assert_eq!(index(&owners).nearest(&chain(sent)).first().copied().copied(), expected);
    }
}

#[test]
fn the_order_on_the_wire_does_not_matter() {
    let root = Made::root("root");
    let upper = root.intermediate("upper");
    let lower = upper.intermediate("lower");
    let device = lower.device("dev-1");
    let index = index(&[(&root, "root"), (&upper, "upper"), (&lower, "lower")]);
    assert_eq!(index.nearest(&chain([&device, &root.der, &upper.der, &lower.der])), [&"lower"]);
}

#[test]
fn the_last_link_need_not_be_sent_when_an_authority_here_signed_it() {
    let root = Made::root("root");
    let lower = root.intermediate("lower");
    let device = lower.device("dev-1");
    assert_eq!(index(&[(&root, "root")]).nearest(&chain([&device, &lower.der])), [&"root"]);
    assert_eq!(index(&[(&lower, "lower")]).nearest(&chain([&device])), [&"lower"]);
}

#[test]
fn a_missing_link_below_the_authority_hides_it() {
    let root = Made::root("root");
    let lower = root.intermediate("lower");
    let device = lower.device("dev-1");
    let index = index(&[(&root, "root")]);
    assert_eq!(index.nearest(&chain([&device])), Vec::<&&str>::new());
    assert_eq!(index.nearest(&chain([&device, &root.der])), Vec::<&&str>::new(), "the root alone is linked to nothing");
}

#[test]
fn certificates_of_others_sent_along_do_not_steer_the_choice() {
    let (root, other_root) = (Made::root("root"), Made::root("other"));
    let (own, namesake) = (root.intermediate("line"), other_root.intermediate("line"));
    let index = index(&[(&root, "root"), (&namesake, "namesake"), (&other_root, "other")]);
    let device = own.device("dev-1");
    assert_eq!(index.nearest(&chain([&device, &namesake.der, &own.der])), [&"root"]);
    // Even without key identifiers, the signature distinguishes the two.
    let device = own.device_with("dev-1", |params| params.use_authority_key_identifier_extension = false);
    assert_eq!(index.nearest(&chain([&device, &namesake.der, &own.der])), [&"root"]);
    assert_eq!(index.nearest(&chain([&device, &namesake.der])), Vec::<&&str>::new());
}

#[test]
fn of_two_certificates_of_one_authority_both_owners_are_told_whatever_was_sent() {
    let first = Made::root("root");
    let renewed = first.params.clone();
    let mut renewed = renewed;
    renewed.not_after = rcgen::date_time_ymd(2050, 1, 1);
    let key = rcgen::KeyPair::from_pem(&first.key.serialize_pem()).unwrap();
    let renewed = Made { der: renewed.self_signed(&key).unwrap().der().clone(), params: renewed, key };
    let index = index(&[(&first, "first"), (&renewed, "renewed")]);
    let device = first.device("dev-1");
    assert_eq!(index.nearest(&chain([&device])), [&"first", &"renewed"]);
    assert_eq!(index.nearest(&chain([&device, &renewed.der])), [&"first", &"renewed"]);
}

#[test]
fn of_a_cross_signed_intermediate_both_owners_are_told_in_any_order() {
    let (first, second) = (Made::root("first"), Made::root("second"));
    let shared = first.intermediate("shared");
    let crossed = second.issue(shared.params.clone(), rcgen::KeyPair::from_pem(&shared.key.serialize_pem()).unwrap());
    let index = index(&[(&first, "first"), (&second, "second")]);
    let device = shared.device("dev-1");
    assert_eq!(index.nearest(&chain([&device, &shared.der, &crossed.der])), [&"first", &"second"]);
    assert_eq!(index.nearest(&chain([&device, &crossed.der, &shared.der])), [&"first", &"second"]);
    assert_eq!(index.nearest(&chain([&device, &crossed.der])), [&"second"]);
}

#[test]
fn a_certificate_keeps_its_first_owner() {
    let root = Made::root("root");
    let index = index(&[(&root, "first"), (&root, "second")]);
    assert_eq!(index.nearest(&chain([&root.device("dev-1")])), [&"first"]);
}

#[test]
fn certificates_that_issue_one_another_in_a_circle_come_to_an_end() {
    let (first, second) = (Made::root("first"), Made::root("second"));
    let key = |made: &Made| rcgen::KeyPair::from_pem(&made.key.serialize_pem()).unwrap();
    let first_by_second = second.issue(first.params.clone(), key(&first));
    let second_by_first = first.issue(second.params.clone(), key(&second));
    let sent = [&first.device("dev-1"), &first_by_second.der, &second_by_first.der];
    assert_eq!(index(&[]).nearest(&PresentedChain::parse(&sent.map(Clone::clone)).unwrap()), Vec::<&&str>::new());
}
