//! Where signatures are required, a revision is taken only with one of a trusted key, and the reason is said.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use landfall::client::{Answer, Client, headers};
use landfall_domain::clock::ManualClock;
use landfall_domain::names::Digest;
use landfall_domain::plugin::signature::{Over, Signature, write_signatures};
use landfall_domain::plugin::statement::Statement;
use landfall_policy::trust::SigningKey;
use landfall_tests::guests::component;
use landfall_tests::world::{World, json_of};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

/// A world that takes only what a key has signed; the folder holds the key's public part. The world's own policies came with
/// the binary and need no signature.
async fn demanding_signatures() -> (tempfile::TempDir, SigningKey, World) {
    let place = tempfile::tempdir().unwrap();
    let ours = SigningKey::generate().unwrap();
    let public = place.path().join("ours.pem");
    std::fs::write(&public, ours.public().to_pem()).unwrap();
    let world = World::with(|config| {
        config.plugins.trusted_keys = vec![public];
        config.plugins.require_signature = true;
    })
    .await;
    (place, ours, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_trusted_key_has_signed_is_published() {
    let (_key, ours, world) = demanding_signatures().await;
    let bytes = component("takes-first");
    let right = of("ours", "0.1.0", bytes);
    let theirs = SigningKey::generate().unwrap();
    let id = ours.public().id().to_string();

    let unsigned = publish(&world, bytes, &[]).await;
    assert_refused(&unsigned, 422, &["not signed", "landfall plugin sign", &id]);
    let strange = publish(&world, bytes, &[theirs.sign(right.clone())]).await;
    assert_refused(&strange, 422, &[&theirs.public().id().to_string(), "none of these keys is trusted", &id]);
    let mut damaged = ours.sign(right.clone());
    damaged.bytes[0] ^= 1;
    let exchanged = publish(&world, bytes, &[ours.sign(right.clone()), damaged]).await;
    assert_refused(&exchanged, 422, &["was exchanged or damaged", &Digest::of(bytes).to_string()]);
    let missing = world.manage("GET", &format!("/api/v1/scopes/{}/plugins/ours", world.scope), b"").await;
    assert_eq!(missing.status, 404, "nothing is published: {missing:?}");

    let taken = publish(&world, bytes, &[theirs.sign(right.clone()), ours.sign(right)]).await;
    assert!(taken.status.is_success(), "{taken:?}");
    assert_eq!(json_of(&taken)["signedBy"], serde_json::json!([id]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_for_one_name_one_version_and_one_component() {
    let place = tempfile::tempdir().unwrap();
    let ours = SigningKey::generate().unwrap();
    let public = place.path().join("ours.pem");
    std::fs::write(&public, ours.public().to_pem()).unwrap();
    let mut world = World::with(|config| config.plugins.trusted_keys = vec![public]).await;
    let bytes = component("takes-first");
    let wrong = [
        (of("ours-test", "0.1.0", bytes), "is for the plugin ours-test and not for ours;"),
        (of("ours", "0.0.9", bytes), "is for version 0.0.9, and the component says that it is 0.1.0;"),
        (of("ours", "0.1.0", component("rejects")), "is for other bytes (their SHA-256 is"),
    ];
    // What a key that is trusted has signed for something else is refused, whether a signature is required or not.
    for required in [false, true] {
        world.restart_with(|config| config.plugins.require_signature = required).await;
        for (statement, told) in &wrong {
            let refused = publish(&world, bytes, &[ours.sign(statement.clone())]).await;
            assert_refused(&refused, 422, &[told, "landfall plugin sign"]);
        }
    }
    let older = publish(&world, bytes, &[of_the_older_form(&ours, place.path(), bytes)]).await;
    assert_refused(&older, 422, &["older form", "landfall plugin sign"]);
    // What comes with Landfall is trusted under its own name.
    let shipped = landfall_policy::shipped::component("fixed").unwrap();
    assert_refused(&publish(&world, shipped, &[]).await, 422, &["not signed"]);

    let mut signed: Vec<_> = wrong.into_iter().map(|(statement, _)| ours.sign(statement)).collect();
    signed.push(ours.sign(of("ours", "0.1.0", bytes)));
    let taken = publish(&world, bytes, &signed).await;
    assert!(taken.status.is_success(), "the one that fits counts: {taken:?}");
    let again = publish_as(&world, "ours-test", bytes, &[]).await;
    assert_refused(&again, 422, &["not signed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_revision_is_ready_before_it_is_live() {
    let (_key, ours, world) = demanding_signatures().await;
    for (guest, status) in [("takes-first", "assigned"), ("rejects", "failed")] {
        let bytes = component(guest);
        let published = publish(&world, bytes, &[ours.sign(of("ours", "0.1.0", bytes))]).await;
        assert!(published.status.is_success(), "{published:?}");
        let group = serde_json::json!({
            "x509": { "authorities": { "primary": "factory" } },
            "allocation": { "selection": { "plugin": "ours" } },
        });
        if guest == "takes-first" {
            world.put("enrollment-groups/devices", &group).await;
        }
        let answer = world.device(&format!("pump-{guest}")).await.register().await;
        assert_eq!(json_of(&answer)["status"], status, "{answer:?}");
    }
    let path = format!("/api/v1/scopes/{}/plugins/ours/rollback", world.scope);
    let back = world.manage("POST", &path, b"{}").await;
    assert!(back.status.is_success(), "{back:?}");
    let answer = world.device("pump-back").await.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_trusted_no_more_takes_its_revisions_with_it() {
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let write = |name: &str, key: &SigningKey| {
        let path = place.path().join(name);
        std::fs::write(&path, key.public().to_pem()).unwrap();
        path
    };
    let (old_file, new_file) = (write("old.pem", &old), write("new.pem", &new));
    let clock = Arc::new(ManualClock::stopped_now());
    let mut world = World::with_clock(&clock, |config| {
        config.plugins.trusted_keys = vec![old_file, new_file.clone()];
        config.plugins.require_signature = true;
    })
    .await;
    let bytes = component("takes-first");
    let statement = of("ours", "0.1.0", bytes);
    assert!(publish(&world, bytes, &[old.sign(statement.clone())]).await.status.is_success());
    // The new key has signed the same bytes for another name: that is no leave to run them under this one.
    let elsewhere = publish_as(&world, "others", bytes, &[new.sign(of("others", "0.1.0", bytes))]).await;
    assert!(elsewhere.status.is_success(), "{elsewhere:?}");
    let group = serde_json::json!({
        "x509": { "authorities": { "primary": "factory" } },
        "allocation": { "selection": { "plugin": "ours" } },
    });
    world.put("enrollment-groups/devices", &group).await;
    let (one, two) = (world.device("pump-1").await, world.device("pump-2").await);
    assert_eq!(json_of(&one.register().await)["status"], "assigned");

    world.restart_with(|config| config.plugins.trusted_keys = vec![new_file]).await;
    let waits = world.shown_again(&two).register().await;
    assert_eq!(json_of(&waits)["status"], "assigning", "{waits:?}");
    // The same bytes with a signature of the new key are all that it takes.
    let published = publish(&world, bytes, &[new.sign(statement)]).await;
    assert!(published.status.is_success(), "{published:?}");
    // That the revision cannot be run is remembered for a moment.
    clock.advance(Duration::from_secs(60));
    let assigned = world.shown_again(&two).register().await;
    assert_eq!(json_of(&assigned)["status"], "assigned", "{assigned:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_refused_hides_no_other_and_says_why() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("key.pem");
    std::fs::write(&file, SigningKey::generate().unwrap().public().to_pem()).unwrap();
    let mut world = World::new().await;
    assert!(publish(&world, component("takes-first"), &[]).await.status.is_success());
    world
        .restart_with(|config| {
            config.plugins.trusted_keys = vec![file];
            config.plugins.require_signature = true;
        })
        .await;
    let listed = world.get(&format!("/api/v1/scopes/{}/plugins", world.scope)).await;
    let items = listed["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fixed", "nearest", "ours", "table", "webhook", "weighted"]);
    for item in items {
        let problem = item["problem"].as_str().unwrap_or_default();
        assert_eq!(problem.contains("not signed"), item["name"] == "ours", "{item}");
        assert!(item["worlds"].is_string(), "what it is is known all the same: {item}");
    }
    let shown = world.get(&format!("/api/v1/scopes/{}/plugins/ours", world.scope)).await;
    assert!(shown["problem"].as_str().unwrap().contains("landfall plugin sign"), "{shown}");
}

#[test]
fn openssl_reads_the_keys_and_agrees_about_the_signature() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let run = |program: &mut Command| {
        let output = program.output().expect("the program starts");
        assert!(output.status.success(), "{program:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(std::env::var_os("LANDFALL_REQUIRE_REAL_PARTS").is_none(), "openssl is not installed");
        eprintln!("SKIPPED: openssl is not installed, so nobody else has checked our signatures");
        return;
    }
    std::fs::write(at("policy.wasm"), component("takes-first")).unwrap();
    let landfall = || Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
    run(landfall().args(["plugin", "key"]).arg(at("team.pem")));
    run(landfall().args(["plugin", "sign"]).arg(at("policy.wasm")).arg("--key").arg(at("team.pem")));
    let text = run(landfall().args(["plugin", "sign", "--print"]).arg(at("policy.wasm")));
    assert_eq!(text, of("takes-first", "0.1.0", component("takes-first")).text(), "its own name, as none is given");
    std::fs::write(at("text"), text).unwrap();
    let line = std::fs::read_to_string(at("policy.wasm.sig")).unwrap();
    std::fs::write(at("raw"), line.trim().parse::<Signature>().unwrap().bytes).unwrap();
    let by_openssl = run(Command::new("openssl")
        .args(["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey"])
        .arg(at("team.pub.pem"))
        .arg("-in")
        .arg(at("text"))
        .arg("-sigfile")
        .arg(at("raw")));
    assert!(by_openssl.contains("Success"), "{by_openssl}");

    // The other way round: its key, its signature over what is printed, our check.
    run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(at("their.pem")));
    run(Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(at("their.pem"))
        .arg("-out")
        .arg(at("their.pub.pem")));
    run(Command::new("openssl")
        .args(["pkeyutl", "-sign", "-rawin", "-inkey"])
        .arg(at("their.pem"))
        .arg("-in")
        .arg(at("text"))
        .arg("-out")
        .arg(at("their.raw")));
    let take = |public: &str| {
        let mut take = landfall();
        take.args(["plugin", "sign"]).arg(at("policy.wasm")).arg("--signature").arg(at("their.raw"));
        take.arg("--public").arg(at(public));
        take
    };
    let refused = take("team.pub.pem").output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("is not the signature of"), "{said}");
    run(&mut take("their.pub.pem"));
    for key in ["their.pub.pem", "team.pub.pem"] {
        run(landfall().args(["plugin", "verify"]).arg(at("policy.wasm")).arg("--key").arg(at(key)));
    }
    only_what_was_signed_verifies(&at("policy.wasm"), &at("team.pub.pem"));
}

fn only_what_was_signed_verifies(component: &Path, key: &Path) {
    let verify = |more: &[&str]| {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
        let output =
            verify.args(["plugin", "verify"]).arg(component).arg("--key").arg(key).args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (more, told) in [
        (["--name", "ours"], "for the plugin takes-first and not for ours"),
        (["--plugin-version", "2.0.0"], "for version 0.1.0, and the component says that it is 2.0.0"),
    ] {
        let (code, said) = verify(&more);
        assert!(code == Some(1) && said.contains(told), "{said}");
    }
    let mut bytes = std::fs::read(component).unwrap();
    bytes[100] ^= 1;
    std::fs::write(component, bytes).unwrap();
    let (code, said) = verify(&[]);
    assert!(code == Some(1) && said.contains("for other bytes"), "{said}");
}

/// What is signed of a component.
fn of(name: &str, version: &str, component: &[u8]) -> Statement {
    Statement { name: name.parse().unwrap(), version: version.to_owned(), digest: Digest::of(component) }
}

/// A signature as it was before it named anything: over a line with the digest.
fn of_the_older_form(key: &SigningKey, place: &Path, component: &[u8]) -> Signature {
    let pem = place.join("older.pem");
    std::fs::write(&pem, key.to_pem().unwrap().as_bytes()).unwrap();
    let der = PrivatePkcs8KeyDer::from_pem_file(&pem).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).unwrap();
    let signed = pair.sign(format!("landfall policy revision sha256:{}\n", Digest::of(component)).as_bytes());
    Signature { key: key.public().id(), over: Over::Bytes, bytes: signed.as_ref().try_into().unwrap() }
}

fn assert_refused(answer: &Answer, status: u16, parts: &[&str]) {
    assert_eq!(answer.status, status, "{answer:?}");
    let detail = json_of(answer)["detail"].as_str().unwrap().to_owned();
    for part in parts {
        assert!(detail.contains(part), "{detail} is without {part:?}");
    }
}

async fn publish(world: &World, component: &[u8], signatures: &[Signature]) -> Answer {
    publish_as(world, "ours", component, signatures).await
}

async fn publish_as(world: &World, name: &str, component: &[u8], signatures: &[Signature]) -> Answer {
    let path = format!("/api/v1/scopes/{}/plugins/{name}", world.scope);
    let bearer = format!("Bearer {}", world.operator_token);
    let lines = write_signatures(signatures);
    let mut all = vec![("authorization", bearer.as_str()), ("content-type", "application/wasm")];
    all.extend(lines.lines().map(|line| ("landfall-signature", line)));
    let mut client =
        Client::connect(world.server().management_addr, "localhost", world.tls(None)).await.expect("a connection");
    client.send(http::Method::PUT, &path, headers(&all), component.to_vec()).await.expect("an answer")
}
