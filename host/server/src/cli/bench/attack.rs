//! The process beside `landfall bench overload`. It attacks a server on a loopback address, and also registers honest
//! devices.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::ValueEnum;
use http::Method;
use landfall_domain::clock::{Clock as _, Stopwatch, SystemClock};
use landfall_domain::names::IdScope;
use rustls::{ClientConfig, ClientConnection};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::BenchError;
use crate::cli::output::say;
use crate::client::{self, Client, ClientError, ClientLimits};
use crate::tls::Identity;

/// What the attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Nothing, for comparison.
    Nothing,
    /// Connects and says nothing.
    Silent,
    /// A byte of a handshake now and then.
    SlowBytes,
    /// Half of the first message, then silence.
    HalfHello,
    /// The first message, then silence.
    WholeHello,
    /// Begins handshakes as fast as it can.
    Handshakes,
    /// Requests without a credential, as fast as it can; so the following ones.
    NoCredential,
    /// Tokens of an identity provider that nobody knows.
    Bearer,
    /// Tokens that no key has signed.
    SharedKey,
    /// Kerberos tickets that cannot be opened.
    Negotiate,
    /// Tries wrong passwords.
    Password,
    /// Certificates that name the factory and are not its own, a handshake each.
    ForgedCertificate,
}

impl Kind {
    pub(super) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// The `Authorization` header of a flood of this kind.
    fn authorization(self, scope: &IdScope, id: &str) -> Option<String> {
        match self {
            Self::Bearer => {
                let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
                let (header, claims) = (part(r#"{"alg":"ES256"}"#), part(r#"{"iss":"https://nobody.invalid"}"#));
                Some(format!("Bearer {header}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 64])))
            }
            Self::SharedKey => {
                let signature = STANDARD.encode([7; 32]).replace('=', "%3D");
                let resource = format!("{scope}%2Fregistrations%2F{id}");
                let end = landfall_domain::clock::Ambient::system().now().as_secs().saturating_add(3_600);
                Some(format!("SharedAccessSignature sr={resource}&sig={signature}&se={end}&skn=registration"))
            }
            Self::Negotiate => Some(format!("Negotiate {}", STANDARD.encode([0x60; 600]))),
            Self::Password => Some(format!("Basic {}", STANDARD.encode(format!("{id}:none of anybody's")))),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// A device: its id, its certificate and its key in DER.
pub(super) type Known = (String, Vec<u8>, Vec<u8>);

/// The plan of an attack.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    /// The CA of the server's certificate.
    pub(super) ca: PathBuf,
    pub(super) scope: IdScope,
    pub(super) devices: Vec<Known>,
    pub(super) forged: Known,
    pub(super) seconds: u64,
    pub(super) connections: u16,
    pub(super) networks: u8,
    pub(super) rate: u64,
}

/// The results of an attack.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) attempts: u64,
    pub(super) elsewhere: Seen,
    pub(super) same_network: Seen,
}

/// What honest devices experienced.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) good: u64,
    pub(super) bad: u64,
    pub(super) first_bad: Option<String>,
    pub(super) latencies_us: Vec<u64>,
}

/// Carries out a plan and prints the results.
pub(super) async fn run(plan: &Path) -> Result<(), BenchError> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan)?)?;
    if !plan.address.ip().is_loopback() {
        return Err(BenchError::Failed(format!(
            "{} is not a loopback address, and nothing else is attacked",
            plan.address
        )));
    }
    // Both ends of a connection may count against the same limit.
    crate::cli::serve::allow_open_files(u64::from(plan.connections).saturating_mul(2).saturating_add(1_000));
    let side = Arc::new(Side::of(plan)?);
    let mut attackers = JoinSet::new();
    for number in 0..side.plan.connections {
        attackers.spawn(attack(Arc::clone(&side), number));
    }
    // The attack begins before the first honest device comes.
    tokio::time::sleep(AHEAD).await;
    let (elsewhere, same_network) =
        tokio::join!(honest(Arc::clone(&side), [127, 200, 1]), honest(Arc::clone(&side), network(0)));
    attackers.shutdown().await;
    let report = Report { attempts: side.attempts.load(Ordering::Relaxed), elsewhere, same_network };
    say!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// The first three numbers of one of the attacker's networks.
fn network(number: u16) -> [u8; 3] {
    [127, 100, u8::try_from(number % 256).unwrap_or_default()]
}

struct Side {
    plan: Plan,
    honest: Vec<(String, Arc<ClientConfig>)>,
    forged: Arc<ClientConfig>,
    nobody: Arc<ClientConfig>,
    hello: Vec<u8>,
    next: AtomicUsize,
    attempts: AtomicU64,
    end: Instant,
}

impl Side {
    fn of(plan: Plan) -> Result<Self, BenchError> {
        let ca = std::fs::read(&plan.ca)?;
        let with = |(_, certificate, key): &Known| {
            let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.clone()).into();
            client::tls::client(&ca, Some(Identity { chain: vec![certificate.clone().into()], key }))
        };
        let honest: Result<Vec<_>, _> =
            plan.devices.iter().map(|known| Ok::<_, BenchError>((known.0.clone(), with(known)?))).collect();
        let (forged, nobody) = (with(&plan.forged)?, client::tls::client(&ca, None)?);
        let name =
            rustls_pki_types::ServerName::try_from("localhost").map_err(|e| BenchError::Failed(e.to_string()))?;
        let mut hello = Vec::new();
        ClientConnection::new(Arc::clone(&nobody), name)?.write_tls(&mut hello)?;
        let end = SystemClock.instant() + AHEAD + Duration::from_secs(plan.seconds);
        let (next, attempts) = (AtomicUsize::new(0), AtomicU64::new(0));
        Ok(Self { plan, honest: honest?, forged, nobody, hello, next, attempts, end })
    }

    fn is_over(&self) -> bool {
        SystemClock.instant() >= self.end
    }

    async fn socket(&self, [a, b, c]: [u8; 3], last: u8) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        // Only Linux has all addresses of the loopback network. On other systems all connections share one address.
        let _ = socket.bind((Ipv4Addr::new(a, b, c, last), 0).into());
        socket.connect(self.plan.address).await
    }

