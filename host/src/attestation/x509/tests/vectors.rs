//! The verdicts over the certificates in `tests/vectors`.

use super::super::pem::certificate_from;
use super::super::{ChainError, PresentedChain, VerifyPolicy, verify_group, verify_pinned};
use super::authority::Made;
use crate::clock::Timestamp;

/// 2026-12-01: within the dates of most.
const NOW: Timestamp = Timestamp::from_millis(1_796_083_200_000);

/// What is expected of one certificate: its name, its verdict when it is pinned, and when it is shown to a group
/// (which none belongs to: the part of the text tells what is noticed first).
const MATRIX: [(&str, Result<&str, &str>, Result<(), &str>, &str); 19] = [
    ("ca_true_p256", Ok("ca_true_p256"), Ok(()), "is a certificate authority's"),
    ("emptysubj", Err("0 common names"), Ok(()), "empty issuer"),
    ("expired", Ok("expired"), Err("expired at 2011-01-01"), "expired at 2011-01-01"),
    ("future", Ok("future"), Err("not valid before 2040-01-01"), "not valid before"),
    ("leaf_ed25519", Ok("leaf_ed25519"), Ok(()), "no chain leads"),
    ("leaf_p256", Ok("leaf_p256"), Ok(()), "no chain leads"),
    ("leaf_p384", Ok("leaf_p384"), Ok(()), "no chain leads"),
    ("leaf_p521", Ok("leaf_p521"), Ok(()), "no chain leads"),
    ("leaf_psecp256k1", Ok("leaf_psecp256k1"), Err("elliptic curve other than"), "elliptic curve other than"),
    ("leaf_rsa1024", Ok("leaf_rsa1024"), Err("RSA with 1024 bits"), "RSA with 1024 bits"),
    ("leaf_rsa2048", Ok("leaf_rsa2048"), Ok(()), "no chain leads"),
    ("leaf_rsa3072", Ok("leaf_rsa3072"), Ok(()), "no chain leads"),
    ("leaf_rsa4096", Ok("leaf_rsa4096"), Ok(()), "no chain leads"),
    ("leaf_sha1", Ok("leaf_sha1"), Ok(()), "signed with the algorithm 1.2.840.113549.1.1.5"),
    ("leaf_srveku", Ok("leaf_srveku"), Ok(()), "not for clients"),
    ("leaf_unkcrit", Ok("leaf_unkcrit"), Err("critical extension"), "critical extension"),
    ("multicn", Err("2 common names"), Ok(()), "no chain leads"),
    ("v1", Ok("v1"), Err("version 1"), "version 1"),
    ("y9999", Ok("y9999"), Ok(()), "no chain leads"),
];

#[test]
fn odd_client_certificates_get_the_verdict_of_the_table() {
    let anchors = [Made::root("an authority of nobody here").anchor()];
    let policy = VerifyPolicy::at(NOW);
    for (file, name, pinned, in_group) in MATRIX {
        let chain = PresentedChain::parse(&[matrix(file).into()]).unwrap();
        agrees(file, chain.leaf().registration_id().as_ref().map(ToString::to_string), name.map(|_| ()));
        if let (Ok(id), Ok(name)) = (chain.leaf().registration_id(), name) {
            assert_eq!(id.as_str(), name);
        }
        agrees(file, verify_pinned(&chain, &[chain.leaf().sha256()], &policy).as_ref(), pinned);
        agrees(file, verify_group(&chain, &anchors, &policy).as_ref(), Err(in_group));
    }
}

#[test]
fn an_expired_certificate_is_taken_where_its_expiry_is_waived_and_only_its_expiry() {
    let policy = VerifyPolicy { ignore_expiry: true, ..VerifyPolicy::at(NOW) };
    let verdict = |file| {
        let chain = PresentedChain::parse(&[matrix(file).into()]).unwrap();
        verify_pinned(&chain, &[chain.leaf().sha256()], &policy).map(|_| ())
    };
    assert_eq!(verdict("expired"), Ok(()));
    agrees("future", verdict("future").as_ref(), Err("not valid before"));
    agrees("leaf_rsa1024", verdict("leaf_rsa1024").as_ref(), Err("RSA with 1024 bits"));
}

fn matrix(file: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/mtls-matrix");
    certificate_from(std::fs::read(format!("{folder}/{file}.pem")).unwrap()).unwrap()
}

fn agrees<T: std::fmt::Debug>(file: &str, got: Result<T, &ChainError>, expected: Result<(), &str>) {
    match (got, expected) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(part)) if error.to_string().contains(part) => {}
        (got, expected) => panic!("{file}: {got:?}, expected {expected:?}"),
    }
}
