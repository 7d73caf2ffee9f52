//! How devices prove themselves, as an operator types it.

use super::*;

#[test]
fn every_way_to_prove_oneself_has_its_words() {
    let site = Site::new();
    let server = site.serve();
    let maker = Authority::root("Maker of chips", Ambient::system().now(), 30).unwrap();
    let maker = site.file("maker.pem", &maker.certificate_pem);
    let put = |words: &[&str]| {
        let words: Vec<_> = ["group", "put", "devices"].iter().chain(words).copied().collect();
        site.says(&words, &["Group devices is "]);
        site.json(&["group", "show", "devices"])
    };
    let issuer = "https://login.example.com/tenant";
    let shown = put(&[
        "--token-issuer",
        issuer,
        "--token-audience",
        "urn:landfall",
        "--token-audience",
        "urn:others",
        "--token-id-claim",
        "device.id",
        "--token-claim",
        "role=device",
        "--token-claim",
        "trusted=true",
        "--token-algorithm",
        "ES256",
        "--token-type",
        "at+jwt",
        "--token-max-minutes",
        "60",
        "--token-ca",
        &maker,
    ]);
    let token = &shown["token"];
    assert!(token["caCertificate"].as_str().is_some_and(|pem| pem.contains("BEGIN CERTIFICATE")), "{shown}");
    let mut said = token.clone();
    said.as_object_mut().unwrap().remove("caCertificate");
    let wanted = serde_json::json!({
        "issuer": issuer, "audiences": ["urn:landfall", "urn:others"], "registrationIdClaim": "device.id",
        "requiredClaims": { "role": "device", "trusted": true }, "algorithms": ["ES256"], "tokenType": "at+jwt",
        "maxLifetimeMinutes": 60,
    });
    assert_eq!(said, wanted);
    let shown = put(&["--token-issuer", issuer, "--token-audience", "urn:landfall"]);
    assert_eq!(shown["token"]["registrationIdClaim"], "sub", "{shown}");
    let shown = put(&["--tpm-maker", &maker]);
    assert!(shown["tpm"]["roots"][0].as_str().is_some() && shown["token"].is_null(), "{shown}");
    let shown = put(&["--symmetric-key"]);
    assert!(shown["symmetricKey"].is_object() && shown["tpm"].is_null(), "{shown}");

    let ways: [&[&str]; 6] = [
        &["--ca", "factory"],
        &["--intermediate", &maker],
        &["--symmetric-key"],
        &["--tpm-maker", &maker],
        &["--directory", "fleet"],
        &["--token-issuer", issuer, "--token-audience", "a"],
    ];
    for (at, one) in ways.iter().enumerate() {
        for other in ways.iter().skip(at + 1).chain([&["--file", maker.as_str()] as &[_]].iter()) {
            let ran = site.run(&[&["group", "put", "devices"], *one, other].concat());
            assert_eq!(ran.code, 2, "{one:?} and {other:?} are two ways: {ran:?}");
        }
    }
    let unnamed = site.run(&["group", "put", "devices", "--token-issuer", issuer]);
    assert_eq!(unnamed.code, 2, "a token for anybody: {unnamed:?}");
    let nothing = site.run(&["group", "put", "devices"]);
    assert!(nothing.code == 2 && nothing.err.contains("--token-issuer"), "{nothing:?}");
    let nowhere = site.run(&["group", "put", "devices", "--directory", "fleet"]);
    assert!(
        nowhere.code == 1 && nowhere.err.contains("landfall.toml has no directory fleet for the id scope"),
        "{nowhere:?}"
    );
    stop(server);
}

