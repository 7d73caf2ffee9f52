//! The load generator: a process of its own, so that its CPU time is not counted as the server's.
//!
//! It reads its plan from a file and prints its results on standard output, both in JSON. Each worker opens a
//! connection, does a handshake with the next device's certificate, registers with `Prefer: wait`, reads the answer and
//! closes. Nothing is reused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use landfall_domain::clock::{Clock as _, Stopwatch, SystemClock};
use landfall_domain::names::IdScope;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use super::BenchError;
use crate::cli::output::say;
use crate::client::{self, Client};
use crate::tls::Identity;

/// The plan of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The address of the server.
    pub(super) address: SocketAddr,
    /// The CA of the server's certificate.
    pub(super) ca: PathBuf,
    pub(super) scope: IdScope,
    /// The devices: id, certificate (DER) and key (PKCS#8 DER), all from the same issuer.
    pub(super) devices: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// The first device of this run, so that two runs do not start with the same one.
    pub(super) first: usize,
    /// The number of simultaneous connections.
    pub(super) connections: usize,
    pub(super) seconds: u64,
}

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The number of requests that were answered with 200.
    pub(super) good: u64,
    pub(super) bad: u64,
    /// The first of the failures.
    pub(super) first_bad: Option<String>,
    /// The seconds from the first connection to the last answer.
    pub(super) seconds: f64,
    /// Sorted microseconds, each from before the connection to after the answer.
    pub(super) latencies_us: Vec<u64>,
}

/// Carries out a plan and prints the results.
pub(super) async fn run(plan: &Path) -> Result<(), BenchError> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan)?)?;
    let seen = carry_out(Arc::new(plan)).await?;
    say!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

async fn carry_out(plan: Arc<Plan>) -> Result<Seen, BenchError> {
    let ca = std::fs::read(&plan.ca)?;
    let configs: Result<Vec<Arc<ClientConfig>>, _> = plan
        .devices
        .iter()
        .map(|(_, certificate, key)| {
            let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.clone()).into();
            client::tls::client(&ca, Some(Identity { chain: vec![certificate.clone().into()], key }))
        })
        .collect();
    let (configs, next) = (Arc::new(configs?), Arc::new(AtomicUsize::new(plan.first)));
    let began = Stopwatch::system();
    let workers: Vec<_> = (0..plan.connections)
        .map(|_| tokio::spawn(work(Arc::clone(&plan), Arc::clone(&configs), Arc::clone(&next))))
        .collect();
    let mut seen = Seen { good: 0, bad: 0, first_bad: None, seconds: 0.0, latencies_us: Vec::new() };
    for worker in workers {
        let one = worker.await.map_err(|error| BenchError::Load(error.to_string()))?;
        seen.good += one.good;
        seen.bad += one.bad;
        seen.first_bad = seen.first_bad.or(one.first_bad);
        seen.latencies_us.extend(one.latencies_us);
    }
    seen.seconds = began.elapsed().as_secs_f64();
    seen.latencies_us.sort_unstable();
    Ok(seen)
}

async fn work(plan: Arc<Plan>, configs: Arc<Vec<Arc<ClientConfig>>>, next: Arc<AtomicUsize>) -> Seen {
    let mut seen = Seen { good: 0, bad: 0, first_bad: None, seconds: 0.0, latencies_us: Vec::new() };
    let end = SystemClock.instant() + Duration::from_secs(plan.seconds);
    while SystemClock.instant() < end {
        let number = next.fetch_add(1, Ordering::Relaxed) % plan.devices.len().max(1);
        let (Some((id, ..)), Some(tls)) = (plan.devices.get(number), configs.get(number)) else { break };
        let began = Stopwatch::system();
        match register(&plan, id, Arc::clone(tls)).await {
            Ok(200) => {
                seen.good += 1;
                seen.latencies_us.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            other => {
                seen.bad += 1;
                seen.first_bad.get_or_insert_with(|| format!("{id}: {other:?}"));
            }
        }
    }
    seen
}

async fn register(plan: &Plan, id: &str, tls: Arc<ClientConfig>) -> Result<u16, client::ClientError> {
    let mut client = Client::connect(plan.address, "localhost", tls).await?;
    let path = format!("/{}/registrations/{id}/register?api-version=2021-06-01", plan.scope);
    let headers = client::headers(&[("content-type", "application/json; charset=utf-8"), ("prefer", "wait=10")]);
    let body = format!(r#"{{"registrationId":"{id}"}}"#);
    let answer = client.send(Method::PUT, &path, headers, body.into_bytes()).await?;
    Ok(answer.status.as_u16())
}
