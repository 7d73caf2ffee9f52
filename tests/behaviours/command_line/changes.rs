//! Changes of a part, and two people who change one thing at once.

use super::*;

/// What stays of a pair of changes that are made at once: both.
#[test]
fn a_drain_and_another_change_at_once_both_stand() {
    let site = Site::new();
    let server = site.serve();
    for round in 0..20 {
        let name = format!("hub-{round}.example");
        site.says(&["hub", "link", &name, "--capacity", "5"], &["is linked"]);
        std::thread::scope(|scope| {
            scope.spawn(|| site.says(&["hub", "drain", &name], &["is draining"]));
            scope.spawn(|| site.says(&["hub", "link", &name, "--weight", "7"], &["is changed", "weight: 1 -> 7"]));
        });
        let hub = site.json(&["hub", "show", &name]);
        assert_eq!((&hub["state"], &hub["weight"]), (&"draining".into(), &7.into()), "{hub}");
    }
    stop(server);
}

#[test]
fn what_a_command_changes_is_told_and_what_is_not_said_stays() {
    let site = Site::new();
    let server = site.serve();
    let put = ["group", "put", "meters", "--symmetric-key"];
    let settings = r#"table={"rules":[{"group":["north"]}]}"#;
    site.says(&[&put[..], &["--grouping", settings]].concat(), &["Group meters is there.", "primary key"]);
    let before = site.json(&["group", "show", "meters"]);

    site.says(&["group", "set", "meters", "--key-change", "allow"], &["is changed", "keyChange: refuse -> allow"]);
    let mut after = site.json(&["group", "show", "meters"]);
    assert_eq!(after["keyChange"], "allow");
    for what in ["keyChange", "etag", "updatedAt"] {
        after[what] = before[what].clone();
    }
    assert_eq!(after, before, "nothing else is another");
    site.says(&["group", "set", "meters", "--disabled"], &["enabled: yes -> no"]);
    site.says(&["group", "set", "meters", "--disabled=false"], &["enabled: no -> yes"]);

    // Whoever puts says all of it, and is told what that took away.
    let ran = site.run(&put);
    assert!(ran.out.contains("is changed") && ran.out.contains("keyChange: allow -> refuse"), "{ran:?}");
    assert!(ran.out.contains("allocation.grouping: ") && !ran.out.contains("primary key"), "{ran:?}");
    site.says(&put, &["Nothing is another than before."]);

    let unknown = site.run(&["group", "set", "pumps", "--disabled"]);
    assert!(unknown.code == 1 && unknown.complaint().contains("landfall group put pumps"), "{unknown:?}");
    let nothing = site.run(&["group", "set", "meters"]);
    assert!(nothing.code != 0 && nothing.err.contains("nothing is said"), "{nothing:?}");

    site.says(&["enrollment", "put", "meter-1", "--symmetric-key"], &["meter-1 is enrolled."]);
    let set = ["enrollment", "set", "meter-1", "--device-id", "m-1", "--manufacturing", "optional"];
    site.says(&set, &["deviceId: - -> m-1", "manufacturing: required -> optional", "No manufacturing record"]);
    stop(server);
}

