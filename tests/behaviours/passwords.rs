//! Devices that prove themselves by a username and a password, where that is allowed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::client::Answer;
use landfall_tests::world::{Device, World, group, json_of, tracking_id};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_off_until_somebody_turns_them_on_and_then_a_device_may_come_in_with_one() {
    let mut world = World::new().await;
    let path = format!("/api/v1/scopes/{}/enrollments/meter-1", world.scope);
    let refused = world.manage("PUT", &path, enrolled(Some(PASSWORD)).to_string().as_bytes()).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(json_of(&refused)["errors"][0]["message"].as_str().unwrap().contains("passwords.enabled"), "{refused:?}");
    let device = world.shown("meter-1", None);
    assert_eq!(cause(&world, &register(&device, "meter-1", PASSWORD).await).await, "passwords-off");

    world.restart_with(|config| config.passwords.enabled = true).await;
    let shown = world.put("enrollments/meter-1", &enrolled(Some(PASSWORD))).await;
    assert_eq!(shown["password"], json!({ "username": "meter-1" }), "the password is told to nobody");
    let again = world.put("enrollments/meter-1", &shown).await;
    assert_eq!(again["password"], shown["password"], "what was read can be sent back, and the password stays");
    world.record("meter-1", None).await;
    let device = world.shown("meter-1", None);
    assert_eq!(register(&device, "meter-1", PASSWORD).await.status, 200);
    let told = world.get(&format!("/api/v1/scopes/{}/registrations/meter-1", world.scope)).await;
    let decided = &world.ledger(told["decision"].as_str().unwrap()).await["kind"]["decided"];
    assert_eq!(decided["device"]["claims"], json!([{ "key": "password.username", "value": "meter-1" }]), "{decided}");
    assert!(!decided.to_string().contains(PASSWORD));

    // Polls carry it too, and so does a look-up.
    let accepted = ask(&device, "PUT", "/register", "meter-1", PASSWORD, &[]).await;
    assert_eq!(accepted.status, 202);
    let operation = json_of(&accepted)["operationId"].as_str().unwrap().to_owned();
    for _ in 0..100 {
        let polled = ask(&device, "GET", &format!("/operations/{operation}"), "meter-1", PASSWORD, &[]).await;
        if polled.status == 200 {
            break;
        }
        assert_eq!(polled.status, 202, "{polled:?}");
    }

    for (username, password) in
        [("meter-1", "another long password"), ("meter-2", PASSWORD), ("METER-1", PASSWORD), ("", ""), ("meter-1", "")]
    {
        let refused = register(&device, username, password).await;
        assert_eq!(cause(&world, &refused).await, "wrong-password", "{username} {password}");
    }
    let nobody = world.shown("meter-9", None);
    assert_eq!(cause(&world, &register(&nobody, "meter-9", PASSWORD).await).await, "not-enrolled-by-password");
    let refused = device.send("PUT", "/register", &[("authorization", "Basic ***")], "{}".to_owned()).await;
    assert_eq!(cause(&world, &refused).await, "unreadable-password");

    // Changed: the one before is good for nothing, at once, though it was a moment ago.
    world.put("enrollments/meter-1", &enrolled(Some("a new and longer password"))).await;
    assert_eq!(cause(&world, &register(&device, "meter-1", PASSWORD).await).await, "wrong-password");
    assert_eq!(register(&device, "meter-1", "a new and longer password").await.status, 200);
    for (wrong, pointer) in [
        (json!({ "password": "short" }), "/password/password"),
        (json!({ "password": PASSWORD, "username": "a:b" }), "/password/username"),
    ] {
        let mut enrollment = enrolled(None);
        enrollment["password"] = wrong;
        let answer = world.manage("PUT", &path, enrollment.to_string().as_bytes()).await;
        assert_eq!(json_of(&answer)["errors"][0]["pointer"], pointer, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_takes_only_so_many_passwords_whoever_tries_them_and_a_device_that_is_in_stays_in() {
    let world = World::with(|config| {
        config.passwords.enabled = true;
        config.limits.throttle.password_per_minute = 6;
        config.limits.throttle.password_burst = 4;
    })
    .await;
    world.put("enrollments/meter-1", &enrolled(Some(PASSWORD))).await;
    world.record("meter-1", None).await;
    let device = world.shown("meter-1", None);
    assert_eq!(register(&device, "meter-1", PASSWORD).await.status, 200);
    for _ in 0..3 {
        assert_eq!(register(&device, "meter-1", "a wrong password").await.status, 401);
    }
    let full = register(&device, "meter-1", "a wrong password").await;
    assert_eq!(full.status, 429, "{full:?}");
    assert!(full.headers.contains_key("retry-after"), "{full:?}");
    assert_eq!(register(&device, "meter-1", PASSWORD).await.status, 200, "nobody locks out a device that is in");
    let nobody = world.shown("meter-9", None);
    for _ in 0..4 {
        assert_eq!(register(&nobody, "meter-9", PASSWORD).await.status, 401);
    }
    assert_eq!(register(&nobody, "meter-9", PASSWORD).await.status, 429, "the same for an account that is not there");
    let elsewhere = Device { scope: "0neNOBODY".to_owned(), ..world.shown("meter-1", None) };
    for _ in 0..4 {
        assert_eq!(register(&elsewhere, "meter-1", PASSWORD).await.status, 401);
    }
    assert_eq!(register(&elsewhere, "meter-1", PASSWORD).await.status, 429, "and for a tenant that is not there");
}

fn enrolled(password: Option<&str>) -> Value {
    let mut enrollment = group("factory");
    enrollment.as_object_mut().unwrap().remove("x509");
    enrollment["password"] = match password {
        Some(password) => json!({ "password": password }),
        None => json!({}),
    };
    enrollment
}

async fn register(device: &Device, username: &str, password: &str) -> Answer {
    ask(device, "PUT", "/register", username, password, &[("prefer", "wait=20")]).await
}

async fn ask(
    device: &Device,
    method: &str,
    what: &str,
    username: &str,
    password: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
    let mut all = vec![("authorization", basic.as_str())];
    all.extend_from_slice(headers);
    device.send(method, what, &all, "{}".to_owned()).await
}

async fn cause(world: &World, answer: &Answer) -> String {
    assert_eq!(answer.status, 401, "{answer:?}");
    world.ledger(&tracking_id(answer)).await["kind"]["refused"]["cause"].as_str().unwrap().to_owned()
}

const PASSWORD: &str = "a long enough password";
