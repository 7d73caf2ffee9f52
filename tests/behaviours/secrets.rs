//! Nothing that a running server writes holds a secret, in whatever writing: what it prints at its most talkative, its
//! metrics, its ledger, its database.

use std::fs::File;
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use landfall::client::{self, Client};
use landfall::folder::DataFolder;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use serde_json::json;

use crate::command_line::{PROGRAM, Site};

#[test]
fn no_secret_is_in_anything_that_a_talkative_server_writes() {
    let site = Site::new();
    let root = site.data.clone();
    let fleet = Authority::root("Fleet CA", Ambient::system().now(), 30).unwrap();
    std::fs::write(root.join("fleet-ca.pem"), &fleet.certificate_pem).unwrap();
    std::fs::write(root.join("fleet-ca.key"), fleet.key_pem()).unwrap();
    let config = std::fs::read_to_string(root.join("landfall.toml")).unwrap();
    let more = "\n[issuing.fleet]\ncertificate = \"fleet-ca.pem\"\nkey = \"fleet-ca.key\"\n";
    let config = config.replace("# enabled = false", "enabled = true");
    std::fs::write(root.join("landfall.toml"), format!("{config}{more}")).unwrap();

    // Of each kind of secret one that is seen nowhere else.
    let (own_key, group_key) = ([0xc1; 32], [0xd2; 32]);
    let (password, wrong_password) = ("canary-password-7f3a9c", "canary-wrong-pass-51be");
    let own = site.file("own.key", &STANDARD.encode(own_key));
    let shared = site.file("group.key", &STANDARD.encode(group_key));
    let password_file = site.file("password", password);
    let (out, err) = (site.data.with_file_name("out"), site.data.with_file_name("err"));
    let mut server = talkative(&site, File::create(&out).unwrap(), File::create(&err).unwrap());
    let run = |words: &[&str]| site.says(words, &[]);
    run(&["hub", "link", "hub-1.example", "--capacity", "100"]);
    run(&["enrollment", "put", "own", "--symmetric-key", "--primary-key", &own, "--manufacturing", "optional"]);
    run(&["group", "put", "meters", "--symmetric-key", "--primary-key", &shared, "--manufacturing", "optional"]);
    run(&["enrollment", "put", "basic", "--password-file", &password_file, "--manufacturing", "optional"]);
    let issuer = json!({ "token": { "issuer": "https://localhost:1", "audiences": ["a"] }, "manufacturing": "optional",
        "allocation": { "selection": { "plugin": "weighted" } } });
    let issuer = site.file("tokens.json", &issuer.to_string());
    run(&["group", "put", "tokens", "--file", &issuer]);

    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &group_key), b"meter-1");
    let (good, meter) = (token("own", &own_key), token("meter-1", derived.as_ref()));
    let forged = token("own", &[0xe3; 32]);
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "alg": "ES256", "kid": "k1" }));
    let claims = part(json!({ "iss": "https://localhost:1", "aud": "a", "exp": 4_000_000_000_u64, "sub": "token" }));
    let signature = [0xf4; 64];
    let bearer = format!("Bearer {head}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature));
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("basic:{password}")));
    let mut ledger = Vec::new();
    for (id, authorization, status) in [
        ("own", good.header.clone(), 200),
        ("own", forged.header.clone(), 401),
        ("meter-1", meter.header.clone(), 200),
        ("basic", basic(password), 200),
        ("basic", basic(wrong_password), 401),
        ("token", bearer.clone(), 503),
        ("token", format!("{bearer}.x"), 401),
        ("own", format!("{}&", good.header), 401),
    ] {
        let (answered, tracking_id) = ask(&site, id, &authorization);
        assert_eq!(answered, status, "{id}");
        ledger.extend(site.run(&["decision", "show", &tracking_id, "--json"]).out.into_bytes());
    }
    let mut written = vec![("the ledger", ledger)];
    let operator = std::fs::read_to_string(root.join("operator.token")).unwrap().trim().to_owned();
    written.push(("the metrics", metrics(&site, &operator)));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().nth(4), Some("0"), "a core would hold them all: {cores}");
    let told = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(told.success() && server.wait().unwrap().success());
    let (out, err) = (std::fs::read(out).unwrap(), std::fs::read(err).unwrap());
    assert!(err.len() > 100_000, "it was not talkative: {} bytes", err.len());
    written.extend([("standard output", out), ("standard error", err)]);
    written.push(("the database", std::fs::read(DataFolder::at(&root).database()).unwrap()));

    // What is no secret is found there.
    for (place, there) in
        [("standard error", "wrong-password"), ("the ledger", "wrong-password"), ("the database", "meter-1")]
    {
        let (_, bytes) = written.iter().find(|(name, _)| *name == place).unwrap();
        assert!(memory_holds(bytes, there.as_bytes()), "nothing is in {place}");
    }

    let key_of =
        |pem: &str| STANDARD.decode(pem.lines().filter(|line| !line.starts_with("---")).collect::<String>()).unwrap();
    let file = |name: &str| std::fs::read(root.join(name)).unwrap();
    let server_key = key_of(&String::from_utf8(file("tls/server.key")).unwrap());
    let sealing =
        STANDARD.decode(String::from_utf8_lossy(&file("sealing.key")).trim()).unwrap_or_else(|_| file("sealing.key"));
    let secrets: [(&str, Vec<u8>); 14] = [
        ("a device's symmetric key", own_key.to_vec()),
        ("a group's symmetric key", group_key.to_vec()),
        ("a derived key", derived.as_ref().to_vec()),
        ("a token's signature", good.signature),
        ("a derived token's signature", meter.signature),
        ("a forged signature", forged.signature),
        ("a password", password.as_bytes().to_vec()),
        ("a wrong password", wrong_password.as_bytes().to_vec()),
        ("a bearer token's signature", signature.to_vec()),
        ("the operator's token", operator.into_bytes()),
        ("an issuer's private key", key_of(&fleet.key_pem())),
        ("the server's private key", server_key),
        ("the key that seals", sealing),
        ("the key of operations", file("operations.key")),
    ];
    let mut found = Vec::new();
    for (what, secret) in &secrets {
        for (writing, form) in writings(secret) {
            for (place, bytes) in &written {
                if memory_holds(bytes, &form) {
                    found.push(format!("{what}, as {writing}, is in {place}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

struct Signed {
    header: String,
    signature: Vec<u8>,
}

fn token(id: &str, key: &[u8]) -> Signed {
    let expires = Ambient::system().now().as_secs() + 600;
    let resource = format!("0neCLI%2Fregistrations%2F{id}");
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), format!("{resource}\n{expires}").as_bytes());
    let text = percent(&STANDARD.encode(signed));
    let header = format!("SharedAccessSignature sr={resource}&sig={text}&se={expires}&skn=registration");
    Signed { header, signature: signed.as_ref().to_vec() }
}

fn percent(base64: &str) -> String {
    base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

/// How a secret can be written. Base64 is looked for from within: what stands before it shifts its beginning.
fn writings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![
        ("it is", secret.to_vec()),
        ("upper-case hex", hex.to_uppercase().into_bytes()),
        ("hex", hex.into_bytes()),
    ];
    for skip in 0..3 {
        let whole = &secret[skip..skip + (secret.len() - skip) / 3 * 3];
        let text = STANDARD.encode(whole);
        all.push(("base64", text.clone().into_bytes()));
        all.push(("percent-encoded base64", percent(&text).into_bytes()));
        all.push(("base64url", URL_SAFE_NO_PAD.encode(whole).into_bytes()));
        let numbers: Vec<String> = secret.iter().map(ToString::to_string).collect();
        all.push(("a list of numbers", numbers.join(", ").into_bytes()));
    }
    all
}

fn memory_holds(bytes: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(bytes, wanted).is_some()
}

fn ask(site: &Site, id: &str, authorization: &str) -> (u16, String) {
    let ca = std::fs::read(DataFolder::at(&site.data).ca_certificate()).unwrap();
    let tls = client::tls::client(&ca, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(site.devices, "localhost", tls).await.unwrap();
        let path = format!("/0neCLI/registrations/{id}/register?api-version=2021-06-01");
        let headers = client::headers(&[
            ("content-type", "application/json"),
            ("prefer", "wait=20"),
            ("authorization", authorization),
        ]);
        let answer = client.send(http::Method::PUT, &path, headers, b"{}".to_vec()).await.unwrap();
        (answer.status.as_u16(), landfall_tests::world::tracking_id(&answer))
    })
}

fn metrics(site: &Site, operator: &str) -> Vec<u8> {
    let ca = std::fs::read(DataFolder::at(&site.data).ca_certificate()).unwrap();
    let tls = client::tls::client(&ca, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(site.management, "localhost", tls).await.unwrap();
        let bearer = format!("Bearer {operator}");
        let headers = client::headers(&[("authorization", &bearer)]);
        let answer = client.send(http::Method::GET, "/metrics", headers, Vec::new()).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.bytes.to_vec()
    })
}

/// Serves, and says all that it could say.
fn talkative(site: &Site, out: File, err: File) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--data"]).arg(&site.data).env("LANDFALL_LOG", "trace").stdout(out).stderr(err);
    let mut server = command.spawn().unwrap();
    for _ in 0..1_200 {
        assert_eq!(server.try_wait().unwrap(), None, "it ended");
        if [site.devices, site.management].iter().all(|address| TcpStream::connect(address).is_ok()) {
            return server;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it takes no connections")
}
