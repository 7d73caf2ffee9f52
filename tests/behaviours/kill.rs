//! The real program is killed under load, and nothing that it told a device is lost.

use std::path::Path;
use std::time::Duration;

use landfall_tests::crash;

/// A few kills here; `prove kill` does hundreds.
#[test]
fn what_devices_were_told_survives_kill_nine() {
    let binary = Path::new(env!("CARGO_BIN_EXE_landfall-under-test"));
    let mut server = crash::server::RealServer::new(binary, 200).unwrap();
    let plan =
        crash::Plan { cycles: 5, seed: 7, shortest: Duration::from_millis(5), longest: Duration::from_millis(300) };
    let report = crash::run(&plan, &mut server).unwrap();
    assert_eq!(report.violations, Vec::<String>::new());
    assert_eq!(report.kills, 5);
    assert!(report.acknowledged > 0, "nobody was told anything, so that nothing could be lost");
}
