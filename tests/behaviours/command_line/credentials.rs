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
