//! The program as people type it: a process, its words, what it prints and how it ends.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use landfall::client::{self, Answer, Client};
use landfall_attestation::x509::make::{Authority, Issued};
use landfall_domain::clock::Ambient;
use landfall_tests::world::tracking_id;
use serde_json::Value;

mod changes;
mod credentials;
mod plugins;

#[test]
fn an_operator_goes_from_nothing_to_a_decision() {
    let site = Site::new();
    let server = site.serve();
    let factory = Authority::root("Pump Factory CA", Ambient::system().now(), 30).unwrap();

    site.says(&["hub", "list"], &["No hub is linked", "landfall hub link"]);
    site.says(
        &["hub", "link", "hub-1.example", "--capacity", "500", "--label", "region=eu"],
        &["Hub hub-1.example is linked."],
    );
    site.says(&["hub", "list"], &["HUB", "ASSIGNED", "CAPACITY", "hub-1.example", "active", "500", "region=eu"]);
    assert_eq!(site.json(&["hub", "list"])["items"][0]["capacity"], 500);
    assert_eq!(site.json(&["hub", "show", "hub-1.example"])["state"], "active");

    let root = site.file("root.pem", &factory.certificate_pem);
    site.says(&["ca", "upload", "factory", &root], &["Authority factory is uploaded.", "landfall ca code factory"]);
    site.says(&["ca", "list"], &["factory", "no", "Pump Factory CA"]);
    let code = site.json(&["ca", "code", "factory"])["verificationCode"].as_str().unwrap().to_owned();
    let proof = factory.device(&code, Ambient::system().now(), 1).unwrap();
    let proof = site.file("proof.pem", &proof.certificate_pem);
    site.says(&["ca", "verify", "factory", &proof], &["Authority factory is proven."]);
    assert_eq!(site.json(&["ca", "list"])["items"][0]["verified"], true);

    let places = r#"table={"rules":[{"group":["{fact.site}"]}]}"#;
    site.says(&["group", "put", "pumps", "--ca", "factory", "--grouping", places], &["Group pumps is there."]);
    site.says(&["group", "list"], &["pumps", "PROOF", "CA factory", "required", "weighted"]);
    assert_eq!(site.json(&["group", "show", "pumps"])["allocation"]["grouping"][0]["plugin"], "table");

    let records = "{\"registrationId\":\"pump-1\",\"facts\":{\"site\":\"oslo\"}}\nnonsense\n";
    let records = site.file("records.jsonl", records);
    let import = ["registry", "import", records.as_str(), "--manufacturer", "acme"];
    let ran = site.run(&import);
    assert_eq!(ran.code, 1, "one row was refused: {ran:?}");
    assert!(ran.out.contains("1 added, 0 updated, 0 unchanged, 1 refused\n  line 2: "), "{ran:?}");
    let again: Value = serde_json::from_str(&site.run(&[&import[..], &["--json"]].concat()).out).unwrap();
    assert_eq!((again["unchanged"].as_u64(), again["errors"][0]["line"].as_u64()), (Some(1), Some(2)), "{again}");
    site.says(&["registry", "list", "--state", "active"], &["pump-1", "acme", "site=oslo"]);

    let tracking = site.register(&factory, "pump-1");
    site.says(&["registration", "list"], &["pump-1", "assigned", "hub-1.example", "oslo"]);
    let listed = site.json(&["registration", "list"]);
    assert_eq!(
        (&listed["items"][0]["assignedHub"], &listed["more"]),
        (&"hub-1.example".into(), &false.into()),
        "{listed}"
    );
    site.says(&["registration", "show", "pump-1"], &["hub-1.example", "decision", "oslo"]);

    let story = [
        "got the hub hub-1.example as pump-1, in the group oslo",
        "imported by acme",
        "policy weighted",
        "hub-1.example  0 assigned",
    ];
    site.says(&["decision", "show", &tracking], &story);
    let entry = site.json(&["decision", "show", &tracking]);
    assert_eq!(entry["hubs"][0]["name"], "hub-1.example", "{entry}");
    assert_eq!(entry["kind"]["decided"]["verdict"]["assigned"]["hub"], "hub-1.example");

    site.says(&["plugin", "list"], &["weighted", "table", "VERSION", "DECIDES"]);
    assert!(site.json(&["plugin", "list"])["items"].as_array().unwrap().len() >= 2);
    site.says(&["config"], &["hostname", "localhost", "0neCLI", "landfall.toml"]);
    assert_eq!(site.json(&["config"])["server"]["hostname"], "localhost");
    stop(server);
}

