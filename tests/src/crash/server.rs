//! The real binary, killed under load: devices register over mutual TLS with as many connections as a busy line has,
//! each answer is written down here, in another process, and at any moment the server dies.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::client::{self, Answer, Client};
use landfall::config::Server as Addresses;
use landfall::folder::DataFolder;
use landfall_attestation::x509::make::{Authority, Issued};
use landfall_domain::clock::{Ambient, Stopwatch};
use landfall_domain::names::IdScope;
use rustls::ClientConfig;

use super::Load;
use super::acknowledged::{Acknowledged, Log};
use crate::setting;

/// A server process and the devices that register with it.
pub struct RealServer {
    binary: PathBuf,
    runtime: tokio::runtime::Runtime,
    scope: IdScope,
    port: u16,
    factory: Authority,
    devices: Vec<(String, Issued)>,
    clients: Vec<(String, Arc<ClientConfig>)>,
    next: Arc<AtomicU64>,
    /// The longest time from a start after a kill to the first registration that was answered. A first start compiles
    /// the policies and does not count.
    pub slowest_first_answer: Duration,
}

impl RealServer {
    /// A server of this binary, and so many devices.
    ///
    /// # Errors
    ///
    /// A sentence for people.
    pub fn new(binary: &Path, devices: usize) -> Result<Self, String> {
        let now = Ambient::system().now();
        let factory = Authority::root("Crash Factory CA", now, 30).map_err(|e| e.to_string())?;
        let made: Result<Vec<_>, _> = (0..devices)
            .map(|number| {
                let id = format!("crash-{number:05}");
                factory.device(&id, now, 30).map(|issued| (id, issued))
            })
            .collect();
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
        Ok(Self {
            binary: binary.to_owned(),
            runtime: tokio::runtime::Runtime::new().map_err(|e| e.to_string())?,
            scope: "0neCRASH".parse().map_err(|e| format!("{e}"))?,
            port: free.map_err(|e| e.to_string())?.port(),
            factory,
            devices: made.map_err(|e| e.to_string())?,
            clients: Vec::new(),
            next: Arc::new(AtomicU64::new(0)),
            slowest_first_answer: Duration::ZERO,
        })
    }

    /// What `init` and an operator would do before the first device comes.
    fn set_up(&mut self, folder: &DataFolder) -> Result<(), String> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses {
            hostname: "localhost".to_owned(),
            scope: self.scope.clone(),
            device_listen: SocketAddr::from(([127, 0, 0, 1], self.port)),
            management_listen: any_port,
        };
        // The harness has made the folder; `init` wants to do that itself.
        std::fs::remove_dir(folder.root()).map_err(|e| e.to_string())?;
        let (runtime, ambient) = (&self.runtime, Ambient::system());
        runtime.block_on(landfall::init::init(folder.root(), &addresses, &ambient)).map_err(|e| e.to_string())?;
        // All devices have one address here.
        let config = std::fs::read_to_string(folder.config()).map_err(|e| e.to_string())?;
        let config: Vec<String> = config.lines().map(unthrottled).collect();
        std::fs::write(folder.config(), config.join("\n")).map_err(|e| e.to_string())?;
        let ids: Vec<String> = self.devices.iter().map(|(id, _)| id.clone()).collect();
        runtime.block_on(setting::fill(folder, &self.scope, &self.factory, &ids)).map_err(|e| e.to_string())?;
        let ca = std::fs::read(folder.ca_certificate()).map_err(|e| e.to_string())?;
        let clients: Result<Vec<_>, _> = self
            .devices
            .iter()
            .map(|(id, issued)| {
                client::tls::client(&ca, Some(landfall::tls::Identity::of(issued))).map(|tls| (id.clone(), tls))
            })
            .collect();
        self.clients = clients.map_err(|e| e.to_string())?;
        Ok(())
    }

    fn start(&self, folder: &Path) -> Result<Child, String> {
        Command::new(&self.binary)
            .args(["serve", "--data"])
            .arg(folder)
            .env("LANDFALL_LOG", "error")
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}; build it first", self.binary.display()))
    }
}

