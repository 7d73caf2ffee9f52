//! The results for the certificates in `tests/vectors`.

use std::collections::BTreeMap;
use std::time::Duration;

use landfall_domain::clock::Timestamp;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::pem::certificate_from;
use super::super::strict::Usage;
use super::super::verify::Demands;
use super::super::{
    Anchor, ChainError, Crl, PresentedChain, VerifiedPath, VerifyPolicy, Which, armour, verify_group, verify_pinned,
};
use super::authority::Made;

/// 2026-12-01: most of the certificates are valid then.
const NOW: Timestamp = Timestamp::from_millis(1_796_083_200_000);

/// One certificate: its file; the device that it names; the result when it is pinned; and why a group refuses it (none
/// belongs to that group, so the reason shows what is noticed first). Reasons are parts of the error's text.
type Expected = (&'static str, Result<&'static str, &'static str>, Result<(), &'static str>, &'static str);

const MATRIX: [Expected; 19] = [
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
        let chain = match PresentedChain::parse(&[matrix(file).into()]) {
            Ok(chain) => chain,
            // A key that is not accepted gives no credential at all.
            Err(error) => {
                agrees::<()>(file, Err(&error), pinned);
                agrees::<()>(file, Err(&error), Err(in_group));
                continue;
            }
        };
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
}

#[test]
fn the_public_path_validation_cases_get_their_verdict_but_for_the_listed_deviations() {
    let suite: Suite =
        serde_json::from_str(include_str!("../../../../../tests/vectors/x509-limbo/limbo.json")).unwrap();
    let deviations = include_str!("../../../../../tests/vectors/x509-limbo/deviations.tsv");
    let listed: BTreeMap<&str, &str> = deviations
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.split('\t');
            (fields.next().unwrap(), fields.next().unwrap())
        })
        .collect();
    let mut found = BTreeMap::new();
    for case in &suite.testcases {
        let got = case.verdict();
        match (&got, case.expected_result.as_str()) {
            (Ok(()), "SUCCESS") | (Err(_), "FAILURE") => {}
            (Ok(()), _) => drop(found.insert(case.id.as_str(), "accepted")),
            (Err(_), _) => drop(found.insert(case.id.as_str(), "refused")),
        }
        println!("{}\t{}\t{}\t{got:?}", case.id, case.expected_result, found.contains_key(case.id.as_str()));
    }
    assert!(suite.testcases.len() > 100);
    assert_eq!(found, listed, "what is found, and what deviations.tsv lists");
}

#[derive(Deserialize)]
struct Suite {
    testcases: Vec<Case>,
}

/// A case of x509-limbo, as far as it concerns a chain.
#[derive(Deserialize)]
struct Case {
    id: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    extended_key_usage: Vec<String>,
    #[serde(default)]
    crls: Vec<String>,
    expected_result: String,
}

impl Case {
    /// Our result. An authority or a list that could not be uploaded is left out.
    fn verdict(&self) -> Result<(), String> {
        let der = |pem: &String| certificate_from(pem).map_err(|error| error.to_string());
        let mut refused = Vec::new();
        let mut anchors = Vec::new();
        for pem in &self.trusted_certs {
            match der(pem).and_then(|der| Anchor::parse(&der).map_err(|error| error.to_string())) {
                Ok(anchor) => anchors.push(anchor),
                Err(error) => refused.push(error),
            }
        }
        let presented = std::iter::once(&self.peer_certificate).chain(&self.untrusted_intermediates);
        let presented = presented.map(|pem| der(pem).map(Into::into)).collect::<Result<Vec<_>, _>>()?;
        let chain = PresentedChain::parse(&presented).map_err(|error| error.to_string())?;
        let usage = if self.extended_key_usage.iter().any(|usage| usage == "clientAuth") {
            Usage::Client
        } else {
            Usage::Server
        };
        let now = self.validation_time.as_ref().map_or(NOW, |text| {
            let moment = OffsetDateTime::parse(text, &Rfc3339).unwrap().unix_timestamp();
            Timestamp::from_millis(u64::try_from(moment).unwrap() * 1000)
        });
        let policy = VerifyPolicy { clock_skew: Duration::ZERO, ..VerifyPolicy::at(now) };
        let is_good = |path: &VerifiedPath| self.not_on_a_list(&chain, &anchors, path);
        let verdict = Demands { usage, anchors: &anchors, policy: &policy, is_good: &is_good }.verify(&chain);
        verdict.map(|_| ()).map_err(|error| format!("{error} {refused:?}"))
    }
}

impl Case {
    /// Looks each certificate up in the lists of its issuer.
    fn not_on_a_list(&self, chain: &PresentedChain, anchors: &[Anchor], path: &VerifiedPath) -> Result<(), ChainError> {
        let issuer = anchors.iter().find(|anchor| Some(anchor.sha256()) == path.anchor).unwrap();
        let lists = self.crls.iter().map(|pem| armour::objects(pem.as_bytes()).unwrap()[0].content().unwrap());
        let topmost = path.intermediates.last().map_or(&chain.leaf().certificate, |digest| {
            chain.above().iter().find(|one| one.sha256 == *digest).unwrap()
        });
        if lists.filter_map(|der| Crl::parse(&der, issuer).ok()).any(|list| list.names(&topmost.serial)) {
            return Err(ChainError::Revoked { which: Which::Leaf, issuer: issuer.subject().to_owned() });
        }
        Ok(())
    }
}

fn matrix(file: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/mtls-matrix");
    certificate_from(std::fs::read(format!("{folder}/{file}.pem")).unwrap()).unwrap()
}

fn agrees<T: std::fmt::Debug>(file: &str, got: Result<T, &ChainError>, expected: Result<(), &str>) {
    match (got, expected) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(part)) if error.to_string().contains(part) => {}
        (got, expected) => panic!("{file}: {got:?}, expected {expected:?}"),
    }
}
