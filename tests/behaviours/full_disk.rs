//! A disk that has no room left.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use http::StatusCode;
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_store::{
    CatalogueStore as _, HubStore as _, ImportBatch, Precondition, RecordStore as _, StoreError, Upkeep as _,
};
use landfall_tests::power::things;
use landfall_tests::world::{World, json_of};

use crate::command_line::{Site, stop};

#[tokio::test(flavor = "multi_thread")]
async fn imports_stop_while_devices_still_register_and_devices_stop_before_the_disk_is_full() {
    let mut world = World::new().await;
    let device = world.device("pump-1").await;
    let free_mib = {
        let told = rustix::fs::statvfs(world.folder.root()).unwrap();
        (told.f_bavail * told.f_frsize) >> 20
    };
    world.restart_with(|config| config.limits.store.reserve_mib = free_mib * 2).await;
    let path = format!("/api/v1/scopes/{}/records?manufacturer=acme", world.scope);
    let import = async |world: &World| {
        let row = b"{\"registrationId\":\"pump-2\"}\n";
        world.manage_as(&world.operator_token, "POST", &path, "application/x-ndjson", row).await
    };
    let answer = import(&world).await;
    assert_eq!(answer.status, 507, "{answer:?}");
    let detail = json_of(&answer)["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("limits.store.reserve_mib") && detail.contains("0 were added"), "{detail}");
    let device = world.shown_again(&device);
    assert_eq!(device.register().await.status, 200);

    world.restart_with(|config| config.limits.store.reserve_mib = free_mib * 8).await;
    let device = world.shown_again(&device);
    let answer = device.register().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(device.look_up().await.status, 200, "what was written is still read");
    assert_eq!(
        (world.health("/healthz").await.status, world.health("/readyz").await.status),
        (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE)
    );

    world.restart_with(|config| config.limits.store.reserve_mib = 1).await;
    assert_eq!(world.shown_again(&device).register().await.status, 200);
    assert_eq!(world.health("/readyz").await.status, 200);
    assert_eq!(import(&world).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_fills_a_small_disk_leaves_the_devices_theirs_and_the_file_whole() {
    let place = tempfile::tempdir().unwrap();
    let Some(_disk) = Disk::mount(place.path(), 48) else { return };
    let settings = StoreSettings { create: true, reserve_bytes: 24 << 20, ..StoreSettings::default() };
    let path = place.path().join("landfall.redb");
    let store = Arc::new(RedbStore::open(&path, settings.clone()).unwrap());
    store.put_hub(&things::scope(), things::hub(things::HUBS[0], 1_000_000), Precondition::Any).await.unwrap();
    let (mut added, mut stopped) = (0, None);
    for batch in 0..10_000 {
        let rows = (0..500).map(|row| things::record(&format!("device-{batch}-{row}"), &"x".repeat(200))).collect();
        let batch = ImportBatch {
            scope: things::scope(),
            manufacturer: "acme".parse().unwrap(),
            quota: None,
            rows,
            all_or_nothing: false,
            dry_run: false,
            drop_evidence: false,
        };
        match store.import_batch(batch).await {
            Ok(rows) => added += rows.len(),
            Err(error) => {
                stopped = Some(error);
                break;
            }
        }
    }
    assert!(matches!(stopped, Some(StoreError::NoSpace { .. })), "{stopped:?} after {added}");
    assert!(added > 0);
    assert_eq!(store.create_scope("another".parse().unwrap()).await, Ok(true), "devices and people still write");
    store.close().await.unwrap();
    let store = RedbStore::open(&path, settings).unwrap();
    assert_eq!(store.check().await.unwrap(), []);
}

#[test]
fn a_backup_that_finds_no_room_leaves_nothing_behind_on_either_disk() {
    let place = tempfile::tempdir().unwrap();
    let Some(_disk) = Disk::mount(place.path(), 1) else { return };
    let site = Site::new();
    let server = site.serve();
    std::fs::write(site.data.join("landfall.redb.copy-0123"), b"of one that was killed").unwrap();
    let to = place.path().join("backup");
    let ended = site.run(&["backup", "--to", to.to_str().unwrap()]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(!to.exists(), "{ended:?}");
    let names = std::fs::read_dir(&site.data).unwrap().map(|entry| entry.unwrap().file_name());
    let copies: Vec<_> = names.filter(|name| name.to_string_lossy().contains("copy-")).collect();
    assert!(copies.is_empty(), "{copies:?}");
    stop(server);
}

/// A small file system in memory, for as long as it is held.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|ended| ended.status.success()) {
            return Some(Self(at));
        }
        eprintln!("SKIPPED: no small file system can be mounted here (it needs root)");
        None
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
