//! One certificate for each refusal.

use landfall_domain::names::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyIdMethod, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;

use super::super::{Anchor, ChainError, Flaw, KeyFlaw, VerifyPolicy, Which, verify_group, verify_pinned};
use super::authority::{Made, chain, policy, self_signed};

type Change = fn(&mut CertificateParams);

/// `nameConstraints` that permit `example.com`.
fn name_constraints(critical: bool) -> CustomExtension {
    let content = b"\x30\x11\xa0\x0f\x30\x0d\x82\x0bexample.com".to_vec();
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], content);
    extension.set_criticality(critical);
    extension
}

fn unknown_critical(params: &mut CertificateParams) {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
}

fn unknown() -> Flaw {
    Flaw::UnknownCriticalExtension("1.3.6.1.4.1.99999.1".to_owned())
}

fn serial_zero(params: &mut CertificateParams) {
    params.serial_number = Some(SerialNumber::from_slice(&[0]));
}

fn serial_long(params: &mut CertificateParams) {
    params.serial_number = Some(SerialNumber::from_slice(&[1; 21]));
}

fn for_servers(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
}

#[test]
fn a_devices_certificate_with_a_flaw_is_refused_for_that_flaw() {
    let cases: [(Change, Flaw); 11] = [
        (unknown_critical, unknown()),
        (|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment], Flaw::MayNotSignHandshakes),
        (|params| params.key_usages = vec![KeyUsagePurpose::ContentCommitment], Flaw::MayNotSignHandshakes),
        (serial_zero, Flaw::Serial),
        (serial_long, Flaw::Serial),
        (for_servers, Flaw::NotForClients),
        (|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any], Flaw::NotForClients),
        (|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), Flaw::LeafIsAuthority),
        (|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign), Flaw::LeafMaySign),
        (|params| params.custom_extensions.push(name_constraints(true)), Flaw::LeafNameConstraints),
        (|params| params.custom_extensions.push(name_constraints(false)), Flaw::LeafNameConstraints),
    ];
    let root = Made::root("root");
    for (change, flaw) in cases {
        let got = verify_group(&chain([&root.device_with("dev-1", change)]), &[root.anchor()], &policy());
        assert_eq!(got, Err(ChainError::Flawed { which: Which::Leaf, flaw }));
    }
}

#[test]
fn an_intermediate_with_a_flaw_is_refused_for_that_flaw() {
    let cases: [(Change, Flaw); 6] = [
        (unknown_critical, unknown()),
        (serial_zero, Flaw::Serial),
        (serial_long, Flaw::Serial),
        (for_servers, Flaw::NotForClients),
        (|params| params.is_ca = IsCa::ExplicitNoCa, Flaw::NotAuthority),
        (|params| params.key_usages = vec![KeyUsagePurpose::CrlSign], Flaw::MayNotSign),
    ];
    let root = Made::root("root");
    for (change, flaw) in cases {
        let line = root.intermediate_with("line", change);
        let got = verify_group(&chain([&line.device("dev-1"), &line.der]), &[root.anchor()], &policy());
        assert_eq!(got, Err(ChainError::Flawed { which: Which::Intermediate("CN=line".to_owned()), flaw }));
    }
}

#[test]
fn an_authority_with_a_flaw_cannot_be_uploaded() {
    let cases: [(Change, Flaw); 7] = [
        (unknown_critical, unknown()),
        (serial_long, Flaw::Serial),
        (for_servers, Flaw::NotForClients),
        (|params| params.is_ca = IsCa::NoCa, Flaw::NotAuthority),
        (|params| params.key_usages = vec![KeyUsagePurpose::CrlSign], Flaw::MayNotSign),
        (|params| params.distinguished_name = DistinguishedName::new(), Flaw::EmptySubject),
        (|params| params.custom_extensions.push(name_constraints(false)), Flaw::NonCriticalNameConstraints),
    ];
    let root = Made::root("root");
    for (change, expected) in cases {
        let line = root.intermediate_with("line", change);
        let Err(ChainError::Flawed { which: Which::Anchor(_), flaw }) = Anchor::parse(&line.der) else {
            panic!("accepted in spite of {expected:?}");
        };
        assert_eq!(flaw, expected);
    }
    let nobody = Made::root_with("", |params| params.distinguished_name = DistinguishedName::new());
    assert!(matches!(Anchor::parse(&nobody.der), Err(ChainError::Flawed { flaw: Flaw::EmptyIssuer, .. })));
    assert!(matches!(Anchor::parse(b"no DER"), Err(ChainError::Flawed { flaw: Flaw::Malformed(_), .. })));
}

