//! What an operator does to a server over the years.

use std::io::Read as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall::server::Server;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::names::Digest;
use landfall_tests::world::World;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::command_line::{Site, stop};

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_to_whoever_connects_next_and_no_device_notices() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    assert_eq!(device.register().await.status, 200);
    let before = shown(&world).await;

    let told = landfall(&world, &["certificate", "renew", "--days", "20"]);
    assert!(told.contains("SIGHUP") && told.contains("It is for localhost"), "{told}");
    assert_eq!(shown(&world).await, before, "not before the server is told");
    world.server().reload_certificate(&world.folder).unwrap();
    assert_ne!(shown(&world).await, before);
    assert_eq!(device.register().await.status, 200, "it trusts the same CA");
    let metrics = world.manage("GET", "/metrics", b"").await;
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    let left = metrics.lines().find_map(|line| line.strip_prefix("landfall_certificate_expires_in_seconds "));
    let left: u64 = left.unwrap().parse().unwrap();
    assert!((19 * 86_400..=20 * 86_400).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_changes_nothing_and_the_error_says_what_to_do() {
    let world = World::new().await;
    let before = shown(&world).await;
    let other = world.factory.server(&["localhost".to_owned()], Ambient::system().now(), 9).unwrap();
    let elsewhere = world.factory.server(&["other.example".to_owned()], Ambient::system().now(), 9).unwrap();
    let expired = world.factory.server(&["localhost".to_owned()], Ambient::system().now(), 0).unwrap();
    let later = Timestamp::from_millis(Ambient::system().now().as_millis() + 9 * 86_400_000);
    let early = world.factory.server(&["localhost".to_owned()], later, 9).unwrap();
    for (certificate, key, says) in [
        (expired.certificate_pem.as_str(), Some(expired.key_pem.as_str()), "expired at"),
        (early.certificate_pem.as_str(), Some(early.key_pem.as_str()), "is not valid before"),
        (other.certificate_pem.as_str(), None, "landfall certificate renew"),
        ("", None, "holds no certificate in PEM form"),
        (other.key_pem.as_str(), Some(other.key_pem.as_str()), "holds no certificate in PEM form"),
        (elsewhere.certificate_pem.as_str(), Some(elsewhere.key_pem.as_str()), "not for server.hostname \"localhost\""),
    ] {
        std::fs::write(world.folder.server_certificate(), certificate).unwrap();
        if let Some(key) = key {
            std::fs::write(world.folder.server_key(), key).unwrap();
        }
        let error = world.server().reload_certificate(&world.folder).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(shown(&world).await, before);
    }
    let metrics = world.manage("GET", "/metrics", b"").await;
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    assert!(metrics.contains("landfall_certificate_reads_total{result=\"refused\"} 6"), "{metrics}");
}

#[test]
fn a_server_whose_certificate_has_expired_serves_and_says_so_loudly() {
    let site = Site::new();
    let folder = landfall::folder::DataFolder::at(&site.data);
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let authority = Authority::load(&read(folder.ca_certificate()), &read(folder.ca_key())).unwrap();
    let expired = authority.server(&["localhost".to_owned()], Ambient::system().now(), 0).unwrap();
    std::fs::write(folder.server_certificate(), &expired.certificate_pem).unwrap();
    std::fs::write(folder.server_key(), &expired.key_pem).unwrap();
    let mut server = site.serve();
    let told = Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap();
    assert!(told.success());
    let mut said = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.contains("EVERY CLIENT THAT LOOKS AT ITS DATES REFUSES THE SERVER"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_devices_could_not_live_with_is_refused_at_the_start() {
    let world = World::new().await;
    let (folder, mut config) = (world.folder.clone(), world.server().service.config().clone());
    let (_place, _) = world.stop().await;
    config.server.hostname = "moved.example".to_owned();
    let error = Server::start(&folder, config.clone(), Ambient::system()).await.err().unwrap().to_string();
    assert!(error.contains("not for server.hostname \"moved.example\""), "{error}");
    config.server.hostname = "localhost".to_owned();
    config.server.scope = "0neOTHER".parse().unwrap();
    let error = Server::start(&folder, config, Ambient::system()).await.err().unwrap().to_string();
    assert!(error.contains("0neOTHER") && error.contains("0neTEST"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_a_request_is_counted() {
    let world = World::new().await;
    let mut socket = TcpStream::connect(world.server().device_addr).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let failed = || world.server().device_counts.failed_handshakes.load(Ordering::Relaxed);
    for _ in 0..200 {
        if failed() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let metrics = world.manage("GET", "/metrics", b"").await;
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    let line = "landfall_tls_handshakes_total{listener=\"devices\",result=\"failed\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn a_hub_that_is_linked_again_keeps_what_is_not_said_and_one_with_devices_is_not_unlinked_by_a_slip() {
    let site = Site::new();
    let server = site.serve();
    let hub = "hub-1.example";
    let ran = site.run(&["hub", "link", hub]);
    assert!(ran.code == 2 && ran.err.contains("--capacity"), "{ran:?}");
    let ran = site.run(&["hub", "link", hub, "--capacity", "5", "--label", "a=1", "--label", "a=2"]);
    assert!(ran.code == 2 && ran.err.contains("the label a is given twice"), "{ran:?}");
    site.says(&["hub", "link", hub, "--capacity", "5", "--weight", "7", "--label", "region=eu"], &["is linked"]);
    site.says(&["hub", "drain", hub], &["draining"]);
    site.says(&["hub", "link", hub, "--capacity", "12"], &["is changed", "draining still"]);
    let stands = site.json(&["hub", "show", hub]);
    let expected = json!({ "name": hub, "weight": 7, "capacity": 12, "assigned": 0, "labels": { "region": "eu" },
        "state": "draining", "connector": "none" });
    assert_eq!(stands, expected);
    site.says(&["hub", "activate", hub], &["active"]);

    let factory = Authority::root("Pump Factory CA", Ambient::system().now(), 30).unwrap();
    enroll(&site, &factory, "pump-1");
    site.register(&factory, "pump-1");
    let ran = site.run(&["hub", "unlink", hub]);
    assert!(ran.code == 1 && ran.err.contains("1 devices are on it") && ran.err.contains("--force"), "{ran:?}");
    site.says(&["hub", "unlink", hub, "--force"], &["is unlinked"]);
    stop(server);
}

#[test]
fn a_tenant_is_made_and_listed_on_the_command_line() {
    let site = Site::new();
    let server = site.serve();
    site.says(&["scope", "create", "0neSECOND"], &["0neSECOND"]);
    site.says(&["scope", "list"], &["0neSECOND", "0neCLI"]);
    stop(server);
}

#[test]
fn a_reader_that_has_seen_enough_ends_nothing_badly() {
    let place = tempfile::tempdir().unwrap();
    for words in [&["demo"] as &[&str], &["--help"]] {
        let mut running = Command::new(BINARY)
            .args(words)
            .current_dir(place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(running.stdout.take());
        let ended = running.wait_with_output().unwrap();
        let complained = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success() && !complained.contains("panicked"), "{words:?}: {complained}");
    }
}

/// Enrolls a factory, and one device of it.
pub(crate) fn enroll(site: &Site, factory: &Authority, id: &str) {
    let root = site.file("root.pem", &factory.certificate_pem);
    site.says(&["ca", "upload", "factory", &root], &["uploaded"]);
    let code = site.json(&["ca", "code", "factory"])["verificationCode"].as_str().unwrap().to_owned();
    let proof = factory.device(&code, Ambient::system().now(), 1).unwrap();
    let proof = site.file("proof.pem", &proof.certificate_pem);
    site.says(&["ca", "verify", "factory", &proof], &["proven"]);
    site.says(&["group", "put", "pumps", "--ca", "factory"], &["is there"]);
    let records = site.file("records.jsonl", &format!("{{\"registrationId\":\"{id}\"}}\n"));
    site.says(&["registry", "import", &records, "--manufacturer", "acme"], &["1 added"]);
}

/// The SHA-256 of the certificate that the server shows now.
async fn shown(world: &World) -> Digest {
    let socket = TcpStream::connect(world.server().management_addr).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = tokio_rustls::TlsConnector::from(world.tls(None)).connect(name, socket).await.unwrap();
    Digest::of(&stream.get_ref().1.peer_certificates().unwrap()[0])
}

/// Calls the world's server from elsewhere, with what a colleague of the operator has.
pub(crate) fn calls(world: &World, words: &[&str]) -> Output {
    let server = format!("https://localhost:{}", world.server().management_addr.port());
    let mut command = Command::new(BINARY);
    command.args(words).args(["--server", &server, "--scope", world.scope.as_str()]);
    command.arg("--ca-file").arg(world.folder.ca_certificate());
    command.arg("--token-file").arg(world.folder.operator_token());
    command.output().unwrap()
}

/// Runs a command on the world's folder, which must succeed.
fn landfall(world: &World, words: &[&str]) -> String {
    let ran = Command::new(BINARY).args(words).arg("--data").arg(world.folder.root()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

const BINARY: &str = env!("CARGO_BIN_EXE_landfall-under-test");
