use std::sync::Mutex;

use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tls::current::Current;
use crate::tls::{Identity, for_management};

#[tokio::test]
async fn a_call_carries_the_folders_token_and_gives_the_answers_json() {
    let (server, folder) = running(vec![answer("200 OK", "application/json", r#"{"name": "h"}"#)]).await;
    let mut api = ManagementClient::open(folder.path(), None).unwrap();
    let put = api.put_if("/scopes/s/hubs/h", &json!({ "weight": 1 }), HeaderMap::new()).await.unwrap();
    assert_eq!(put, json!({ "name": "h" }));
    let seen = server.seen();
    assert!(seen.starts_with("PUT /api/v1/scopes/s/hubs/h HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("authorization: Bearer {}\r\n", token().expose())), "{seen}");
    assert!(seen.contains("content-type: application/json\r\n") && seen.ends_with("{\"weight\":1}"), "{seen}");
}

#[tokio::test]
async fn a_problem_is_told_with_the_places_that_are_wrong() {
    let problem = r#"{"type": "about:blank", "title": "Bad", "status": 400, "detail": "The group is not right.",
        "errors": [{"pointer": "/allocation/selection/settings/rules", "message": "is missing"}, {"line": 3, "reason": "r"}]}"#;
    let (_server, folder) = running(vec![answer("400 Bad Request", "application/problem+json", problem)]).await;
    let error = ManagementClient::open(folder.path(), None).unwrap().get("/x").await.unwrap_err();
    let wanted = "The group is not right.\n  /allocation/selection/settings/rules: is missing\n  line 3: r";
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn a_person_reads_what_is_wrong_and_not_where_a_program_finds_it() {
    let parts = vec![ProblemPart { pointer: "/allocation".into(), line: None, message: "no such plugin".into() }];
    for (detail, told) in [
        (
            "what the body says cannot be taken; `errors` says where",
            "this cannot be taken:\n  /allocation: no such plugin",
        ),
        (
            "g uses ours, which refuses its settings; `errors` says where in them",
            "g uses ours, which refuses its settings:\n  /allocation: no such plugin",
        ),
        ("the hub is drained", "the hub is drained\n  /allocation: no such plugin"),
    ] {
        let problem = Problem { detail: detail.into(), errors: parts.clone(), ..Problem::default() };
        assert_eq!(problem.to_string(), told);
    }
}

#[tokio::test]
async fn a_refusal_that_is_no_problem_document_is_still_told() {
    let (_server, folder) = running(vec![answer("502 Bad Gateway", "text/html", "<h1>nope</h1>\n")]).await;
    let error = ManagementClient::open(folder.path(), None).unwrap().get("/x").await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered 502 Bad Gateway: <h1>nope</h1>");
}

#[tokio::test]
async fn a_list_is_read_page_after_page_up_to_its_limit() {
    let pages = [r#"{"items": [1, 2], "next": "b c"}"#, r#"{"items": [3, 4], "next": "d"}"#];
    let answers = pages.map(|page| answer("200 OK", "application/json", page)).to_vec();
    let (server, folder) = running(answers).await;
    let page = ManagementClient::open(folder.path(), None).unwrap().list("/x?state=active", 3).await.unwrap();
    assert_eq!((page.items, page.more), (vec![json!(1), json!(2), json!(3)], true));
    let seen = server.seen();
    assert!(seen.contains("GET /api/v1/x?state=active&limit=3 HTTP/1.1"), "{seen}");
    assert!(seen.contains("GET /api/v1/x?state=active&limit=1&after=b%20c HTTP/1.1"), "{seen}");
}

#[tokio::test]
async fn an_empty_page_is_not_the_end_of_a_list() {
    let pages = [r#"{"items": [], "next": "a"}"#, r#"{"items": [], "next": "b"}"#, r#"{"items": [7]}"#];
    let (_server, folder) = running(pages.map(|page| answer("200 OK", "application/json", page)).to_vec()).await;
    let page = ManagementClient::open(folder.path(), None).unwrap().list("/x", 9).await.unwrap();
    assert_eq!((page.items, page.more), (vec![json!(7)], false));
}

#[tokio::test]
async fn a_place_that_does_not_move_ends_a_list_that_says_so() {
    let pages = [r#"{"items": [], "next": "a"}"#, r#"{"items": [], "next": "a"}"#];
    let (_server, folder) = running(pages.map(|page| answer("200 OK", "application/json", page)).to_vec()).await;
    let page = ManagementClient::open(folder.path(), None).unwrap().list("/x", 9).await.unwrap();
    assert_eq!((page.items, page.more), (vec![], true));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_answered_with_how_to_start_it() {
    let folder = tempfile::tempdir().unwrap();
    let ca =
        landfall_attestation::x509::make::Authority::root("test", landfall_domain::clock::Ambient::system().now(), 1)
            .unwrap();
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fill(folder.path(), address, &ca.certificate_pem);
    let error = ManagementClient::open(folder.path(), None).unwrap().get("/x").await.unwrap_err();
    let data = folder.path().display();
    assert_eq!(error.to_string(), format!("nothing answers at {address}; start it with: landfall serve --data {data}"));
}

#[test]
fn a_file_without_a_token_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), SocketAddr::from(([127, 0, 0, 1], 1)), "");
    let file = folder.path().join("other.token");
    std::fs::write(&file, "lf_almost").unwrap();
    let error = ManagementClient::open(folder.path(), Some(&file)).err().unwrap().to_string();
    assert!(error.contains("other.token holds no token") && !error.contains("lf_almost"), "{error}");
    std::fs::remove_file(&file).unwrap();
    let error = ManagementClient::open(folder.path(), Some(&file)).err().unwrap().to_string();
    assert!(error.contains("--token-file"), "{error}");
}

#[test]
fn odd_characters_stay_within_their_segment() {
    assert_eq!(escaped("a/b?c#d %é"), "a%2Fb%3Fc%23d%20%25%C3%A9");
    assert_eq!(escaped("pump-7.x_y~"), "pump-7.x_y~");
}

#[test]
fn a_server_on_all_addresses_is_called_on_this_machine() {
    assert_eq!(reachable("0.0.0.0:9".parse().unwrap()), "127.0.0.1:9".parse().unwrap());
    assert_eq!(reachable("[::]:9".parse().unwrap()), "[::1]:9".parse().unwrap());
    assert_eq!(reachable("192.0.2.1:9".parse().unwrap()), "192.0.2.1:9".parse().unwrap());
}

async fn running(answers: Vec<Vec<u8>>) -> (Server, tempfile::TempDir) {
    let server = Server::answering(answers).await;
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), server.address, &server.ca_pem);
    (server, folder)
}

fn fill(root: &Path, address: SocketAddr, ca_pem: &str) {
    let folder = DataFolder::at(root);
    let mut server = crate::config::Server::new("localhost", "0neABC".parse().unwrap());
    server.management_listen = address;
    std::fs::write(folder.config(), Config::file_text(&server)).unwrap();
    std::fs::write(folder.operator_token(), token().expose()).unwrap();
    std::fs::create_dir(root.join("tls")).unwrap();
    std::fs::write(folder.ca_certificate(), ca_pem).unwrap();
}

fn token() -> Token {
    Token::generate([5; 32])
}

fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads requests, whole, and answers them with fixed bytes, one after the other, all on one connection.
struct Server {
    address: SocketAddr,
    ca_pem: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    async fn answering(answers: Vec<Vec<u8>>) -> Self {
        let now = Ambient::system().now();
        let ca = Authority::root("test", now, 1).unwrap();
        let identity = Identity::of(&ca.server(&["localhost".to_owned()], now, 1).unwrap());
        let acceptor = TlsAcceptor::from(for_management(&Current::new(identity).unwrap()).unwrap());
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
            // Open until the client goes.
            let _ = stream.read(&mut part).await;
        });
        Self { address, ca_pem: ca.certificate_pem, seen }
    }

    fn seen(&self) -> String {
        String::from_utf8(self.seen.lock().unwrap().clone()).unwrap()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}
