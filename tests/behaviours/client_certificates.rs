//! What devices may show of themselves in the handshake, and what each is told. Every kind of certificate that was
//! ever seen on a device ends in one answer, which stands in one table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall_domain::clock::Ambient;
use landfall_domain::names::Digest;
use landfall_tests::odd::{self, Draft, Key, SmallRsa};
use landfall_tests::world::{Device, World, group};
use rcgen::RsaKeySize;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What came of it, as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has its hub.
    Assigned,
    /// An error of HTTP.
    Told(u64),
    /// TLS went no further.
    Alert(AlertDescription),
}

use End::{Alert, Assigned, Told};

const REFUSED: End = Told(401_002);
const UNPROVEN: End = Alert(AlertDescription::DecryptError);

/// A kind of certificate, what it ends in when an operator has pinned it, and when an enrolled CA has issued it.
type Row = (&'static str, fn() -> Key, fn(&mut Draft), End, End);

const TABLE: [Row; 19] = [
    ("leaf_p256", Key::p256, |_| {}, Assigned, Assigned),
    ("leaf_p384", || usual(&rcgen::PKCS_ECDSA_P384_SHA384), |_| {}, Assigned, Assigned),
    ("leaf_p521", || usual(&rcgen::PKCS_ECDSA_P521_SHA512), |_| {}, Assigned, Assigned),
    ("leaf_ed25519", || usual(&rcgen::PKCS_ED25519), |_| {}, Assigned, Assigned),
    ("leaf_rsa2048", || rsa(RsaKeySize::_2048), |_| {}, Assigned, Assigned),
    ("leaf_rsa3072", || rsa(RsaKeySize::_3072), |_| {}, Assigned, Assigned),
    ("leaf_rsa4096", || rsa(RsaKeySize::_4096), |_| {}, Assigned, Assigned),
    // A key that is not accepted is none, and its device is told so like any other.
    ("leaf_rsa1024", || Key::SmallRsa(SmallRsa::generate()), |_| {}, REFUSED, REFUSED),
    ("leaf_psecp256k1", Key::secp256k1, |_| {}, REFUSED, REFUSED),
    // A pin is compared; the signature on it means nothing. From a CA it does.
    ("leaf_sha1", || rsa(RsaKeySize::_2048), |draft| draft.sha1 = true, Assigned, REFUSED),
    ("ca_true_p256", Key::p256, |draft| draft.extensions = vec![odd::basic_constraints(true)], Assigned, REFUSED),
    ("leaf_srveku", Key::p256, |draft| draft.extensions = vec![odd::usage(odd::SERVER)], Assigned, REFUSED),
    ("y9999", Key::p256, |draft| draft.dates[1] = "99991231235959Z", Assigned, Assigned),
    ("expired", Key::p256, |draft| draft.dates = ["100101000000Z", "110101000000Z"], REFUSED, REFUSED),
    ("future", Key::p256, |draft| draft.dates = ["400101000000Z", "450101000000Z"], REFUSED, REFUSED),
    // A certificate says which device it is, once.
    ("emptysubj", Key::p256, |draft| draft.names.clear(), REFUSED, REFUSED),
    ("multicn", Key::p256, |draft| draft.names.push("other".to_owned()), REFUSED, REFUSED),
    // What nobody understands is refused with a cause, not with an alert.
    (
        "leaf_unkcrit",
        Key::p256,
        |draft| draft.extensions.push(odd::extension(&[0x2a, 3, 4, 5, 6], true, &[5, 0])),
        REFUSED,
        REFUSED,
    ),
    ("v1", Key::p256, |draft| (draft.version, draft.extensions) = (1, Vec::new()), REFUSED, REFUSED),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_certificate_ends_in_the_answer_of_the_table() {
    let world = World::new().await;
    let authority = OddAuthority::enrolled(&world).await;
    let mut wrong = Vec::new();
    for (kind, key, change, pinned, issued) in TABLE {
        for (how, issuer, expected) in [("pinned", None, pinned), ("issued", Some(authority.signer()), issued)] {
            // A key is one device's.
            let key = Arc::new(key());
            let id = format!("{kind}-{how}");
            let mut draft = Draft::of(&id);
            change(&mut draft);
            let certificate = draft.issue(&key, issuer);
            world.record(&id, Some(Digest::of(&certificate))).await;
            if issuer.is_none() {
                let mut enrollment = group("factory");
                enrollment["x509"] = json!({ "certificates": { "primary": odd::pem(&certificate) } });
                let path = format!("/api/v1/scopes/{}/enrollments/{id}", world.scope);
                if expected == REFUSED && kind != "future" {
                    // It could never register with it, so it is not enrolled with it, but for its digest alone.
                    let answer = world.manage("PUT", &path, enrollment.to_string().as_bytes()).await;
                    let said = String::from_utf8_lossy(&answer.bytes).into_owned();
                    assert!(answer.status == 400 && said.contains("/x509/certificates/primary"), "{id}: {said}");
                    enrollment["x509"]["certificates"]["primary"] = json!({ "sha256": Digest::of(&certificate) });
                }
                world.put(&format!("enrollments/{id}"), &enrollment).await;
            }
            for version in [&TLS12, &TLS13] {
                // In TLS 1.3 there is no name for such a signature, and a client has nothing to show.
                if kind == "leaf_rsa1024" && version.version == TLS13.version {
                    continue;
                }
                let shown = Shown::new(&world, &id, vec![certificate.clone().into()], key.for_tls(), version);
                let end = shown.end().await;
                if end != expected {
                    wrong.push(format!("{id} {:?}: {end:?}, not {expected:?}", version.version));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(world.device("good").await.register().await.status, 200);
}

/// The corpus has certificates of these kinds without their keys; one that is added there belongs into the table.
#[test]
fn the_table_has_a_row_for_every_certificate_of_the_corpus() {
    let corpus = std::fs::read_dir(landfall_tests::world::in_tests("vectors/mtls-matrix")).unwrap();
    let names = corpus.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<_> = names.filter_map(|name| name.strip_suffix(".pem").map(str::to_owned)).collect();
    assert_eq!(names, TABLE.iter().map(|(kind, ..)| (*kind).to_owned()).collect());
}

/// Everybody may have seen a device's certificate; only the device has its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_ends_the_handshake() {
    let world = World::new().await;
    let victim = world.factory.device("pump-1", Ambient::system().now(), 30).unwrap();
    world.record("pump-1", Some(Digest::of(&victim.certificate_der))).await;
    let chain = || vec![CertificateDer::from(victim.certificate_der.clone())];
    let own = rustls::crypto::aws_lc_rs::sign::any_supported_type(&landfall::tls::Identity::of(&victim).key).unwrap();
    let thief = Arc::new(Key::p256());
    let counts = &world.server().device_counts;
    for version in [&TLS12, &TLS13] {
        let (handshakes, failed) =
            (counts.handshakes.load(Ordering::Relaxed), counts.failed_handshakes.load(Ordering::Relaxed));
        let shown = Shown::new(&world, "pump-1", chain(), thief.for_tls(), version);
        assert_eq!(shown.end().await, UNPROVEN, "{:?}", version.version);
        // It is counted when the client has its alert.
        for _ in 0..1_000 {
            if counts.failed_handshakes.load(Ordering::Relaxed) > failed {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(counts.failed_handshakes.load(Ordering::Relaxed), failed + 1);
        assert_eq!(counts.handshakes.load(Ordering::Relaxed), handshakes, "no request was read");
        let shown = Shown::new(&world, "pump-1", chain(), Arc::clone(&own), version);
        assert_eq!(shown.end().await, Assigned, "with its key, {:?}", version.version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn some_more_than_a_chain_needs_is_taken_and_much_more_is_refused_with_a_cause() {
    let world = World::new().await;
    let authority = OddAuthority::enrolled(&world).await;
    let key = Arc::new(Key::p256());
    let leaf = Draft::of("pump-1").issue(&key, Some(authority.signer()));
    world.record("pump-1", Some(Digest::of(&leaf))).await;
    let above = |number: usize, bytes: usize| {
        let mut draft = Draft::of(&format!("line {number}"));
        let padding = odd::extension(&[0x2a, 3, 4], false, &vec![5; bytes]);
        draft.extensions = vec![odd::basic_constraints(true), padding];
        draft.issue(&Key::p256(), Some(authority.signer()))
    };
    let eight: Vec<_> = (0..8).map(|number| above(number, 10)).collect();
    let nine = [&eight[..], &[above(8, 10)]].concat();
    let again = [&eight[..], &eight, std::slice::from_ref(&leaf)].concat();
    for (what, intermediates, expected) in [
        ("none", Vec::new(), Assigned),
        ("eight", eight, Assigned),
        ("eight, some of them again", again, Assigned),
        ("nine", nine, REFUSED),
        ("one of 15 kB", vec![above(0, 15_000)], Assigned),
        ("one of 17 kB", vec![above(0, 17_000)], REFUSED),
        ("three of 6 kB", (0..3).map(|number| above(number, 6_000)).collect(), REFUSED),
    ] {
        let chain: Vec<_> = std::iter::once(leaf.clone()).chain(intermediates).map(CertificateDer::from).collect();
        for version in [&TLS12, &TLS13] {
            let shown = Shown::new(&world, "pump-1", chain.clone(), key.for_tls(), version);
            assert_eq!(shown.end().await, expected, "{what}, {:?}", version.version);
        }
    }
}

/// RFC 8446, 6.1: who says that it sends no more has said nothing against an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_one_flight_with_the_end_of_sending_is_answered() {
    let world = World::new().await;
    for (id, version) in [("pump-12", &TLS12), ("pump-13", &TLS13)] {
        let issued = world.factory.device(id, Ambient::system().now(), 30).unwrap();
        world.record(id, Some(Digest::of(&issued.certificate_der))).await;
        let identity = landfall::tls::Identity::of(&issued);
        let tls = client(&world, version).with_client_auth_cert(identity.chain, identity.key).unwrap();
        let device = Device { tls: Arc::new(tls), ..world.shown(id, None) };
        let mut stream = open(&device).await.unwrap();
        let mut flight = Vec::new();
        let (socket, session) = stream.get_mut();
        std::io::Write::write_all(&mut session.writer(), head_of(&device).as_bytes()).unwrap();
        session.send_close_notify();
        while session.wants_write() {
            session.write_tls(&mut flight).unwrap();
        }
        socket.write_all(&flight).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("assigned"), "{id}: {answer}");
    }
}

/// The certificate is asked for and need not be shown; without one there is no device.
#[tokio::test(flavor = "multi_thread")]
async fn no_certificate_at_all_is_a_refusal_like_any_other() {
    let world = World::new().await;
    for version in [&TLS12, &TLS13] {
        let tls = client(&world, version).with_no_client_auth();
        let shown = Shown { device: Device { tls: Arc::new(tls), ..world.shown("pump-1", None) } };
        assert_eq!(shown.end().await, REFUSED, "{:?}", version.version);
    }
}

/// TLS 1.1 has been over since RFC 8996.
#[tokio::test(flavor = "multi_thread")]
async fn older_versions_of_tls_are_refused_with_an_alert() {
    // supported_groups and signature_algorithms, with P-256 each.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 0x17, 0, 13, 0, 4, 0, 2, 4, 3];
    let sized = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let world = World::new().await;
    for address in [world.server().device_addr, world.server().management_addr] {
        for (minor, expected) in [(1, &[21, 2, 70][..]), (2, &[21, 2, 70]), (3, &[22])] {
            let suites = [0, 2, 0xc0, 0x2b];
            let body = [&[3, minor][..], &[7; 32], &[0], &suites, &[1, 0, 0, sized(&extensions)], &extensions].concat();
            let message = [&[1, 0, 0, sized(&body)], &body[..]].concat();
            let record = [&[22, 3, 1, 0, sized(&message)], &message[..]].concat();
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(&record).await.unwrap();
            let mut told = [0; 7];
            within(socket.read_exact(&mut told)).await.unwrap();
            // A fatal alert, protocol_version; or a message of the handshake.
            let told = if told[0] == 21 { vec![told[0], told[5], told[6]] } else { vec![told[0]] };
            assert_eq!(told, expected, "version 3.{minor}");
        }
    }
}

/// A resumed session would bring back a certificate without a new proof of its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_never_resumed() {
    let world = World::new().await;
    let issued = world.factory.device("pump-1", Ambient::system().now(), 30).unwrap();
    world.record("pump-1", Some(Digest::of(&issued.certificate_der))).await;
    let identity = landfall::tls::Identity::of(&issued);
    for version in [&TLS12, &TLS13] {
        for address in [world.server().device_addr, world.server().management_addr] {
            let mut tls = client(&world, version)
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .unwrap();
            tls.resumption = rustls::client::Resumption::in_memory_sessions(8);
            let device = Device { tls: Arc::new(tls), address, ..world.shown("pump-1", None) };
            for turn in 0..3 {
                let mut stream = open(&device).await.unwrap();
                // Tickets would come with the answer.
                assert!(!ask(&device, &mut stream).await.unwrap().is_empty());
                let kind = stream.get_ref().1.handshake_kind();
                let full = matches!(kind, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest));
                assert!(full, "turn {turn}, {:?}: {kind:?}", version.version);
                assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
            }
        }
    }
}

/// A device that shows this and signs with that.
struct Shown {
    device: Device,
}

impl Shown {
    fn new(
        world: &World,
        id: &str,
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
        version: &'static SupportedProtocolVersion,
    ) -> Self {
        let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let tls = client(world, version).with_client_cert_resolver(Arc::new(resolver));
        Self { device: Device { tls: Arc::new(tls), ..world.shown(id, None) } }
    }

    /// Registers; the request follows the handshake at once, as devices do it.
    async fn end(&self) -> End {
        let asked = async { ask(&self.device, &mut open(&self.device).await?).await };
        match within(asked).await {
            Ok(answer) => {
                let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
                let body: Value = serde_json::from_str(body).unwrap();
                match body["errorCode"].as_u64() {
                    Some(code) => Told(code),
                    None if head.starts_with("HTTP/1.1 200 ") && body["status"] == "assigned" => Assigned,
                    None => panic!("{answer}"),
                }
            }
            Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(rustls::Error::AlertReceived(alert)) => Alert(*alert),
                _ => panic!("the connection broke without an alert: {error}"),
            },
        }
    }
}

async fn open(device: &Device) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let socket = TcpStream::connect(device.address).await?;
    TlsConnector::from(Arc::clone(&device.tls)).connect("localhost".try_into().unwrap(), socket).await
}

fn head_of(device: &Device) -> String {
    format!(
        "PUT {} HTTP/1.1\r\nhost: localhost\r\nprefer: wait=20\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}",
        device.path("/register")
    )
}

async fn ask(device: &Device, stream: &mut tokio_rustls::client::TlsStream<TcpStream>) -> std::io::Result<String> {
    stream.write_all(head_of(device).as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn client(
    world: &World,
    version: &'static SupportedProtocolVersion,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(world.folder.ca_certificate()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(landfall::tls::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
}

/// A CA that issues whatever it is asked for.
struct OddAuthority {
    key: Key,
}

impl OddAuthority {
    const NAME: &str = "Careless Factory CA";

    /// With a group of its own.
    async fn enrolled(world: &World) -> Self {
        let key = Key::p256();
        let mut draft = Draft::of(Self::NAME);
        draft.extensions = vec![odd::basic_constraints(true)];
        let certificate = draft.issue(&key, None);
        let prove = |code: &str| odd::pem(&Draft::of(code).issue(&Key::p256(), Some((Self::NAME, &key))));
        world.upload("careless", &odd::pem(&certificate), prove).await;
        world.put("enrollment-groups/careless", &group("careless")).await;
        Self { key }
    }

    fn signer(&self) -> (&str, &Key) {
        (Self::NAME, &self.key)
    }
}

fn usual(kind: &'static rcgen::SignatureAlgorithm) -> Key {
    Key::Usual(rcgen::KeyPair::generate_for(kind).unwrap())
}

fn rsa(size: RsaKeySize) -> Key {
    Key::Usual(rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap())
}

/// Long enough for the slowest machine; no test measures time.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("an end")
}