#[test]
fn a_token_is_shown_once_and_works_for_its_role_only() {
    let site = Site::new();
    let server = site.serve();
    let file = site.place.path().join("auditor.token");
    let path = file.to_str().unwrap();
    site.says(
        &["token", "create", "--role", "auditor", "--note", "audit 2026", "--out", path],
        &["is in", "Keep it secret."],
    );
    site.says(&["token", "list"], &["ROLE", "auditor", "audit 2026", "0neCLI", "first-operator"]);
    let made = site.json(&[
        "token",
        "create",
        "--role",
        "manufacturer",
        "--manufacturer",
        "acme",
        "--quota",
        "7",
        "--note",
        "line 3",
    ]);
    assert!(made["token"].as_str().unwrap().starts_with("lf_"), "{made}");
    let listed = site.json(&["token", "list"]);
    assert!(!listed.to_string().contains("lf_"), "a list has no secrets: {listed}");

    site.says(&["hub", "list", "--token-file", path], &["No hub is linked"]);
    let refused = site.run(&["hub", "list", "--token-file", path, "--scope", "0neELSE"]);
    let says = "the token is bound to the id scope 0neCLI, and this is of 0neELSE";
    assert!(refused.code == 1 && refused.err.contains(says), "{refused:?}");
    let stranger = site.file("stranger.token", "lf_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let refused = site.run(&["hub", "list", "--token-file", &stranger]);
    assert!(refused.err.contains("does not take the token in") && refused.err.contains(&stranger), "{refused:?}");
    let records = site.file("records.jsonl", "{\"registrationId\":\"pump-1\"}\n");
    let refused = site.run(&["registry", "import", &records]);
    assert!(refused.err.contains("--manufacturer: say whose records these are"), "{refused:?}");
    let refused = site.run(&["hub", "link", "hub-1.example", "--capacity", "5", "--token-file", path]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("the token's role (auditor) may not do this"), "{refused:?}");
    let again = site.run(&["token", "create", "--role", "auditor", "--note", "x", "--out", path]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("is there already"), "{again:?}");
    stop(server);
}

#[test]
fn one_data_folder_is_served_once() {
    let site = Site::new();
    let server = site.serve();
    let second = site.run(&["serve"]);
    assert_eq!(second.code, 1, "{second:?}");
    let said = second.complaint();
    assert!(said.contains("another landfall process uses it") && said.contains(site.data.to_str().unwrap()), "{said}");
    site.says(&["hub", "list"], &["No hub is linked"]);
    stop(server);
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let site = Site::new();
    let _taken = TcpListener::bind(site.devices).unwrap();
    let ran = site.run(&["serve"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = ran.complaint();
    assert!(said.contains(&site.devices.to_string()) && said.contains("device_listen"), "{said}");
}

#[test]
fn a_mistyped_setting_is_told_with_the_one_that_was_meant() {
    let site = Site::new();
    let path = site.data.join("landfall.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("device_listen", "device_listne")).unwrap();
    for command in ["serve", "config"] {
        let ran = site.run(&[command]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let said = ran.complaint();
        assert!(said.contains("device_listne") && said.contains("did you mean server.device_listen?"), "{said}");
    }
}

#[test]
fn what_is_no_data_folder_is_told_with_how_to_make_one() {
    let site = Site::new();
    let elsewhere = site.place.path().join("elsewhere");
    for command in [["serve", "--data"].as_slice(), &["hub", "list", "--data"]] {
        let ran = landfall(&[command, &[elsewhere.to_str().unwrap()]].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.complaint().contains("landfall init --data"), "{ran:?}");
    }
    assert!(!elsewhere.exists(), "nothing is made by the way");
    let again = site.run(&["init", "--hostname", "localhost"]);
    assert_eq!(again.code, 1);
    assert!(again.complaint().contains("is there already"), "{again:?}");
}

#[test]
fn without_a_server_a_command_says_how_to_start_it() {
    let site = Site::new();
    let ran = site.run(&["hub", "list"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.complaint().contains("landfall serve --data"), "{ran:?}");
    assert_eq!(site.run(&["hub", "lst"]).code, 2);
    assert_eq!(site.run(&["--version"]).code, 0);
}

#[test]
fn a_server_whose_certificate_is_of_another_ca_is_told_with_the_file_that_should_name_it() {
    let site = Site::new();
    let server = site.serve();
    let other = Authority::root("Another CA", Ambient::system().now(), 30).unwrap();
    let file = landfall::folder::DataFolder::at(&site.data).ca_certificate();
    std::fs::write(&file, &other.certificate_pem).unwrap();
    let ran = site.run(&["hub", "list"]);
    let said = ran.complaint();
    assert!(ran.code == 1 && said.contains("not of the CA that is trusted here"), "{said}");
    assert!(said.contains(file.to_str().unwrap()) && said.contains("--ca-file"), "{said}");
    stop(server);
}

/// A data folder with ports of its own.
pub(crate) struct Site {
    pub(crate) place: tempfile::TempDir,
    pub(crate) data: PathBuf,
    pub(crate) devices: SocketAddr,
    pub(crate) management: SocketAddr,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The last paragraph of standard error, after whatever was logged; it must be one and say who speaks.
    fn complaint(&self) -> &str {
        let at = self.err.find("landfall: ").unwrap_or_else(|| panic!("nobody complained: {self:?}"));
        let said = &self.err[at..];
        assert_eq!(said.trim_end().lines().count(), 1, "more than a paragraph: {said}");
        said
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        let folder = data.to_str().unwrap();
        let made = landfall(&["init", "--data", folder, "--hostname", "localhost", "--scope", "0neCLI"]);
        assert_eq!(made.code, 0, "{made:?}");
        assert!(made.out.contains("is ready") && made.out.contains("landfall serve --data"), "{made:?}");
        let free = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let [devices, management] = free.map(|socket| socket.local_addr().unwrap());
        let path = data.join("landfall.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| match line.split_once('=').map(|(key, _)| key.trim()) {
            Some("device_listen") => format!("device_listen = \"{devices}\""),
            Some("management_listen") => format!("management_listen = \"{management}\""),
            _ => line.to_owned(),
        });
        std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
        Self { place, data, devices, management }
    }

    /// Starts the server and waits until it takes connections.
    pub(crate) fn serve(&self) -> Running {
        self.serve_with(&[], Stdio::inherit())
    }

    /// Serves with more words, and says what there is to say to somebody.
    fn serve_with(&self, words: &[&str], out: Stdio) -> Running {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--data"]).arg(&self.data).args(words);
        let mut server = Running(command.stdout(out).stderr(Stdio::piped()).spawn().unwrap());
        for _ in 0..1_200 {
            if let Some(status) = server.0.try_wait().unwrap() {
                let mut said = String::new();
                server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("the server ended ({status}): {said}");
            }
            if [self.devices, self.management].iter().all(|address| TcpStream::connect(address).is_ok()) {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server takes no connections")
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        landfall(&[words, &["--data", self.data.to_str().unwrap()]].concat())
    }

    /// Runs a command that must succeed and print all of this.
    pub(crate) fn says(&self, words: &[&str], wanted: &[&str]) {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        eprintln!("$ landfall {}\n{}", words.join(" "), ran.out);
        for text in wanted {
            assert!(ran.out.contains(text), "{words:?} does not say {text:?}:\n{}", ran.out);
        }
    }

    /// Runs a command that must succeed and print JSON, and nothing but it.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let ran = self.run(&[words, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{words:?} prints no JSON ({error}): {ran:?}"))
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.place.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A device of the factory registers; gives the tracking id.
    pub(crate) fn register(&self, factory: &Authority, id: &str) -> String {
        self.register_with(&factory.device(id, Ambient::system().now(), 30).unwrap(), id)
    }

    /// A device registers with the credential that it has; gives the tracking id.
    pub(crate) fn register_with(&self, issued: &Issued, id: &str) -> String {
        let answer = self.answer(issued, id);
        let tracking = tracking_id(&answer);
        assert_eq!(answer.status, 200, "{:?}", self.run(&["decision", "show", &tracking]));
        tracking
    }

    /// What a device is told that registers with the credential that it has.
    pub(crate) fn answer(&self, issued: &Issued, id: &str) -> Answer {
        let ca = std::fs::read(landfall::folder::DataFolder::at(&self.data).ca_certificate()).unwrap();
        let tls = client::tls::client(&ca, Some(landfall::tls::Identity::of(issued))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut client = Client::connect(self.devices, "localhost", tls).await.unwrap();
            let path = format!("/0neCLI/registrations/{id}/register?api-version=2021-06-01");
            let headers = client::headers(&[("content-type", "application/json"), ("prefer", "wait=20")]);
            client.send(http::Method::PUT, &path, headers, b"{}".to_vec()).await.unwrap()
        })
    }
}

/// A server that runs. It ends with the test, however that ends: one that is left would keep the test's output open.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// Ends a server as a system does, which must be a good end.
pub(crate) fn stop(mut server: Running) {
    let Running(server) = &mut server;
    let told = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(told.success());
    let mut said = String::new();
    server.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let ended = server.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "{said}");
    assert!(said.contains("nothing is lost"), "{said}");
}

fn landfall(words: &[&str]) -> Ran {
    let ran = Command::new(PROGRAM).args(words).env_remove("LANDFALL_DATA").stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: ran.status.code().unwrap_or(-1), out: text(&ran.stdout), err: text(&ran.stderr) }
}

/// The real program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_landfall-under-test");