#[test]
fn an_authority_may_have_the_serial_number_zero_as_public_roots_have() {
    let root = Made::root_with("root", serial_zero);
    assert!(verify_group(&chain([&root.device("dev-1")]), &[root.anchor()], &policy()).is_ok());
}

#[test]
fn an_authority_with_a_foreign_curve_cannot_be_uploaded() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let root = Made::root("root");
    let der = root.issue(root.params.clone(), key).der.to_vec();
    // secp384r1 becomes secp256k1. That breaks the signature, which is not checked for an anchor.
    let (p384, secp256k1) = ([0x2b, 0x81, 0x04, 0x00, 0x22], [0x2b, 0x81, 0x04, 0x00, 0x0a]);
    let at = der.windows(5).position(|window| window == p384).unwrap();
    let mut changed = der;
    changed[at..at + 5].copy_from_slice(&secp256k1);
    let got = Anchor::parse(&changed).unwrap_err();
    let flaw = Flaw::Key(KeyFlaw::Curve("1.3.132.0.10".to_owned()));
    assert_eq!(got, ChainError::Flawed { which: Which::Anchor("CN=root".to_owned()), flaw });
}

#[test]
fn a_signature_of_a_weak_algorithm_is_told_as_that() {
    // ecdsa-with-SHA256 becomes ecdsa-with-SHA224 in both places.
    let weakened = |der: &CertificateDer<'static>| {
        let (sha256, sha224) = ([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1]);
        let mut der = der.to_vec();
        while let Some(at) = der.windows(8).position(|window| window == sha256) {
            der[at..at + 8].copy_from_slice(&sha224);
        }
        CertificateDer::from(der)
    };
    let flaw = Flaw::SignatureAlgorithm("1.2.840.10045.4.3.1".to_owned());
    let root = Made::root("root");
    let line = root.intermediate("line");
    let device = line.device("dev-1");
    let got = verify_group(&chain([&weakened(&device), &line.der]), &[root.anchor()], &policy());
    assert_eq!(got, Err(ChainError::Flawed { which: Which::Leaf, flaw: flaw.clone() }));
    let got = verify_group(&chain([&device, &weakened(&line.der)]), &[root.anchor()], &policy());
    assert_eq!(got, Err(ChainError::Flawed { which: Which::Intermediate("CN=line".to_owned()), flaw }));
}

#[test]
fn a_device_of_an_issuer_without_a_name_is_refused() {
    let nobody = Made::root_with("", |params| params.distinguished_name = DistinguishedName::new());
    let got = verify_group(&chain([&nobody.device("dev-1")]), &[Made::root("root").anchor()], &policy());
    assert_eq!(got, Err(ChainError::Flawed { which: Which::Leaf, flaw: Flaw::EmptyIssuer }));
}

#[test]
fn a_group_without_a_usable_authority_admits_nobody() {
    let device = Made::root("root").device("dev-1");
    assert_eq!(verify_group(&chain([&device]), &[], &policy()), Err(ChainError::NoAnchors));
}

#[test]
fn an_issuer_of_the_right_name_with_another_key_is_told_as_a_wrong_signature() {
    let (root, namesake) = (Made::root("root"), Made::root("root"));
    let device = root.device_with("dev-1", |params| params.use_authority_key_identifier_extension = false);
    let got = verify_group(&chain([&device]), &[namesake.anchor()], &policy());
    assert_eq!(got, Err(ChainError::BadSignature { which: Which::Leaf, issuer: "CN=root".to_owned() }));
}

