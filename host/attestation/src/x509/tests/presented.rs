//! Parsing what was presented: limits, facts, and the names of devices.

use landfall_domain::names::Digest;
use proptest::prelude::*;
use rcgen::{CustomExtension, DnType};
use rustls_pki_types::CertificateDer;

use super::super::object_id::tests::WRITTEN;
use super::super::pem::certificate_from;
use super::super::{ChainError, Flaw, MAX_CHAIN_BYTES, PresentedChain, Which, provable_key, verify_group};
use super::authority::{Made, chain, policy, self_signed};

#[test]
fn nothing_presented_is_refused() {
    assert_eq!(PresentedChain::parse(&[]).unwrap_err(), ChainError::Empty);
}

#[test]
fn what_belongs_to_nothing_is_dropped_and_more_than_eight_are_refused() {
    let root = Made::root("root");
    let line = root.intermediate("line");
    let others: Vec<_> = (0..9).map(|n| root.intermediate(&format!("line {n}")).der).collect();
    let device = line.device("dev-1");
    let mut sent = vec![&device, &others[0], &others[1], &device, &line.der, &others[0], &root.der];
    assert_eq!(chain(sent.clone()).intermediates(), 2, "the line and the root");
    sent.extend(&others[2..6]);
    assert_eq!(chain(sent).intermediates(), 2, "eight, duplicates not counted");
    let nine: Vec<_> = std::iter::once(&device).chain(&others).cloned().collect();
    assert_eq!(PresentedChain::parse(&nine).unwrap_err(), ChainError::TooManyCertificates { sent: 9, max: 8 });
}

/// The handshake demands no proof of possession for a key that is not accepted. So such a key must never be a
/// credential.
#[test]
fn there_is_no_chain_of_a_key_that_the_handshake_does_not_prove() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/mtls-matrix");
    let mut weak = Vec::new();
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        let Ok(der) = certificate_from(std::fs::read(&file).unwrap()) else { continue };
        let proven = provable_key(&der).is_some();
        let read = PresentedChain::parse(&[der.clone().into()]);
        assert!(proven || matches!(read, Err(ChainError::Flawed { flaw: Flaw::Key(_), .. })), "{file:?}: {read:?}");
        if !proven {
            weak.push(file.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    weak.sort();
    assert_eq!(weak, ["leaf_psecp256k1", "leaf_rsa1024"]);
    assert_eq!(provable_key(b"no certificate"), None);
}

/// Writing an object identifier in decimal costs the square of its length. The test counts the work, not the time.
#[test]
fn long_types_and_many_parts_are_refused_before_they_are_written_out() {
    let long: Vec<u64> = [2, 5].into_iter().chain((0..7_000).map(|_| 1)).collect();
    let named = |params: &mut rcgen::CertificateParams, kind: &[u64]| {
        params.distinguished_name.push(DnType::CustomDnType(kind.to_vec()), "x");
    };
    let written = || WRITTEN.with(|written| written.replace(0));
    let flaw = |der: CertificateDer<'static>| match PresentedChain::parse(&[der]).unwrap_err() {
        ChainError::Flawed { flaw: Flaw::Malformed(text), .. } => text,
        other => panic!("{other:?}"),
    };
    written();
    let text = flaw(self_signed("dev-1", |params| named(params, &long)));
    assert_eq!((text.as_str(), written()), ("one of its names has a type of more than 48 octets", 0));
    let many = self_signed("dev-1", |params| (0..80).for_each(|at| named(params, &[2, 5, 4, 300 + at])));
    assert_eq!((flaw(many).as_str(), written()), ("one of its names has more than 64 parts", 0));
    let extensions = self_signed("dev-1", |params| {
        params.custom_extensions =
            (0..80).map(|at| CustomExtension::from_oid_content(&[1, 2, at], vec![5, 0])).collect();
    });
    assert_eq!((flaw(extensions).as_str(), written()), ("it has more than 64 extensions", 0));
    let long_extension = CustomExtension::from_oid_content(&long, vec![5, 0]);
    let device = self_signed("dev-1", |params| params.custom_extensions = vec![long_extension.clone()]);
    assert!(PresentedChain::parse(&[device]).is_ok());
    assert!(written() < 100, "only the algorithm of the signature");
}

#[test]
fn more_bytes_than_the_limit_are_refused_before_they_are_read() {
    let padding = |bytes| {
        move |params: &mut rcgen::CertificateParams| {
            params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3], vec![5; bytes])];
        }
    };
    let root = Made::root("root");
    let device = root.device("dev-1");
    let spare = MAX_CHAIN_BYTES - device.len();
    let frame = root.intermediate_with("line", padding(9000)).der.len() - 9000;
    // The length of signatures varies by a few bytes.
    let fits = root.intermediate_with("line", padding(spare - frame - 16)).der;
    assert!(PresentedChain::parse(&[device.clone(), fits]).is_ok());
    let over = CertificateDer::from(vec![0; spare + 1]);
    let got = PresentedChain::parse(&[device, over]).unwrap_err();
    assert_eq!(got, ChainError::TooLarge { bytes: MAX_CHAIN_BYTES + 1, max: MAX_CHAIN_BYTES });
}

