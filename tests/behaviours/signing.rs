//! Where signatures are required, a revision is taken only with one of a trusted key, and the reason is said.

use std::path::Path;
use std::process::Command;

use landfall::client::{Answer, Client, headers};
use landfall::names::Digest;
use landfall::policy::trust::{Signature, SigningKey, signed_text, write_signatures};
use landfall_tests::guests::component;
use landfall_tests::world::{World, json_of};

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_trusted_key_has_signed_is_published() {
    let place = tempfile::tempdir().unwrap();
    let ours = SigningKey::generate().unwrap();
    let public = place.path().join("ours.pem");
    std::fs::write(&public, ours.public().to_pem()).unwrap();
    // World's own policies came with the binary and need no signature.
    let world = World::with(|config| {
        config.plugins.trusted_keys = vec![public];
        config.plugins.require_signature = true;
    })
    .await;
    let bytes = component("takes-first");
    let digest = Digest::of(bytes);
    let theirs = SigningKey::generate().unwrap();
    let id = ours.public().id().to_string();

    let unsigned = publish(&world, bytes, &[]).await;
    assert_refused(&unsigned, 422, &["not signed", "landfall plugin sign", &id]);
    let strange = publish(&world, bytes, &[theirs.sign(digest)]).await;
    assert_refused(&strange, 422, &[&theirs.public().id().to_string(), "none of these keys is trusted", &id]);
    let of_another = ours.sign(Digest::of(component("rejects")));
    let exchanged = publish(&world, bytes, &[theirs.sign(digest), of_another]).await;
    assert_refused(&exchanged, 422, &["was exchanged or damaged", &digest.to_string()]);
    let missing = world.manage("GET", &format!("/api/v1/scopes/{}/plugins/ours", world.scope), b"").await;
    assert_eq!(missing.status, 404, "nothing is published: {missing:?}");

    let taken = publish(&world, bytes, &[theirs.sign(digest), ours.sign(digest)]).await;
    assert!(taken.status.is_success(), "{taken:?}");
    assert_eq!(json_of(&taken)["signedBy"], serde_json::json!([id]));
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
    let mut world = World::with(|config| {
        config.plugins.trusted_keys = vec![old_file, new_file.clone()];
        config.plugins.require_signature = true;
    })
    .await;
    let bytes = component("takes-first");
    let digest = Digest::of(bytes);
    assert!(publish(&world, bytes, &[old.sign(digest)]).await.status.is_success());
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
    let published = publish(&world, bytes, &[new.sign(digest)]).await;
    assert!(published.status.is_success(), "{published:?}");
    let mut assigned = world.shown_again(&two).register().await;
    while assigned.status == 202 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assigned = world.shown_again(&two).register().await;
    }
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
    let digest = Digest::of(component("takes-first"));
    std::fs::write(at("text"), signed_text(digest)).unwrap();
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

    // The other way round: its key, our signature, our check.
    run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(at("their.pem")));
    run(Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(at("their.pem"))
        .arg("-out")
        .arg(at("their.pub.pem")));
    run(landfall().args(["plugin", "sign"]).arg(at("policy.wasm")).arg("--key").arg(at("their.pem")));
    for key in ["their.pub.pem", "team.pub.pem"] {
        run(landfall().args(["plugin", "verify"]).arg(at("policy.wasm")).arg("--key").arg(at(key)));
    }
    damaged_components_do_not_verify(&at("policy.wasm"), &at("team.pub.pem"));
}

fn damaged_components_do_not_verify(component: &Path, key: &Path) {
    let mut bytes = std::fs::read(component).unwrap();
    bytes[100] ^= 1;
    std::fs::write(component, bytes).unwrap();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
    let output = verify.args(["plugin", "verify"]).arg(component).arg("--key").arg(key).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("was exchanged or damaged"), "{said}");
}

fn assert_refused(answer: &Answer, status: u16, parts: &[&str]) {
    assert_eq!(answer.status, status, "{answer:?}");
    let detail = json_of(answer)["detail"].as_str().unwrap().to_owned();
    for part in parts {
        assert!(detail.contains(part), "{detail} is without {part:?}");
    }
}

async fn publish(world: &World, component: &[u8], signatures: &[Signature]) -> Answer {
    let path = format!("/api/v1/scopes/{}/plugins/ours", world.scope);
    let bearer = format!("Bearer {}", world.operator_token);
    let lines = write_signatures(signatures);
    let mut all = vec![("authorization", bearer.as_str()), ("content-type", "application/wasm")];
    all.extend(lines.lines().map(|line| ("landfall-signature", line)));
    let mut client =
        Client::connect(world.server().management_addr, "localhost", world.tls(None)).await.expect("a connection");
    client.send(http::Method::PUT, &path, headers(&all), component.to_vec()).await.expect("an answer")
}