#[test]
fn registrations_are_listed_by_hub_group_and_state() {
    let site = Site::new();
    let server = site.serve();
    let factory = Authority::root("Pump Factory CA", Ambient::system().now(), 30).unwrap();
    let root = site.file("root.pem", &factory.certificate_pem);
    site.says(&["ca", "upload", "factory", &root], &["is uploaded"]);
    let code = site.json(&["ca", "code", "factory"])["verificationCode"].as_str().unwrap().to_owned();
    let proof = factory.device(&code, Ambient::system().now(), 1).unwrap();
    site.says(&["ca", "verify", "factory", &site.file("proof.pem", &proof.certificate_pem)], &["is proven"]);
    site.says(&["hub", "link", "hub-1.example", "--capacity", "1"], &["is linked"]);
    site.says(&["group", "put", "pumps", "--ca", "factory", "--manufacturing", "optional"], &["is there"]);
    site.register(&factory, "pump-1");
    site.register(&factory, "pump-2");
    let list = |words: &[&str]| {
        let listed = site.json(&[&["registration", "list"], words].concat());
        let ids = listed["items"].as_array().unwrap().iter().map(|item| item["registrationId"].as_str().unwrap());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(list(&["--hub", "hub-1.example"]), "pump-1");
    assert_eq!(list(&["--group", "pumps"]), "pump-1 pump-2");
    assert_eq!(list(&["--state", "failed"]), "pump-2");
    assert_eq!(list(&["--group", "pumps", "--state", "assigned"]), "pump-1");
    site.says(&["registration", "list", "--group", "valves"], &["No registration is as asked for."]);
    stop(server);
}

#[test]
fn why_a_device_is_refused_is_one_command() {
    let site = Site::new();
    let server = site.serve();
    let factory = Authority::root("Pump Factory CA", Ambient::system().now(), 30).unwrap();
    let root = site.file("root.pem", &factory.certificate_pem);
    site.says(&["ca", "upload", "factory", &root], &["is uploaded"]);
    let code = site.json(&["ca", "code", "factory"])["verificationCode"].as_str().unwrap().to_owned();
    let proof = factory.device(&code, Ambient::system().now(), 1).unwrap();
    site.says(&["ca", "verify", "factory", &site.file("proof.pem", &proof.certificate_pem)], &["is proven"]);
    site.says(&["hub", "link", "hub-1.example", "--capacity", "9"], &["is linked"]);
    site.says(&["group", "put", "pumps", "--ca", "factory"], &["is there"]);
    site.says(&["decision", "list", "--device", "SN-42"], &["No request of SN-42", "landfall registration show SN-42"]);

    let issued = |id: &str| factory.device(id, Ambient::system().now(), 30).unwrap();
    assert_eq!(site.answer(&issued("SN-42"), "SN-42").status, 401);
    // A refusal is written after its answer.
    let words = ["decision", "list", "--device", "sn-42"];
    let listed = (0..500).map(|_| site.json(&words)).find(|listed| listed["items"][0].is_object());
    let listed = listed.expect("the refusal is kept");
    assert_eq!(site.answer(&issued("SN-43"), "SN-43").status, 401);
    let first = &listed["items"][0];
    assert_eq!((&first["result"], &first["cause"]), (&"refused".into(), &"no-manufacturing-record".into()), "{listed}");
    assert_eq!(first["enrollment"], "the enrollment group pumps", "{listed}");
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    site.says(&words, &["SN-42", "refused", "no-manufacturing-record", "have its manufacturer"]);
    site.says(&["decision", "show", first["trackingId"].as_str().unwrap()], &["no manufacturing record names SN-42"]);
    let unknown = site.run(&["registration", "show", "SN-42"]);
    assert!(unknown.complaint().contains("landfall decision list --device SN-42"), "{unknown:?}");

    let both = (0..500).map(|_| site.json(&["decision", "list", "--group", "pumps"]));
    let both = both.into_iter().find(|listed| listed["items"].as_array().unwrap().len() == 2).expect("both are kept");
    assert_eq!(both["items"][0]["registrationId"], "SN-43", "the newest first: {both}");
    assert_eq!(site.json(&["decision", "list", "--limit", "1"])["more"], true);
    assert_eq!(site.json(&["decision", "list", "--group", "valves"])["items"], serde_json::json!([]));
    let count = |words: &[&str]| {
        let listed = site.json(&[&["decision", "list", "--device", "SN-42"], words].concat());
        listed["items"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--since", "1h", "--verdict", "refused"]), 1);
    assert_eq!(count(&["--since", "1h", "--verdict", "waiting"]), 0);
    assert_eq!(count(&["--until", "2026-01-01T00:00:00+02:00"]), 0);
    assert_eq!(count(&["--hub", "hub-1.example"]) + count(&["--policy", "weighted"]), 0);
    site.says(&["decision", "list", "--verdict", "assigned"], &["of which all of this is true"]);
    let slip = site.run(&["decision", "list", "--since", "2w"]);
    assert!(slip.err.contains("neither like 2026-01-31T12:00:00Z"), "{slip:?}");
    stop(server);
}

#[test]
fn what_was_revoked_of_a_deleted_authority_is_listed_and_restored_by_its_id() {
    let site = Site::new();
    let server = site.serve();
    let line = Authority::root("Line 3 CA", Ambient::system().now(), 30).unwrap();
    let root = site.file("line.pem", &line.certificate_pem);
    site.says(&["ca", "revocations"], &["Nothing is revoked", "landfall ca revoke"]);
    site.says(&["ca", "upload", "line-3", &root], &["is uploaded"]);
    site.says(&["ca", "revoke", "line-3", "--serial", "1000..1FFF"], &["1000..1FFF of line-3 are revoked."]);
    site.says(&["ca", "revocations"], &["CN=Line 3 CA", "line-3", "1000"]);
    site.says(&["ca", "delete", "line-3"], &["is deleted", "landfall ca revocations"]);
    let listed = site.json(&["ca", "revocations"]);
    let (id, named) = (listed["items"][0]["id"].as_str().unwrap(), &listed["items"][0]["authorities"]);
    assert_eq!(*named, serde_json::json!([]), "{listed}");
    site.says(&["ca", "restore", "--issuer", id, "--serial", "1000..1FFF"], &["are not revoked any more"]);
    site.says(&["ca", "revocations"], &["Nothing is revoked"]);
    stop(server);
}
