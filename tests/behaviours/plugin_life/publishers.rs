//! What who publishes may do to others: nothing but under its own names, and no more than its share.

use landfall::client::Answer;
use landfall_tests::guests::component;
use landfall_tests::world::{World, json_of};
use serde_json::{Value, json};

use super::{get, set};

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_publishes_under_its_names_only() {
    let world = World::new().await;
    let any = token(&world, json!({})).await;
    let bound = token(&world, json!({ "plugins": ["line3-*", "ours"] })).await;
    for (who, name, may) in [
        (&any, "weighted", false),
        (&any, "line3-first", true),
        (&bound, "line3-second", true),
        (&bound, "line4-first", false),
        (&bound, "weighted", false),
        (&bound, "ours", true),
    ] {
        let answer = publish(&world, who, name, component("takes-first")).await;
        assert_eq!(answer.status.is_success(), may, "{name}: {answer:?}");
        if !may {
            assert_eq!(answer.status, 403, "{name}: {answer:?}");
            let detail = json_of(&answer)["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(name) && detail.contains("publishes under"), "{detail}");
        }
    }
    let digest = get(&world, "plugins/weighted").await["digest"].clone();
    assert_eq!(digest, landfall_policy::shipped::digest_of("weighted").unwrap().to_string());
    // The ways back and away are the same names'.
    for (method, path) in [("POST", "plugins/line3-first/rollback"), ("DELETE", "plugins/line3-first")] {
        let path = format!("/api/v1/scopes/{}/{path}", world.scope);
        let only = token(&world, json!({ "plugins": ["ours"] })).await;
        let answer = world.manage_as(&only, method, &path, "application/json", b"{}").await;
        assert_eq!(answer.status, 403, "{method}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_publishers_take_is_bounded_and_room_comes_back() {
    let world = World::with(|config| config.limits.management.plugins = 8).await;
    // The quota holds one of them, and one as it is.
    let (one, two, three) = (component("takes-first"), component("rejects"), component("abstains"));
    let publisher = token(&world, json!({ "pluginsMib": 1 })).await;
    let large = padded(one, 600 << 10);
    assert!(publish(&world, &publisher, "large", &large).await.status.is_success());
    let beyond = publish(&world, &publisher, "other", &padded(two, 600 << 10)).await;
    assert_eq!(beyond.status, 409, "{beyond:?}");
    let detail = json_of(&beyond)["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("quota is 1 MiB") && detail.contains("landfall plugin delete"), "{detail}");
    // Nothing is left of what was refused, also where there is a plugin of the name.
    let beyond = publish(&world, &publisher, "large", &padded(two, 1200 << 10)).await;
    assert_eq!(beyond.status, 413, "{beyond:?}");
    assert!(json_of(&beyond)["detail"].as_str().unwrap().contains("the token's room for plugins"), "{beyond:?}");
    let unused = world.get("/api/v1/store/check").await["unused"].clone();
    assert!(unused["bytes"].as_u64().unwrap() < 1000 << 10, "{unused}");
    // Another's share is another's.
    let another = token(&world, json!({ "pluginsMib": 1 })).await;
    assert!(publish(&world, &another, "other", &padded(two, 600 << 10)).await.status.is_success());
    let path = format!("/api/v1/scopes/{}/plugins/large", world.scope);
    assert_eq!(world.manage_as(&publisher, "DELETE", &path, "application/json", b"").await.status, 204);
    assert!(publish(&world, &publisher, "large", &padded(three, 600 << 10)).await.status.is_success());

    // Going back takes nothing, and so is refused to nobody for want of room.
    let none = token(&world, json!({ "pluginsMib": 0 })).await;
    assert_eq!(publish(&world, &none, "large", one).await.status, 413);
    assert!(publish(&world, &world.operator_token, "large", one).await.status.is_success());
    let path = format!("/api/v1/scopes/{}/plugins/large/rollback", world.scope);
    let back = world.manage_as(&none, "POST", &path, "application/json", b"{}").await;
    assert_eq!(back.status, 200, "{back:?}");

    // Five come with Landfall.
    assert!(publish(&world, &another, "eighth", three).await.status.is_success());
    let beyond = publish(&world, &another, "ninth", three).await;
    assert_eq!(beyond.status, 409, "{beyond:?}");
    assert!(json_of(&beyond)["detail"].as_str().unwrap().contains("limits.management.plugins"), "{beyond:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_sheds_no_limits_by_removing_its_plugin() {
    let world = World::new().await;
    let publisher = token(&world, json!({})).await;
    let path = format!("/api/v1/scopes/{}/plugins/ours", world.scope);
    let remove = async |token: &str| world.manage_as(token, "DELETE", &path, "application/json", b"").await;
    assert!(publish(&world, &publisher, "ours", component("takes-first")).await.status.is_success());
    assert_eq!(remove(&publisher).await.status, 204, "nobody said anything of it");
    assert!(publish(&world, &publisher, "ours", component("takes-first")).await.status.is_success());
    assert_eq!(set(&world, json!({ "limits": { "fuel": 1_000_000 } })).await.status, 200);
    let kept = remove(&publisher).await;
    assert_eq!(kept.status, 409, "{kept:?}");
    assert!(json_of(&kept)["detail"].as_str().unwrap().contains("an operator has set limits"), "{kept:?}");
    assert_eq!(remove(&world.operator_token).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_over_and_over_fills_no_disk() {
    let world = World::new().await;
    let publisher = token(&world, json!({ "pluginsMib": 1 })).await;
    for number in 0..8 {
        let large = padded(component("takes-first"), (300 << 10) + number);
        assert!(publish(&world, &publisher, "ours", &large).await.status.is_success(), "{number}");
    }
    let path = format!("/api/v1/scopes/{}/plugins/ours", world.scope);
    assert_eq!(world.manage_as(&publisher, "DELETE", &path, "application/json", b"").await.status, 204);
    let unused = world.get("/api/v1/store/check").await["unused"].clone();
    assert!(unused["bytes"].as_u64().unwrap() < 300 << 10, "{unused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_gets_more_than_the_others_from_who_governs_all_scopes_only() {
    let world = World::new().await;
    super::publish(&world, "takes-first").await;
    let wish = json!({ "role": "operator", "scope": world.scope, "note": "" });
    let answer = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
    let bound = json_of(&answer)["token"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/scopes/{}/plugins/ours", world.scope);
    let change = async |limits: Value| {
        let body = json!({ "limits": limits }).to_string();
        world.manage_as(&bound, "PATCH", &path, "application/json", body.as_bytes()).await
    };
    for (name, value) in [("fuel", 1_000_000_000_000_u64), ("deadlineMs", 60_000), ("memoryBytes", 64 << 20)] {
        let answer = change(json!({ name: value })).await;
        assert_eq!(answer.status, 403, "{name}: {answer:?}");
        assert!(json_of(&answer)["detail"].as_str().unwrap().contains(name), "{answer:?}");
    }
    assert_eq!(
        change(json!({ "fuel": 1_000_000, "memoryBytes": 8 << 20 })).await.status,
        200,
        "less is its own matter"
    );
    assert_eq!(set(&world, json!({ "limits": { "fuel": 1_000_000_000_u64 } })).await.status, 200);
    assert_eq!(change(json!({ "memoryBytes": null })).await.status, 200, "what was granted may stay");
    assert_eq!(change(json!({ "fuel": 2_000_000_000_u64 })).await.status, 403);
}

/// A component with a custom section of so many bytes at its end.
fn padded(component: &[u8], bytes: usize) -> Vec<u8> {
    let leb = |mut number: usize| {
        let mut out = Vec::new();
        loop {
            let low = u8::try_from(number & 0x7f).unwrap();
            number >>= 7;
            out.push(if number == 0 { low } else { low | 0x80 });
            if number == 0 {
                return out;
            }
        }
    };
    let content = [leb(3), b"pad".to_vec(), vec![7; bytes]].concat();
    [component.to_vec(), vec![0], leb(content.len()), content].concat()
}

async fn token(world: &World, more: Value) -> String {
    let mut wish = json!({ "role": "publisher", "scope": world.scope, "note": "" });
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    json_of(&answer)["token"].as_str().unwrap().to_owned()
}

async fn publish(world: &World, token: &str, name: &str, component: &[u8]) -> Answer {
    let path = format!("/api/v1/scopes/{}/plugins/{name}", world.scope);
    world.manage_as(token, "PUT", &path, "application/wasm", component).await
}