#[test]
fn a_link_whose_key_identifiers_differ_is_refused() {
    let root = Made::root("root");
    let mut other_id = root.params.clone();
    other_id.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    let key = |made: &Made| rcgen::KeyPair::from_pem(&made.key.serialize_pem()).unwrap();
    let mistaken = Made { params: other_id, key: key(&root), der: root.der.clone() };
    let got = verify_group(&chain([&mistaken.device("dev-1")]), &[root.anchor()], &policy());
    assert_eq!(got, Err(ChainError::Flawed { which: Which::Leaf, flaw: Flaw::KeyIdentifier }));

    let line = mistaken.intermediate("line");
    let got = verify_group(&chain([&line.device("dev-1"), &line.der]), &[root.anchor()], &policy());
    let which = Which::Intermediate("CN=line".to_owned());
    assert_eq!(got, Err(ChainError::Flawed { which, flaw: Flaw::KeyIdentifier }));
}

#[test]
fn links_without_key_identifiers_are_taken() {
    let without = |params: &mut CertificateParams| params.use_authority_key_identifier_extension = false;
    let root = Made::root_with("root", without);
    let line = root.intermediate_with("line", without);
    let device = line.device_with("dev-1", without);
    assert!(verify_group(&chain([&device, &line.der]), &[root.anchor()], &policy()).is_ok());
}

#[test]
fn more_intermediates_than_the_enrollment_allows_are_refused() {
    let root = Made::root("root");
    let upper = root.intermediate("upper");
    let lower = upper.intermediate("lower");
    let chain = chain([&lower.device("dev-1"), &lower.der, &upper.der]);
    for (max, expected) in [(2, None), (1, Some(ChainError::PathTooLong { found: 2, max: 1 }))] {
        let policy = VerifyPolicy { max_intermediates: max, ..policy() };
        assert_eq!(verify_group(&chain, &[root.anchor()], &policy).err(), expected);
    }
}

#[test]
fn path_length_constraints_of_root_and_intermediate_hold() {
    let constrained: fn(u8) -> IsCa = |max| IsCa::Ca(BasicConstraints::Constrained(max));
    let root = Made::root_with("root", |params| params.is_ca = constrained(0));
    let line = root.intermediate("line");
    assert!(verify_group(&chain([&root.device("dev-1")]), &[root.anchor()], &policy()).is_ok());
    let got = verify_group(&chain([&line.device("dev-1"), &line.der]), &[root.anchor()], &policy());
    let which = Which::Anchor("CN=root".to_owned());
    assert_eq!(got, Err(ChainError::Flawed { which, flaw: Flaw::PathLength { max: 0, found: 1 } }));

    let root = Made::root("root");
    let upper = root.intermediate_with("upper", |params| params.is_ca = constrained(0));
    let lower = upper.intermediate("lower");
    let got = verify_group(&chain([&lower.device("dev-1"), &lower.der, &upper.der]), &[root.anchor()], &policy());
    let which = Which::Intermediate("CN=upper".to_owned());
    assert_eq!(got, Err(ChainError::Flawed { which, flaw: Flaw::PathLength { max: 0, found: 1 } }));

    // Self-issued certificates, as for a new key, are not counted.
    let root = Made::root("root");
    let upper = root.intermediate_with("upper", |params| params.is_ca = constrained(0));
    let rolled = upper.intermediate("upper");
    let sent = chain([&rolled.device("dev-1"), &rolled.der, &upper.der]);
    assert!(verify_group(&sent, &[root.anchor()], &policy()).is_ok());
}

#[test]
fn name_constraints_of_an_authority_hold() {
    let root = Made::root_with("root", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
            excluded_subtrees: Vec::new(),
        });
    });
    let refused = ChainError::NameConstraints {
        issuer: "CN=root".to_owned(),
        which: Which::Leaf,
        name: "\"dev-1.example.org\"".to_owned(),
    };
    for (name, expected) in [("dev-1.example.com", None), ("dev-1.example.org", Some(refused))] {
        let device = root.device_with("dev-1", |params| {
            params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        });
        assert_eq!(verify_group(&chain([&device]), &[root.anchor()], &policy()).err(), expected);
    }
}

