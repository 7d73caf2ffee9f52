//! Devices that prove themselves by their TPM: a real one, in software.

use std::process::Stdio;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_attestation::tpm::{PublicArea, hmac_key_blob, make_credential};
use landfall_domain::clock::Ambient;
use landfall_domain::names::Digest;
use landfall_tests::swtpm::Swtpm;
use landfall_tests::world::{Device, World, group, in_tests, json_of, tracking_id};
use serde_json::{Value, json};
use tokio::process::Command;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::real_clients::sdk_is_there;

#[test]
fn what_is_wrapped_for_an_endorsement_key_opens_in_its_tpm_for_every_kind_of_key() {
    let Some(tpm) = Swtpm::start() else { return };
    for (kind, hash) in [("rsa", "sha256"), ("ecc", "sha256"), ("ecc384", "sha384")] {
        // The templates of the TCG's profile; the high-range one for P-384 takes an empty password.
        let (endorsement, password) = if kind == "ecc384" {
            let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|adminwithpolicy|restricted|decrypt";
            let words = ["-C", "e", "-G", "ecc384:null:aes256cfb", "-g", hash, "-c", "ek.ctx", "-a", attributes];
            tpm.tool("tpm2_createprimary", &words);
            tpm.tool("tpm2_readpublic", &["-c", "ek.ctx", "-f", "tss", "-o", "ek.pub"]);
            (std::fs::read(tpm.file("ek.pub")).unwrap(), true)
        } else {
            tpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", kind, "-u", "ek.pub"]);
            (std::fs::read(tpm.file("ek.pub")).unwrap(), false)
        };
        tpm.tool("tpm2_createprimary", &["-C", "o", "-G", "ecc", "-c", "srk.ctx"]);
        tpm.tool("tpm2_readpublic", &["-c", "srk.ctx", "-n", "srk.name", "-f", "tss", "-o", "srk.pub"]);
        let endorsement = PublicArea::parse(&endorsement).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let storage_root = PublicArea::parse(&std::fs::read(tpm.file("srk.pub")).unwrap()).unwrap();
        assert_eq!(storage_root.name(), std::fs::read(tpm.file("srk.name")).unwrap(), "the TPM calls it so itself");
        for (name, opens) in [(storage_root.name(), true), (endorsement.name(), false)] {
            let secret = Ambient::system().random::<16>();
            let (object, encrypted) = make_credential(&endorsement, &name, &secret, &Ambient::system()).unwrap();
            std::fs::write(tpm.file("credential"), credential_file(&object, &encrypted)).unwrap();
            drop(std::fs::remove_file(tpm.file("opened")));
            let mut words = vec!["-c", "srk.ctx", "-C", "ek.ctx", "-i", "credential", "-o", "opened"];
            if !password {
                tpm.tool("tpm2_startauthsession", &["--policy-session", "-S", "session.ctx"]);
                tpm.tool("tpm2_policysecret", &["-S", "session.ctx", "-c", "e"]);
                words.extend(["-P", "session:session.ctx"]);
            }
            assert_eq!(tpm.try_tool("tpm2_activatecredential", &words), opens, "{kind}");
            if !password {
                tpm.try_tool("tpm2_flushcontext", &["session.ctx"]);
            }
            if opens {
                assert_eq!(std::fs::read(tpm.file("opened")).unwrap(), secret, "{kind}");
            }
        }
    }
}

