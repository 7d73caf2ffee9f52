//! Certificates of endorsement keys: those that swtpm's own authority made, and unusual ones.

use landfall_domain::clock::Timestamp;
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;

use super::authority::{Made, NOW};
use super::lists::made;
use crate::x509::endorsement::{EndorsementCertificate, TpmMakers};
use crate::x509::revocation::{Issuer, KeptRevocations, Known, RevocationRecord, RevocationRules};
use crate::x509::{Anchor, ChainError, Crl, Flaw, VerifyPolicy, Which};

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../tests/vectors/tpm-swtpm/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// 2026-12-01: the vectors begin on 2026-11-23.
const LATER: VerifyPolicy = VerifyPolicy::at(Timestamp::from_millis(1_796_083_200_000));

const ENDORSEMENT: [u64; 5] = [2, 23, 133, 8, 1];

fn certified(maker: &Made, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let certificate = maker.device_with("unknown", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(ENDORSEMENT.to_vec())];
        change(params);
    });
    certificate.to_vec()
}

fn verdict(maker: &Made, certificate: &[u8]) -> Result<(), ChainError> {
    let makers = TpmMakers::parse(&[maker.der.to_vec()], &[]).unwrap();
    makers.verify(&EndorsementCertificate::parse(certificate).unwrap(), &VerifyPolicy::at(NOW), (&Known::default(), 0))
}

#[test]
fn certificates_that_end_in_the_year_9999_verify_up_to_their_maker() {
    let makers = TpmMakers::parse(&[vector("root.der")], &[vector("issuer.der")]).unwrap();
    for name in ["ek-rsa2048.crt", "ek-secp384r1.crt"] {
        let certificate = EndorsementCertificate::parse(&vector(name)).unwrap();
        assert_eq!(makers.verify(&certificate, &LATER, (&Known::default(), 0)), Ok(()), "{name}");
        let claims = certificate.claims();
        for (key, value) in
            [("tpm.manufacturer", "id:00001014"), ("tpm.model", "swtpm"), ("tpm.version", "id:20191023")]
        {
            assert!(claims.contains(&(key.to_owned(), value.to_owned())), "{claims:?}");
        }
    }
    // Without the intermediate, and with another root.
    let certificate = EndorsementCertificate::parse(&vector("ek-rsa2048.crt")).unwrap();
    let issuer = "CN=swtpm-localca".to_owned();
    for (roots, intermediates) in [
        (vec![vector("root.der")], Vec::new()),
        (vec![Made::root("Other maker").der.to_vec()], vec![vector("issuer.der")]),
    ] {
        let makers = TpmMakers::parse(&roots, &intermediates).unwrap();
        assert_eq!(
            makers.verify(&certificate, &LATER, (&Known::default(), 0)),
            Err(ChainError::NoMaker { issuer: issuer.clone() })
        );
    }
}

#[test]
fn a_certificate_is_found_in_the_wrapping_of_a_tpms_memory_and_with_bytes_behind_it() {
    let plain = vector("ek-rsa2048.crt");
    let expected = EndorsementCertificate::parse(&plain).unwrap();
    let length = u16::try_from(plain.len()).unwrap().to_be_bytes();
    let wrapped = [&[0x10, 0x01, 0x00], length.as_slice(), &plain].concat();
    for odd in [wrapped.clone(), [plain.as_slice(), &[0xff; 400]].concat(), [wrapped, vec![0; 9]].concat()] {
        assert_eq!(EndorsementCertificate::parse(&odd).as_ref(), Ok(&expected));
    }
    for end in 0..plain.len() {
        assert!(EndorsementCertificate::parse(&plain[..end]).is_err(), "{end}");
    }
}

