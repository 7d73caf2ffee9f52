//! Devices that must not come in. Of each, one thing is wrong and all else is in order, so that it is refused for that.

use std::time::Duration;

use landfall::tls::Identity;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::names::Digest;
use landfall_tests::world::{Device, World, group, json_of};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

/// A device, and why it is refused.
pub struct Case {
    /// What is wrong, for whoever reads a failure of the test.
    pub what: &'static str,
    /// The cause's word in the ledger.
    pub code: &'static str,
    /// A part of the sentence that the operator reads.
    pub says: &'static str,
    /// The device.
    pub device: Device,
}

/// All of them, with all that they need put into the world.
pub async fn all(world: &World) -> Vec<Case> {
    let mut cases = strangers(world).await;
    cases.extend(bad_certificates(world).await);
    cases.extend(pinned(world).await);
    cases.extend(enrollments(world).await);
    cases.extend(second_factor(world).await);
    cases.push(key_change(world).await);
    cases.push(copied_key(world).await);
    cases
}

async fn strangers(world: &World) -> Vec<Case> {
    let mut elsewhere = world.device("elsewhere").await;
    elsewhere.scope = "0neNOBODY".to_owned();
    let nothing = world.device("shows-nothing").await;
    let foreign = Authority::root("Another Factory CA", now(), 30).unwrap();
    let namesake = Authority::root("Test Factory CA", now(), 30).unwrap();
    let line = world.factory.intermediate("Line 1", now(), 30).unwrap();
    let mut cases = vec![
        case("an id scope that does not exist", "unknown-scope", "0neNOBODY", elsewhere),
        case("no certificate", "no-credential", "no certificate", world.shown(&nothing.id, None)),
    ];
    for (what, id, shown) in [
        ("a self-signed certificate that nobody knows", "self-signed", self_signed(Some("self-signed"))),
        ("a certificate of another factory", "foreign", Identity::of(&foreign.device("foreign", now(), 30).unwrap())),
        ("an intermediate that was not sent", "not-sent", Identity::of(&line.device("not-sent", now(), 30).unwrap())),
    ] {
        cases.push(case(what, "not-enrolled", id, known(world, id, shown).await));
    }
    let device = known(world, "namesake", Identity::of(&namesake.device("namesake", now(), 30).unwrap())).await;
    let says = "names another key of its issuer";
    cases.push(case("a CA of the factory's name", "certificate-not-accepted", says, device));
    cases
}

async fn bad_certificates(world: &World) -> Vec<Case> {
    let factory = &world.factory;
    let issued = |id: &str, at| Identity::of(&factory.device(id, at, 30).unwrap());
    let old_line = factory.intermediate("Old line", days_ago(40), 30).unwrap();
    let mut below = Identity::of(&old_line.device("below-expired", now(), 30).unwrap());
    below.chain.push(old_line.certificate_der.clone().into());
    let server = factory.server(&["for-servers".to_owned()], now(), 30).unwrap();
    let mut garbage = issued("garbage", now());
    garbage.chain.extend((0..9).map(|at| format!("not a certificate {at}").into_bytes().into()));
    let mut cases = Vec::new();
    for (what, id, says, shown) in [
        ("an expired certificate", "expired", "certificate expired at", issued("expired", days_ago(40))),
        ("a certificate that begins tomorrow", "early", "not valid before", issued("early", days_ahead(2))),
        ("an expired intermediate", "below-expired", "\"CN=Old line\" expired at", below),
        ("a certificate for servers", "for-servers", "not for clients", landfall::tls::Identity::of(&server)),
        ("a signature by another key", "forged", "not signed by the key of the issuer", forged("forged")),
    ] {
        cases.push(case(what, "certificate-not-accepted", says, known(world, id, shown).await));
    }
    for (what, id, code, says, shown) in [
        ("another device's certificate", "thief", "other-name", "\"victim\"", issued("victim", now())),
        ("more than is read", "garbage", "unreadable-certificate", "at most 8 are read", garbage),
        ("a CN that is no id", "spaced", "unreadable-certificate", "names no device", issued("pump 7", now())),
    ] {
        cases.push(case(what, code, says, known(world, id, shown).await));
    }
    cases
}

