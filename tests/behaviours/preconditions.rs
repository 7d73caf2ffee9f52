//! `If-Match` and `If-None-Match` on what an operator keeps: whoever changes over what another has changed is told.

use landfall::client::{self, Answer, Client};
use landfall_domain::clock::Ambient;
use landfall_tests::guests::component;
use landfall_tests::world::{World, json_of};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_publish_over_one_revision_the_second_is_told() {
    let world = World::new().await;
    let publish = async |condition: Option<(&str, &str)>, guest: &str| {
        send(&world, "PUT", "plugins/ours", "application/wasm", condition, component(guest)).await
    };
    let none = Some(("if-none-match", "*"));
    let first = publish(none, "floods-log").await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(publish(none, "loops-forever").await.status, 412);
    // Both have seen the same revision.
    let seen = tag(&send(&world, "GET", "plugins/ours", "application/json", None, b"").await);
    assert_eq!(seen, tag(&first));
    let over = Some(("if-match", seen.as_str()));
    let one = publish(over, "loops-forever").await;
    assert_eq!(one.status, 200, "{one:?}");
    let two = publish(over, "panics").await;
    assert_eq!(two.status, 412, "{two:?}");
    assert_eq!(json_of(&two)["detail"], "plugin ours has changed since; get it and try again");
    let live = json_of(&send(&world, "GET", "plugins/ours", "application/json", None, b"").await);
    assert_eq!(live["digest"], json_of(&one)["digest"]);
    // Nor does the second change what it has not seen, or take it away.
    let rules = json!({ "limits": { "fuel": 1_000_000 } }).to_string();
    let patch = async |condition| {
        send(&world, "PATCH", "plugins/ours", "application/json", Some(condition), rules.as_bytes()).await
    };
    assert_eq!(patch(("if-match", seen.as_str())).await.status, 412);
    let ruled = patch(("if-match", &tag(&one))).await;
    assert_eq!(ruled.status, 200, "{ruled:?}");
    assert_eq!(publish(Some(("if-match", &tag(&one))), "panics").await.status, 412, "the rules are others");
    let remove = async |tag: &str| {
        send(&world, "DELETE", "plugins/ours", "application/json", Some(("if-match", tag)), b"").await.status
    };
    assert_eq!(remove(&seen).await, 412);
    // Who names no condition publishes as ever.
    let last = publish(None, "panics").await;
    assert_eq!(last.status, 200, "{last:?}");
    assert_eq!(remove(&tag(&last)).await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_or_a_removal_over_what_was_changed_is_refused() {
    let world = World::new().await;
    world.record("pump-1", None).await;
    let call = async |method: &str, what: &str, condition: Option<(&str, &str)>, body: &[u8]| {
        send(&world, method, what, "application/json", condition, body).await
    };
    let seen = tag(&call("GET", "records/pump-1", None, b"").await);
    let state = async |tag: &str, state: &str| {
        let body = json!({ "state": state }).to_string();
        call("PUT", "records/pump-1/state", Some(("if-match", tag)), body.as_bytes()).await
    };
    let held = state(&seen, "quarantined").await;
    assert_eq!(held.status, 200, "{held:?}");
    let late = state(&seen, "active").await;
    assert_eq!((late.status.as_u16(), json_of(&late)["status"].as_u64()), (412, Some(412)), "{late:?}");
    assert_eq!(state(&tag(&held), "active").await.status, 200);

    let root = landfall_attestation::x509::make::Authority::root("Second", Ambient::system().now(), 30).unwrap();
    world.upload_authority("second", &root).await;
    let seen = tag(&call("GET", "authorities/second", None, b"").await);
    let code = call("POST", "authorities/second/verification-code", None, b"").await;
    assert!(code.status.is_success(), "{code:?}");
    let remove = async |tag: &str| call("DELETE", "authorities/second", Some(("if-match", tag)), b"").await.status;
    assert_eq!(remove(&seen).await, 412);
    let now = tag(&call("GET", "authorities/second", None, b"").await);
    assert_eq!(remove(&now).await, 204);
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no entity tag: {answer:?}")).to_owned()
}

/// Calls the management API as the operator, about something of the scope.
async fn send(
    world: &World,
    method: &str,
    what: &str,
    content_type: &str,
    condition: Option<(&str, &str)>,
    body: &[u8],
) -> Answer {
    let mut client = Client::connect(world.server().management_addr, "localhost", world.tls(None)).await.unwrap();
    let bearer = format!("Bearer {}", world.operator_token);
    let own = [("authorization", bearer.as_str()), ("content-type", content_type)];
    let headers: Vec<_> = own.into_iter().chain(condition).collect();
    let path = format!("/api/v1/scopes/{}/{what}", world.scope);
    client.send(method.parse().unwrap(), &path, client::headers(&headers), body.to_vec()).await.unwrap()
}