#[test]
fn bytes_after_the_certificate_and_bytes_that_are_none_are_refused() {
    let device = self_signed("dev-1", |_| {});
    let mut longer = device.to_vec();
    longer.push(0);
    for bytes in [longer, b"certificate".to_vec(), Vec::new()] {
        let got = PresentedChain::parse(&[bytes.clone().into()]).unwrap_err();
        assert!(matches!(got, ChainError::Flawed { which: Which::Leaf, flaw: Flaw::Malformed(_) }), "{got:?}");
        // If it is sent along, it does no harm; and it is reported where it may be the certificate that is missing.
        let above = PresentedChain::parse(&[device.clone(), bytes.into()]).unwrap();
        let got = verify_group(&above, &[Made::root("root").anchor()], &policy()).unwrap_err();
        assert!(matches!(got, ChainError::Flawed { which: Which::Intermediate(_), .. }), "{got:?}");
    }
}

#[test]
fn an_extension_that_stands_twice_is_refused() {
    let twice = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
    let device = self_signed("dev-1", |params| params.custom_extensions = vec![twice.clone(), twice]);
    let got = PresentedChain::parse(&[device]).unwrap_err();
    assert_eq!(got, ChainError::Flawed { which: Which::Leaf, flaw: Flaw::DuplicateExtension("1.2.3".to_owned()) });
}

#[test]
fn the_facts_of_a_certificate_are_told_as_dps_tells_them() {
    let root = Made::root("root");
    let device = root.device_with("Dev-1", |params| {
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.serial_number = Some(rcgen::SerialNumber::from(0x0A_BC_u64));
    });
    let chain = chain([&device]);
    let leaf = chain.leaf();
    assert_eq!(leaf.sha256(), Digest::of(&device));
    assert_eq!(leaf.registration_id().unwrap().as_str(), "Dev-1");
    assert_eq!(leaf.issuer(), "CN=root");
    let info = serde_json::to_value(leaf.info()).unwrap();
    let sha256 = leaf.info().sha256_thumbprint.clone();
    let sha1 = leaf.info().sha1_thumbprint.clone();
    assert_eq!(sha256.to_lowercase().parse::<Digest>().unwrap(), leaf.sha256());
    assert_eq!(sha1.len(), 40);
    let expected = serde_json::json!({
        "subjectName": "O=Acme\\, Inc.,CN=Dev-1", "issuerName": "CN=root", "serialNumber": "ABC", "version": 3,
        "notBeforeUtc": "2020-01-01T00:00:00.0000000Z", "notAfterUtc": "2040-01-01T00:00:00.0000000Z",
        "sha1Thumbprint": sha1, "sha256Thumbprint": sha256,
    });
    assert_eq!(info, expected);
}

#[test]
fn claims_are_sorted_and_name_each_fact_once() {
    let device = self_signed("dev-1", |params| {
        params.distinguished_name.push(DnType::OrganizationName, "Acme");
        params.distinguished_name.push(DnType::OrganizationalUnitName, "line 3");
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), "0042");
        // With a second unit, neither is certain.
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 11]), "line 4");
    });
    let claims = chain([&device]).leaf().claims();
    let keys: Vec<_> = claims.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "x509.issuer",
            "x509.not-after",
            "x509.serial",
            "x509.sha256",
            "x509.spki-sha256",
            "x509.subject",
            "x509.subject.o",
            "x509.subject.serialnumber",
        ]
    );
    let value = |key: &str| claims.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    assert_eq!(value("x509.subject.o").as_deref(), Some("Acme"));
    assert_eq!(value("x509.subject.serialnumber").as_deref(), Some("0042"));
    assert_eq!(value("x509.sha256"), Some(Digest::of(&device).to_string()));
}

#[test]
fn one_key_in_two_certificates_has_one_spki_digest_and_two_certificate_digests() {
    let root = Made::root("root");
    let key = || rcgen::KeyPair::from_pem(&root.key.serialize_pem()).unwrap();
    let issue = |cn: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = super::authority::named(cn);
        chain([&root.issue(params, key()).der])
    };
    let (one, two) = (issue("dev-1"), issue("dev-2"));
    assert_eq!(one.leaf().spki_sha256(), two.leaf().spki_sha256());
    assert_ne!(one.leaf().sha256(), two.leaf().sha256());
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = PresentedChain::parse(&[bytes.into()]);
    }

    #[test]
    fn no_change_to_a_certificate_makes_reading_or_judging_panic(
        at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<prop::sample::Index>(), whole in any::<bool>(),
    ) {
        let root = super::authority::policy();
        let mut bytes = SAMPLE.with(Clone::clone);
        let at = at.index(bytes.len());
        bytes[at] = to;
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(chain) = PresentedChain::parse(&[bytes.clone().into()]) {
            let _ = super::super::verify_pinned(&chain, &[chain.leaf().sha256()], &root);
            let _ = chain.leaf().claims();
        }
        let _ = super::super::Anchor::parse(&bytes);
        let _ = super::super::pem::certificate_from(&bytes);
    }
}

thread_local! {
    static SAMPLE: Vec<u8> = Made::root("sample").der.to_vec();
}
