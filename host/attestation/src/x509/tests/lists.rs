//! Revocation lists: rustls-webpki's own test data, and lists that are made here, one for each possible flaw.

use std::path::Path;

use proptest::prelude::*;
use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, KeyIdMethod,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;

use super::super::certificate::Certificate;
use super::super::error::ChainError;
use super::super::revocation::{Issuer, KeptRevocations, Known, RevocationRecord, RevocationRules, SerialRange};
use super::super::{Anchor, Crl, CrlError, verify_group};
use super::authority::{Made, NOW, chain, policy};

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/rustls-webpki/tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

pub(super) fn made(authority: &Made, change: impl FnOnce(&mut CertificateRevocationListParams)) -> Vec<u8> {
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

/// If webpki refuses a list, or cannot determine a status with it, no device is admitted here: no list is ignored.
#[test]
fn every_list_of_webpkis_is_refused_or_is_its_authoritys_own_and_covers_no_certificate_of_theirs() {
    let (certificates, lists) = (files("client_auth_revocation"), files("crls"));
    let authorities: Vec<_> = certificates.iter().filter(|(name, _)| name.ends_with("ca.der")).collect();
    let (mut own, mut tried) = (Vec::new(), 0);
    for (name, der) in
        lists.iter().chain(&certificates).filter(|(name, _)| name.contains("crl.") && !name.ends_with("ca.der"))
    {
        for (authority, ca) in &authorities {
            tried += 1;
            let Ok(list) = Crl::parse(der, &Anchor::parse(ca).unwrap()) else { continue };
            own.push(name.as_str());
            // The devices' certificates of that chain name other addresses.
            let leaf =
                certificates.iter().find(|(leaf, _)| leaf.replace(".ee.der", "") == name.replace(".crl.der", ""));
            if let Some((leaf, der)) = leaf {
                assert!(!list.covers(&Certificate::read(der).unwrap()), "{name} of {authority} covers {leaf}");
            }
        }
    }
    assert!(tried > 250, "{tried}");
    own.dedup();
    // These lists state where they are published.
    assert_eq!(
        own,
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
    assert_eq!((list.facts().number.as_deref(), list.facts().revoked), (Some("1"), 4));
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
    let future =
        Crl::parse(&made(&authority, |params| params.this_update = date_time_ymd(2030, 1, 30)), &authority.anchor());
    assert!(matches!(future.unwrap().facts().has_begun(NOW, 300), Err(CrlError::NotYetValid(_))));
    assert_eq!(list.facts().has_begun(NOW, 0), Ok(()));
    let mut may_not = Made::root("CA").params;
    may_not.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let may_not = Anchor::parse(may_not.self_signed(&authority.key).unwrap().der()).unwrap();
    assert_eq!(Crl::parse(&good, &may_not).map(drop), Err(CrlError::MayNotSign));
    let mut at = good.len();
    while at > 0 {
        at -= 1;
        assert!(read(&good[..at], &authority).is_err(), "{at}");
    }
}

/// Lists that no tool writes but that an authority could write.
#[test]
fn a_list_that_says_what_is_not_understood_or_contradicts_itself_is_refused() {
    let authority = Made::root("CA");
    let extension = |oid: &[u8], critical: bool, value: &[u8]| {
        let critical = if critical { vec![1, 1, 0xff] } else { Vec::new() };
        tlv(0x30, &[tlv(6, oid), critical, tlv(4, value)].concat())
    };
    let entry = |serial: &[u8], extensions: &[u8]| {
        let extensions = if extensions.is_empty() { Vec::new() } else { tlv(0x30, extensions) };
        tlv(0x30, &[tlv(2, serial), tlv(23, b"291201000000Z"), extensions].concat())
    };
    let (before, after) = (&b"291201000000Z"[..], &b"300201000000Z"[..]);
    let read = |times: (&[u8], &[u8]), entries: &[u8], extensions: &[u8]| {
        Crl::parse(&signed(&authority, times, entries, extensions), &authority.anchor())
    };
    let usual = (before, after);
    let number = extension(&[0x55, 0x1d, 20], false, &[2, 1, 5]);
    assert_eq!(read(usual, &entry(&[7], &[]), &number).unwrap().facts().number.as_deref(), Some("5"));
    let unknown = |critical| extension(&[0x2a, 3], critical, &[5, 0]);
    assert!(read(usual, &[], &unknown(false)).is_ok());
    assert_eq!(read(usual, &[], &unknown(true)).unwrap_err(), CrlError::UnknownCritical("1.2.3".to_owned()));
    assert!(matches!(read(usual, &[], &[number.clone(), number].concat()), Err(CrlError::Duplicate(_))));
    assert!(matches!(read((after, before), &[], &[]), Err(CrlError::Inverted { .. })));
    let delta = extension(&[0x55, 0x1d, 27], true, &[2, 1, 1]);
    assert!(matches!(read(usual, &[], &delta), Err(CrlError::Partial(_))));
    // Extensions of an entry: a reason is understood, critical or not; an entry for another issuer's certificate is
    // refused.
    let reason = extension(&[0x55, 0x1d, 21], true, &[10, 1, 1]);
    assert_eq!(read(usual, &entry(&[7], &reason), &[]).unwrap().len(), 1);
    let odd = read(usual, &entry(&[7], &unknown(true)), &[]);
    assert_eq!(odd.unwrap_err(), CrlError::UnknownCriticalOfEntry("1.2.3".to_owned()));
    let of_another = extension(&[0x55, 0x1d, 29], true, &[0x30, 0]);
    assert!(matches!(read(usual, &entry(&[7], &of_another), &[]), Err(CrlError::Partial(_))));
    // A list may state where it is published. It may not leave anything out.
    let scope = |value: &[u8]| extension(&[0x55, 0x1d, 28], true, &tlv(0x30, value));
    for whole in [&[][..], &[0xa0, 0], &[0x81, 1, 0]] {
        assert!(read(usual, &[], &scope(whole)).is_ok(), "{whole:?}");
    }
    for part in [[0x81, 1, 0xff], [0x82, 1, 0xff], [0x84, 1, 0xff], [0x85, 1, 0xff], [0x83, 1, 0], [0x81, 1, 1]] {
        assert!(matches!(read(usual, &[], &scope(&part)), Err(CrlError::Partial(_))), "{part:?}");
    }
    // -1 and 255 are different numbers.
    let minus_one = read(usual, &entry(&[0xff], &[]), &[]).unwrap();
    assert!(!minus_one.names(&[0, 0xff]) && minus_one.names(&[0xff]));
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => vec![short],
        Ok(long) => vec![0x81, long],
        Err(_) => [vec![0x82], u16::try_from(content.len()).unwrap().to_be_bytes().to_vec()].concat(),
    };
    [vec![tag], length, content.to_vec()].concat()
}

/// A list made of these parts, signed with the authority's key.
fn signed(authority: &Made, (this, next): (&[u8], &[u8]), entries: &[u8], extensions: &[u8]) -> Vec<u8> {
    // ecdsa-with-SHA256
    let algorithm = tlv(0x30, &tlv(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]));
    let (_, certificate) = X509Certificate::from_der(&authority.der).unwrap();
    let some = |tag, content: &[u8]| if content.is_empty() { Vec::new() } else { tlv(tag, content) };
    let extensions = if extensions.is_empty() { Vec::new() } else { tlv(0x30, extensions) };
    let list = tlv(
        0x30,
        &[
            tlv(2, &[1]),
            algorithm.clone(),
            certificate.subject().as_raw().to_vec(),
            tlv(23, this),
            tlv(23, next),
            some(0x30, entries),
            some(0xa0, &extensions),
        ]
        .concat(),
    );
    let signature = rcgen::SigningKey::sign(&authority.key, &list).unwrap();
    tlv(0x30, &[list, algorithm, tlv(3, &[vec![0], signature].concat())].concat())
}

