//! Who operates one id scope learns nothing of what answers in the server's own networks: neither by an issuer of tokens nor by
//! an address of revocation lists. Who operates the server names hosts wherever they are.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use landfall_tests::https::Place;
use landfall_tests::world::{World, group, json_of, tracking_id};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_a_scopes_operator_names_must_be_at_a_public_address() {
    let world = World::new().await;
    let (bound, place) = (bound(&world).await, Place::start().await);
    let issuer = place.url("/tenant");
    let mut sensors = group("factory");
    sensors.as_object_mut().unwrap().remove("x509");
    sensors["token"] = json!({ "issuer": issuer, "audiences": ["urn:landfall"], "caCertificate": place.certificate });
    world.record("sensor-1", None).await;
    let device = world.shown("sensor-1", None);
    let token = made_up(&issuer);
    let put = async |token: &str| {
        let path = format!("/api/v1/scopes/{}/enrollment-groups/sensors", world.scope);
        let body = sensors.to_string();
        let answer = world.manage_as(token, "PUT", &path, "application/json", body.as_bytes()).await;
        assert!(answer.status.is_success(), "{answer:?}");
    };
    let why = async || {
        let answer = device.send("PUT", "/register", &[("authorization", &token)], "{}".to_owned()).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        world.ledger(&tracking_id(&answer)).await["kind"]["refused"]["detail"].as_str().unwrap().to_owned()
    };
    put(&bound).await;
    let told = why().await;
    assert!(told.contains(NOT_REACHED) && !told.contains("127.0.0.1"), "{told}");
    assert_eq!(place.asked(), 0, "nobody has called there");

    put(&world.operator_token).await;
    let told = why().await;
    assert!(told.contains("status 404") && place.asked() > 0, "{told}");

    // What the server's operator has named stays what it is, and another issuer does not.
    put(&bound).await;
    assert!(why().await.contains("status 404"));
    sensors["token"]["issuer"] = json!(place.url("/other"));
    let path = format!("/api/v1/scopes/{}/enrollment-groups/sensors", world.scope);
    let answer = world.manage_as(&bound, "PUT", &path, "application/json", sensors.to_string().as_bytes()).await;
    assert!(answer.status.is_success(), "{answer:?}");
    let (asked, token) = (place.asked(), made_up(&place.url("/other")));
    let answer = device.send("PUT", "/register", &[("authorization", &token)], "{}".to_owned()).await;
    let entry = world.ledger(&tracking_id(&answer)).await;
    assert!(entry.to_string().contains(NOT_REACHED), "{entry}");
    assert_eq!(place.asked(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_list_that_a_scopes_operator_names_must_be_at_a_public_address() {
    let world = World::new().await;
    let (bound, place) = (bound(&world).await, Place::without_tls().await);
    let path = format!("/api/v1/scopes/{}/authorities/factory", world.scope);
    let put = async |token: &str, url: String, unchecked: bool| {
        let body = json!({ "crlUrl": url, "crlUnchecked": unchecked }).to_string();
        world.manage_as(token, "PUT", &format!("{path}/revocation"), "application/json", body.as_bytes()).await
    };
    let name = async |token: &str, url: String| {
        let answer = put(token, url, true).await;
        assert!(answer.status.is_success(), "{answer:?}");
    };
    let trouble = async |token: &str, says: &str| {
        for _ in 0..500 {
            let shown: Value = json_of(&world.manage_as(token, "GET", &path, "application/json", b"").await);
            if shown["revocation"]["crlTrouble"].as_str().is_some_and(|told| told.contains(says)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("nothing says {says:?}");
    };
    // A name that leads into the server's networks, one that leads nowhere, and a port that is closed are told alike.
    let closed = format!(
        "http://localhost:{}/x",
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    );
    let mut told = Vec::new();
    for url in [place.url("/a"), closed, "http://pki.invalid/a".to_owned(), "http://10.255.255.1/a".to_owned()] {
        let answer = put(&bound, url.clone(), false).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        told.push(json_of(&answer)["detail"].as_str().unwrap().replace(&url, "URL"));
    }
    assert!(told.iter().all(|text| *text == told[0] && text.contains(NOT_REACHED)), "{told:?}");
    name(&bound, place.url("/a")).await;
    trouble(&bound, NOT_REACHED).await;
    trouble(&world.operator_token, "127.0.0.1, no public address").await;
    assert_eq!(place.asked(), 0, "nobody has called there");
    // Of an address that the server's operator has named, only that one learns what answers there.
    name(&world.operator_token, place.url("/a")).await;
    trouble(&world.operator_token, "status 404").await;
    trouble(&bound, "the server's log says why").await;
    name(&bound, place.url("/b")).await;
    trouble(&bound, NOT_REACHED).await;
}

const NOT_REACHED: &str = "its host cannot be reached at a public address";

/// A token of an operator of the world's scope alone.
async fn bound(world: &World) -> String {
    let wish = json!({ "role": "operator", "scope": world.scope }).to_string();
    let made = json_of(&world.manage("POST", "/api/v1/tokens", wish.as_bytes()).await);
    made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

/// A token that nobody has signed: its issuer is asked for keys all the same.
fn made_up(issuer: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "alg": "ES256", "kid": "k1" }));
    let claims = part(json!({ "iss": issuer, "sub": "sensor-1", "aud": "urn:landfall", "exp": 4_000_000_000_u64 }));
    format!("Bearer {head}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 64]))
}
