use super::*;
use crate::client::tests::Server;

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).header("x-a", "b").body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn an_answer_is_read_whole_and_the_host_is_said_without_a_user() {
    let server =
        Server::start(b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere/\r\ncontent-length: 2\r\n\r\nno").await;
    let outside = Outside { tls: Some(server.trust()), reach: Reach::Anywhere, limits: ClientLimits::USUAL };
    let port = server.address.port();
    let answer = outside.exchange(get(&format!("https://u:secret@localhost:{port}/a?b"))).await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.bytes), (302, &b"no"[..]), "no redirection is followed");
    let seen = server.seen();
    assert!(seen.starts_with("GET /a?b HTTP/1.1\r\n") && seen.contains("x-a: b\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: localhost:{port}\r\n")) && !seen.contains("secret"), "{seen}");
}

#[tokio::test]
async fn an_address_that_is_not_public_is_refused_before_it_is_called() {
    let server = Server::start(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let outside = Outside { tls: Some(server.trust()), reach: Reach::Public, limits: ClientLimits::USUAL };
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
        let error = outside.exchange(get(&format!("https://{host}:{}/", server.address.port()))).await.unwrap_err();
        assert!(matches!(&error, OutsideError::Private { host: told, .. } if told == host), "{host}: {error}");
    }
    assert_eq!(server.seen(), "");
}

#[tokio::test]
async fn the_limits_of_an_answer_are_those_of_its_caller() {
    let limits = ClientLimits { answer_bytes: 4, head_bytes: 8 << 10, ..ClientLimits::USUAL };
    let ask = async |answer: Vec<u8>| {
        let server = Server::answering(vec![answer]).await;
        let outside = Outside { tls: Some(server.trust()), reach: Reach::Anywhere, limits };
        outside.exchange(get(&format!("https://localhost:{}/", server.address.port()))).await
    };
    assert_eq!(&*ask(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour".to_vec()).await.unwrap().bytes, b"four");
    let error = ask(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfives".to_vec()).await.unwrap_err();
    assert!(matches!(error, OutsideError::Client(ClientError::TooLarge(4))), "{error}");
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(9 << 10));
    let error = ask(long.into_bytes()).await.unwrap_err();
    assert!(matches!(&error, OutsideError::Client(error) if error.is_head_too_large()), "{error}");
}

#[tokio::test]
async fn what_leads_nowhere_is_told_apart_from_what_does_not_answer() {
    let outside = Outside { tls: None, reach: Reach::Anywhere, limits: ClientLimits::USUAL };
    let error = outside.exchange(get("http://no-such-host.invalid/")).await.unwrap_err();
    assert!(matches!(&error, OutsideError::Name { host, .. } if host == "no-such-host.invalid"), "{error}");
    // A port without a listener: it was bound and released.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = outside.exchange(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
    assert!(matches!(error, OutsideError::Client(ClientError::Connect { .. })), "{error}");
    let error = outside.exchange(get("/only/a/path")).await.unwrap_err();
    assert!(matches!(error, OutsideError::NoHost), "{error}");
}

#[test]
fn the_attempt_that_got_furthest_is_told() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let io = || std::io::Error::other("x");
    let nobody = || ClientError::Connect { address, source: io() };
    let tls = || ClientError::Tls { address, server: "s".to_owned(), source: io() };
    assert!(matches!(further(None, nobody()), ClientError::Connect { .. }));
    assert!(matches!(further(Some(nobody()), tls()), ClientError::Tls { .. }));
    assert!(matches!(further(Some(tls()), nobody()), ClientError::Tls { .. }));
}