impl Load for RealServer {
    fn work_and_kill(&mut self, _cycle: u64, folder: &Path, log: &mut Log, after: Duration) -> Result<(), String> {
        let new = !DataFolder::at(folder).config().exists();
        if new {
            self.set_up(&DataFolder::at(folder))?;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut server = self.start(folder)?;
        let began = Stopwatch::system();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let clients = Arc::new(self.clients.clone());
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let work = Worker {
                    address,
                    scope: self.scope.clone(),
                    clients: Arc::clone(&clients),
                    next: Arc::clone(&self.next),
                    heard: Arc::clone(&heard),
                    stop: Arc::clone(&stop),
                };
                self.runtime.spawn(work.run())
            })
            .collect();
        // The clock of the kill starts with the first answer, so that every life does some work.
        let first = loop {
            if !lock(&heard).is_empty() {
                break Ok(began.elapsed());
            }
            if let Ok(Some(status)) = server.try_wait() {
                break Err(format!("the server ended by itself: {status}"));
            }
            if began.elapsed() > PATIENCE {
                break Err(format!("no answer within {} s of the start", PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if first.is_ok() {
            std::thread::sleep(after);
        }
        // SIGKILL on Unix.
        let killed = server.kill().and_then(|()| server.wait());
        stop.store(true, Ordering::SeqCst);
        for worker in workers {
            self.runtime.block_on(worker).map_err(|e| e.to_string())?;
        }
        killed.map_err(|e| e.to_string())?;
        let first = first?;
        if !new {
            self.slowest_first_answer = self.slowest_first_answer.max(first);
        }
        for acknowledged in lock(&heard).iter() {
            log.add(acknowledged).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

/// One connection after the other.
struct Worker {
    address: SocketAddr,
    scope: IdScope,
    clients: Arc<Vec<(String, Arc<ClientConfig>)>>,
    next: Arc<AtomicU64>,
    heard: Arc<Mutex<Vec<Acknowledged>>>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    async fn run(self) {
        while !self.stop.load(Ordering::SeqCst) {
            let number = usize::try_from(self.next.fetch_add(1, Ordering::SeqCst)).unwrap_or_default();
            let Some((id, tls)) = self.clients.get(number % self.clients.len().max(1)) else { return };
            match self.register(id, Arc::clone(tls)).await {
                Ok(answer) => {
                    if let Some(acknowledged) = acknowledged(&self.scope, &answer) {
                        lock(&self.heard).push(acknowledged);
                    }
                }
                // Not there yet, or just killed.
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }

    async fn register(&self, id: &str, tls: Arc<ClientConfig>) -> Result<Answer, client::ClientError> {
        let mut client = Client::connect(self.address, "localhost", tls).await?;
        let path = format!("/{}/registrations/{id}/register?api-version=2021-06-01", self.scope);
        client
            .send(http::Method::PUT, &path, client::headers(&[("prefer", "wait=20")]), "{}".to_owned().into_bytes())
            .await
    }
}

/// What a device was told: its entity tag says which state of its registration, and which decision.
fn acknowledged(scope: &IdScope, answer: &Answer) -> Option<Acknowledged> {
    let body: serde_json::Value = answer.json().ok()?;
    let state = body.get("registrationState").filter(|state| state["status"] == "assigned")?;
    let tag = String::from_utf8(STANDARD.decode(state["etag"].as_str()?).ok()?).ok()?;
    let (generation, decision) = tag.trim_matches('"').split_once('-')?;
    Some(Acknowledged {
        scope: scope.clone(),
        registration_id: state["registrationId"].as_str()?.parse().ok()?,
        hub: Some(state["assignedHub"].as_str()?.parse().ok()?),
        generation: generation.parse().ok()?,
        decision: decision.parse().ok()?,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Registrations at once.
const CONNECTIONS: usize = 64;

/// A server that has not answered after so long never will.
const PATIENCE: Duration = Duration::from_secs(90);

/// A line of the configuration, with which devices may ask as often as they like.
fn unthrottled(line: &str) -> String {
    match line.split_once('=').map(|(key, _)| key.trim_start_matches('#').trim()) {
        Some(key @ ("address_per_second" | "device_per_minute")) => format!("{key} = 0"),
        _ => line.to_owned(),
    }
}
