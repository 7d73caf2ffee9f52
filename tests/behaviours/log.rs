//! Nobody waits for the log, and nothing depends on it.

use std::fs::{File, OpenOptions};
use std::io::{PipeWriter, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use landfall::folder::DataFolder;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_tests::world::World;

use crate::command_line::{PROGRAM, Running, Site};
use crate::operating::enroll;

#[test]
fn a_log_that_cannot_be_written_or_is_not_read_stops_nothing() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let (reader, mut stalled) = std::io::pipe().unwrap();
    fill(&mut stalled);
    for (what, log) in
        [("a full disk", full()), ("a reader that has gone", gone()), ("one that stalls", stalled.into())]
    {
        let site = Site::new();
        let mut server = served(&site, log);
        let factory = Authority::root("Factory CA", Ambient::system().now(), 30).unwrap();
        enroll(&site, &factory, "pump-1");
        // One network passes its limit, which is logged where connections are accepted.
        let crowd: Vec<_> = (0..300).map(|_| TcpStream::connect(site.devices).unwrap()).collect();
        site.register(&factory, "pump-1");
        drop(crowd);
        site.says(&["registration", "show", "pump-1"], &["pump-1"]);
        terminate(&server.0);
        assert_eq!(server.0.wait().unwrap().code(), Some(0), "{what}");
    }
    drop(reader);
}

#[test]
fn why_a_server_does_not_start_is_said_in_its_exit_code_where_nobody_reads() {
    let (reader, mut stalled) = std::io::pipe().unwrap();
    fill(&mut stalled);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    for log in [Stdio::from(full), stalled.into()] {
        let mut nothing = Command::new(PROGRAM);
        let ended = nothing.args(["serve", "--data", "/nowhere"]).stderr(log).status().unwrap();
        assert_eq!(ended.code(), Some(1));
    }
    drop(reader);
}

#[test]
fn the_log_has_a_line_for_each_registration_in_the_format_that_is_asked_for() {
    let site = Site::new();
    let serve = |name: &str, value: &str| serve(&site).env(name, value).stderr(Stdio::piped()).spawn().unwrap();
    for (name, value) in [("LANDFALL_LOG", "landfall=loud"), ("LANDFALL_LOG_FORMAT", "xml")] {
        let ended = serve(name, value).wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(1) && said.contains(name) && said.contains(value), "{said}");
    }
    let mut server = come_up(&site, Running(serve("LANDFALL_LOG_FORMAT", "text")));
    let factory = Authority::root("Factory CA", Ambient::system().now(), 30).unwrap();
    site.says(&["hub", "link", "hub-1.example", "--capacity", "5"], &["is linked"]);
    enroll(&site, &factory, "pump-1");
    let tracking = site.register(&factory, "pump-1");
    terminate(&server.0);
    let mut said = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    server.0.wait().unwrap();
    let line = said.lines().find(|line| line.contains(&tracking)).unwrap_or_else(|| panic!("{said}"));
    for part in ["a device is assigned", "registration_id=pump-1", "hub=hub-1.example"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.starts_with('{'), "{line}");
}

#[test]
fn a_part_of_the_log_that_is_not_there_is_told_with_the_one_that_was_meant() {
    let site = Site::new();
    let server = serve(&site).env("LANDFALL_LOG", "landfall::servcie=debug").stderr(Stdio::piped()).spawn().unwrap();
    let mut server = come_up(&site, Running(server));
    terminate(&server.0);
    let mut said = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    server.0.wait().unwrap();
    assert!(said.contains("landfall::servcie") && said.contains("did you mean `service`?"), "{said}");
}

#[test]
fn what_clients_make_libraries_say_is_said_now_and_then_and_not_whole() {
    let site = Site::new();
    let mut server = served(&site, Stdio::piped());
    let hello = odd_hello(&site);
    for _ in 0..40 {
        let mut socket = TcpStream::connect(site.devices).unwrap();
        socket.write_all(&hello).unwrap();
        // Whatever the server makes of it.
        let _ = socket.read(&mut [0; 64]);
    }
    terminate(&server.0);
    let mut said = String::new();
    server.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(0), "{said}");
    let of_it: Vec<_> = said.lines().filter(|line| line.contains("odd name")).collect();
    assert!((1..=20).contains(&of_it.len()), "{} lines: {said}", of_it.len());
    assert!(of_it.iter().all(|line| line.len() < 800), "{of_it:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_tell_how_many_lines_are_lost() {
    let world = World::new().await;
    let metrics = world.manage("GET", "/metrics", b"").await;
    let metrics = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    assert!(metrics.contains("landfall_log_lines_lost_total 0\n"), "{metrics}");
}

/// As much as a pipe holds.
fn fill(pipe: &mut PipeWriter) {
    pipe.write_all(&[b'\n'; 65_536]).unwrap();
}

/// A server with a log of its own, when it takes connections.
fn served(site: &Site, log: Stdio) -> Running {
    come_up(site, Running(serve(site).stderr(log).spawn().unwrap()))
}

fn serve(site: &Site) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--data"]).arg(&site.data).stdout(Stdio::null());
    command
}

fn come_up(site: &Site, mut server: Running) -> Running {
    for _ in 0..1_200 {
        assert_eq!(server.0.try_wait().unwrap(), None, "the server ended");
        if [site.devices, site.management].iter().all(|address| TcpStream::connect(address).is_ok()) {
            return server;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the server takes no connections")
}

fn terminate(server: &Child) {
    let told = Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap();
    assert!(told.success());
}

/// A first message whose server name is none, and long.
fn odd_hello(site: &Site) -> Vec<u8> {
    let mut ca = Vec::new();
    let file = DataFolder::at(&site.data).ca_certificate();
    File::open(file).unwrap().read_to_end(&mut ca).unwrap();
    let tls = landfall::client::tls::client(&ca, None).unwrap();
    let long = format!("odd-name.{}example", "a23456789.".repeat(20));
    let name = long.clone().try_into().unwrap();
    let mut hello = Vec::new();
    rustls::ClientConnection::new(tls, name).unwrap().write_tls(&mut hello).unwrap();
    let at = hello.windows(long.len()).position(|window| window == long.as_bytes()).unwrap();
    // No name has a space in it.
    hello[at + 3] = b' ';
    hello
}
