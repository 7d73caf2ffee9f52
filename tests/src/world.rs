//! A whole Landfall for a test: a data folder, a server on real sockets, a factory, an operator.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use landfall::client::{self, Answer, Client};
use landfall::config::{Config, Server as Addresses, ThrottleLimits};
use landfall::folder::DataFolder;
use landfall::init;
use landfall::server::Server;
use landfall::tls::Identity;
use landfall_attestation::x509::make::{Authority, Issued};
use landfall_domain::clock::{Ambient, ManualClock};
use landfall_domain::names::{Digest, IdScope};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server, and everybody around it.
pub struct World {
    /// The data folder.
    pub folder: DataFolder,
    /// The tenant.
    pub scope: IdScope,
    /// The CA of the factory whose devices are enrolled.
    pub factory: Authority,
    /// The operator's token.
    pub operator_token: String,
    server: Option<Server>,
    config: Config,
    ambient: Ambient,
    _place: TempDir,
}

impl World {
    /// A server with one hub and one group, `devices`, that demands both factors and uses the shipped policies.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other limits.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let world = Self::empty(change).await;
        world.link_hub("hub-1.example", 1, 1_000_000).await;
        world.enroll_factory().await;
        world
    }

    /// The same with a clock that stands until the test turns it. It should begin at the time that it is, for the test's
    /// clients, which look at the server's certificate, go by the machine's clock.
    pub async fn with_clock(clock: &Arc<ManualClock>, change: impl FnOnce(&mut Config)) -> Self {
        let world = Self::empty_at(Ambient::system().with_clock(Arc::clone(clock) as _), change).await;
        world.link_hub("hub-1.example", 1, 1_000_000).await;
        world.enroll_factory().await;
        world
    }

    /// A server that knows of no hub and no device.
    pub async fn empty(change: impl FnOnce(&mut Config)) -> Self {
        Self::empty_at(Ambient::system(), change).await
    }

    async fn empty_at(ambient: Ambient, change: impl FnOnce(&mut Config)) -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = DataFolder::at(place.path().join("data"));
        let any_port = ([127, 0, 0, 1], 0).into();
        let scope: IdScope = "0neTEST".parse().expect("a scope");
        let addresses = Addresses {
            hostname: "localhost".to_owned(),
            scope: scope.clone(),
            device_listen: any_port,
            management_listen: any_port,
        };
        let made = init::init(folder.root(), &addresses, &ambient).await.expect("a data folder");
        share_cache(&folder);
        let mut config = Config::load(&folder.config()).expect("the configuration that init wrote");
        // All devices of a test have one address, and some ask as fast as they can.
        config.limits.throttle = ThrottleLimits::unlimited();
        change(&mut config);
        let factory = Authority::root("Test Factory CA", ambient.now(), 30).expect("a CA");
        let server = Server::start(&folder, config.clone(), ambient.clone()).await.expect("a server");
        let operator_token = made.operator_token;
        Self { folder, scope, factory, operator_token, server: Some(server), config, ambient, _place: place }
    }

    /// A server on a data folder that is there already: `data` in this place. It gets a server's certificate of its own.
    pub async fn of(place: TempDir) -> Self {
        let folder = DataFolder::at(place.path().join("data"));
        let ambient = Ambient::system();
        let mut config = Config::load(&folder.config()).expect("its configuration");
        let any_port = ([127, 0, 0, 1], 0).into();
        (config.server.device_listen, config.server.management_listen) = (any_port, any_port);
        config.limits.throttle = ThrottleLimits::unlimited();
        let authority = Authority::root("Test Server CA", ambient.now(), 30).expect("a CA");
        let issued = authority.server(&[config.server.hostname.clone()], ambient.now(), 30).expect("a certificate");
        for (path, content, secret) in [
            (folder.ca_certificate(), &authority.certificate_pem, false),
            (folder.server_certificate(), &issued.certificate_pem, false),
            (folder.server_key(), &issued.key_pem, true),
        ] {
            DataFolder::replace(&path, content.as_bytes(), secret).expect("a file of its TLS");
        }
        link_cache(&folder);
        let operator_token = std::fs::read_to_string(folder.operator_token()).expect("its token").trim().to_owned();
        let factory = Authority::root("Test Factory CA", ambient.now(), 30).expect("a CA");
        let server = Server::start(&folder, config.clone(), ambient.clone()).await.expect("a server");
        let scope = config.server.scope.clone();
        Self { folder, scope, factory, operator_token, server: Some(server), config, ambient, _place: place }
    }

    /// The server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    /// Stops the server and starts it again on the same folder.
    pub async fn restart(&mut self) {
        self.server.take().expect("the server runs").stop().await.expect("a clean stop");
        let server = Server::start(&self.folder, self.config.clone(), self.ambient.clone()).await;
        self.server = Some(server.expect("a server"));
    }

    /// The same with another configuration.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.restart().await;
    }

    /// Runs a command of the program on the folder while the server is stopped; gives what it printed.
    pub async fn stopped_for(&mut self, words: &[&str]) -> String {
        self.server.take().expect("the server runs").stop().await.expect("a clean stop");
        let program = std::env::current_exe().expect("this test");
        let program = program.parent().and_then(Path::parent).expect("its folder").join("landfall-under-test");
        let ran = std::process::Command::new(program).args(words).arg("--data").arg(self.folder.root()).output();
        let ran = ran.expect("the program");
        assert!(ran.status.success(), "{ran:?}");
        let server = Server::start(&self.folder, self.config.clone(), self.ambient.clone()).await;
        self.server = Some(server.expect("a server"));
        String::from_utf8(ran.stdout).expect("text")
    }

    /// Links a hub.
    pub async fn link_hub(&self, name: &str, weight: u32, capacity: u64) {
        let hub = json!({ "weight": weight, "capacity": capacity });
        self.put(&format!("hubs/{name}"), &hub).await;
    }

    /// Uploads and proves the factory's CA and enrolls its devices.
    pub async fn enroll_factory(&self) {
        self.upload_authority("factory", &self.factory).await;
        self.put("enrollment-groups/devices", &group("factory")).await;
    }

    /// Uploads a CA and proves that its key is at hand.
    pub async fn upload_authority(&self, name: &str, authority: &Authority) {
        let prove = |code: &str| authority.device(code, self.ambient.now(), 1).expect("a proof").certificate_pem;
        self.upload(name, &authority.certificate_pem, prove).await;
    }

    /// Uploads a CA's certificate and the proof that somebody makes for a code.
    pub async fn upload(&self, name: &str, certificate_pem: &str, prove: impl FnOnce(&str) -> String) {
        self.put(&format!("authorities/{name}"), &json!({ "certificate": certificate_pem })).await;
        let path = format!("/api/v1/scopes/{}/authorities/{name}", self.scope);
        let code = self.manage("POST", &format!("{path}/verification-code"), b"").await;
        let code = json_of(&code)["verificationCode"].as_str().expect("a code").to_owned();
        let proof = json!({ "certificate": prove(&code) }).to_string();
        let verified = self.manage("POST", &format!("{path}/verify"), proof.as_bytes()).await;
        assert!(verified.status.is_success(), "{verified:?}");
    }

    /// Puts something of the scope; anything but success is the test's failure.
    pub async fn put(&self, what: &str, content: &Value) -> Value {
        let path = format!("/api/v1/scopes/{}/{what}", self.scope);
        let answer = self.manage("PUT", &path, content.to_string().as_bytes()).await;
        assert!(answer.status.is_success(), "PUT {what}: {answer:?}");
        json_of(&answer)
    }

    /// Gets something of the management API.
    pub async fn get(&self, path: &str) -> Value {
        json_of(&self.manage("GET", path, b"").await)
    }

    /// Calls the management API as the operator.
    pub async fn manage(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.manage_as(&self.operator_token, method, path, "application/json", body).await
    }

    /// Calls the management API as somebody.
    pub async fn manage_as(&self, token: &str, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let tls = self.tls(None);
        let mut client = Client::connect(self.server().management_addr, "localhost", tls).await.expect("a connection");
        let bearer = format!("Bearer {token}");
        let headers = client::headers(&[("authorization", bearer.as_str()), ("content-type", content_type)]);
        let method = method.parse::<http::Method>().expect("a method");
        client.send(method, path, headers, body.to_vec()).await.expect("an answer")
    }

    /// Asks the management listener how the server is, as a probe without a token does.
    pub async fn health(&self, path: &str) -> Answer {
        let tls = self.tls(None);
        let mut client = Client::connect(self.server().management_addr, "localhost", tls).await.expect("a connection");
        client.send(http::Method::GET, path, client::headers(&[]), Vec::new()).await.expect("an answer")
    }

    /// The ledger entry of a request; a refusal's is written a moment after its answer.
    pub async fn ledger(&self, tracking_id: &str) -> Value {
        for _ in 0..200 {
            let answer = self.manage("GET", &format!("/api/v1/decisions/{tracking_id}"), b"").await;
            if answer.status == 200 {
                return json_of(&answer);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("no ledger entry {tracking_id}")
    }

    /// A device of the factory, with a manufacturing record that pins its certificate.
    pub async fn device(&self, id: &str) -> Device {
        let issued = self.factory.device(id, self.ambient.now(), 30).expect("a certificate");
        self.record(id, Some(Digest::of(&issued.certificate_der))).await;
        self.stranger(id, &issued)
    }

    /// A device with a certificate from wherever, and no record.
    pub fn stranger(&self, id: &str, issued: &Issued) -> Device {
        self.chained(id, issued, &[])
    }

    /// A device that sends intermediates along.
    pub fn chained(&self, id: &str, issued: &Issued, intermediates: &[&Authority]) -> Device {
        let mut identity = Identity::of(issued);
        identity.chain.extend(intermediates.iter().map(|ca| ca.certificate_der.clone().into()));
        self.shown(id, Some(identity))
    }

    /// A device that shows this, or nothing.
    pub fn shown(&self, id: &str, identity: Option<Identity>) -> Device {
        let tls = self.tls(identity);
        Device { id: id.to_owned(), scope: self.scope.to_string(), address: self.server().device_addr, tls }
    }

    /// The same device, calling the server where it is now.
    pub fn shown_again(&self, device: &Device) -> Device {
        Device { address: self.server().device_addr, ..device.clone() }
    }

    /// TLS of a client that trusts this server and shows this, or nothing.
    pub fn tls(&self, identity: Option<Identity>) -> Arc<rustls::ClientConfig> {
        let ca = std::fs::read(self.folder.ca_certificate()).expect("the server's CA");
        client::tls::client(&ca, identity).expect("TLS")
    }

    /// Imports a record as the manufacturer `acme`.
    pub async fn record(&self, id: &str, certificate: Option<Digest>) {
        let mut record = json!({ "registrationId": id, "facts": { "site": "oslo" } });
        if let Some(digest) = certificate {
            record["certificateSha256"] = digest.to_string().into();
        }
        let path = format!("/api/v1/scopes/{}/records?manufacturer=acme", self.scope);
        let body = format!("{record}\n");
        let answer = self.manage_as(&self.operator_token, "POST", &path, "application/x-ndjson", body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(json_of(&answer)["refused"], 0, "{answer:?}");
    }

    /// Stops the server gracefully and gives its folder to whoever looks into it.
    pub async fn stop(mut self) -> (TempDir, PathBuf) {
        self.server.take().expect("the server runs").stop().await.expect("a clean stop");
        let database = self.folder.database();
        (self._place, database)
    }
}

/// Compiled policies are shared by all tests of a machine, as they are by the servers of one: each is compiled once.
fn share_cache(folder: &DataFolder) {
    std::fs::remove_dir_all(folder.root().join("cache")).expect("init has made it");
    link_cache(folder);
}

fn link_cache(folder: &DataFolder) {
    let shared = in_tests("../target/tmp/policy-cache");
    std::fs::create_dir_all(shared.join("policies")).expect("a folder for compiled policies");
    std::os::unix::fs::symlink(shared, folder.root().join("cache")).expect("a link to it");
}

/// A group's enrollment: an authority, `weighted`, `table`.
pub fn group(authority: &str) -> Value {
    json!({
        "x509": { "authorities": { "primary": authority } },
        "allocation": {
            "selection": { "plugin": "weighted" },
            "grouping": [{ "plugin": "table", "settings": { "rules": [{ "group": ["{fact.site}"], "tags": { "from": "table" } }] } }]
        }
    })
}

/// A device.
#[derive(Clone)]
pub struct Device {
    /// Its registration id.
    pub id: String,
    /// The scope that it names.
    pub scope: String,
    /// Where it calls.
    pub address: std::net::SocketAddr,
    /// Whom it trusts, and what it shows.
    pub tls: Arc<rustls::ClientConfig>,
}

impl Device {
    /// Registers and waits for the result.
    pub async fn register(&self) -> Answer {
        self.send("PUT", "/register", &[("prefer", "wait=20")], json!({ "registrationId": self.id }).to_string()).await
    }

    /// Registers as old SDKs do: is told an operation, and polls until it ends.
    pub async fn register_and_poll(&self) -> Answer {
        let accepted = self.send("PUT", "/register", &[], "{}".to_owned()).await;
        if accepted.status != 202 {
            return accepted;
        }
        let operation = json_of(&accepted)["operationId"].as_str().expect("an operation").to_owned();
        for _ in 0..6_000 {
            let answer = self.poll(&operation).await;
            if answer.status != 202 {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{} is still assigning", self.id)
    }

    /// Asks how far an operation is.
    pub async fn poll(&self, operation: &str) -> Answer {
        self.send("GET", &format!("/operations/{operation}"), &[], "{}".to_owned()).await
    }

    /// Asks for its registration.
    pub async fn look_up(&self) -> Answer {
        self.send("POST", "", &[], json!({ "registrationId": self.id }).to_string()).await
    }

    /// Sends a request over a connection of its own.
    pub async fn send(&self, method: &str, what: &str, headers: &[(&str, &str)], body: String) -> Answer {
        self.try_send(method, what, headers, body.into_bytes()).await.expect("an answer")
    }

    /// The same, and it may fail.
    pub async fn try_send(
        &self,
        method: &str,
        what: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, client::ClientError> {
        let mut client = self.connect().await?;
        let path = self.path(what);
        let mut all = vec![("content-type", "application/json; charset=utf-8")];
        all.extend_from_slice(headers);
        client.send(method.parse().expect("a method"), &path, client::headers(&all), body).await
    }

    /// A connection that is kept.
    pub async fn connect(&self) -> Result<Client, client::ClientError> {
        Client::connect(self.address, "localhost", Arc::clone(&self.tls)).await
    }

    /// The target of its requests.
    pub fn path(&self, what: &str) -> String {
        format!("/{}/registrations/{}{what}?api-version=2021-06-01", self.scope, self.id)
    }
}

/// The JSON of an answer.
pub fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.bytes).unwrap_or_else(|error| panic!("no JSON ({error}): {answer:?}"))
}

/// The tracking id of an answer.
pub fn tracking_id(answer: &Answer) -> String {
    answer.header("x-ms-request-id").expect("a tracking id").to_owned()
}

/// A folder of this package.
pub fn in_tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
