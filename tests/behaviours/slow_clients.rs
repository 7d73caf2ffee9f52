//! Clients that come and do not go on, in every stage of a connection. Each is gone in the end, and nobody else
//! notices: a good device is served while they hang.

use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall::config::{Config, ListenerLimits};
use landfall_tests::world::{Device, World, json_of};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_shake_hands_is_gone_in_the_end() {
    let world = World::with(|config| config.limits.listener.handshake_seconds = 1).await;
    let device = world.device("pump-1").await;
    let hello = client_hello(&device);
    let mut hanging = Vec::new();
    // Nothing at all, a byte, half of the first message, and the whole of it with no answer to the server's.
    for said in [0, 1, hello.len() / 2, hello.len()].repeat(50) {
        let mut socket = TcpStream::connect(device.address).await.unwrap();
        socket.write_all(&hello[..said]).await.unwrap();
        hanging.push(socket);
    }
    assert_eq!(device.register().await.status, 200, "beside those that hang");
    let many = hanging.len();
    for mut socket in hanging {
        to_its_end(&mut socket).await;
    }
    let slow = || world.server().device_counts.slow_handshakes.load(Ordering::Relaxed);
    eventually("they are counted", async || slow() == many as u64).await;
}

/// A turn at the processor is for its work, and never held while the server waits for a client.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_within_a_handshake_keeps_nobody_from_one() {
    let world = World::with(|config| {
        config.limits.listener.handshakes_per_core = 1;
        config.limits.listener.handshake_seconds = 300;
    })
    .await;
    let device = world.device("pump-1").await;
    let hello = client_hello(&device);
    for address in [device.address, world.server().management_addr] {
        let mut hanging = Vec::new();
        // A byte, half of the first message, and the whole of it with no answer to the server's.
        for said in [1, hello.len() / 2, hello.len()] {
            for _ in 0..30 {
                let mut socket = TcpStream::connect(address).await.unwrap();
                socket.write_all(&hello[..said]).await.unwrap();
                if said == hello.len() {
                    within("the server's first message", socket.read_u8()).await.unwrap();
                }
                hanging.push(socket);
            }
            assert_eq!(device.register().await.status, 200);
            assert_eq!(world.manage("GET", "/api/v1/scopes", b"").await.status, 200);
        }
        // A byte more at any time.
        for socket in &mut hanging {
            socket.write_all(&hello[..1]).await.unwrap();
        }
        assert_eq!(device.register().await.status, 200);
    }
    assert_eq!(world.server().device_counts.shed.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_that_is_none_or_has_no_end_is_told_so() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    // Records of one message whose length is more than anybody's.
    let record = [22, 3, 1, 0x40, 0];
    let endless = [&record[..], &[1, 0, 0xff, 0xff], &[0; 16_380], &record, &[0; 16_384]].concat();
    for (what, said) in [("no TLS", b"GET / HTTP/1.1\r\n\r\n".to_vec()), ("no end", endless)] {
        let mut socket = TcpStream::connect(device.address).await.unwrap();
        // The server need not read it to its end.
        let _ = socket.write_all(&said).await;
        let mut told = Vec::new();
        let _ = within(what, socket.read_to_end(&mut told)).await;
        assert!(matches!(told.as_slice(), [] | [21, ..]), "{what}: {told:?}");
    }
    eventually("both are counted", async || {
        world.server().device_counts.failed_handshakes.load(Ordering::Relaxed) == 2
    })
    .await;
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_connects_and_says_nothing_keeps_nobody_from_a_handshake() {
    let world = World::with(|config| {
        config.limits.listener.handshakes_per_core = 1;
        config.limits.listener.handshake_seconds = 300;
        config.limits.listener.connections_per_prefix = 1_000_000;
    })
    .await;
    let device = world.device("pump-1").await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(device.address).await.unwrap());
    }
    assert_eq!(device.register().await.status, 200);
    assert_eq!(world.server().device_counts.shed.load(Ordering::Relaxed), 0);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_to_no_end_is_cut_off_even_while_bytes_come() {
    let limits = |limits: &mut ListenerLimits| {
        limits.header_seconds = 1;
        limits.idle_seconds = 300;
    };
    let world = World::with(|config| limits(&mut config.limits.listener)).await;
    let device = world.device("pump-1").await;
    for address in [device.address, world.server().management_addr] {
        let mut silent = tls(&device, address).await;
        let mut half = tls(&device, address).await;
        half.write_all(b"PUT /0neTEST/registrations/pump-1/register HTTP/1.1\r\nhost: loc").await.unwrap();
        let mut dripping = tls(&device, address).await;
        dripping.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        assert_eq!(device.register().await.status, 200, "beside those that hang");
        let told = drip(&mut dripping).await;
        assert_eq!(told, "", "the connection is closed");
        assert_eq!(to_its_end(&mut silent).await, "");
        assert_eq!(to_its_end(&mut half).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_in_time_is_told_so_and_the_connection_ends() {
    let world = World::with(|config| {
        config.limits.device.body_seconds = 1;
        config.limits.management.body_seconds = 1;
    })
    .await;
    let device = world.device("pump-1").await;
    let token = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", world.operator_token);
    let hub = format!("/api/v1/scopes/{}/hubs/late.example", world.scope);
    for (address, path, headers, content_type) in [
        (device.address, device.path("/register"), "", "application/json; charset=utf-8"),
        (world.server().management_addr, hub.clone(), token.as_str(), "application/problem+json"),
    ] {
        let head = format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: 60000\r\n\r\n{{\"a\":");
        let mut half = tls(&device, address).await;
        half.write_all(head.as_bytes()).await.unwrap();
        let mut dripping = tls(&device, address).await;
        dripping.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(device.register().await.status, 200, "beside those that hang");
        for told in [drip(&mut dripping).await, to_its_end(&mut half).await] {
            let (head, body) = told.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {told:?}"));
            assert!(head.starts_with("HTTP/1.1 408 "), "{told}");
            assert!(head.contains(&format!("content-type: {content_type}")), "{told}");
            assert!(serde_json::from_str::<Value>(body).is_ok(), "{told}");
        }
    }
    assert_eq!(world.manage("GET", &hub, b"").await.status, 404, "half a body has put nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_the_limits_is_told_so_and_the_connection_ends() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let ListenerLimits { headers, header_bytes, .. } = ListenerLimits::default();
    let lines = |count: usize| "x: y\r\n".repeat(count);
    for address in [device.address, world.server().management_addr] {
        for (what, head, refused) in [
            ("as many lines as may be", format!("GET / HTTP/1.1\r\n{}\r\n", lines(headers)), false),
            ("a line too many", format!("GET / HTTP/1.1\r\n{}\r\n", lines(headers + 1)), true),
            ("thousands of lines", format!("GET / HTTP/1.1\r\n{}\r\n", lines(20_000)), true),
            ("a line too long", format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(header_bytes)), true),
            ("a line without end", format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(40 * header_bytes)), true),
            ("a target too long", format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(header_bytes)), true),
        ] {
            let mut connection = tls(&device, address).await;
            // The server need not read it to its end.
            let _ = connection.write_all(head.as_bytes()).await;
            let told = if refused { to_its_end(&mut connection).await } else { one_answer(&mut connection).await };
            assert_eq!(told.starts_with("HTTP/1.1 431 "), refused, "{what}: {told:?}");
            assert!(told.starts_with("HTTP/1.1 4"), "{what}: {told:?}");
        }
        for nonsense in ["\r\n\r\n\0", "GET\r\n\r\n", "PUT / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\na b: c\r\n\r\n"] {
            let mut connection = tls(&device, address).await;
            connection.write_all(nonsense.as_bytes()).await.unwrap();
            let told = to_its_end(&mut connection).await;
            assert!(told.starts_with("HTTP/1.1 400 "), "{nonsense:?}: {told:?}");
        }
    }
    assert_eq!(device.register().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_connection_that_has_proven_nothing_makes_room_for_whoever_comes() {
    let full_network = |config: &mut Config| config.limits.listener.connections_per_prefix = 8;
    let full_listener = |config: &mut Config| config.limits.listener.connections = 8;
    for (what, full) in [("network", full_network as fn(&mut Config)), ("listener", full_listener)] {
        let world = World::with(|config| {
            full(config);
            config.limits.listener.handshake_seconds = 300;
            config.limits.listener.header_seconds = 300;
        })
        .await;
        let device = world.device("pump-1").await;
        // Those that have been let in, and then wait for their next request.
        let mut admitted = Vec::new();
        for _ in 0..3 {
            let mut connection = tls(&device, device.address).await;
            assert!(registers(&device, &mut connection).await.contains("assigned"), "{what}");
            admitted.push(connection);
        }
        for address in [device.address, world.server().management_addr] {
            let mut hanging = Vec::new();
            for _ in 0..30 {
                hanging.push(TcpStream::connect(address).await.unwrap());
            }
            let served = async || {
                let registered = device.try_send("PUT", "/register", &[("prefer", "wait=20")], b"{}".to_vec()).await;
                let managed = world.manage("GET", "/api/v1/scopes", b"").await;
                registered.is_ok_and(|answer| answer.status == 200) && managed.status == 200
            };
            eventually("the oldest makes room", served).await;
            assert_eq!(to_its_end(&mut hanging[0]).await, "", "{what}: the oldest is closed");
        }
        for connection in &mut admitted {
            assert!(registers(&device, connection).await.contains("assigned"), "{what}: who was let in stays");
        }
        let counts = &world.server().device_counts;
        assert!(counts.made_room.load(Ordering::Relaxed) > 0, "{what}");
    }
}

/// Elsewhere than on Linux another network of this machine has no address yet.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn one_network_cannot_take_the_places_of_others() {
    let world = World::with(|config| {
        config.limits.listener.connections_per_prefix = 8;
        config.limits.listener.handshake_seconds = 300;
    })
    .await;
    let device = world.device("pump-1").await;
    let from = async |network: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, network, 1), 0).into()).unwrap();
        socket.connect(device.address).await.unwrap()
    };
    let other = from(2).await;
    let mut hanging = Vec::new();
    for _ in 0..40 {
        hanging.push(from(1).await);
    }
    // It is older than all of them, and in a network of its own.
    let mut other = handshake(&device, other).await.unwrap();
    assert!(registers(&device, &mut other).await.contains(r#""status":"assigned""#));
}

/// Devices that wait for their next poll leave their places to those that come.
#[tokio::test(flavor = "multi_thread")]
async fn where_places_are_scarce_an_answer_ends_its_connection() {
    let world = World::with(|config| config.limits.listener.connections_per_prefix = 8).await;
    let device = world.device("pump-1").await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut connection = tls(&device, device.address).await;
        let told = registers(&device, &mut connection).await;
        assert!(!told.contains("connection: close"), "{told}");
        kept.push(connection);
    }
    for _ in 0..20 {
        let mut connection = tls(&device, device.address).await;
        let told = registers(&device, &mut connection).await;
        assert!(told.contains("connection: close") && told.contains("assigned"), "{told}");
        assert_eq!(to_its_end(&mut connection).await, "");
    }
    assert_eq!(world.server().device_counts.shed.load(Ordering::Relaxed), 0);
}