/// An authority that was renewed with its key is one issuer, whichever of its certificates a record names.
#[test]
fn what_is_said_of_either_certificate_of_a_renewed_authority_holds() {
    let first = Made::root("CA");
    let renewed_der = Made::root("CA").params.self_signed(&first.key).unwrap().der().to_vec();
    let device = first.device_with("pump-1", |params| params.serial_number = Some(SerialNumber::from(77)));
    let (shown, anchors) = (chain([&device]), [first.anchor()]);
    let path = verify_group(&shown, &anchors, &policy()).unwrap();
    let seventy_seven = || "4D".parse().unwrap();
    let silent = made(&first, |_| {});
    let numbers = RevocationRules {
        serials: vec![SerialRange { from: seventy_seven(), to: seventy_seven() }],
        ..Default::default()
    };
    let listed = RevocationRecord {
        list: Some(Crl::parse(&silent, &first.anchor()).unwrap().facts().clone()),
        ..record(&first.der, RevocationRules::default())
    };
    let by_number = record(&renewed_der, numbers);
    let judge = |records: Vec<(RevocationRecord, Option<Vec<u8>>)>| {
        let kept = records.into_iter().map(|(record, list)| KeptRevocations { record, list }).collect();
        Known::new(kept, std::iter::empty(), None).judge(&shown, &path, &anchors, NOW, 0)
    };
    assert_eq!(judge(vec![(listed.clone(), Some(silent.clone()))]), Ok(()));
    let mut merged = listed;
    assert!(!merged.merge(&by_number), "it has no list");
    for known in [(by_number, None), (merged, Some(silent))] {
        assert!(matches!(judge(vec![known]), Err(ChainError::SerialRevoked { .. })));
    }
}

fn record(certificate: &[u8], rules: RevocationRules) -> RevocationRecord {
    RevocationRecord { rules, ..RevocationRecord::silent(Issuer::of(certificate).unwrap(), NOW) }
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
