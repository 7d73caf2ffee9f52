//! Backups, and what is noticed when something is put back.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;

use landfall::server::Server;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::{Ambient, ManualClock};
use landfall_store::RegistrationStore as _;
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_tests::world::World;
use serde_json::json;

use crate::command_line::{Site, stop};
use crate::operating::enroll;

#[test]
fn a_backup_of_a_running_server_is_served_with_all_that_was_there() {
    let site = Site::new();
    let server = site.serve();
    let factory = Authority::root("Pump Factory CA", Ambient::system().now(), 30).unwrap();
    site.says(&["hub", "link", "hub-1.example", "--capacity", "500"], &["is linked"]);
    enroll(&site, &factory, "pump-1");
    let device = factory.device("pump-1", Ambient::system().now(), 30).unwrap();
    site.register_with(&device, "pump-1");
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backup");
    let name = to.to_str().unwrap();
    site.says(&["backup", "--to", name], &["landfall serve --data", "rows"]);
    let again = site.run(&["backup", "--to", name]);
    assert!(again.code == 1 && again.err.contains("is not empty"), "{again:?}");
    let within = site.run(&["backup", "--to", site.data.join("within").to_str().unwrap()]);
    assert!(within.code == 1 && within.err.contains("is in the data folder"), "{within:?}");
    site.says(&["store", "check"], &["contradicts itself nowhere"]);
    let refused = site.run(&["store", "compact"]);
    assert!(refused.code == 1 && refused.err.contains("stop the server"), "{refused:?}");

    // What comes after it is not in it.
    site.says(&["hub", "link", "hub-2.example", "--capacity", "500"], &["is linked"]);
    stop(server);
    let restored = Site { data: to.clone(), ..site };
    restored.says(&["store", "check"], &["contradicts itself nowhere"]);
    for secret in ["operator.token", "sealing.key", "operations.key", "tls/server.key", "landfall.redb"] {
        let mode = std::fs::metadata(to.join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret}");
    }
    let server = restored.serve();
    let hubs = restored.json(&["hub", "list"]);
    assert_eq!(hubs["items"].as_array().unwrap().len(), 1, "{hubs}");
    assert_eq!(hubs["items"][0]["assigned"], 1, "{hubs}");
    restored.register_with(&device, "pump-1");
    stop(server);
    // And a stopped one, whose files are read by the command itself.
    let second = place.path().join("second");
    restored.says(&["backup", "--to", second.to_str().unwrap()], &["landfall serve --data"]);
    restored.says(&["store", "compact"], &["MiB"]);
    let of_second = Site { data: second, ..restored };
    of_second.says(&["store", "check"], &["contradicts itself nowhere"]);
}

