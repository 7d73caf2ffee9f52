//! What the command line says before any server runs: what is wrong, where, and what to type.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

#[test]
fn a_data_folder_is_made_once_and_never_written_over() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let made = landfall(&["init", "--hostname", "localhost"], &folder);
    assert!(made.status.success(), "{made:?}");
    let token = std::fs::read(folder.join("operator.token")).unwrap();
    let again = landfall(&["init", "--hostname", "localhost"], &folder);
    assert!(!again.status.success());
    assert!(errors(&again).contains("is there already and is not empty"), "{again:?}");
    assert_eq!(std::fs::read(folder.join("operator.token")).unwrap(), token);
}

#[test]
fn the_help_of_init_names_what_it_takes_where_nothing_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_landfall-under-test")).args(["init", "--help"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for default in ["0.0.0.0:8443", "127.0.0.1:9443", "./landfall-data", "a scope is made up"] {
        assert!(said.contains(default), "{default}: {said}");
    }
}

#[test]
fn a_command_of_a_data_folder_does_not_touch_it_when_another_server_is_named() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    assert!(landfall(&["init", "--hostname", "localhost"], &folder).status.success());
    let files = ["operator.token", "sealing.key", "tls/server.pem", "landfall.redb"];
    let before = files.map(|file| std::fs::read(folder.join(file)).unwrap());
    for words in [
        &["token", "recover"] as &[&str],
        &["secrets", "rotate"],
        &["certificate", "renew"],
        &["store", "compact"],
        &["backup", "--to", "backup"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
        command.args(words).current_dir(place.path()).env("LANDFALL_DATA", &folder);
        let ran = command.env("LANDFALL_SERVER", "https://dps.example.com:9443").output().unwrap();
        assert_eq!(ran.status.code(), Some(2), "{words:?}: {ran:?}");
        assert!(errors(&ran).contains("LANDFALL_SERVER"), "{ran:?}");
    }
    assert!(files.map(|file| std::fs::read(folder.join(file)).unwrap()) == before, "a file was changed");
    let shown = landfall(&["certificate", "show"], &folder);
    assert!(shown.status.success(), "{shown:?}");
}

#[test]
fn whoever_calls_a_server_that_does_not_run_is_told_how_to_start_it() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    assert!(landfall(&["init", "--hostname", "localhost"], &folder).status.success());
    // Port 1 is nobody's.
    change(&folder, "127.0.0.1:9443", "127.0.0.1:1");
    let output = landfall(&["hub", "list"], &folder);
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    assert!(errors(&output).contains("nothing answers at 127.0.0.1:1"), "{output:?}");
    assert!(errors(&output).contains("landfall serve --data"), "{output:?}");
}

#[test]
fn a_slip_of_the_pen_in_the_configuration_is_told_with_its_line() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    assert!(landfall(&["init", "--hostname", "localhost"], &folder).status.success());
    let listed = landfall(&["config", "--json"], &folder);
    assert!(listed.status.success(), "{listed:?}");
    assert!(serde_json::from_slice::<Value>(&listed.stdout).is_ok(), "{listed:?}");
    change(&folder, "hostname =", "hostnam =");
    let output = landfall(&["config"], &folder);
    assert!(!output.status.success());
    assert!(errors(&output).contains("hostname"), "{output:?}");
    assert!(errors(&output).contains("landfall.toml:"), "{output:?}");
}

fn landfall(words: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
    command.args(words).arg("--data").arg(folder).env_remove("LANDFALL_DATA").output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn change(folder: &Path, from: &str, to: &str) {
    let path = folder.join("landfall.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}
