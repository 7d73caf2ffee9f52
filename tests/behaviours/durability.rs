//! What was acknowledged survives a power failure.

use landfall::config::Config;
use landfall::server::Server;
use landfall_domain::clock::Ambient;
use landfall_tests::power::{Plan, run};
use landfall_tests::world::World;

#[test]
fn a_power_failure_loses_nothing_that_was_acknowledged() {
    let report = run(&Plan { points: 400, seed: 1, lying: false, threads: 1 });
    assert_eq!(report.violations, [""; 0]);
    assert_eq!(report.points, 400);
    assert!(report.acknowledged > 1_000 && report.second > 20, "{report:?}");
    assert!(report.arrived > 0 && report.vanished > 0, "{report:?}");
}

#[test]
fn a_disk_that_only_says_that_it_flushed_is_found_out() {
    let report = run(&Plan { points: 80, seed: 1, lying: true, threads: 1 });
    assert!(!report.violations.is_empty(), "{report:?}");
}

#[test]
fn the_same_seed_is_the_same_history() {
    let plan = Plan { points: 16, seed: 9, lying: false, threads: 1 };
    let (one, other) = (run(&plan), run(&plan));
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_lost_is_not_made_anew_without_a_word() {
    let world = World::new().await;
    let folder = world.folder.clone();
    let (_place, database) = world.stop().await;
    let config = Config::load(&folder.config()).unwrap();
    std::fs::write(&database, b"").unwrap();
    for lost in [false, true] {
        if lost {
            std::fs::remove_file(&database).unwrap();
        }
        let started = Server::start(&folder, config.clone(), Ambient::system()).await;
        let said = started.err().expect("it must not start").to_string();
        let what = if lost { "it is not there" } else { "it is empty" };
        assert!(said.contains(what) && said.to_lowercase().contains("restore it from a backup"), "{said}");
        assert_eq!(database.exists(), !lost, "nothing was made");
    }
}
