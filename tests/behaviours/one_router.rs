//! Many devices behind one router: all of them have one address.

use landfall_tests::world::{Device, World, json_of};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn more_devices_than_one_network_has_places_are_answered_and_never_reset() {
    let world = World::with(|config| config.limits.listener.connections_per_prefix = 8).await;
    let device = world.device("pump-1").await;
    // Each holds its connection until all have been answered, as between two polls.
    let answers = at_once(&device, 60).await;
    let mut waits = Vec::new();
    for answer in &answers {
        match answer.status.as_u16() {
            200 => {}
            503 => {
                assert_eq!(
                    (json_of(answer)["errorCode"].as_u64(), answer.header("connection")),
                    (Some(503_001), Some("close"))
                );
                waits.push(answer.header("retry-after").expect("when").parse::<u64>().expect("seconds"));
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert!(!waits.is_empty() && waits.len() <= 53, "{} of 60 find no place", waits.len());
    assert!(waits.iter().any(|wait| *wait != waits[0]), "they do not come back at once: {waits:?}");
    assert_eq!(device.register().await.status, 200, "places are given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_devices_behind_one_router_are_served_by_the_defaults() {
    // The time of a busy machine apart.
    let world = World::with(|config| {
        (config.limits.listener.handshake_seconds, config.limits.listener.header_seconds) = (300, 300);
    })
    .await;
    let device = world.device("pump-1").await;
    let answers = at_once(&device, 300).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 300);
}

/// So many connections, of which each asks once and is held until all have been answered.
async fn at_once(device: &Device, count: usize) -> Vec<landfall::client::Answer> {
    assert_eq!(device.register().await.status, 200);
    let mut asking = JoinSet::new();
    for _ in 0..count {
        let device = device.clone();
        asking.spawn(async move {
            let mut client = device.connect().await.expect("a connection");
            let headers = landfall::client::headers(&[("content-type", "application/json")]);
            let answer = client.send(http::Method::POST, &device.path(""), headers, b"{}".to_vec()).await;
            (client, answer.expect("an answer in HTTP"))
        });
    }
    asking.join_all().await.into_iter().map(|(_client, answer)| answer).collect()
}
