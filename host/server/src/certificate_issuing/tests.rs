//! Issuers with keys in files. Keys in tokens are tested in the behaviours, with a real token.

use landfall_attestation::x509::make::Authority;
use rcgen::{CertificateParams, KeyPair};

use super::*;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn load(&self, change: impl FnOnce(&mut IssuerConfig)) -> Result<CertificateIssuing, String> {
        let mut config = IssuerConfig { lifetime_hours: 24, ..IssuerConfig::of_files("ca.pem", "ca.key") };
        change(&mut config);
        let configured = BTreeMap::from([("ops".parse().unwrap(), config)]);
        CertificateIssuing::load(&configured, &scope(), self.0.path(), &Ambient::system())
            .map_err(|error| error.to_string())
    }
}

fn scope() -> IdScope {
    "0neOURS".parse().unwrap()
}

fn authority(days: i64) -> Authority {
    Authority::root("Operations", Ambient::system().now(), days).unwrap()
}

fn request(cn: &str) -> CertificateRequest {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    CertificateRequest::parse(params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
}

#[test]
fn what_is_issued_is_short_lived_and_says_nothing_that_the_device_wished() {
    let files = Files::new();
    let authority = authority(30);
    files.write("ca.pem", &authority.certificate_pem);
    files.write("ca.key", &authority.key_pem());
    let issuing = files.load(|_| {}).unwrap();
    let issuer = issuing.get(&scope(), &"ops".parse().unwrap()).unwrap();
    let (now, id) = (Ambient::system().now(), "pump-1".parse().unwrap());
    let operation = "4.a.b".parse().unwrap();
    let issue = |now, number| issuer.issue(&request("pump-1"), &id, &operation, now, number);
    let issued = issue(now, [0xff; 16]).unwrap();
    assert_eq!(issued.not_after.as_secs(), now.as_secs() + 24 * 3600);
    assert_eq!(issued.serial.to_string(), format!("7F{}", "FF".repeat(15)));
    let chain = PresentedChain::parse(&[CertificateDer::from(issued.der.clone())]).unwrap();
    assert_eq!(chain.leaf().subject(), "CN=pump-1");
    assert!(verify_group(&chain, std::slice::from_ref(&issuer.anchor), &VerifyPolicy::at(now)).is_ok());
    assert_eq!(issuing.chain(&issued).count(), 2, "the certificate, and the authority's");
    assert_eq!(issue(now, [0; 16]).unwrap().serial.to_string(), format!("40{}", "00".repeat(15)));
    // A certificate never ends later than its authority's, and none is issued when that has ended.
    let late = Timestamp::from_millis(now.as_millis() + 29 * 86_400_000 + 43_200_000);
    let until = i64::try_from(issue(late, [1; 16]).unwrap().not_after.as_secs()).unwrap();
    assert_eq!(until, issuer.anchor.not_after_secs());
    let over = Timestamp::from_millis(now.as_millis() + 31 * 86_400_000);
    assert!(matches!(issue(over, [1; 16]), Err(IssueError::Ending(..))));
}

#[test]
fn an_issuer_that_could_not_issue_is_found_when_the_server_starts() {
    let files = Files::new();
    let (ours, other) = (authority(30), authority(30));
    let device = ours.device("pump-1", Ambient::system().now(), 1).unwrap();
    let says = |what: &str, change: fn(&mut IssuerConfig)| {
        let error = files.load(change).map(drop).unwrap_err();
        assert!(error.starts_with("[issuing.ops] in landfall.toml: ") && error.contains(what), "{what}: {error}");
    };
    says("cannot read", |_| {});
    files.write("ca.pem", &ours.certificate_pem);
    says("cannot read", |_| {});
    files.write("ca.key", "nothing");
    says("holds no private key", |_| {});
    files.write("ca.key", &other.key_pem());
    says("what it issues would not be accepted", |_| {});
    files.write("ca.key", &ours.key_pem());
    says("it must be from 1 to 87600", |config| config.lifetime_hours = 0);
    says("and not both", |config| config.pkcs11_token = Some("t".to_owned()));
    says("cannot be loaded", |config| {
        config.key = None;
        config.pkcs11_module = Some("ca.pem".into());
        config.pkcs11_token = Some("t".to_owned());
        config.pkcs11_key = Some("k".to_owned());
        config.pkcs11_pin_file = Some("ca.key".into());
    });
    files.write("ca.pem", &device.certificate_pem);
    says("certificate", |_| {});
    files.write("ca.pem", &ours.certificate_pem);
    assert!(files.load(|_| {}).is_ok());
}

#[test]
fn a_chain_is_told_from_the_leaf_to_the_root_and_nothing_outlives_what_is_above_it() {
    let (files, now) = (Files::new(), Ambient::system().now());
    let root = authority(2);
    let middle = root.intermediate("Region", now, 30).unwrap();
    let issuer = middle.intermediate("Fleet", now, 30).unwrap();
    let foreign = Authority::root("Elsewhere", now, 30).unwrap();
    let order = [&issuer, &root, &middle, &foreign].map(|ca| ca.certificate_pem.as_str());
    files.write("ca.pem", &order.concat());
    files.write("ca.key", &issuer.key_pem());
    let issuing = files.load(|config| config.lifetime_hours = 24 * 20).unwrap();
    let issuer_here = issuing.get(&scope(), &"ops".parse().unwrap()).unwrap();
    let operation = "4.a.b".parse().unwrap();
    let issued = issuer_here.issue(&request("pump-1"), &"pump-1".parse().unwrap(), &operation, now, [1; 16]).unwrap();
    let told: Vec<&[u8]> = issuing.chain(&issued).collect();
    let expected = [&issued.der, &issuer.certificate_der, &middle.certificate_der, &root.certificate_der];
    assert_eq!(told, expected.map(Vec::as_slice));
    let ends = i64::try_from(issued.not_after.as_secs()).unwrap();
    assert_eq!(ends, Anchor::parse(&root.certificate_der).unwrap().not_after_secs(), "the root ends first");
}
