//! The cost of verifying certificates, a part of `landfall bench attestation`: the server's side of whole handshakes,
//! in memory, with a client certificate that an intermediate has issued.
//!
//! There are three figures. They are measured alternately, so that changes of the machine's speed affect all of them.
//! The first is a handshake that verifies the chain itself, up to one root, as most servers do. The second is a
//! handshake of this server, which proves the key and verifies nothing else. The third is the work afterwards: once for
//! a connection (parsing the chain), and for its request (finding the group, the path, the strict rules, revocation).

use std::io::{Cursor, Read as _};
use std::sync::Arc;
use std::time::Duration;

use landfall_attestation::x509::make::Authority;
use landfall_attestation::x509::revocation::{Issuer, KeptRevocations, Known, RevocationRecord, Standing};
use landfall_attestation::x509::{Anchor, AnchorIndex, Crl, PresentedChain, VerifyPolicy, verify_group};
use landfall_domain::clock::{Ambient, Stopwatch};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, ServerName};

use super::BenchError;
use crate::client;
use crate::tls::current::Current;
use crate::tls::{Identity, for_baseline, for_devices};

/// Microseconds of the server's time.
pub(super) struct Costs {
    /// A handshake that verifies the chain.
    pub(super) verifying: f64,
    /// A handshake of the devices' listener.
    pub(super) proving: f64,
    /// The verification of the certificate afterwards.
    pub(super) judging: f64,
}

/// Measures for a time span.
pub(super) fn measure(ambient: &Ambient, span: Duration) -> Result<Costs, BenchError> {
    let now = ambient.now();
    let root = Authority::root("Root", now, 30)?;
    let line = root.intermediate("Line 3", now, 30)?;
    let server = Identity::of(&root.server(&["localhost".to_owned()], now, 30)?);
    let issued = line.device("pump-1", now, 30)?;
    let Identity { mut chain, key } = Identity::of(&issued);
    chain.truncate(1);
    chain.push(CertificateDer::from(line.certificate_der));
    let device = client::tls::client(root.certificate_pem.as_bytes(), Some(Identity { chain: chain.clone(), key }))?;
    let current = Current::new(server)?;
    let (ours, theirs) =
        (for_devices(&current)?, for_baseline(&current, CertificateDer::from(root.certificate_der.clone()))?);

    let failed = |error: &dyn std::fmt::Display| BenchError::Failed(error.to_string());
    let anchor = Anchor::parse(&root.certificate_der).map_err(|error| failed(&error))?;
    let mut index = AnchorIndex::default();
    index.insert(&anchor, "pumps");
    let list = root.revocation_list(&(1..=1000_u16).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>(), now, 7)?;
    let facts = Crl::parse(&list, &anchor).map_err(|error| failed(&error))?.facts().clone();
    let issuer = Issuer::of(&root.certificate_der).ok_or_else(|| failed(&"no issuer"))?;
    let record = RevocationRecord { list: Some(facts), ..RevocationRecord::silent(issuer, now) };
    let held = [(root.certificate_der.as_slice(), Standing::Held)].into_iter();
    let revocations = Known::new(vec![KeptRevocations { record, list: Some(list) }], held, None);
    let (anchors, policy) = ([anchor], VerifyPolicy::at(now));
    let judge = || -> Result<(), BenchError> {
        let shown = PresentedChain::parse(&chain).map_err(|error| failed(&error))?;
        let group = index.nearest(&shown);
        let path = verify_group(&shown, &anchors, &policy).map_err(|error| failed(&error))?;
        revocations.judge(&shown, &path, &anchors, now, 0).map_err(|error| failed(&error))?;
        std::hint::black_box(group.first().ok_or_else(|| BenchError::Failed("no group".to_owned()))).map(drop)
    };

    let (mut verifying, mut proving, mut judging) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (began, mut times) = (Stopwatch::system(), 0_u32);
    while began.elapsed() < span || times == 0 {
        verifying += handshake(&device, &theirs)?;
        proving += handshake(&device, &ours)?;
        let at = Stopwatch::system();
        judge()?;
        judging += at.elapsed();
        times = times.saturating_add(1);
    }
    let each = |sum: Duration| sum.as_secs_f64() * 1e6 / f64::from(times);
    Ok(Costs { verifying: each(verifying), proving: each(proving), judging: each(judging) })
}

/// Runs a whole handshake. Answers the time that the server worked.
fn handshake(device: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<Duration, BenchError> {
    let name = ServerName::try_from("localhost").map_err(|error| BenchError::Failed(error.to_string()))?;
    let mut client = ClientConnection::new(Arc::clone(device), name)?;
    let mut worked = Duration::ZERO;
    let at = Stopwatch::system();
    let mut server = ServerConnection::new(Arc::clone(server))?;
    worked += at.elapsed();
    let mut bytes = Vec::new();
    for _ in 0..MOST_FLIGHTS {
        bytes.clear();
        while client.wants_write() {
            client.write_tls(&mut bytes)?;
        }
        let mut flight = Cursor::new(std::mem::take(&mut bytes));
        let at = Stopwatch::system();
        while server.wants_read() && server.read_tls(&mut flight.by_ref())? > 0 {
            server.process_new_packets()?;
        }
        while server.wants_write() {
            server.write_tls(&mut bytes)?;
        }
        worked += at.elapsed();
        let mut flight = Cursor::new(std::mem::take(&mut bytes));
        while client.wants_read() && client.read_tls(&mut flight.by_ref())? > 0 {
            client.process_new_packets()?;
        }
        if !client.is_handshaking() && !server.is_handshaking() && !client.wants_write() {
            return Ok(worked);
        }
    }
    Err(BenchError::Failed("the handshake does not end".to_owned()))
}

/// The most flights of a handshake. In TLS 1.3 the client has two.
const MOST_FLIGHTS: u32 = 6;
