//! Revocation lists: rustls-webpki's own test data, and lists made here for every way to be wrong.

use std::path::Path;

use proptest::prelude::*;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, KeyIdMethod,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::super::error::ChainError;
use super::super::revocation::{RevocationRules, Revocations, SerialRange, not_revoked};
use super::super::{Anchor, Crl, CrlError, verify_group};
use super::authority::{Made, NOW, chain, policy};

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/rustls-webpki/tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn made(authority: &Made, change: impl FnOnce(&mut CertificateRevocationListParams)) -> Vec<u8> {
    let mut params = CertificateRevocationListParams {
        this_update: date_time_ymd(2029, 12, 1),
        next_update: date_time_ymd(2030, 2, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    change(&mut params);
    let issuer = rcgen::Issuer::from_params(&authority.params, &authority.key);
    params.signed_by(&issuer).unwrap().der().to_vec()
}

/// What webpki refuses, and what it only cannot know by such a list, is refused here: never is a list passed over.
#[test]
fn every_list_of_webpkis_is_refused_by_authorities_that_did_not_make_it_or_for_what_it_leaves_out() {
    let mut authorities = Vec::new();
    for (name, der) in files("client_auth_revocation").iter().filter(|(name, _)| name.ends_with("ca.der")) {
        authorities.push((name.clone(), Anchor::parse(der).unwrap_or_else(|error| panic!("{name}: {error}"))));
    }
    let lists: Vec<_> = files("crls").into_iter().chain(files("client_auth_revocation")).collect();
    let (mut partial, mut tried) = (Vec::new(), 0);
    for (name, der) in lists.iter().filter(|(name, _)| name.contains("crl.") && !name.ends_with("ca.der")) {
        for (authority, anchor) in &authorities {
            tried += 1;
            match Crl::parse(der, anchor) {
                Ok(_) => panic!("{name} was taken for a list of {authority}"),
                Err(CrlError::Partial(_)) => partial.push(name.as_str()),
                Err(_) => {}
            }
        }
    }
    assert!(tried > 250, "{tried}");
    // Their own authorities are among the data.
    partial.dedup();
    assert_eq!(
        partial,
        [
            "ee_dp_invalid.crl.der",
            "ee_indirect_dp_unknown_status.crl.der",
            "ee_nofullname_dp_unknown_status.crl.der",
            "ee_reasons_dp_unknown_status.crl.der"
        ]
    );
}

#[test]
fn a_list_is_of_one_authority_whole_signed_and_says_when_the_next_one_comes() {
    let (authority, other, namesake) = (Made::root("CA"), Made::root("Other"), Made::root("CA"));
    let good = made(&authority, |params| {
        for number in [vec![1], vec![0x80, 0xff], vec![0, 0x90], vec![0x7f; 20]] {
            params.revoked_certs.push(RevokedCertParams {
                serial_number: SerialNumber::from(number),
                revocation_time: date_time_ymd(2029, 1, 1),
                reason_code: None,
                invalidity_date: None,
            });
        }
    });
    let list = Crl::parse(&good, &authority.anchor()).unwrap();
    assert_eq!(list.len(), 4);
    assert!(!list.is_stale(NOW, 0));
    let read = |der: &[u8], by: &Made| Crl::parse(der, &by.anchor()).map(drop);
    assert_eq!(read(&good, &other), Err(CrlError::OtherIssuer("CN=CA".to_owned())));
    assert_eq!(read(&good, &namesake), Err(CrlError::NotSigned));
    let indirect = made(&authority, |params| {
        params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint { uris: vec!["https://pki.example/crl".to_owned()] },
            scope: Some(CrlScope::UserCertsOnly),
        });
    });
    assert!(matches!(read(&indirect, &authority), Err(CrlError::Partial(_))));
    let mut at = good.len();
    while at > 0 {
        at -= 1;
        assert!(read(&good[..at], &authority).is_err(), "{at}");
    }
}

/// An authority that was renewed with its key is one issuer, whichever of its certificates something is said of.
#[test]
fn what_is_said_of_either_certificate_of_a_renewed_authority_holds() {
    let first = Made::root("CA");
    let renewed = Made::root("CA").params.self_signed(&first.key).unwrap();
    let renewed = Anchor::parse(renewed.der()).unwrap();
    let device = first.device_with("pump-1", |params| params.serial_number = Some(SerialNumber::from(77)));
    let (shown, anchors) = (chain([&device]), [first.anchor()]);
    let path = verify_group(&shown, &anchors, &policy()).unwrap();
    let seventy_seven = || "4D".parse().unwrap();
    let silent = Crl::parse(&made(&first, |_| {}), &first.anchor()).unwrap();
    let numbers = RevocationRules {
        serials: vec![SerialRange { from: seventy_seven(), to: seventy_seven() }],
        ..Default::default()
    };
    let of = |anchor: &Anchor, list: Option<&Crl>, rules: &RevocationRules| {
        Revocations::of(anchor.clone(), list.cloned(), rules).unwrap()
    };
    let judge = |known: &[Revocations]| not_revoked(&shown, &path, &anchors, known, NOW, 0);
    let by_list = of(&first.anchor(), Some(&silent), &RevocationRules::default());
    let by_number = of(&renewed, None, &numbers);
    assert_eq!(judge(std::slice::from_ref(&by_list)), Ok(()));
    for known in [[by_list.clone(), by_number.clone()], [by_number, by_list]] {
        assert!(matches!(judge(&known), Err(ChainError::SerialRevoked { .. })));
    }
}

proptest! {
    #[test]
    fn a_list_that_was_changed_anywhere_is_none(at in 0_usize..10_000, with in 1_u8..) {
        let authority = Made::root("CA");
        let mut list = made(&authority, |_| {});
        let at = at % list.len();
        list[at] ^= with;
        prop_assert!(Crl::parse(&list, &authority.anchor()).is_err(), "byte {}", at);
    }

    #[test]
    fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Crl::parse(&bytes, &Made::root("CA").anchor());
    }
}