#[test]
fn only_a_certificate_for_endorsement_keys_is_one() {
    let maker = Made::root("Maker");
    assert_eq!(verdict(&maker, &certified(&maker, |_| {})), Ok(()));
    let flawed = |flaw| Err(ChainError::Flawed { which: Which::Endorsement, flaw });
    let none = certified(&maker, |params| params.extended_key_usages.clear());
    assert_eq!(verdict(&maker, &none), flawed(Flaw::NotForEndorsementKeys), "for anything is not for this");
    let client = certified(&maker, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert_eq!(verdict(&maker, &client), flawed(Flaw::NotForEndorsementKeys));
    let odd = certified(&maker, |params| {
        let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
        unknown.set_criticality(true);
        params.custom_extensions.push(unknown);
    });
    assert_eq!(verdict(&maker, &odd), flawed(Flaw::UnknownCriticalExtension("1.2.3".to_owned())));
    // Makers have given negative serial numbers.
    let negative = certified(&maker, |params| params.serial_number = Some(SerialNumber::from(vec![0xc0, 1])));
    assert_eq!(verdict(&maker, &negative), Ok(()));
    let expired = certified(&maker, |params| params.not_after = rcgen::date_time_ymd(2025, 1, 1));
    assert!(matches!(
        verdict(&maker, &expired),
        Err(ChainError::Flawed { which: Which::Endorsement, flaw: Flaw::Expired(_) })
    ));
}

#[test]
fn a_makers_root_may_be_for_endorsement_keys_only_and_not_for_something_else() {
    let for_purpose = |purpose| Made::root_with("Maker", |params| params.extended_key_usages = vec![purpose]);
    let maker = for_purpose(ExtendedKeyUsagePurpose::Other(ENDORSEMENT.to_vec()));
    assert_eq!(verdict(&maker, &certified(&maker, |_| {})), Ok(()));
    let other = for_purpose(ExtendedKeyUsagePurpose::ClientAuth);
    assert!(TpmMakers::parse(&[other.der.to_vec()], &[]).is_err());
}

#[test]
fn a_certificate_on_its_makers_list_is_refused_and_so_is_all_below_an_intermediate_on_one() {
    let root = Made::root("Maker");
    let line = root.intermediate("Maker's line");
    let certificate = certified(&line, |params| params.serial_number = Some(SerialNumber::from(vec![0x2a, 1])));
    let other = certified(&line, |params| params.serial_number = Some(SerialNumber::from(vec![0x2a, 2])));
    let makers = TpmMakers::parse(&[root.der.to_vec()], &[line.der.to_vec()]).unwrap();
    let verdict = |certificate: &[u8], known: &Known| {
        makers.verify(&EndorsementCertificate::parse(certificate).unwrap(), &VerifyPolicy::at(NOW), (known, 0))
    };
    let revoked = |which, issuer: &str| Err(ChainError::Revoked { which, issuer: issuer.to_owned() });
    let of_line = known(&line, &[0x2a, 1]);
    assert_eq!(verdict(&certificate, &of_line), revoked(Which::Endorsement, "CN=Maker's line"));
    assert_eq!(verdict(&other, &of_line), Ok(()));
    let serial = X509Certificate::from_der(&line.der).unwrap().1.raw_serial().to_vec();
    let of_root = known(&root, &serial);
    let which = Which::Intermediate("CN=Maker's line".to_owned());
    assert_eq!(verdict(&other, &of_root), revoked(which, "CN=Maker"));
}

/// What is known from a revocation list with one entry.
fn known(issuer: &Made, serial: &[u8]) -> Known {
    let der = made(issuer, |params| {
        params.revoked_certs.push(RevokedCertParams {
            serial_number: SerialNumber::from(serial.to_vec()),
            revocation_time: date_time_ymd(2029, 12, 1),
            reason_code: None,
            invalidity_date: None,
        });
    });
    let list = Crl::parse(&der, &Anchor::parse(&issuer.der).unwrap()).unwrap();
    let issuer = Issuer::of(&issuer.der).unwrap();
    let rules = RevocationRules::default();
    let record =
        RevocationRecord { issuer, rules, list: Some(list.facts().clone()), remembered: None, updated_at: NOW };
    Known::new(vec![KeptRevocations { record, list: Some(der) }], std::iter::empty(), None)
}
