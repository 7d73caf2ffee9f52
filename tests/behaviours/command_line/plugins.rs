//! A plugin's life as an operator and an author type it.

use std::path::Path;

use landfall::policy::shipped;
use landfall_tests::guests::component;

use super::*;

#[test]
fn an_operator_binds_a_plugin_by_name_or_digest_limits_it_and_goes_back() {
    let site = Site::new();
    let server = site.serve();
    let factory = Authority::root("Pump Factory CA", Ambient::system().now(), 30).unwrap();
    site.enroll(&factory);
    let publish = |guest: &str| {
        let file = site.bytes(&format!("{guest}.wasm"), component(guest));
        site.says(&["plugin", "publish", "ours", &file], &["Plugin ours is published as"]);
        site.json(&["plugin", "show", "ours"])["digest"].as_str().unwrap().to_owned()
    };
    let first = publish("takes-first");
    let second = publish("panics");

    site.says(&["plugin", "revisions", "ours"], &["REVISION", "LIVE", "LOADED", "BREAKER", &first, &second, "closed"]);
    site.says(
        &[
            "plugin",
            "set",
            "ours",
            "--fuel",
            "2_000_000",
            "--on-failure",
            "previous-revision,shipped:weighted,retry-later",
        ],
        &["Plugin ours: fuel=2000000; when it gives no answer: previous-revision, shipped:weighted, retry-later."],
    );
    site.says(
        &["plugin", "show", "ours"],
        &["limits", "2000000", "onFailure", "previous-revision", "breaker", "closed"],
    );
    let refused = site.run(&["plugin", "set", "ours", "--memory-bytes", "1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("/limits/memoryBytes") && refused.err.contains("65536"), "{refused:?}");

    site.says(&["group", "put", "pumps", "--ca", "factory", "--allocation", "ours"], &["Group pumps is there."]);
    let tracking = site.register(&factory, "pump-1");
    site.says(
        &["decision", "show", &tracking],
        &[
            "got the hub hub-1.example",
            "it panicked at",
            "in place of",
            "the live revision, which gave no answer (panic)",
        ],
    );

    // One exact revision is kept, whatever becomes live.
    let exact = format!("ours@{first}");
    site.says(&["group", "put", "pumps", "--ca", "factory", "--allocation", &exact], &["Group pumps is there."]);
    assert_eq!(site.json(&["group", "show", "pumps"])["allocation"]["selection"]["revision"], first.as_str());

    site.says(&["plugin", "rollback", "ours"], &["Plugin ours is back at", &first]);
    site.says(&["plugin", "rollback", "ours", "--to", &second], &["Plugin ours is back at", &second]);
    let unknown = "0".repeat(64);
    let refused = site.run(&["plugin", "rollback", "ours", "--to", &unknown]);
    assert!(refused.code == 1 && refused.err.contains("was never live"), "{refused:?}");
    site.says(&["plugin", "set", "ours", "--fuel", "default"], &["the configuration's limits"]);
    stop(server);
}

#[test]
fn an_author_sees_what_a_change_does_to_the_golden_vectors_and_a_bad_build_changes_nothing() {
    let site = Site::new();
    let vectors = r#"{ "vectors": [{ "name": "the first hub is taken", "hubs": [{ "name": "a.example" }, { "name": "b.example" }],
        "expect": { "assign": { "hub": "a.example" } } }] }"#;
    let vectors = site.file("vectors.json", vectors);
    let file = site.bytes("ours.wasm", component("takes-first"));
    let told = site.place.path().join("told");
    let out = std::fs::File::create(&told).unwrap();
    let server = site.serve_with(&["--dev", &format!("ours={file}"), "--vectors", &vectors], out.into());
    heard(&told, "is live,");
    let first = site.json(&["plugin", "show", "ours"])["digest"].as_str().unwrap().to_owned();

    site.bytes("ours.wasm", component("rejects"));
    heard(&told, "1 of 1 golden vectors are answered differently");
    for part in ["the first hub is taken", "was {\"assign\"", "now {\"reject\"", "1 of 1 do not get what they expect"] {
        heard(&told, part);
    }
    let second = (0..200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let live = site.json(&["plugin", "show", "ours"])["digest"].as_str().unwrap().to_owned();
        (live != first).then_some(live)
    });
    let second = second.expect("the new build is live");

    site.bytes("ours.wasm", b"\0asm nothing of the kind");
    heard(&told, "not taken: ");
    heard(&told, "goes on deciding");
    assert_eq!(site.json(&["plugin", "show", "ours"])["digest"], second.as_str());
    site.bytes("ours.wasm", shipped::component("weighted").unwrap());
    heard(&told, "the first hub is taken\n      was {\"reject\"");
    stop(server);
}

/// Waits until something was said.
fn heard(told: &Path, part: &str) {
    for _ in 0..600 {
        if std::fs::read_to_string(told).is_ok_and(|text| text.contains(part)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{part:?} was never said:\n{}", std::fs::read_to_string(told).unwrap());
}

impl Site {
    fn bytes(&self, name: &str, content: &[u8]) -> String {
        let path = self.place.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A hub, a proven CA, and the record of one device.
    fn enroll(&self, factory: &Authority) {
        self.says(&["hub", "link", "hub-1.example", "--capacity", "500"], &["is linked"]);
        let root = self.file("root.pem", &factory.certificate_pem);
        self.says(&["ca", "upload", "factory", &root], &["is uploaded"]);
        let code = self.json(&["ca", "code", "factory"])["verificationCode"].as_str().unwrap().to_owned();
        let proof = factory.device(&code, Ambient::system().now(), 1).unwrap();
        let proof = self.file("proof.pem", &proof.certificate_pem);
        self.says(&["ca", "verify", "factory", &proof], &["is proven"]);
        let records = self.file("records.jsonl", "{\"registrationId\":\"pump-1\"}\n");
        self.says(&["registry", "import", &records, "--manufacturer", "acme"], &["1 added"]);
    }
}