async fn pinned(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let nameless = self_signed(None);
    enroll(world, "nameless", &nameless, true).await;
    let device = known(world, "nameless", nameless).await;
    cases.push(case("a pinned certificate without a name", "unreadable-certificate", "names no device", device));

    enroll(world, "not-this-one", &self_signed(Some("not-this-one")), true).await;
    let issued = Identity::of(&world.factory.device("not-this-one", now(), 30).unwrap());
    let device = known(world, "not-this-one", issued).await;
    cases.push(case("not the pinned certificate", "certificate-not-accepted", "names other certificates", device));

    let issued = Identity::of(&world.factory.device("disabled", now(), 30).unwrap());
    enroll(world, "disabled", &issued, false).await;
    let device = known(world, "disabled", issued).await;
    let says = "the individual enrollment disabled is disabled";
    cases.push(case("a disabled enrollment, before its group", "enrollment-disabled", says, device));

    let issued = Identity::of(&world.factory.device("blocked", now(), 30).unwrap());
    enroll(world, "whoever-shows-this", &issued, false).await;
    let device = known(world, "blocked", issued).await;
    cases.push(case("a blocked certificate", "certificate-blocked", "whoever-shows-this", device));

    // Its key would take over the id without a word: a pinned certificate needs no further binding.
    let issued = Identity::of(&world.factory.device("taken-over", now(), 30).unwrap());
    enroll(world, "an-accomplice", &issued, true).await;
    let device = known(world, "taken-over", issued).await;
    cases.push(case("a certificate that another's enrollment pins", "certificate-of-another", "an-accomplice", device));
    cases
}

async fn enrollments(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let works = Authority::root("Closed Works CA", now(), 30).unwrap();
    world.upload_authority("closed-works", &works).await;
    world.put("enrollment-groups/closed", &disabled(group("closed-works"))).await;
    let device = known(world, "closed", Identity::of(&works.device("closed", now(), 30).unwrap())).await;
    cases.push(case("a disabled group", "enrollment-disabled", "enrollment group closed is disabled", device));

    let picky = Authority::root("Picky Works CA", now(), 30).unwrap();
    world.upload_authority("picky-works", &picky).await;
    let mut relies = group("picky-works");
    relies["manufacturers"] = json!(["bolt"]);
    world.put("enrollment-groups/picky", &relies).await;
    let device = known(world, "picked", Identity::of(&picky.device("picked", now(), 30).unwrap())).await;
    let says = "imported by acme, and the enrollment group picky relies on bolt";
    cases.push(case("a record of another manufacturer", "record-of-another-manufacturer", says, device));

    let line = world.factory.intermediate("Line 2", now(), 30).unwrap();
    let mut narrow = disabled(group("factory"));
    narrow["x509"] = json!({ "intermediates": { "primary": line.certificate_pem } });
    world.put("enrollment-groups/line-2", &narrow).await;
    let mut shown = Identity::of(&line.device("shadowed", now(), 30).unwrap());
    shown.chain.push(line.certificate_der.clone().into());
    let device = known(world, "shadowed", shown).await;
    let says = "enrollment group line-2 is disabled";
    cases.push(case("a disabled group that hides a wider one", "enrollment-disabled", says, device));
    cases
}

async fn second_factor(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let issued = |id: &str| Identity::of(&world.factory.device(id, now(), 30).unwrap());
    let device = world.shown("no-record", Some(issued("no-record")));
    cases.push(case("no record", "no-manufacturing-record", "no manufacturing record names no-record", device));
    for (state, code) in [("quarantined", "record-quarantined"), ("retired", "record-retired")] {
        let device = known(world, state, issued(state)).await;
        world.put(&format!("records/{state}/state"), &json!({ "state": state })).await;
        cases.push(case(state, code, state, device));
    }
    let other = Digest::of(b"another").to_string();
    for (what, id, says, member) in [
        ("a record of another certificate", "other-certificate", "demands certificate", "certificateSha256"),
        ("a record of another key", "other-key", "demands public key", "publicKeySha256"),
        ("a record of another issuer", "other-issuer", "demands certificate issuer", "certificateIssuer"),
        ("a record of a token", "other-subject", "demands token subject", "tokenSubject"),
        ("a record of a TPM", "other-tpm", "demands endorsement key", "endorsementKeySha256"),
    ] {
        let mut record = json!({ "registrationId": id });
        record[member] = other.as_str().into();
        import(world, &record).await;
        cases.push(case(what, "evidence-mismatch", says, world.shown(id, Some(issued(id)))));
    }
    cases
}

