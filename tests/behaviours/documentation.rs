//! What the documents tell people to type works as it stands.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

#[test]
fn the_readme_leads_from_nothing_to_a_decision() {
    if ["openssl", "curl", "bash"].iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        eprintln!("SKIPPED: openssl, curl and bash are needed to run what the README says");
        assert!(std::env::var_os("LANDFALL_REQUIRE_REAL_PARTS").is_none(), "openssl or curl is not installed");
        return;
    }
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## Your own server\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let commands = shell_blocks(section);
    assert!(commands.len() >= 9, "the README has lost its commands: {commands:?}");

    let place = tempfile::tempdir().unwrap();
    let [devices, management] = free_ports();
    // Other tests use the usual ports. A server runs beside the commands that follow, as in a terminal of its own.
    let script: String = commands
        .iter()
        .filter(|block| !block.starts_with("cargo install"))
        .map(|block| {
            block
                .replace(
                    "--hostname localhost",
                    &format!("--hostname localhost --device-listen {devices} --management-listen {management}"),
                )
                .replace("localhost:8443", &format!("localhost:{}", devices.port()))
                .replace(
                    "landfall serve --data ./landfall-data",
                    &format!(
                        "\"$LANDFALL\" serve --data ./landfall-data 2> log &\nserver=$!\n{}",
                        until_it_serves(management)
                    ),
                )
        })
        .collect();
    let begin = "set -euo pipefail\nlandfall() { \"$LANDFALL\" \"$@\"; }\ntrap 'kill $server; wait $server' EXIT\n";
    let output = Command::new("bash")
        .args(["-c", &format!("{begin}{script}")])
        .env("LANDFALL", env!("CARGO_BIN_EXE_landfall-under-test"))
        .env_remove("LANDFALL_DATA")
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (told, log) = (String::from_utf8_lossy(&output.stdout), std::fs::read_to_string(place.path().join("log")));
    assert!(output.status.success(), "{told}\n{}\n{log:?}", String::from_utf8_lossy(&output.stderr));
    for words in [
        "\"status\":\"assigned\"",
        "1 added, 0 updated, 0 unchanged, 0 refused",
        "in the group northwind / oslo",
        "imported by acme",
        "policy weighted",
    ] {
        assert!(told.contains(words), "{words:?} is not in: {told}");
    }
}

#[test]
fn the_page_on_signing_leads_to_signatures_that_hold() {
    if ["openssl", "bash"].iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        eprintln!("SKIPPED: openssl and bash are needed to run what the page on signing says");
        assert!(std::env::var_os("LANDFALL_REQUIRE_REAL_PARTS").is_none(), "openssl is not installed");
        return;
    }
    let page = include_str!("../../docs/policies/signing.md");
    let commands = shell_blocks(page);
    assert_eq!(commands.len(), 2, "{commands:?}");
    // What needs a server is another page's.
    let lines =
        commands.iter().flat_map(|block| block.lines()).filter(|line| !line.starts_with("landfall plugin publish"));
    let script: String = lines.map(|line| format!("{line}\n")).collect();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("ours.wasm"), landfall_tests::guests::component("takes-first")).unwrap();
    let begin = "set -euo pipefail\nlandfall() { \"$LANDFALL\" \"$@\"; }\n";
    let again = "landfall plugin verify ours.wasm --name ours --key policies.key.pub.pem\n";
    let output = Command::new("bash")
        .args(["-c", &format!("{begin}{script}{again}")])
        .env("LANDFALL", env!("CARGO_BIN_EXE_landfall-under-test"))
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // The line that the page shows, but for what belongs to the component.
    let shown = page.lines().find(|line| line.starts_with("26:")).unwrap();
    let (head, _) = shown.split_once(",5:").unwrap();
    let made = std::fs::read_to_string(place.path().join("ours.statement")).unwrap();
    assert!(made.starts_with(&format!("{head},5:0.1.0,64:")) && made.ends_with(",\n"), "{made:?}");
    let signatures = std::fs::read_to_string(place.path().join("ours.wasm.sig")).unwrap();
    assert_eq!(signatures.lines().count(), 1, "one key has signed for one name, twice: {signatures}");
}

/// The blocks that are marked as shell, in their order.
fn shell_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("```sh\n") {
        let (block, after) = after.split_once("```").unwrap();
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

fn until_it_serves(management: SocketAddr) -> String {
    let port = management.port();
    format!(
        "for _ in $(seq 1200); do (: > /dev/tcp/127.0.0.1/{port}) 2> /dev/null && break; kill -0 $server; sleep 0.05; done"
    )
}

fn free_ports() -> [SocketAddr; 2] {
    [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap()).map(|socket| socket.local_addr().unwrap())
}