#[test]
fn one_credential_is_changed_and_all_else_stays() {
    let site = Site::new();
    let server = site.serve();
    for name in ["factory", "spare", "next"] {
        proven(&site, name);
    }
    let places = r#"table={"rules":[{"group":["north"]}]}"#;
    let put = ["group", "put", "pumps", "--ca", "factory", "--secondary-ca", "spare", "--key-change", "allow"];
    site.says(&[&put[..], &["--grouping", places]].concat(), &["Group pumps is there."]);
    let show = |words: [&str; 3]| {
        let mut shown = site.json(&words);
        for what in ["etag", "updatedAt"] {
            shown.as_object_mut().unwrap().remove(what);
        }
        shown
    };
    let group = || show(["group", "show", "pumps"]);
    let mut wanted = group();
    let told = ["is changed", "x509.authorities.secondary: spare -> next"];
    site.says(&["group", "set", "pumps", "--secondary-ca", "next"], &told);
    wanted["x509"]["authorities"]["secondary"] = "next".into();
    assert_eq!(group(), wanted);
    site.says(&["group", "set", "pumps", "--ca", "next", "--no-secondary-ca"], &["primary: factory -> next"]);
    wanted["x509"]["authorities"] = serde_json::json!({ "primary": "next" });
    assert_eq!(group(), wanted);

    // What is of another way changes over to it or is refused, and never changes a half.
    let root = site.place.path().join("spare.pem").to_str().unwrap().to_owned();
    for (words, says) in [
        (["--secondary-intermediate", root.as_str()], "say --intermediate too"),
        (["--token-type", "at+jwt"], "say --token-issuer with --token-audience too"),
        (["--ca=next", "--symmetric-key"], "two ways"),
    ] {
        let ran = site.run(&[&["group", "set", "pumps"], &words[..]].concat());
        assert!(ran.code == 2 && ran.err.contains(says), "{ran:?}");
    }
    assert_eq!(group(), wanted);
    let table = ["--allocation", "table", "--settings", r#"{"rules":[{"hub-labels":{"region":"eu"}}]}"#];
    site.says(
        &[&["group", "set", "pumps"], &table[..]].concat(),
        &["plugin: weighted -> table", "--fallback weighted"],
    );
    let shown = group();
    assert!(shown["allocation"]["fallback"].is_null(), "a fallback that nobody asked for: {shown}");
    site.says(&["group", "set", "pumps", "--fallback", "weighted"], &["allocation.fallback"]);
    site.says(&["group", "set", "pumps", "--symmetric-key"], &["primary key  ", "secondary key"]);
    let shown = group();
    assert!(shown["x509"].is_null() && shown["keyChange"] == "allow", "{shown}");
    let ran = site.run(&["group", "set", "pumps", "--new-secondary-key"]);
    assert!(ran.out.contains("symmetricKey.secondaryKey: (given anew)"), "{ran:?}");
    assert!(ran.out.contains("secondary key  ") && !ran.out.contains("primary key  "), "{ran:?}");
    assert_eq!(group(), shown);
    stop(server);
}

#[test]
fn one_credential_of_a_device_is_changed_and_all_else_stays() {
    let site = Site::new();
    let server = site.serve();
    let pin = |letter: &str| format!("sha256:{}", letter.repeat(64));
    let put = ["enrollment", "put", "pump-7", "--certificate", &pin("a"), "--device-id", "p-7"];
    site.says(&put, &["pump-7 is enrolled."]);
    site.says(&["enrollment", "set", "pump-7", "--secondary", &pin("b")], &["secondary.sha256: - -> bbbb"]);
    let shown = site.json(&["enrollment", "show", "pump-7"]);
    assert_eq!(shown["x509"]["certificates"]["primary"]["sha256"], "a".repeat(64), "{shown}");
    assert_eq!(shown["deviceId"], "p-7", "{shown}");
    let last = ["enrollment", "set", "pump-7", "--certificate", &pin("b"), "--no-secondary", "--no-device-id"];
    site.says(&last, &["deviceId: p-7 -> -", "primary.sha256: aaaa"]);
    let shown = site.json(&["enrollment", "show", "pump-7"]);
    assert_eq!(shown["x509"], serde_json::json!({ "certificates": { "primary": { "sha256": "b".repeat(64) } } }));
    let key = site.file("own.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let stray = site.run(&["enrollment", "set", "pump-7", "--primary-key", &key]);
    assert!(stray.code == 2 && stray.err.contains("say --symmetric-key too"), "{stray:?}");
    site.says(&["enrollment", "set", "pump-7", "--symmetric-key", "--primary-key", &key], &["primary key  ", "AAAA"]);
    let nothing = site.run(&["enrollment", "set", "pump-7"]);
    assert!(nothing.code != 0 && nothing.err.contains("nothing is said"), "{nothing:?}");
    stop(server);
}

/// Uploads an authority, and proves that its key is at hand.
fn proven(site: &Site, name: &str) {
    let authority = Authority::root(&format!("{name} CA"), Ambient::system().now(), 30).unwrap();
    site.says(
        &["ca", "upload", name, &site.file(&format!("{name}.pem"), &authority.certificate_pem)],
        &["is uploaded"],
    );
    let code = site.json(&["ca", "code", name])["verificationCode"].as_str().unwrap().to_owned();
    let proof = authority.device(&code, Ambient::system().now(), 1).unwrap();
    site.says(&["ca", "verify", name, &site.file("proof.pem", &proof.certificate_pem)], &["is proven"]);
}