async fn key_change(world: &World) -> Case {
    let issued = || world.factory.device("taken", now(), 30).unwrap();
    world.record("taken", None).await;
    assert_eq!(world.stranger("taken", &issued()).register().await.status, 200);
    let says = "landfall registration release taken";
    case("another key under a known id", "key-changed", says, world.stranger("taken", &issued()))
}

/// The factory has certified one key for two names: it was copied.
async fn copied_key(world: &World) -> Case {
    let key = KeyPair::generate().unwrap();
    let certified = |id: &str| {
        let mut params = named(Some(id));
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        with_key(world.factory.sign(params, &key).unwrap(), &key)
    };
    let (original, copy) =
        (known(world, "original", certified("original")).await, known(world, "copy", certified("copy")).await);
    assert_eq!(original.register().await.status, 200);
    case("the key of another device", "key-of-another", "landfall registration release original", copy)
}

fn case(what: &'static str, code: &'static str, says: &'static str, device: Device) -> Case {
    Case { what, code, says, device }
}

/// A device with a manufacturing record of the very certificate that it shows.
async fn known(world: &World, id: &str, shown: Identity) -> Device {
    world.record(id, Some(Digest::of(&shown.chain[0]))).await;
    world.shown(id, Some(shown))
}

async fn enroll(world: &World, id: &str, pinned: &Identity, enabled: bool) {
    let mut enrollment = group("factory");
    enrollment["x509"] = json!({ "certificates": { "primary": { "sha256": Digest::of(&pinned.chain[0]) } } });
    enrollment["enabled"] = enabled.into();
    world.put(&format!("enrollments/{id}"), &enrollment).await;
}

async fn import(world: &World, record: &Value) {
    let path = format!("/api/v1/scopes/{}/records?manufacturer=acme", world.scope);
    let body = format!("{record}\n");
    let token = &world.operator_token;
    let answer = world.manage_as(token, "POST", &path, "application/x-ndjson", body.as_bytes()).await;
    assert_eq!(json_of(&answer)["refused"], 0, "{answer:?}");
}

fn disabled(mut enrollment: Value) -> Value {
    enrollment["enabled"] = false.into();
    enrollment
}

/// A device's certificate that its own key has signed.
fn self_signed(name: Option<&str>) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = named(name).self_signed(&key).unwrap();
    with_key(certificate.der().to_vec(), &key)
}

/// A certificate that says that the factory has issued it, and names no key that would give it away.
fn forged(name: &str) -> Identity {
    let mut factory = named(Some("Test Factory CA"));
    factory.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let forger = Issuer::new(factory, KeyPair::generate().unwrap());
    let key = KeyPair::generate().unwrap();
    let certificate = named(Some(name)).signed_by(&key, &forger).unwrap();
    with_key(certificate.der().to_vec(), &key)
}

/// What a certificate says that is good for a day of today.
fn named(name: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // One without a subject at all would be refused for that.
    params.distinguished_name.push(DnType::OrganizationName, "Nobody");
    if let Some(name) = name {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params
}

fn with_key(certificate: Vec<u8>, key: &KeyPair) -> Identity {
    Identity { chain: vec![certificate.into()], key: PrivateKeyDer::Pkcs8(key.serialize_der().into()) }
}

fn now() -> Timestamp {
    Ambient::system().now()
}

fn days_ago(days: u64) -> Timestamp {
    Timestamp::from_millis(now().as_millis() - days * DAY.as_secs() * 1000)
}

fn days_ahead(days: u32) -> Timestamp {
    now().plus(DAY * days)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