    async fn client(&self, from: [u8; 3], last: u8, tls: &Arc<ClientConfig>) -> Result<Client, ClientError> {
        let address = self.plan.address;
        let socket = self.socket(from, last).await.map_err(|source| ClientError::Connect { address, source })?;
        Client::over(socket, address, "localhost", Arc::clone(tls), ClientLimits::default()).await
    }

    fn path(&self, id: &str) -> String {
        format!("/{}/registrations/{id}/register?api-version=2021-06-01", self.plan.scope)
    }
}

/// Makes one connection of the attacker after the other.
async fn attack(side: Arc<Side>, number: u16) {
    let from = network(number % u16::from(side.plan.networks.max(1)));
    let last = u8::try_from(number % 200).unwrap_or_default().saturating_add(20);
    while !side.is_over() && side.plan.kind != Kind::Nothing {
        side.attempts.fetch_add(1, Ordering::Relaxed);
        // The next connection is made whatever happens, but after a pause, so that a server that refuses at once is not
        // the only case.
        let _ = attempt(&side, from, last).await;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn attempt(side: &Side, from: [u8; 3], last: u8) -> Result<(), ClientError> {
    let kind = side.plan.kind;
    match kind {
        Kind::Nothing => {}
        Kind::Silent | Kind::SlowBytes | Kind::HalfHello | Kind::WholeHello | Kind::Handshakes => {
            // The attack wants it to end, in whatever way.
            let _ = half_way(side, from, last).await;
        }
        Kind::ForgedCertificate => {
            let id = &side.plan.forged.0;
            let mut client = side.client(from, last, &side.forged).await?;
            client.send(Method::PUT, &side.path(id), client::headers(&JSON), b"{}".to_vec()).await?;
        }
        Kind::NoCredential | Kind::Bearer | Kind::SharedKey | Kind::Negotiate | Kind::Password => {
            let (id, ..) = &side.plan.forged;
            let mut client = side.client(from, last, &side.nobody).await?;
            let mut headers = client::headers(&JSON);
            if let Some(value) = kind.authorization(&side.plan.scope, id).and_then(|text| text.parse().ok()) {
                headers.insert(http::header::AUTHORIZATION, value);
            }
            while !side.is_over() && !client.is_closed() {
                side.attempts.fetch_add(1, Ordering::Relaxed);
                client.send(Method::PUT, &side.path(id), headers.clone(), b"{}".to_vec()).await?;
            }
        }
    }
    Ok(())
}

/// Attacks that do not finish a handshake.
async fn half_way(side: &Side, from: [u8; 3], last: u8) -> std::io::Result<()> {
    let mut socket = side.socket(from, last).await?;
    let half = side.hello.get(..side.hello.len() / 2).unwrap_or_default();
    match side.plan.kind {
        Kind::SlowBytes => {
            for byte in &side.hello {
                socket.write_all(std::slice::from_ref(byte)).await?;
                if tokio::time::timeout(BETWEEN_BYTES, socket.read(&mut [0; 1024])).await.is_ok() {
                    break;
                }
            }
        }
        Kind::HalfHello => socket.write_all(half).await?,
        Kind::WholeHello => socket.write_all(&side.hello).await?,
        Kind::Handshakes => {
            socket.write_all(&side.hello).await?;
            // The first bytes of the server's answer are enough: the client never finishes.
            let _some = socket.read(&mut [0; 1024]).await?;
            return Ok(());
        }
        _ => {}
    }
    // Waits until the server closes the connection.
    while socket.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// Honest devices at a fixed rate, which does not wait for earlier ones.
async fn honest(side: Arc<Side>, from: [u8; 3]) -> Seen {
    let mut coming = JoinSet::new();
    let pause = Duration::from_secs(1).checked_div(u32::try_from(side.plan.rate).unwrap_or(1)).unwrap_or(AHEAD);
    while !side.is_over() {
        coming.spawn(register(Arc::clone(&side), from));
        tokio::time::sleep(pause).await;
    }
    let mut seen = Seen::default();
    while let Some(done) = coming.join_next().await {
        match done.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(micros) => {
                seen.good += 1;
                seen.latencies_us.push(micros);
            }
            Err(why) => {
                seen.bad += 1;
                seen.first_bad.get_or_insert(why);
            }
        }
    }
    seen
}

async fn register(side: Arc<Side>, from: [u8; 3]) -> Result<u64, String> {
    let number = side.next.fetch_add(1, Ordering::Relaxed) % side.honest.len().max(1);
    let Some((id, tls)) = side.honest.get(number) else { return Err("there is no device".to_owned()) };
    let began = Stopwatch::system();
    let registering = async {
        let mut client = side.client(from, 9, tls).await?;
        let headers = client::headers(&[("content-type", "application/json"), ("prefer", "wait=20")]);
        client.send(Method::PUT, &side.path(id), headers, b"{}".to_vec()).await
    };
    let answer = registering.await.map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("{id} is answered {}", answer.status));
    }
    Ok(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
/// How long an attack runs before honest devices come.
const AHEAD: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(2);
const BETWEEN_BYTES: Duration = Duration::from_secs(1);
