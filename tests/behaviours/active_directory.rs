//! Devices that are accounts of an Active Directory: a real one, Samba's domain controller on this machine.
//!
//! It needs root, ports below 1024 and some fifteen seconds, and there can be one of it. So it runs only where somebody asks for
//! it, as CI does: `cargo test --test behaviours -- --ignored active_directory`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use landfall::client::Answer;
use landfall::config::DirectoryConfig;
use landfall_tests::world::{Device, World, group, in_tests, json_of, tracking_id};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and a domain controller's ports; CI runs it in a step of its own"]
async fn devices_of_a_domain_come_in_with_their_tickets_and_the_directory_says_what_they_are() {
    let mut controller = Controller::start();
    let mut world = World::new().await;
    let config = DirectoryConfig {
        keytab: controller.file("AD_KEYTAB"),
        ldaps: controller.say("AD_LDAPS_URL"),
        ca_file: controller.file("AD_CA"),
        base: controller.say("AD_BASE"),
        bind_dn: controller.say("AD_BIND_DN"),
        password_file: controller.file("AD_PASSWORD_FILE"),
        scopes: None,
    };
    world.restart_with(|all| drop(all.directory.insert("fleet".parse().unwrap(), config))).await;
    let users =
        world.put("enrollment-groups/lines", &takes(&json!({ "accounts": "users", "groups": ["Plant-A"] }))).await;
    assert_eq!(users["directory"], json!({ "name": "fleet", "accounts": "users", "groups": ["Plant-A"] }));
    for id in ["dev-1", "dev-2", "dev-3", "stranger"] {
        world.record(id, None).await;
    }

    // A user in a group that is in that group; the directory's words reach the policy.
    let device = world.shown("dev-1", None);
    let answer = register(&device, &controller.ticket("dev-1", "HTTP/localhost")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = world.get(&format!("/api/v1/scopes/{}/registrations/dev-1", world.scope)).await;
    let decided = &world.ledger(told["decision"].as_str().unwrap()).await["kind"]["decided"];
    let claims = &decided["device"]["claims"];
    assert!(claims.as_array().unwrap().contains(&json!({ "key": "directory.account", "value": "dev-1" })), "{claims}");
    let groups = json!({ "key": "directory.groups", "value": "[\"devices\",\"line-7\",\"plant-a\"]" });
    assert!(claims.as_array().unwrap().contains(&groups), "{claims}");

    // Once only, for this id only, and for those in the group only.
    let ticket = controller.ticket("dev-1", "HTTP/localhost");
    assert_eq!(register(&device, &ticket).await.status, 200);
    refused(&world, &register(&device, &ticket).await, "ticket-again").await;
    let other = world.shown("dev-2", None);
    refused(&world, &register(&other, &controller.ticket("dev-1", "HTTP/localhost")).await, "account-of-another").await;
    let stranger = world.shown("stranger", None);
    let ticket = controller.ticket("stranger", "HTTP/localhost");
    refused(&world, &register(&stranger, &ticket).await, "not-in-directory-group").await;

    // A computer is none of the users, and the other way round, whatever they are called.
    let ticket = controller.ticket("dev-2$", "HTTP/localhost");
    refused(&world, &register(&other, &ticket).await, "account-of-another").await;
    world.put("enrollment-groups/machines", &takes(&json!({ "groups": ["devices"] }))).await;
    let answer = register(&other, &controller.ticket("dev-2$", "HTTP/localhost")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // A name that a filter would read as more than a name.
    world.put("enrollment-groups/odd", &takes(&json!({ "accounts": "users", "groups": ["odd-unit"] }))).await;
    let odd = world.shown("dev-3", None);
    assert_eq!(register(&odd, &controller.ticket("dev-3", "HTTP/localhost")).await.status, 200);

    // Tickets for others, in ciphers of yesterday, and what is none.
    let good = controller.ticket("dev-1", "HTTP/localhost");
    for (what, ticket) in [
        ("another service", controller.ticket("dev-1", "HTTP/aes128.fleet.test")),
        ("RC4", controller.ticket("dev-1", "HTTP/rc4.fleet.test")),
        ("NTLM", "TlRMTVNTUAABAAAAB4IIogAAAAAAAAAAAAAAAAAAAAAGAbEdAAAADw==".to_owned()),
        ("half", good[..good.len() / 8 * 4].to_owned()),
        ("nothing", String::new()),
        ("no base64", "***".to_owned()),
    ] {
        let answer = register(&device, &ticket).await;
        assert_eq!(answer.headers.get("www-authenticate").unwrap(), "Negotiate", "{what}");
        refused(&world, &answer, "unusable-ticket").await;
    }
    assert_eq!(register(&device, &good).await.status, 200);

    // Whom a group takes is said: no group by mistake takes all who are in the domain, and a group for mail gives no rights.
    let path = format!("/api/v1/scopes/{}/enrollment-groups/none", world.scope);
    let said = world.manage("PUT", &path, takes(&json!({ "accounts": "users" })).to_string().as_bytes()).await;
    assert_eq!(
        (said.status.as_u16(), json_of(&said)["errors"][0]["pointer"].as_str()),
        (400, Some("/directory/groups"))
    );
    controller.run(&["mail-group"], &["mail", "stranger"]);
    world.restart().await;
    world.put("enrollment-groups/mail", &takes(&json!({ "accounts": "users", "groups": ["mail"] }))).await;
    let stranger = world.shown_again(&stranger);
    let ticket = controller.ticket("stranger", "HTTP/localhost");
    refused(&world, &register(&stranger, &ticket).await, "not-in-directory-group").await;
    // One that was here is known after a restart.
    refused(&world, &register(&stranger, &ticket).await, "ticket-again").await;
    let device = world.shown_again(&device);
    let odd = world.shown_again(&odd);
    // A disabled group ends the search: another that would take the account does not.
    let mut off = takes(&json!({ "accounts": "users", "groups": ["devices"] }));
    off["enabled"] = json!(false);
    world.put("enrollment-groups/a-first", &off).await;
    let answer = register(&device, &controller.ticket("dev-1", "HTTP/localhost")).await;
    refused(&world, &answer, "enrollment-disabled").await;
    let path = format!("/api/v1/scopes/{}/enrollment-groups/a-first", world.scope);
    assert!(world.manage("DELETE", &path, b"").await.status.is_success());

    // The name is another account's by now: a ticket that was given for it is none of that one's.
    let late = controller.ticket("dev-3", "HTTP/localhost");
    controller.run(&["rename"], &["dev-3", "dev-was-3"]);
    controller.run(&["rename"], &["stranger", "dev-3"]);
    world.restart().await;
    let odd = world.shown_again(&odd);
    refused(&world, &register(&odd, &late).await, "account-changed").await;
    controller.run(&["rename"], &["dev-3", "stranger"]);
    controller.run(&["rename"], &["dev-was-3", "dev-3"]);
    world.restart().await;
    let (odd, other) = (world.shown_again(&odd), world.shown_again(&other));
    let device = world.shown_again(&device);

    // The account has ended, or is disabled: its ticket is good for hours, and it is not. What was asked a moment ago counts for a minute.
    for end in ["expire", "disable"] {
        let late = controller.ticket("dev-3", "HTTP/localhost");
        controller.run(&[end], &["dev-3"]);
        world.restart().await;
        let odd = world.shown_again(&odd);
        refused(&world, &register(&odd, &late).await, "no-account").await;
        controller.run(&["live"], &["dev-3"]);
    }

    // The directory is away: those whom it knew a moment ago go on, and others are told to come back.
    let (known, unknown) =
        (controller.ticket("dev-1", "HTTP/localhost"), controller.ticket("dev-2$", "HTTP/localhost"));
    let device = world.shown_again(&device);
    assert_eq!(register(&device, &controller.ticket("dev-1", "HTTP/localhost")).await.status, 200);
    controller.stop();
    assert_eq!(register(&device, &known).await.status, 200);
    let answer = register(&world.shown_again(&other), &unknown).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    let entry = world.ledger(&tracking_id(&answer)).await;
    assert_eq!(entry["kind"]["refused"]["cause"], "directory-away", "{entry}");
}

fn takes(directory: &Value) -> Value {
    let mut taking = group("factory");
    taking.as_object_mut().unwrap().remove("x509");
    taking["directory"] = directory.clone();
    taking["directory"]["name"] = "fleet".into();
    taking
}

async fn register(device: &Device, ticket: &str) -> Answer {
    let authorization = format!("Negotiate {ticket}");
    let headers = [("prefer", "wait=20"), ("authorization", authorization.as_str())];
    device.send("PUT", "/register", &headers, "{}".to_owned()).await
}

async fn refused(world: &World, answer: &Answer, cause: &str) {
    assert_eq!(answer.status, 401, "{cause}: {answer:?}");
    assert_eq!(json_of(answer)["errorCode"], 401_002);
    let entry = world.ledger(&tracking_id(answer)).await;
    assert_eq!(entry["kind"]["refused"]["cause"], cause, "{entry}");
}

/// A domain controller that runs until it is dropped.
struct Controller {
    place: tempfile::TempDir,
    said: HashMap<String, String>,
}

impl Controller {
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut this = Self { place, said: HashMap::new() };
        let lines = this.run(&["start"], &[]);
        let pairs = lines.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        this.said = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        this
    }

    fn say(&self, name: &str) -> String {
        self.said[name].clone()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.say(name).into()
    }

    /// What `curl --negotiate` sends for an account.
    fn ticket(&self, account: &str, service: &str) -> String {
        self.run(&["token"], &[account, service]).trim().to_owned()
    }

    fn stop(&mut self) {
        self.run(&["stop"], &[]);
    }

    fn run(&self, before: &[&str], after: &[&str]) -> String {
        let mut command = Command::new(in_tests("parts/ad.sh"));
        let ran = command.args(before).arg(self.place.path()).args(after).output().expect("the script runs");
        assert!(ran.status.success(), "{before:?} {after:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        drop(Command::new(in_tests("parts/ad.sh")).arg("stop").arg(self.place.path()).output());
    }
}
