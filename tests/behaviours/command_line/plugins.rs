//! A plugin's life as an operator and an author type it.

use std::path::Path;

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
    site.says(&["group", "put", "pumps", "--ca", "factory", "--allocation", &exact], &["Group pumps is changed."]);
    assert_eq!(site.json(&["group", "show", "pumps"])["allocation"]["selection"]["revision"], first.as_str());

    let before = site.json(&["plugin", "revisions", "ours"]);
    site.says(&["plugin", "rollback", "ours"], &["Plugin ours is back at", &first]);
    // Whose a revision is and since when does not change when somebody goes back to it.
    let after = site.json(&["plugin", "revisions", "ours"]);
    let published = |revisions: &Value, digest: &str| {
        let all = revisions["items"].as_array().unwrap().iter();
        let one = all.clone().find(|one| one["digest"] == digest).unwrap();
        (one["publishedAt"].clone(), one["publishedBy"].clone())
    };
    assert_eq!(published(&after, &first), published(&before, &first), "{after}");
    assert!(after["items"][0]["liveSince"].is_string() && after["items"][0]["liveBy"].is_string(), "{after}");
    site.says(&["plugin", "rollback", "ours", "--to", &second], &["Plugin ours is back at", &second]);
    assert_eq!(published(&site.json(&["plugin", "revisions", "ours"]), &second), published(&before, &second));
    site.says(&["plugin", "rollback", "ours", "--to", &first[..8]], &["Plugin ours is back at", &first]);
    let nobodys = site.run(&["plugin", "rollback", "ours", "--to", "00000000"]);
    assert!(nobodys.code == 1 && nobodys.err.contains("no revision of ours begins with 00000000"), "{nobodys:?}");
    assert_eq!(site.run(&["plugin", "rollback", "ours", "--to", &first[..7]]).code, 2);
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
    heard(&told, "held back; ");
    assert_eq!(site.json(&["plugin", "show", "ours"])["digest"], first.as_str());

    site.bytes("ours.wasm", b"\0asm nothing of the kind");
    heard(&told, "not taken: ");
    heard(&told, "goes on deciding");
    assert_eq!(site.json(&["plugin", "show", "ours"])["digest"], first.as_str());

    // The author meant it, and says so in the vectors.
    site.file("vectors.json", r#"{ "vectors": [{ "name": "nobody comes in", "hubs": [{ "name": "a.example" }], "expect": { "reject": {} } }] }"#);
    site.bytes("ours.wasm", component("rejects"));
    heard(&told, "nobody comes in\n      was {\"assign\"");
    let second = (0..600).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let live = site.json(&["plugin", "show", "ours"])["digest"].as_str().unwrap().to_owned();
        (live != first).then_some(live)
    });
    assert!(second.is_some(), "the new build is live");
    stop(server);
}

#[test]
fn a_policy_is_published_from_where_there_is_no_data_folder() {
    let site = Site::new();
    let server = site.serve();
    let token = site.place.path().join("publisher.token");
    let token = token.to_str().unwrap();
    site.says(&["token", "create", "--role", "publisher", "--note", "ci", "--out", token], &["Keep it secret."]);
    let file = site.bytes("ours.wasm", component("takes-first"));
    let url = format!("https://localhost:{}", site.management.port());
    let ca = landfall::folder::DataFolder::at(&site.data).ca_certificate();
    let empty = tempfile::tempdir().unwrap();
    let elsewhere = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(empty.path()).env_remove("LANDFALL_DATA").stdin(Stdio::null());
        let ran = command.envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: ran.status.code().unwrap_or(-1), out: text(&ran.stdout), err: text(&ran.stderr) }
    };

    let publish = ["plugin", "publish", "ours", file.as_str()];
    let typed =
        ["--server", url.as_str(), "--ca-file", ca.to_str().unwrap(), "--token-file", token, "--scope", "0neCLI"];
    let ran = elsewhere(&[&publish[..], &typed].concat(), &[]);
    assert!(ran.code == 0 && ran.out.contains("Plugin ours is published as"), "{ran:?}");

    // The same from the environment, the token itself among it.
    let secret = std::fs::read_to_string(token).unwrap();
    let variables = [
        ("LANDFALL_SERVER", url.as_str()),
        ("LANDFALL_CA_FILE", ca.to_str().unwrap()),
        ("LANDFALL_SCOPE", "0neCLI"),
        ("LANDFALL_TOKEN", secret.trim()),
    ];
    let ran = elsewhere(&["plugin", "list"], &variables);
    assert!(ran.code == 0 && ran.out.contains("ours"), "{ran:?}");
    // A folder that is typed is the one that is meant.
    let ran = elsewhere(&["hub", "list", "--data", "no-such-folder"], &variables);
    assert!(ran.code == 1 && ran.err.contains("no-such-folder"), "{ran:?}");
    let both = elsewhere(&["hub", "list", "--data", "d", "--server", &url], &[]);
    assert!(both.code == 2 && both.err.contains("say one of them"), "{both:?}");

    for (left_out, says) in [("--token-file", "LANDFALL_TOKEN"), ("--scope", "LANDFALL_SCOPE"), ("--ca-file", "https")]
    {
        let at = typed.iter().position(|word| *word == left_out).unwrap();
        let rest: Vec<_> =
            typed.iter().enumerate().filter(|(n, _)| *n != at && *n != at + 1).map(|(_, word)| *word).collect();
        let ran = elsewhere(&[&publish[..], &rest].concat(), &[]);
        let trusts_nobody = ran.err.contains("TLS") || ran.err.contains("--ca-file");
        assert!(ran.code != 0 && (ran.err.contains(says) || trusts_nobody), "without {left_out}: {ran:?}");
    }
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