#[test]
fn a_wrapped_key_is_imported_below_storage_root_keys_of_every_kind_and_signs_there() {
    let Some(tpm) = Swtpm::start() else { return };
    tpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "ecc", "-u", "ek.pub"]);
    let endorsement = PublicArea::parse(&std::fs::read(tpm.file("ek.pub")).unwrap()).unwrap();
    for (kind, hash) in [("rsa", "sha256"), ("ecc", "sha256"), ("ecc384:null:aes256cfb", "sha384")] {
        let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt";
        let words = ["-C", "o", "-G", kind, "-g", hash, "-c", "srk.ctx", "-a", attributes];
        tpm.tool("tpm2_createprimary", &words);
        tpm.tool("tpm2_readpublic", &["-c", "srk.ctx", "-f", "tss", "-o", "srk.pub"]);
        let storage_root = PublicArea::parse(&std::fs::read(tpm.file("srk.pub")).unwrap()).unwrap();
        let key = Ambient::system().random::<32>();
        let blob = hmac_key_blob(&endorsement, &storage_root, &key, &Ambient::system()).unwrap();
        import(&tpm, blob.as_bytes());
        let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), b"for the hub");
        assert_eq!(sign(&tpm, b"for the hub"), signed.as_ref(), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_registers_with_a_tpm_and_signs_with_the_key_for_its_hub() {
    let Some(tpm) = Swtpm::start() else { return };
    if !sdk_is_there().await {
        return;
    }
    let world = World::new().await;
    let key = sdk(&world, &tpm, &["key"]).await["key"].as_str().unwrap().to_owned();
    let digest = Digest::of(&STANDARD.decode(&key).unwrap());
    let shown = world.put("enrollments/gateway-1", &enrolled(&key)).await;
    assert_eq!(shown["tpm"], json!({ "endorsementKey": key, "endorsementKeySha256": digest.to_string() }));
    record(&world, "gateway-1", &json!({ "endorsementKeySha256": digest.to_string() })).await;

    let answer = sdk(&world, &tpm, &["register", "localhost", world.scope.as_str(), "gateway-1"]).await;
    let state = &answer["result"]["registrationState"];
    assert_eq!(state["status"], "assigned", "{answer}");
    assert_eq!(state["assignedHub"], "hub-1.example", "{answer}");
    let id = "gateway-1".parse().unwrap();
    let hub_key = world.server().provisioning.desk().hub_key(&world.scope, &id, digest);
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, hub_key.as_slice()), b"for the hub");
    assert_eq!(answer["signature"], json!(STANDARD.encode(signed)), "its TPM has the key that its hub is to have");
    let told = world.get(&format!("/api/v1/scopes/{}/registrations/gateway-1", world.scope)).await;
    let decision = world.ledger(told["decision"].as_str().unwrap()).await;
    let decided = &decision["kind"]["decided"];
    assert_eq!(decided["device"]["attestation"], "tpm", "{decided}");
    assert_eq!(decided["factors"]["evidence"], json!(["endorsement key"]), "{decided}");

    // Another TPM under the same id, and the record of another.
    let other = Swtpm::start().unwrap();
    let answer = sdk(&world, &other, &["register", "localhost", world.scope.as_str(), "gateway-1"]).await;
    // The SDK looks for a challenge in the refusal, and says that there is none.
    assert_eq!(answer["error"], "FormatError", "{answer}");
    record(&world, "gateway-1", &json!({ "endorsementKeySha256": Digest::of(b"another").to_string() })).await;
    let answer = sdk(&world, &tpm, &["register", "localhost", world.scope.as_str(), "gateway-1"]).await;
    assert_eq!(answer["error"], "UnauthorizedError", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_for_one_tpm_and_who_has_not_answered_is_told_nothing_but_to_answer() {
    let Some(tpm) = Swtpm::start() else { return };
    let world = World::new().await;
    tpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub"]);
    tpm.tool("tpm2_createprimary", &["-C", "o", "-G", "rsa", "-c", "srk.ctx"]);
    tpm.tool("tpm2_readpublic", &["-c", "srk.ctx", "-f", "tss", "-o", "srk.pub"]);
    let read = |name: &str| STANDARD.encode(std::fs::read(tpm.file(name)).unwrap());
    let (endorsement, storage_root) = (read("ek.pub"), read("srk.pub"));
    world.put("enrollments/gateway-1", &enrolled(&endorsement)).await;
    let device = world.shown("gateway-1", None);
    let body = json!({ "tpm": { "endorsementKey": endorsement, "storageRootKey": storage_root } });
    let challenged = ask(&device, &body, None).await;
    assert_eq!(challenged.status, 401);
    let told = json_of(&challenged);
    assert_eq!((&told["message"], &told["keyName"]), (&json!("Authorization required"), &json!("registration")));
    // Five structures, each with its size, and an empty sixth.
    let blob = STANDARD.decode(told["authenticationKey"].as_str().unwrap()).unwrap();
    let sizes: Vec<usize> = parts(&blob).iter().map(Vec::len).collect();
    assert_eq!(sizes, [52, 256, 142, 256, 48, 0]);

    // A token that somebody else has signed gets a new challenge, and no more.
    let expires = Ambient::system().now().as_secs() + 60;
    let resource = format!("{}%2Fregistrations%2Fgateway-1", world.scope);
    let signature = STANDARD.encode([7; 32]).replace('=', "%3D");
    let token = format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn=registration");
    let again = json_of(&ask(&device, &body, Some(&token)).await);
    assert!(
        again["authenticationKey"].is_string() && again["authenticationKey"] != told["authenticationKey"],
        "{again}"
    );
    // On a poll or without the keys it is a refusal like any other.
    let refused = ask(&device, &json!({}), Some(&token)).await;
    assert_eq!(json_of(&refused)["errorCode"], 401_002);
    assert_eq!(cause(&world, &refused).await, "token-not-signed");

    let swapped = json!({ "tpm": { "endorsementKey": storage_root, "storageRootKey": storage_root } });
    assert_eq!(cause(&world, &ask(&device, &swapped, None).await).await, "other-endorsement-key");
    let nobody = world.shown("gateway-2", None);
    assert_eq!(cause(&world, &ask(&nobody, &body, None).await).await, "not-enrolled-by-tpm");
    for bad in [
        json!({ "endorsementKey": endorsement }),
        json!({ "endorsementKey": "", "storageRootKey": storage_root }),
        json!({ "endorsementKey": endorsement, "storageRootKey": &storage_root[..40] }),
        json!({ "endorsementKey": endorsement, "storageRootKey": "A".repeat(60_000) }),
    ] {
        assert_eq!(ask(&device, &json!({ "tpm": bad }), None).await.status, 400, "{bad}");
    }
    let path = format!("/api/v1/scopes/{}/enrollments/gateway-3", world.scope);
    let twice = world.manage("PUT", &path, enrolled(&endorsement).to_string().as_bytes()).await;
    assert_eq!(twice.status, 409, "one TPM is one device: {twice:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_after_a_restart_as_before_it_and_begins_one_registration() {
    let Some(tpm) = Swtpm::start() else { return };
    let mut world = World::new().await;
    tpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "ecc", "-u", "ek.pub"]);
    tpm.tool("tpm2_createprimary", &["-C", "o", "-G", "ecc", "-c", "srk.ctx"]);
    tpm.tool("tpm2_readpublic", &["-c", "srk.ctx", "-f", "tss", "-o", "srk.pub"]);
    let read = |name: &str| STANDARD.encode(std::fs::read(tpm.file(name)).unwrap());
    let body = json!({ "tpm": { "endorsementKey": read("ek.pub"), "storageRootKey": read("srk.pub") } });
    world.put("enrollments/gateway-1", &enrolled(&read("ek.pub"))).await;
    record(&world, "gateway-1", &json!({})).await;
    let key_in = |answer: &landfall::client::Answer| {
        let told = json_of(answer);
        STANDARD.decode(told["authenticationKey"].as_str().unwrap_or_else(|| panic!("{told}"))).unwrap()
    };
    let challenged = ask(&world.shown("gateway-1", None), &body, None).await;
    // A stranger who knows its public keys asks for challenges, in vain: until the TPM has answered there is this one.
    for _ in 0..10 {
        assert_eq!(ask(&world.shown("gateway-1", None), &body, None).await.status, 401);
    }
    import(&tpm, &key_in(&challenged));
    let expires = Ambient::system().now().as_secs() + 60;
    let resource = format!("{}%2Fregistrations%2Fgateway-1", world.scope);
    let signature = STANDARD.encode(sign(&tpm, format!("{resource}\n{expires}").as_bytes()));
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let token = format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn=registration");

    world.restart().await;
    let begun = ask(&world.shown("gateway-1", None), &body, Some(&token)).await;
    assert!(begun.status.is_success(), "the key that was wrapped before the restart has signed: {begun:?}");
    let operation = json_of(&begun)["operationId"].as_str().unwrap().to_owned();
    let path = format!("/operations/{operation}");
    let headers = [("authorization", token.as_str())];
    let poll = async |world: &World| {
        for _ in 0..100 {
            let told = world.shown("gateway-1", None).send("GET", &path, &headers, String::new()).await;
            if told.status == 200 {
                return json_of(&told);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("it is never assigned");
    };
    poll(&world).await;

    world.restart().await;
    let told = poll(&world).await;
    let hub_key = told["registrationState"]["tpm"]["authenticationKey"].as_str().unwrap_or_else(|| panic!("{told}"));
    import(&tpm, &STANDARD.decode(hub_key).unwrap());
    let digest = Digest::of(&std::fs::read(tpm.file("ek.pub")).unwrap());
    let hub_key = world.server().provisioning.desk().hub_key(&world.scope, &"gateway-1".parse().unwrap(), digest);
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, hub_key.as_slice()), b"for the hub");
    assert_eq!(sign(&tpm, b"for the hub"), signed.as_ref(), "polls carry the answer on");
    let again = ask(&world.shown("gateway-1", None), &body, Some(&token)).await;
    assert_eq!(again.status, 401);
    assert_ne!(key_in(&again), key_in(&challenged), "what has begun a registration begins no other");
    let known: Vec<bool> =
        world.server().service.store().challenges().await.unwrap().iter().map(|kept| kept.own).collect();
    assert_eq!(known, [false, true], "the second is for the TPM that registered here");
    let bare = ask(&world.shown("gateway-1", None), &json!({}), Some(&token)).await;
    assert_eq!(cause(&world, &bare).await, "challenge-answered-before", "nor without the keys beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_takes_the_tpms_of_a_maker_whose_keys_the_manufacturing_records_name() {
    let Some(tpm) = Swtpm::certified() else { return };
    if !sdk_is_there().await {
        return;
    }
    let world = World::new().await;
    let key = sdk(&world, &tpm, &["key"]).await["key"].as_str().unwrap().to_owned();
    let digest = Digest::of(&STANDARD.decode(&key).unwrap()).to_string();
    tpm.tool("tpm2_nvread", &["-C", "o", "0x1c00002", "-o", "ek.crt"]);
    let certificate = STANDARD.encode(std::fs::read(tpm.file("ek.crt")).unwrap());
    let text = |name: &str| std::fs::read_to_string(tpm.file("maker").join(name)).unwrap();
    let (root, issuer) = (text("swtpm-localca-rootca-cert.pem"), text("issuercert.pem"));
    let gateways = |tpm: Value| {
        let mut gateways = group("factory");
        gateways.as_object_mut().unwrap().remove("x509");
        gateways["tpm"] = tpm;
        gateways
    };
    let shown =
        world.put("enrollment-groups/gateways", &gateways(json!({ "roots": [root], "intermediates": [issuer] }))).await;
    let again = world.put("enrollment-groups/gateways", &shown).await;
    assert_eq!(again["tpm"], shown["tpm"], "what was read can be sent back");

    // The unmodified SDK, which knows nothing of certificates: the manufacturer has imported it.
    record(&world, "gateway-1", &json!({ "endorsementKeySha256": digest, "endorsementCertificate": certificate }))
        .await;
    let answer = sdk(&world, &tpm, &["register", "localhost", world.scope.as_str(), "gateway-1"]).await;
    assert_eq!(answer["result"]["registrationState"]["assignedHub"], "hub-1.example", "{answer}");
    let told = world.get(&format!("/api/v1/scopes/{}/registrations/gateway-1", world.scope)).await;
    let decision = world.ledger(told["decision"].as_str().unwrap()).await;
    let decided = &decision["kind"]["decided"];
    assert_eq!(decided["factors"]["evidence"], json!(["endorsement key"]), "{decided}");
    let claims = decided["device"]["claims"].to_string();
    assert!(claims.contains("id:00001014") && claims.contains("swtpm"), "a policy may know the chip: {claims}");

    // A client that sends the certificate, and one that does not where the record has none either.
    tpm.tool("tpm2_createprimary", &["-C", "o", "-G", "rsa", "-c", "srk.ctx"]);
    tpm.tool("tpm2_readpublic", &["-c", "srk.ctx", "-f", "tss", "-o", "srk.pub"]);
    let storage_root = STANDARD.encode(std::fs::read(tpm.file("srk.pub")).unwrap());
    let device = world.shown("gateway-2", None);
    let body = |certificate: Option<&str>| {
        let mut tpm = json!({ "endorsementKey": key, "storageRootKey": storage_root });
        if let Some(certificate) = certificate {
            tpm["endorsementCertificate"] = certificate.into();
        }
        json!({ "tpm": tpm })
    };
    assert_eq!(cause(&world, &ask(&device, &body(None), None).await).await, "no-manufacturing-record");
    record(&world, "gateway-2", &json!({})).await;
    assert_eq!(cause(&world, &ask(&device, &body(None), None).await).await, "no-endorsement-key-in-record");
    record(&world, "gateway-2", &json!({ "endorsementKeySha256": Digest::of(b"other").to_string() })).await;
    assert_eq!(cause(&world, &ask(&device, &body(Some(&certificate)), None).await).await, "evidence-mismatch");
    record(&world, "gateway-2", &json!({ "endorsementKeySha256": digest })).await;
    assert_eq!(cause(&world, &ask(&device, &body(None), None).await).await, "no-endorsement-certificate");
    let challenged = ask(&device, &body(Some(&certificate)), None).await;
    assert!(json_of(&challenged)["authenticationKey"].is_string(), "{challenged:?}");

    // The certificate of another chip, and of another maker.
    let Some(other) = Swtpm::certified() else { return };
    other.tool("tpm2_nvread", &["-C", "o", "0x1c00002", "-o", "ek.crt"]);
    let foreign = STANDARD.encode(std::fs::read(other.file("ek.crt")).unwrap());
    let refused = ask(&device, &body(Some(&foreign)), None).await;
    assert_eq!(cause(&world, &refused).await, "other-endorsement-certificate");
    let others_root = std::fs::read_to_string(other.file("maker").join("swtpm-localca-rootca-cert.pem")).unwrap();
    world.put("enrollment-groups/gateways", &gateways(json!({ "roots": [others_root] }))).await;
    let refused = ask(&device, &body(Some(&certificate)), None).await;
    assert_eq!(cause(&world, &refused).await, "endorsement-certificate-not-accepted");
    assert_eq!(ask(&device, &body(Some("bm90IGEgY2VydGlmaWNhdGU=")), None).await.status, 400);

    // Two groups may share a maker when no manufacturer's devices could come into both.
    let of = |manufacturer: &str, roots: &str| {
        let mut gateways = gateways(json!({ "roots": [roots] }));
        gateways["manufacturers"] = json!([manufacturer]);
        gateways
    };
    world.put("enrollment-groups/of-acme", &of("acme", &others_root)).await;
    let path = |id: &str| format!("/api/v1/scopes/{}/enrollment-groups/{id}", world.scope);
    let twice = world.manage("PUT", &path("of-acme-too"), of("acme", &others_root).to_string().as_bytes()).await;
    assert_eq!(twice.status, 409, "{twice:?}");
    let mut optional = gateways(json!({ "roots": [root] }));
    optional["manufacturing"] = "optional".into();
    for (wrong, pointer) in [
        (optional, "/manufacturing"),
        (gateways(json!({ "roots": [] })), "/tpm/roots"),
        (gateways(json!({ "roots": ["no PEM"] })), "/tpm/roots/0"),
        (gateways(json!({ "endorsementKey": key })), "/tpm"),
    ] {
        let answer = world.manage("PUT", &path("wrong"), wrong.to_string().as_bytes()).await;
        assert_eq!(answer.status, 400, "{pointer}: {answer:?}");
        assert_eq!(json_of(&answer)["errors"][0]["pointer"], pointer, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_whose_certificate_or_maker_was_revoked_is_not_even_challenged() {
    let Some(tpm) = Swtpm::certified() else { return };
    tpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub"]);
    tpm.tool("tpm2_createprimary", &["-C", "o", "-G", "rsa", "-c", "srk.ctx"]);
    tpm.tool("tpm2_readpublic", &["-c", "srk.ctx", "-f", "tss", "-o", "srk.pub"]);
    tpm.tool("tpm2_nvread", &["-C", "o", "0x1c00002", "-o", "ek.crt"]);
    let read = |name: &str| std::fs::read(tpm.file(name)).unwrap();
    let text = |name: &str| std::fs::read_to_string(tpm.file("maker").join(name)).unwrap();
    let (root, issuer) = (text("swtpm-localca-rootca-cert.pem"), text("issuercert.pem"));

    let world = World::new().await;
    let mut gateways = group("factory");
    gateways.as_object_mut().unwrap().remove("x509");
    gateways["tpm"] = json!({ "roots": [root], "intermediates": [issuer] });
    world.put("enrollment-groups/gateways", &gateways).await;
    let certificate = read("ek.crt");
    let evidence = json!({
        "endorsementKeySha256": Digest::of(&read("ek.pub")).to_string(),
        "endorsementCertificate": STANDARD.encode(&certificate),
    });
    record(&world, "gateway-1", &evidence).await;
    let device = world.shown("gateway-1", None);
    let encoded = |name: &str| STANDARD.encode(read(name));
    let body = json!({ "tpm": { "endorsementKey": encoded("ek.pub"), "storageRootKey": encoded("srk.pub") } });
    let is_challenged = async || json_of(&ask(&device, &body, None).await)["authenticationKey"].is_string();
    assert!(is_challenged().await);

    // The makers' authorities need not be proven: they admit nobody, and what is revoked is kept for a name and a key.
    world.put("authorities/maker", &json!({ "certificate": issuer })).await;
    world.put("authorities/maker-root", &json!({ "certificate": root })).await;
    let (_, read) = X509Certificate::from_der(&certificate).unwrap();
    let number: String = read.raw_serial().iter().map(|octet| format!("{octet:02x}")).collect();
    let everything = json!([{ "from": "0", "to": "F".repeat(40) }]);
    for (of, revoke, restore, says) in [
        (
            "maker",
            json!({ "revokeSerials": [{ "from": number }] }),
            json!({ "restoreSerials": [{ "from": number }] }),
            "the endorsement certificate",
        ),
        ("maker", json!({ "revoked": true }), json!({ "revoked": false }), "swtpm-localca"),
        (
            "maker-root",
            json!({ "revokeSerials": everything }),
            json!({ "restoreSerials": everything }),
            "swtpm-localca",
        ),
        ("maker-root", json!({ "revoked": true }), json!({ "revoked": false }), "swtpm-localca-rootca"),
    ] {
        let path = format!("authorities/{of}/revocation");
        world.put(&path, &revoke).await;
        let refused = ask(&device, &body, None).await;
        assert_eq!(cause(&world, &refused).await, "endorsement-certificate-not-accepted", "{revoke}");
        let story = world.ledger(&tracking_id(&refused)).await["kind"]["refused"]["detail"].clone();
        assert!(
            story.as_str().unwrap().contains(says) && story.as_str().unwrap().contains("revoked"),
            "{revoke}: {story}"
        );
        world.put(&path, &restore).await;
        assert!(is_challenged().await, "{restore}");
    }
}

/// What the client does with a blob: the credential gives the inner key, with which the other three are imported.
fn import(tpm: &Swtpm, blob: &[u8]) {
    let parts = parts(blob);
    std::fs::write(tpm.file("credential"), credential_file(&parts[0], &parts[1])).unwrap();
    tpm.tool("tpm2_startauthsession", &["--policy-session", "-S", "session.ctx"]);
    tpm.tool("tpm2_policysecret", &["-S", "session.ctx", "-c", "e"]);
    let opened = ["-c", "srk.ctx", "-C", "ek.ctx", "-i", "credential", "-o", "inner.key", "-P", "session:session.ctx"];
    tpm.tool("tpm2_activatecredential", &opened);
    tpm.try_tool("tpm2_flushcontext", &["session.ctx"]);
    for (name, part) in [("dup.priv", &parts[2]), ("dup.seed", &parts[3]), ("key.pub", &parts[4])] {
        std::fs::write(tpm.file(name), sized(part)).unwrap();
    }
    let import =
        ["-C", "srk.ctx", "-u", "key.pub", "-i", "dup.priv", "-s", "dup.seed", "-k", "inner.key", "-r", "key.priv"];
    tpm.tool("tpm2_import", &import);
    tpm.tool("tpm2_load", &["-C", "srk.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx"]);
}

/// Has the imported key sign.
fn sign(tpm: &Swtpm, text: &[u8]) -> Vec<u8> {
    std::fs::write(tpm.file("said"), text).unwrap();
    tpm.tool("tpm2_hmac", &["-c", "key.ctx", "-o", "signed", "said"]);
    std::fs::read(tpm.file("signed")).unwrap()
}

fn enrolled(key: &str) -> Value {
    let mut enrollment = group("factory");
    enrollment.as_object_mut().unwrap().remove("x509");
    enrollment["tpm"] = json!({ "endorsementKey": key });
    enrollment
}

async fn ask(device: &Device, body: &Value, token: Option<&str>) -> landfall::client::Answer {
    let headers: Vec<_> = token.map(|token| ("authorization", token)).into_iter().collect();
    device.send("PUT", "/register", &headers, body.to_string()).await
}

async fn cause(world: &World, answer: &landfall::client::Answer) -> String {
    assert_eq!(answer.status, 401, "{answer:?}");
    world.ledger(&tracking_id(answer)).await["kind"]["refused"]["cause"].as_str().unwrap().to_owned()
}

async fn record(world: &World, id: &str, evidence: &Value) {
    let mut row = evidence.clone();
    row["registrationId"] = id.into();
    row["facts"] = json!({ "site": "oslo" });
    let path = format!("/api/v1/scopes/{}/records?manufacturer=acme", world.scope);
    let body = format!("{row}\n");
    let answer = world.manage_as(&world.operator_token, "POST", &path, "application/x-ndjson", body.as_bytes()).await;
    assert_eq!(json_of(&answer)["refused"], 0, "{answer:?}");
}

/// Runs the SDK; gives the line that it prints.
async fn sdk(world: &World, tpm: &Swtpm, words: &[&str]) -> Value {
    let ran = Command::new("node")
        .current_dir(in_tests("clients/node"))
        .args(["--no-deprecation", "--require", "./redirect.cjs", "tpm.cjs", &tpm.port.to_string()])
        .args(words)
        .env("LANDFALL_PORT", world.server().device_addr.port().to_string())
        .env("NODE_EXTRA_CA_CERTS", world.folder.ca_certificate())
        .stdin(Stdio::null())
        .output();
    let ran = tokio::time::timeout(std::time::Duration::from_secs(60), ran).await.expect("the SDK ends").unwrap();
    let (said, complained) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let line = said.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {said}\n{complained}"))
}

/// What `tpm2_activatecredential` reads: a mark, a version, and the two structures with their sizes.
fn credential_file(object: &[u8], secret: &[u8]) -> Vec<u8> {
    [&0xbadc_c0de_u32.to_be_bytes(), 1_u32.to_be_bytes().as_slice(), &sized(object), &sized(secret)].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// The structures of a blob, without their sizes.
fn parts(mut blob: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while let Some((size, rest)) = blob.split_first_chunk::<2>() {
        let (part, after) = rest.split_at(u16::from_be_bytes(*size).into());
        parts.push(part.to_vec());
        blob = after;
    }
    parts
}
