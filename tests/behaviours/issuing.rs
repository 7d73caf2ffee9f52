//! Certificates for devices, issued when they register: by a key in a file, and by one in a PKCS#11 token.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::config::Config;
use landfall::config::IssuerConfig;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_asks_for_a_certificate_gets_one_for_its_key_with_its_hub() {
    let mut world = with_issuer().await;
    let device = world.device("Pump-1").await;
    let key = KeyPair::generate().unwrap();
    let state = registered(&device, &csr("pump-1", &key)).await;
    assert_eq!(state["status"], "assigned", "{state}");
    let chain = chain(&state);
    assert_eq!(chain.len(), 3, "leaf, issuer, root");
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let (_, issuer) = X509Certificate::from_der(&chain[1]).unwrap();
    assert_eq!((leaf.subject().to_string(), leaf.issuer()), ("CN=Pump-1".to_owned(), issuer.subject()));
    assert_eq!(leaf.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
    verified_by_openssl(&chain);

    // A look-up tells the device nothing of it; the operator can see it, and why it was issued.
    let looked_up = json_of(&device.look_up().await);
    assert_eq!((&looked_up["status"], looked_up.get("issuedCertificateChain")), (&json!("assigned"), None));
    let shown = world.get(&format!("/api/v1/scopes/{}/registrations/pump-1", world.scope)).await;
    let issued = &shown["issuedCertificate"];
    assert_eq!(issued["issuer"], "fleet", "{shown}");
    let decided = &world.ledger(shown["decision"].as_str().unwrap()).await["kind"]["decided"];
    assert_eq!(decided["issued"]["serial"], issued["serialNumber"], "{decided}");

    // Its answer is lost and the server starts again: the poll of that operation still carries it.
    let operation = shown["operationId"].as_str().unwrap().to_owned();
    world.restart().await;
    let device = world.shown_again(&device);
    let polled = json_of(&device.poll(&operation).await);
    assert_eq!(polled["registrationState"]["issuedCertificateChain"], state["issuedCertificateChain"], "{polled}");

    // Renewal is registering again; who does not ask gets none.
    let renewed = registered(&device, &csr("PUMP-1", &KeyPair::generate().unwrap())).await;
    assert_ne!(renewed["issuedCertificateChain"], state["issuedCertificateChain"]);
    let plain = json_of(&device.register().await);
    assert_eq!(plain["registrationState"].get("issuedCertificateChain"), None, "{plain}");
    let kept = world.get(&format!("/api/v1/scopes/{}/registrations/pump-1", world.scope)).await;
    assert_ne!(kept["issuedCertificate"], Value::Null, "the operator still sees the last one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_version_of_the_protocol_is_answered_as_its_examples_show() {
    let world = with_issuer().await;
    let device = world.device("pump-1").await;
    let asks = async |method: &str, what: &str, body: &Value| {
        let path = format!("/{}/registrations/pump-1{what}?api-version=2026-11-01", world.scope);
        let headers = landfall::client::headers(&[("content-type", "application/json"), ("prefer", "wait=20")]);
        let mut client = device.connect().await.unwrap();
        let body = body.to_string().into_bytes();
        let answer = client.send(method.parse().unwrap(), &path, headers, body).await.unwrap();
        (answer.status.as_u16(), json_of(&answer))
    };
    let body =
        json!({ "registrationId": "pump-1", "csr": csr("pump-1", &KeyPair::generate().unwrap()), "payload": {} });
    let (status, told) = asks("PUT", "/register", &body).await;
    assert_eq!((status, &told["status"]), (200, &json!("assigned")), "{told}");
    let chain = chain(&told["registrationState"]);
    let names: Vec<String> =
        chain.iter().map(|der| X509Certificate::from_der(der).unwrap().1.subject().to_string()).collect();
    assert_eq!(names, ["CN=pump-1", "CN=Operations", "CN=Operations Root"]);
    let operation = told["operationId"].as_str().unwrap();
    let (status, polled) = asks("GET", &format!("/operations/{operation}"), &json!({})).await;
    assert_eq!((status, &polled), (200, &told), "the poll is answered as the registration");
    let (status, looked_up) = asks("POST", "", &json!({})).await;
    assert_eq!(
        (status, &looked_up["status"], looked_up.get("issuedCertificateChain")),
        (200, &json!("assigned"), None)
    );
    assert_eq!(asks("POST", "", &body).await.0, 400, "a csr is no part of a look-up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_certificate_is_for_ones_own_name_and_key_and_where_the_enrollment_says_so() {
    let world = with_issuer().await;
    let device = world.device("pump-1").await;
    let key = KeyPair::generate().unwrap();
    let good = STANDARD.decode(csr("pump-1", &key)).unwrap();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    for (what, csr) in [
        ("another's name", csr("pump-2", &key)),
        ("a forgery", STANDARD.encode(&forged)),
        ("half of one", STANDARD.encode(&good[..100])),
        ("nothing", String::new()),
        ("no base64", "-----BEGIN CERTIFICATE REQUEST-----".to_owned()),
        ("too much", "A".repeat(40_000)),
    ] {
        let answer = ask(&device, &json!({ "csr": csr })).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        let message = json_of(&answer)["message"].as_str().unwrap().to_owned();
        assert!(message.contains("csr"), "{what}: {message}");
    }
    let looked_up = device.send("POST", "", &[], json!({ "csr": STANDARD.encode(&good) }).to_string()).await;
    assert_eq!(looked_up.status, 400, "{looked_up:?}");

    // A stranger is refused like any other, whatever it asks for.
    let stranger = world.shown("pump-1", None);
    let refused = ask(&stranger, &json!({ "csr": STANDARD.encode(&good) })).await;
    assert_eq!(json_of(&refused)["errorCode"], 401_002, "{refused:?}");
    world.ledger(&tracking_id(&refused)).await;

    // Without an issuer there is none; and an issuer must be one that is there.
    world.put("enrollment-groups/devices", &group("factory")).await;
    let answer = ask(&device, &json!({ "csr": STANDARD.encode(&good) })).await;
    assert_eq!(json_of(&answer)["message"], "Certificates are not issued for this enrollment", "{answer:?}");
    let mut unknown = group("factory");
    unknown["certificateIssuer"] = "other".into();
    let path = format!("/api/v1/scopes/{}/enrollment-groups/devices", world.scope);
    let answer = world.manage("PUT", &path, unknown.to_string().as_bytes()).await;
    assert_eq!(json_of(&answer)["errors"][0]["pointer"], "/certificateIssuer", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_issues_for_the_id_scopes_that_it_is_for_and_is_unknown_to_others() {
    let mut world = with_issuer().await;
    assert_eq!(world.manage("PUT", "/api/v1/scopes/0neOTHER", b"").await.status, 201);
    let wish = json!({ "role": "operator", "scope": "0neOTHER", "note": "" }).to_string();
    let bound = json_of(&world.manage("POST", "/api/v1/tokens", wish.as_bytes()).await)["token"].clone();
    let enroll = async |world: &World, issuer: &str| {
        let mut theirs = group("none");
        theirs.as_object_mut().unwrap().remove("x509");
        theirs["symmetricKey"] = json!({});
        theirs["certificateIssuer"] = issuer.into();
        let path = "/api/v1/scopes/0neOTHER/enrollment-groups/theirs";
        world.manage_as(bound.as_str().unwrap(), "PUT", path, "application/json", theirs.to_string().as_bytes()).await
    };
    // What is another scope's looks like what is nobody's, and the message says what to do.
    let refused = async |world: &World, issuer: &str| {
        let answer = enroll(world, issuer).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let part = json_of(&answer)["errors"][0].clone();
        assert_eq!(part["pointer"], "/certificateIssuer", "{part}");
        part["message"].as_str().unwrap().replace(issuer, "NAME")
    };
    let told = refused(&world, "fleet").await;
    assert_eq!(told, refused(&world, "nobodys").await);
    for what in ["[issuing.NAME]", "0neOTHER", "`scopes`", "there are: none"] {
        assert!(told.contains(what), "{what}: {told}");
    }

    // An enrollment that was made when the issuer was for its scope does not get around it.
    let only_theirs = |config: &mut Config| {
        config.issuing.values_mut().for_each(|one| one.scopes = Some(vec!["0neOTHER".parse().unwrap()]));
    };
    world.restart_with(only_theirs).await;
    assert_eq!(enroll(&world, "fleet").await.status, 201);
    let device = world.device("pump-1").await;
    let answer = ask(&device, &json!({ "csr": csr("pump-1", &KeyPair::generate().unwrap()) })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let verdict = &world.ledger(&tracking_id(&answer)).await["kind"]["decided"]["verdict"];
    assert!(verdict.to_string().contains("no issuer fleet for the id scope 0neTEST"), "{verdict}");
    world.restart_with(|config| config.issuing.values_mut().for_each(|one| one.scopes = None)).await;
    let device = world.shown_again(&device);
    let state = registered(&device, &csr("pump-1", &KeyPair::generate().unwrap())).await;
    assert_eq!(chain(&state).len(), 3);
}

/// SoftHSM reads where its tokens are from the environment, which a process must not change under its threads. So this
/// test runs itself again, as a process that is told.
#[test]
fn an_issuers_key_in_a_pkcs11_token_signs_and_never_leaves_it() {
    let Some(token) = SoftHsm::new() else { return };
    let again = ["--exact", "issuing::with_a_token", "--ignored", "--nocapture"];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(again).env("SOFTHSM2_CONF", token.conf()).env("LANDFALL_TEST_TOKEN", token.place.path());
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test before it, in a process that has a token"]
async fn with_a_token() {
    let token = PathBuf::from(std::env::var_os("LANDFALL_TEST_TOKEN").expect("the test before this one"));
    let mut world = World::new().await;
    for name in ["token.pem", "token.pin"] {
        std::fs::copy(token.join(name), world.folder.root().join(name)).unwrap();
    }
    let issuer = IssuerConfig {
        certificate: "token.pem".into(),
        key: None,
        pkcs11_module: SoftHsm::module().map(Path::to_owned),
        pkcs11_token: Some("fleet".to_owned()),
        pkcs11_key: Some("issuing-ca".to_owned()),
        pkcs11_pin_file: Some("token.pin".into()),
        lifetime_hours: 24,
        scopes: None,
    };
    world.restart_with(|config| drop(config.issuing.insert("fleet".parse().unwrap(), issuer))).await;
    issue_for_devices(&world).await;
    for id in ["pump-1", "pump-2", "pump-3"] {
        let device = world.device(id).await;
        let state = registered(&device, &csr(id, &KeyPair::generate().unwrap())).await;
        verified_by_openssl(&chain(&state));
    }
}

async fn with_issuer() -> World {
    let mut world = World::new().await;
    let now = Ambient::system().now();
    let root = Authority::root("Operations Root", now, 30).unwrap();
    let issuer = root.intermediate("Operations", now, 30).unwrap();
    let file = |name: &str, text: String| std::fs::write(world.folder.root().join(name), text).unwrap();
    file("fleet-ca.pem", format!("{}{}", issuer.certificate_pem, root.certificate_pem));
    file("fleet-ca.key", issuer.key_pem());
    world.restart_with(add_issuer).await;
    issue_for_devices(&world).await;
    world
}

fn add_issuer(config: &mut Config) {
    let issuer = IssuerConfig::of_files("fleet-ca.pem", "fleet-ca.key");
    config.issuing.insert("fleet".parse().unwrap(), IssuerConfig { lifetime_hours: 24, ..issuer });
}

async fn issue_for_devices(world: &World) {
    let mut devices = group("factory");
    devices["certificateIssuer"] = "fleet".into();
    let shown = world.put("enrollment-groups/devices", &devices).await;
    assert_eq!(shown["certificateIssuer"], "fleet", "{shown}");
}

fn csr(cn: &str, key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    STANDARD.encode(params.serialize_request(key).unwrap().der())
}

async fn ask(device: &Device, body: &Value) -> landfall::client::Answer {
    device.send("PUT", "/register", &[("prefer", "wait=20")], body.to_string()).await
}

async fn registered(device: &Device, csr: &str) -> Value {
    let answer = ask(device, &json!({ "csr": csr })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    json_of(&answer)["registrationState"].clone()
}

fn chain(state: &Value) -> Vec<Vec<u8>> {
    let chain = state["issuedCertificateChain"].as_array().unwrap_or_else(|| panic!("no chain: {state}"));
    chain.iter().map(|one| STANDARD.decode(one.as_str().unwrap()).unwrap()).collect()
}

/// A second opinion.
fn verified_by_openssl(chain: &[Vec<u8>]) {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, ders: &[Vec<u8>]| -> PathBuf {
        let path = place.path().join(name);
        let text: String = ders.iter().map(|der| landfall_attestation::x509::pem::text_of(der)).collect();
        std::fs::write(&path, text).unwrap();
        path
    };
    let (leaf, rest) = chain.split_first().unwrap();
    let (root, between) = rest.split_last().unwrap();
    let (leaf, root) = (write("leaf.pem", std::slice::from_ref(leaf)), write("root.pem", std::slice::from_ref(root)));
    let mut command = Command::new("openssl");
    command.args(["verify", "-purpose", "sslclient", "-CAfile"]).arg(root);
    if !between.is_empty() {
        command.arg("-untrusted").arg(write("between.pem", between));
    }
    let Ok(ran) = command.arg(leaf).output() else {
        assert!(std::env::var_os("LANDFALL_REQUIRE_REAL_PARTS").is_none(), "there is no openssl");
        eprintln!("SKIPPED: no second opinion on the issued certificate; there is no openssl");
        return;
    };
    assert!(ran.status.success(), "{ran:?}");
}

/// A PKCS#11 token in software, with a P-256 key, and an authority's certificate for that key.
struct SoftHsm {
    place: tempfile::TempDir,
}

impl SoftHsm {
    /// None where it is not installed, which is said loudly; where `LANDFALL_REQUIRE_REAL_PARTS` is set that is the test's
    /// failure.
    fn new() -> Option<Self> {
        let there = |program| Command::new(program).arg("--help").output().is_ok();
        let (Some(_), true, true) = (Self::module(), there("softhsm2-util"), there("pkcs11-tool")) else {
            let missing = "no PKCS#11 token in software; install one: apt-get install softhsm2 opensc";
            assert!(
                std::env::var_os("LANDFALL_REQUIRE_REAL_PARTS").is_none(),
                "LANDFALL_REQUIRE_REAL_PARTS is set, and there is {missing}"
            );
            eprintln!("SKIPPED: {missing}");
            return None;
        };
        let this = Self { place: tempfile::tempdir().unwrap() };
        let tokens = this.place.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let conf =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        std::fs::write(this.conf(), conf).unwrap();
        this.run("softhsm2-util", &["--init-token", "--free", "--label", "fleet", "--so-pin", "5678", "--pin", "1234"]);
        this.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--id", "01", "--label", "issuing-ca"]);
        let public = this.place.path().join("public.der").display().to_string();
        this.tool(&["--read-object", "--type", "pubkey", "--id", "01", "-o", &public]);
        let now = Ambient::system().now();
        let root = Authority::root("Token Root", now, 30).unwrap();
        let issuing = root.intermediate_for(&std::fs::read(public).unwrap(), "Token Operations", now, 30).unwrap();
        std::fs::write(this.place.path().join("token.pem"), format!("{issuing}{}", root.certificate_pem)).unwrap();
        std::fs::write(this.place.path().join("token.pin"), "1234\n").unwrap();
        Some(this)
    }

    fn module() -> Option<&'static Path> {
        let known = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
        known.into_iter().map(Path::new).find(|path| path.exists())
    }

    fn tool(&self, words: &[&str]) {
        let module = Self::module().unwrap().display().to_string();
        let session = ["--module", &module, "--token-label", "fleet", "--login", "--pin", "1234"];
        self.run("pkcs11-tool", &[&session, words].concat());
    }

    fn run(&self, program: &str, words: &[&str]) {
        let ran = Command::new(program).args(words).env("SOFTHSM2_CONF", self.conf()).output().expect("it runs");
        assert!(ran.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn conf(&self) -> PathBuf {
        self.place.path().join("softhsm2.conf")
    }
}