/// RFC 5280, 4.2.1.10: directory names too, permitted and excluded.
#[test]
fn directory_names_are_held_to_the_constraints_of_an_authority() {
    let of = |organisation: &str| {
        let mut name = DistinguishedName::new();
        name.push(rcgen::DnType::OrganizationName, organisation);
        name
    };
    let constrained = |permitted: &[&str], excluded: &[&str]| {
        let trees = |names: &[&str]| names.iter().map(|name| GeneralSubtree::DirectoryName(of(name))).collect();
        let constraints = NameConstraints { permitted_subtrees: trees(permitted), excluded_subtrees: trees(excluded) };
        Made::root_with("root", |params| params.name_constraints = Some(constraints))
    };
    let (acme, not_evil) = (constrained(&["Acme"], &[]), constrained(&[], &["Evil"]));
    for (root, organisation, taken) in [
        (&acme, "Acme", true),
        (&acme, "ACME", true),
        (&acme, "Acme Ltd", false),
        (&not_evil, "Acme", true),
        (&not_evil, "Evil", false),
        (&not_evil, " evil ", false),
    ] {
        let device = root.device_with("dev-1", |params| {
            params.distinguished_name = of(organisation);
            params.distinguished_name.push(rcgen::DnType::CommonName, "dev-1");
        });
        let got = verify_group(&chain([&device]), &[root.anchor()], &policy());
        assert_eq!(got.is_ok(), taken, "{organisation}: {got:?}");
        if !taken {
            let text = got.unwrap_err().to_string();
            assert!(text.contains("may not issue for its subject, which the device's certificate names"), "{text}");
        }
    }
    // A name without an organisation is not one of the permitted names.
    assert!(verify_group(&chain([&acme.device("dev-1")]), &[acme.anchor()], &policy()).is_err());
}

#[test]
fn more_ways_than_are_tried_end_in_a_refusal() {
    let key = || rcgen::KeyPair::generate().unwrap();
    let ring: Vec<_> = (0..8).map(|_| Made::root("same")).collect();
    let signed: Vec<_> = ring.iter().map(|one| ring[0].issue(one.params.clone(), key()).der).collect();
    let device = ring[0].device_with("dev-1", |params| params.use_authority_key_identifier_extension = false);
    let sent = chain(std::iter::once(&device).chain(&signed));
    let anchors: Vec<_> = (0..6).map(|_| Made::root("same").anchor()).collect();
    assert!(verify_group(&sent, &anchors, &policy()).is_err());
}

#[test]
fn a_pin_matches_that_very_certificate_only() {
    let key = rcgen::KeyPair::generate().unwrap();
    let issue = |serial: u64| {
        let mut params = CertificateParams::default();
        params.distinguished_name = super::authority::named("dev-1");
        params.serial_number = Some(SerialNumber::from(serial));
        params.self_signed(&key).unwrap().der().clone()
    };
    let (pinned, renewed) = (issue(1), issue(2));
    let pins = [Digest::of(b"another device's"), Digest::of(&pinned)];
    assert!(verify_pinned(&chain([&pinned]), &pins, &policy()).is_ok());
    // Another certificate with the same key and name is not the pinned one.
    let shown = Digest::of(&renewed);
    assert_eq!(verify_pinned(&chain([&renewed]), &pins, &policy()), Err(ChainError::NotPinned { shown }));
    let sent_along = chain([&self_signed("dev-2", |_| {}), &pinned]);
    assert!(matches!(verify_pinned(&sent_along, &pins, &policy()), Err(ChainError::NotPinned { .. })));
    assert!(matches!(verify_pinned(&chain([&pinned]), &[], &policy()), Err(ChainError::NotPinned { .. })));
}

#[test]
fn a_pinned_certificate_may_be_an_authoritys_or_for_servers_but_must_be_understood() {
    let verdict = |change: Change| {
        let shown = chain([&self_signed("dev-1", change)]);
        verify_pinned(&shown, &[shown.leaf().sha256()], &policy()).map(|_| ())
    };
    assert_eq!(verdict(for_servers), Ok(()));
    assert_eq!(verdict(|params| params.key_usages.clear()), Ok(()));
    let unable = verdict(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    assert_eq!(unable, Err(ChainError::Flawed { which: Which::Leaf, flaw: Flaw::MayNotSignHandshakes }));
    assert_eq!(verdict(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), Ok(()));
    assert_eq!(verdict(unknown_critical), Err(ChainError::Flawed { which: Which::Leaf, flaw: unknown() }));
}
