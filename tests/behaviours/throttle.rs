//! Devices that ask too often.

use landfall::config::ThrottleLimits;
use landfall_tests::world::{World, json_of, tracking_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_asks_in_a_loop_is_told_when_to_come_again_and_others_are_not() {
    let world = World::with(|config| {
        let slow = ThrottleLimits { device_per_minute: 1, device_burst: 3, ..ThrottleLimits::unlimited() };
        config.limits.throttle = slow;
    })
    .await;
    let device = world.device("pump-1").await;
    for _ in 0..3 {
        assert_eq!(device.register().await.status, 200);
    }
    let answer = device.register().await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(json_of(&answer)["errorCode"], 429_001);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    // A request drains in a minute, up to half of it is added by chance, and it is rounded up.
    assert!((1..=92).contains(&seconds), "{seconds}");
    assert_eq!(world.device("pump-2").await.register().await.status, 200);
    assert!(metrics(&world).await.contains("landfall_throttled_total{measure=\"registration-id\"} 1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_floods_is_slowed_before_anything_is_verified() {
    let world = World::with(|config| {
        let slow = ThrottleLimits { address_per_second: 1, address_burst: 5, ..ThrottleLimits::unlimited() };
        config.limits.throttle = slow;
    })
    .await;
    let stranger = world.shown("nobody", None);
    let mut connection = stranger.connect().await.unwrap();
    let mut told = Vec::new();
    for number in 0..20 {
        let path = format!("/{}/registrations/nobody-{number}/register?api-version=2021-06-01", world.scope);
        let headers = landfall::client::headers(&[("content-type", "application/json")]);
        let answer = connection.send(http::Method::PUT, &path, headers, b"{}".to_vec()).await.unwrap();
        told.push(answer.status.as_u16());
    }
    let refused = told.iter().take_while(|status| **status == 401).count();
    assert!((5..20).contains(&refused), "{told:?}");
    assert!(told[refused..].contains(&429), "{told:?}");
    let metrics = metrics(&world).await;
    let refusals = told.iter().filter(|status| **status == 401).count();
    assert!(metrics.contains(&format!("landfall_refusals_total{{cause=\"no-credential\"}} {refusals}\n")), "{metrics}");
    assert!(metrics.contains("landfall_throttled_total{measure=\"address\"}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_push_out_the_refusals_that_matter() {
    let world = World::with(|config| {
        config.limits.throttle = ThrottleLimits { strangers_kept_per_minute: 1, ..ThrottleLimits::unlimited() };
        config.limits.store.refusals_kept = 1_000;
    })
    .await;
    let issued = world.factory.device("no-record", landfall_domain::clock::Ambient::system().now(), 30).unwrap();
    let matters = world.stranger("no-record", &issued).register().await;
    let mut connection = world.shown("nobody", None).connect().await.unwrap();
    let mut last = None;
    for _ in 0..750 {
        let path = format!("/{}/registrations/nobody/register?api-version=2021-06-01", world.scope);
        let headers = landfall::client::headers(&[("content-type", "application/json")]);
        last = Some(connection.send(http::Method::PUT, &path, headers, b"{}".to_vec()).await.unwrap());
    }
    let told = world.ledger(&tracking_id(&matters)).await;
    assert_eq!(told["kind"]["refused"]["cause"], "no-manufacturing-record");
    let path = format!("/api/v1/decisions/{}", tracking_id(&last.unwrap()));
    assert_eq!(world.manage("GET", &path, b"").await.status, 404);
    assert!(metrics(&world).await.contains("landfall_refusals_total{cause=\"no-credential\"} 750\n"));
}

async fn metrics(world: &World) -> String {
    String::from_utf8(world.manage("GET", "/metrics", b"").await.bytes.to_vec()).unwrap()
}