#[test]
fn a_backup_that_root_makes_belongs_to_whom_the_data_folder_belongs() {
    let site = Site::new();
    let given = std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(&site.data).status();
    if !given.is_ok_and(|ended| ended.success()) {
        eprintln!("SKIPPED: only root gives files away");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backup");
    site.says(&["backup", "--to", to.to_str().unwrap()], &["rows"]);
    for name in ["", "landfall.redb", "landfall.toml", "sealing.key", "tls", "tls/server.key"] {
        let about = std::fs::metadata(to.join(name)).unwrap();
        assert_eq!((about.uid(), about.gid()), (65_534, 65_534), "{name}");
    }
}

#[test]
fn secrets_are_not_rotated_where_there_is_no_database() {
    let site = Site::new();
    let key = std::fs::read(site.data.join("sealing.key")).unwrap();
    std::fs::remove_file(site.data.join("landfall.redb")).unwrap();
    let ended = site.run(&["secrets", "rotate"]);
    assert!(ended.code == 1 && ended.err.contains("restore it from a backup"), "{ended:?}");
    assert!(!site.data.join("landfall.redb").exists());
    assert_eq!(std::fs::read(site.data.join("sealing.key")).unwrap(), key);
    assert!(!site.data.join("sealing.key.next").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_are_made_while_devices_register_are_each_one_moment() {
    let world = World::new().await;
    let path = |n: usize| world.folder.root().join(format!("copy-{n}"));
    let (mut devices, mut copies) = (Vec::new(), Vec::new());
    for n in 0..40 {
        devices.push(world.device(&format!("pump-{n}")).await);
    }
    for device in devices.clone() {
        tokio::spawn(async move { device.register().await });
    }
    for (n, device) in devices.iter().enumerate().take(5) {
        let store = &world.server().service.store();
        store.copy_to(&path(n), Ambient::system().now()).await.unwrap();
        copies.push(path(n));
        assert_eq!(device.register().await.status, 200);
    }
    let mut before = 0;
    for copy in copies {
        let store = RedbStore::open(&copy, StoreSettings::default()).unwrap();
        assert_eq!(store.check().await.unwrap(), []);
        let assigned = store.group_count(&world.scope, &[]).await.unwrap();
        assert!(assigned >= before);
        before = assigned;
    }
    assert!(before >= 4, "{before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_that_is_put_back_is_told() {
    let mut world = World::new().await;
    let old = world.folder.root().join("old");
    world.server().service.store().copy_to(&old, Ambient::system().now()).await.unwrap();
    world.record("pump-1", None).await;
    world.restart().await;
    assert_eq!(metric(&world, "landfall_database_put_back").await, 0);
    let (folder, config) = (world.folder.clone(), world.server().service.config().clone());
    let (_place, database) = world.stop().await;
    std::fs::rename(&old, &database).unwrap();
    for _ in 0..2 {
        // It is one time, however often it is started.
        let server = Server::start(&folder, config.clone(), Ambient::system()).await.unwrap();
        assert_eq!(server.service.seen().put_back(), 1);
        server.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_makes_no_token_good_again() {
    let world = World::new().await;
    let (folder, config) = (world.folder.clone(), world.server().service.config().clone());
    let wish = json!({ "role": "auditor", "note": "a day", "days": 1 });
    let made = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
    let token = landfall_tests::world::json_of(&made)["token"].as_str().unwrap().to_owned();
    let (_place, _) = world.stop().await;
    let now = Ambient::system().now();
    let day = std::time::Duration::from_secs(86_400);
    let clock = Arc::new(ManualClock::at(now.plus(day * 3)));
    let ambient = Ambient { clock: Arc::clone(&clock) as _, ..Ambient::system() };
    let good = async |server: &Server| {
        let ca = std::fs::read(folder.ca_certificate()).unwrap();
        let tls = landfall::client::tls::client(&ca, None).unwrap();
        let mut client = landfall::client::Client::connect(server.management_addr, "localhost", tls).await.unwrap();
        let headers = landfall::client::headers(&[("authorization", &format!("Bearer {token}"))]);
        let answer = client.send(http::Method::GET, "/api/v1/scopes", headers, Vec::new()).await.unwrap();
        answer.status == 200
    };
    let server = Server::start(&folder, config.clone(), ambient.clone()).await.unwrap();
    assert!(!good(&server).await, "it has ended");
    clock.set(now);
    assert!(!good(&server).await, "and stays so");
    server.stop().await.unwrap();
    let server = Server::start(&folder, config.clone(), ambient.clone()).await.unwrap();
    assert!(!good(&server).await, "also after a start");
    assert!(server.service.seen().behind(now) >= day * 2);
    server.stop().await.unwrap();
    // The clock was wrong then and is right now: an operator says so.
    std::fs::remove_file(folder.seen()).unwrap();
    let server = Server::start(&folder, config, ambient).await.unwrap();
    assert!(good(&server).await);
    server.stop().await.unwrap();
}

async fn metric(world: &World, name: &str) -> u64 {
    let metrics = world.manage("GET", "/metrics", b"").await;
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap_or_else(|| panic!("{metrics}"));
    line.parse().unwrap()
}