/// RFC 9112, 3.2: two names are two readings of one request.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    for address in [device.address, world.server().management_addr] {
        for (version, hosts, status) in [
            ("1.1", "host: localhost\r\n", "404"),
            ("1.0", "", "404"),
            ("1.1", "", "400"),
            ("1.1", "host: localhost\r\nhost: localhost\r\n", "400"),
            ("1.0", "host: a\r\nhost: b\r\n", "400"),
        ] {
            let mut connection = tls(&device, address).await;
            let head = format!("GET /nothing HTTP/{version}\r\n{hosts}\r\n");
            connection.write_all(head.as_bytes()).await.unwrap();
            let told = one_answer(&mut connection).await;
            assert_eq!(told.get(9..12), Some(status), "HTTP/{version} {hosts:?}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_answer_of_a_connection_says_so() {
    let world = World::with(|config| config.limits.listener.requests_per_connection = 3).await;
    let device = world.device("pump-1").await;
    let mut connection = tls(&device, device.address).await;
    for _ in 0..2 {
        let told = registers(&device, &mut connection).await;
        assert!(!told.contains("connection: close"), "{told}");
    }
    let last = registers(&device, &mut connection).await;
    assert!(last.contains("connection: close") && last.contains("assigned"), "{last}");
    assert_eq!(to_its_end(&mut connection).await, "");
}

/// Devices keep a connection between two polls, so that it may be silent for longer than a head may take.
#[tokio::test(flavor = "multi_thread")]
async fn between_two_requests_the_idle_time_counts() {
    let limits = |header, idle| {
        move |config: &mut Config| {
            config.limits.listener.header_seconds = header;
            config.limits.listener.idle_seconds = idle;
        }
    };
    let (patient, impatient) = (World::with(limits(1, 300)).await, World::with(limits(300, 1)).await);
    let (kept, cut) = (patient.device("pump-1").await, impatient.device("pump-1").await);
    let mut is_kept = tls(&kept, kept.address).await;
    let mut is_cut = tls(&cut, cut.address).await;
    assert!(registers(&kept, &mut is_kept).await.contains("assigned"));
    assert!(registers(&cut, &mut is_cut).await.contains("assigned"));
    assert_eq!(to_its_end(&mut is_cut).await, "");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(registers(&kept, &mut is_kept).await.contains("assigned"), "after thrice the time of a head");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_answered_by_a_server_that_stops() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let mut idle = tls(&device, device.address).await;
    registers(&device, &mut idle).await;
    let mut under_way = half_a_request(&device).await;

    let stopping = tokio::spawn(world.stop());
    eventually("new connections are refused", async || TcpStream::connect(device.address).await.is_err()).await;
    assert_eq!(to_its_end(&mut idle).await, "", "a connection that nothing is under way on is closed");
    assert!(!stopping.is_finished(), "the server waits for the request");
    under_way.write_all(b"}").await.unwrap();
    let told = to_its_end(&mut under_way).await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert!(told.contains("connection: close"), "{told}");
    assert!(told.contains(r#""status":"assigned""#), "{told}");
    within("the server stops", stopping).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_does_not_keep_a_server_from_stopping() {
    let world = World::with(|config| {
        config.limits.listener.drain_seconds = 1;
        config.limits.device.body_seconds = 300;
    })
    .await;
    let device = world.device("pump-1").await;
    let mut hanging = half_a_request(&device).await;
    let shaking = TcpStream::connect(device.address).await.unwrap();
    within("the server stops", world.stop()).await;
    assert_eq!(to_its_end(&mut hanging).await, "");
    drop(shaking);
}

/// What a device can reach ends where the devices' API ends, token or not; and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn neither_listener_answers_for_the_other() {
    let world = World::new().await;
    let device = world.device("pump-1").await;
    let document: Value = serde_json::from_str(include_str!("../vectors/openapi.json")).unwrap();
    let bearer = format!("Bearer {}", world.operator_token);
    let mut unlike = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{scope}", world.scope.as_str()).replace("{id}", "pump-1").replace(['{', '}'], "");
            let mut connection = device.connect().await.unwrap();
            let headers = landfall::client::headers(&[("authorization", &bearer)]);
            let method = method.to_uppercase();
            let answer = connection.send(method.parse().unwrap(), &path, headers, Vec::new()).await.unwrap();
            if answer.status != 404 || json_of(&answer)["errorCode"] != 404_202 {
                unlike.push(format!("{method} {path}: {answer:?}"));
            }
        }
    }
    assert!(unlike.is_empty(), "the devices' listener knows {unlike:#?}");

    for (method, path) in
        [("PUT", device.path("/register")), ("GET", device.path("/operations/5.a.b")), ("POST", device.path(""))]
    {
        let answer = world.manage(method, &path, b"{}").await;
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        let answer = world.manage_as("no token", method, &path, "application/json", b"{}").await;
        assert!([401, 404].contains(&answer.status.as_u16()), "{method} {path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
}

/// A register request of which only the last byte is missing, and which the server has begun to read.
async fn half_a_request(device: &Device) -> TlsStream<TcpStream> {
    let mut stream = tls(device, device.address).await;
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: localhost\r\nprefer: wait=20\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        device.path("/register")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let told = until(&mut stream, "\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 100 "), "{told}");
    stream.write_all(b"{").await.unwrap();
    stream
}

/// Registers over a connection that is open.
async fn registers(device: &Device, stream: &mut TlsStream<TcpStream>) -> String {
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: localhost\r\nprefer: wait=20\r\ncontent-length: 2\r\n\r\n{{}}",
        device.path("/register")
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    one_answer(stream).await
}

/// An answer whose body is an object.
async fn one_answer(stream: &mut TlsStream<TcpStream>) -> String {
    let head = until(stream, "\r\n\r\n").await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    within("the answer's body", stream.read_exact(&mut body)).await.unwrap();
    head + &String::from_utf8(body).unwrap()
}

async fn until(stream: &mut TlsStream<TcpStream>, end: &str) -> String {
    let mut told = String::new();
    while !told.ends_with(end) {
        told.push(char::from(within(end, stream.read_u8()).await.unwrap_or_else(|error| panic!("{told:?}: {error}"))));
    }
    told
}

async fn tls(device: &Device, address: std::net::SocketAddr) -> TlsStream<TcpStream> {
    handshake(device, TcpStream::connect(address).await.unwrap()).await.unwrap()
}

async fn handshake(device: &Device, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::clone(&device.tls)).connect("localhost".try_into().unwrap(), socket).await
}

/// The first bytes of a handshake.
fn client_hello(device: &Device) -> Vec<u8> {
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::clone(&device.tls), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Sends a byte now and then until the other end has had enough; answers what it said.
async fn drip(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let dripping = async {
        loop {
            let pause = tokio::time::timeout(Duration::from_millis(50), all(stream));
            if let Ok(told) = pause.await {
                return told;
            }
            if stream.write_all(b"y").await.is_err() || stream.flush().await.is_err() {
                return all(stream).await;
            }
        }
    };
    within("an end of the dripping", dripping).await
}

/// What comes until the other end closes.
async fn to_its_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    within("the end of a connection", all(stream)).await
}

async fn all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut told = Vec::new();
    // A connection that is cut rather than closed has ended, too.
    let _ = stream.read_to_end(&mut told).await;
    String::from_utf8_lossy(&told).into_owned()
}

async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Long enough for the slowest machine; no test measures time.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}
