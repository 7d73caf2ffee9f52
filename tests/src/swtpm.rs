//! A TPM 2.0 in software, as a process on this machine.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A TPM that runs until it is dropped, and tpm2-tools that talk to it.
pub struct Swtpm {
    /// Its port.
    pub port: u16,
    process: Child,
    place: TempDir,
}

impl Swtpm {
    /// Starts one, new from the factory. None where it is not installed, which is said loudly; where
    /// `LANDFALL_REQUIRE_REAL_PARTS` is set that is the test's failure.
    pub fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// Starts one whose maker has certified its endorsement keys: RSA-2048 and P-384. The maker's certificates are in the
    /// folder `maker`: `issuercert.pem` and `swtpm-localca-rootca-cert.pem`.
    pub fn certified() -> Option<Self> {
        Self::start_with(manufacture)
    }

    fn start_with(prepare: impl Fn(&Path)) -> Option<Self> {
        // Not all of them end well when they say their version.
        let there = |program| Command::new(program).arg("--version").output().is_ok();
        if !there("swtpm") || !there("tpm2_getcap") || !there("swtpm_setup") {
            let missing =
                "no TPM in software; install one: apt-get install swtpm swtpm-tools tpm2-tools libtss2-tcti-swtpm0";
            assert!(
                std::env::var_os("LANDFALL_REQUIRE_REAL_PARTS").is_none(),
                "LANDFALL_REQUIRE_REAL_PARTS is set, and there is {missing}"
            );
            eprintln!("SKIPPED: {missing}");
            return None;
        }
        for _ in 0..20 {
            let place = tempfile::tempdir().expect("a temporary folder");
            let Some(port) = two_free_ports() else { continue };
            prepare(place.path());
            let mut command = Command::new("swtpm");
            command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
            command.arg("--tpmstate").arg(format!("dir={}", place.path().display()));
            command.arg("--server").arg(format!("type=tcp,bindaddr=127.0.0.1,port={port}"));
            command.arg("--ctrl").arg(format!("type=tcp,bindaddr=127.0.0.1,port={}", port + 1));
            let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("swtpm starts");
            let mut this = Self { port, process, place };
            for _ in 0..100 {
                if this.try_tool("tpm2_getcap", &["properties-fixed"]) {
                    return Some(this);
                }
                if this.process.try_wait().ok().flatten().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        panic!("swtpm does not answer")
    }

    /// A file beside the TPM.
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Runs a tool, which must succeed; then frees the places of loaded keys, of which a TPM has three.
    pub fn tool(&self, program: &str, words: &[&str]) {
        let ran = self.command(program, words).output().expect("the tool runs");
        assert!(ran.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
        drop(self.command("tpm2_flushcontext", &["-t"]).output());
    }

    /// Runs a tool that may fail.
    pub fn try_tool(&self, program: &str, words: &[&str]) -> bool {
        let succeeded = self.command(program, words).output().is_ok_and(|ran| ran.status.success());
        drop(self.command("tpm2_flushcontext", &["-t"]).output());
        succeeded
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).current_dir(self.place.path());
        command.env("TPM2TOOLS_TCTI", format!("swtpm:host=127.0.0.1,port={}", self.port));
        command
    }

    /// Where it is.
    pub fn place(&self) -> &Path {
        self.place.path()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Has a maker of its own certify the endorsement keys of the TPM in a folder.
fn manufacture(place: &Path) {
    let folder = place.display();
    let maker = place.join("maker");
    std::fs::create_dir(&maker).expect("a folder for the maker");
    let write = |name: &str, text: String| std::fs::write(place.join(name), text).expect("the maker's settings");
    let at = |name: &str| format!("{}/{name}", maker.display());
    write(
        "localca.conf",
        format!(
            "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
            maker.display(),
            at("signkey.pem"),
            at("issuercert.pem"),
            at("certserial")
        ),
    );
    let chip = "--tpm-manufacturer id:00001014\n--tpm-model swtpm\n--tpm-version id:20191023\n";
    let board = "--platform-manufacturer Landfall\n--platform-version 1.0\n--platform-model Test\n";
    write("localca.options", format!("{chip}{board}"));
    write(
        "setup.conf",
        format!(
            "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {folder}/localca.conf\n\
             create_certs_tool_options = {folder}/localca.options\nactive_pcr_banks = sha256\n"
        ),
    );
    let mut command = Command::new("swtpm_setup");
    command.args(["--tpm2", "--create-ek-cert", "--vmid", "device", "--config"]).arg(place.join("setup.conf"));
    command.arg("--tpmstate").arg(format!("dir://{folder}")).arg("--logfile").arg(place.join("setup.log"));
    let ran = command.output().expect("swtpm_setup runs");
    assert!(
        ran.status.success(),
        "swtpm_setup: {}",
        std::fs::read_to_string(place.join("setup.log")).unwrap_or_default()
    );
}

/// A port whose neighbour is free too: the TPM's control socket is there.
fn two_free_ports() -> Option<u16> {
    let first = TcpListener::bind(("127.0.0.1", 0)).ok()?;
    let port = first.local_addr().ok()?.port();
    TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
    Some(port)
}
