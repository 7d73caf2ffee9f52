use std::sync::Mutex;

use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tls;

#[tokio::test]
async fn a_request_is_sent_and_its_answer_read() {
    let server = Server::start(b"HTTP/1.1 201 Created\r\ncontent-length: 8\r\nx-a: b\r\n\r\n{\"a\": 1}").await;
    let mut client = server.connect(ClientLimits::default()).await.unwrap();
    let answer = client.send(Method::PUT, "/x?y=1", HeaderMap::new(), b"hello".to_vec()).await.unwrap();
    assert_eq!((answer.status, answer.header("x-a")), (StatusCode::CREATED, Some("b")));
    assert_eq!(answer.json::<serde_json::Value>().unwrap(), serde_json::json!({ "a": 1 }));
    let seen = server.seen();
    assert!(seen.starts_with("PUT /x?y=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("host: localhost\r\n") && seen.contains("content-length: 5\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let server = Server::start(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world").await;
    let limits = ClientLimits { answer_bytes: 10, ..ClientLimits::default() };
    let mut client = server.connect(limits).await.unwrap();
    let error = client.send(Method::GET, "/", HeaderMap::new(), ()).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge(10)), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::start(b"").await;
    let limits = ClientLimits { silence: Duration::from_millis(20), ..ClientLimits::default() };
    let mut client = server.connect(limits).await.unwrap();
    let error = client.send(Method::GET, "/", HeaderMap::new(), ()).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { what: "the answer", .. }), "{error}");
}

#[tokio::test]
async fn a_server_of_another_ca_is_not_trusted() {
    let server = Server::start(b"").await;
    let other = Authority::root("other", now(), 1).unwrap();
    let error = Client::connect(server.address, "localhost", trusting(&other.certificate_pem)).await.err().unwrap();
    assert!(matches!(error, ClientError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn a_file_is_sent_as_it_is_and_its_progress_told() {
    let server = Server::start(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let content = "0123456789".repeat(60_000);
    std::fs::write(file.path(), &content).unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let upload = FileUpload::open(file.path()).await.unwrap();
    assert_eq!(upload.left(), 600_000);
    let upload = upload.telling(move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    });
    let mut client = server.connect(ClientLimits::default()).await.unwrap();
    let answer = client.send(Method::POST, "/", HeaderMap::new(), upload).await.unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(told.load(Ordering::Relaxed), 600_000);
    assert!(server.seen().ends_with(&content));
}

#[tokio::test]
async fn a_folder_is_no_file_to_send() {
    let folder = tempfile::tempdir().unwrap();
    assert!(FileUpload::open(folder.path()).await.is_err());
}

/// Reads whole requests and answers each with fixed bytes, in turn; without answers left, it stays silent.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    ca_pem: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    pub(crate) async fn start(answer: &'static [u8]) -> Self {
        Self::answering(vec![answer.to_vec()]).await
    }

    /// A server for as many requests as there are answers, all on one connection.
    pub(crate) async fn answering(answers: Vec<Vec<u8>>) -> Self {
        let ca = Authority::root("test", now(), 1).unwrap();
        let issued = ca.server(&["localhost".to_owned()], now(), 1).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![issued.certificate_der.clone().into()],
                rustls_pki_types::PrivateKeyDer::Pkcs8(issued.key_der.clone().into()),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        tokio::spawn(async move {
            let (stream, _) = socket.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut part = vec![0; 65_536];
            for answer in answers {
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let len = stream.read(&mut part).await.unwrap_or_default();
                    if len == 0 {
                        return;
                    }
                    request.extend_from_slice(&part[..len]);
                }
                keep.lock().unwrap().extend(request);
                stream.write_all(&answer).await.unwrap();
                stream.flush().await.unwrap();
            }
            // Keep the connection open until the client closes it.
            let _ = stream.read(&mut part).await;
        });
        Self { address, ca_pem: ca.certificate_pem, seen }
    }

    async fn connect(&self, limits: ClientLimits) -> Result<Client, ClientError> {
        Client::connect_within(self.address, "localhost", self.trust(), limits).await
    }

    pub(crate) fn trust(&self) -> Arc<ClientConfig> {
        trusting(&self.ca_pem)
    }

    pub(crate) fn seen(&self) -> String {
        String::from_utf8(self.seen.lock().unwrap().clone()).unwrap()
    }
}

fn trusting(ca_pem: &str) -> Arc<ClientConfig> {
    tls::config(tls::roots(ca_pem.as_bytes()).unwrap(), None).unwrap().into()
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn now() -> Timestamp {
    landfall_domain::clock::Ambient::system().now()
}
