//! Two tenants with two groups each, and devices whose certificates could belong to any of them: one group takes a device, or
//! none does.

use landfall::client::Answer;
use landfall::tls::Identity;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_tests::world::{Device, World, group, json_of};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_tenants_and_four_groups_one_takes_a_device_or_none_does() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let (root, foreign) = (Authority::root("Root", now, 30).unwrap(), Authority::root("Foreign", now, 30).unwrap());
    let (east, west) = (root.intermediate("East", now, 30).unwrap(), root.intermediate("West", now, 30).unwrap());
    // East's name and key, certified by another root.
    let key = KeyPair::from_pem(&east.key_pem()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "East");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let crossed = foreign.sign(params, &key).unwrap();

    // Ours relies on the root and on East; the other tenant on West, and on the foreign root.
    let ours = world.scope.to_string();
    put(&world, "scopes/0neOTHER", &json!({})).await;
    for (scope, name, authority) in [
        (ours.as_str(), "root", &root),
        (&ours, "east", &east),
        ("0neOTHER", "west", &west),
        ("0neOTHER", "foreign", &foreign),
    ] {
        prove(&world, scope, name, authority).await;
        put(&world, &format!("scopes/{scope}/enrollment-groups/by-{name}"), &group(name)).await;
    }
    put(&world, "scopes/0neOTHER/hubs/hub-1.example", &json!({ "weight": 1, "capacity": 1000 })).await;

    let mut cells = 0;
    for (scope, expected) in [
        (ours.as_str(), [Some("by-east"), Some("by-root"), Some("by-east")]),
        ("0neOTHER", [None, Some("by-west"), Some("by-foreign")]),
    ] {
        let leaves = [
            ("right", &east, &east.certificate_der),
            ("sibling", &west, &west.certificate_der),
            ("crossed", &east, &crossed),
        ];
        for ((what, issuer, intermediate), expected) in leaves.into_iter().zip(expected) {
            // The chain as it should be, with its roots, with what does not belong there, and in another order.
            let extra: [Vec<&Vec<u8>>; 4] = [
                vec![intermediate],
                vec![intermediate, &root.certificate_der, &foreign.certificate_der],
                vec![intermediate, &world.factory.certificate_der],
                vec![&world.factory.certificate_der, intermediate],
            ];
            for (at, above) in extra.into_iter().enumerate() {
                let id = format!("{what}-{at}-{}", scope.to_ascii_lowercase());
                let issued = issuer.device(&id, now, 30).unwrap();
                let Identity { mut chain, key } = landfall::tls::Identity::of(&issued);
                chain.truncate(1);
                chain.extend(above.into_iter().map(|der| CertificateDer::from(der.clone())));
                record(&world, scope, &id).await;
                let device = Device { scope: scope.to_owned(), ..world.shown(&id, Some(Identity { chain, key })) };
                let answer = device.register().await;
                let taken = group_of(&answer);
                assert_eq!(taken.as_deref(), expected, "{what} {at} in {scope}: {answer:?}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 24);
}

/// In what order a device sends its certificates chooses nothing for it.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_cross_signed_line_the_good_path_counts_and_of_two_the_first_group() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let (first, second) = (Authority::root("First", now, 30).unwrap(), Authority::root("Second", now, 30).unwrap());
    let scope = world.scope.to_string();
    for (name, authority) in [("a-first", &first), ("b-second", &second)] {
        prove(&world, &scope, name, authority).await;
        put(&world, &format!("scopes/{scope}/enrollment-groups/{name}"), &group(name)).await;
    }
    let line = first.intermediate("Line", now, 30).unwrap();
    let key = KeyPair::from_pem(&line.key_pem()).unwrap();
    let by = |authority: &Authority, ended: bool| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Line");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        if ended {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        authority.sign(params, &key).unwrap()
    };
    let mut cells = 0;
    for (what, from_first, from_second, expected) in [
        ("the first ended", by(&first, true), by(&second, false), Some("b-second")),
        ("the second ended", by(&first, false), by(&second, true), Some("a-first")),
        ("both good", by(&first, false), by(&second, false), Some("a-first")),
        ("both ended", by(&first, true), by(&second, true), None),
    ] {
        for above in [[&from_first, &from_second], [&from_second, &from_first]] {
            let id = format!("pump-{cells}");
            let Identity { mut chain, key } = landfall::tls::Identity::of(&line.device(&id, now, 30).unwrap());
            chain.truncate(1);
            chain.extend(above.into_iter().map(|der| CertificateDer::from(der.clone())));
            record(&world, &scope, &id).await;
            let answer = world.shown(&id, Some(Identity { chain, key })).register().await;
            assert_eq!(group_of(&answer).as_deref(), expected, "{what}: {answer:?}");
            cells += 1;
        }
    }
    assert_eq!(cells, 8);
}

fn group_of(answer: &Answer) -> Option<String> {
    if answer.status == 401 {
        return None;
    }
    Some(json_of(answer)["registrationState"]["x509"]["enrollmentGroupId"].as_str().unwrap().to_owned())
}

async fn put(world: &World, what: &str, body: &Value) {
    let answer = world.manage("PUT", &format!("/api/v1/{what}"), body.to_string().as_bytes()).await;
    assert!(answer.status.is_success(), "{what}: {answer:?}");
}

async fn prove(world: &World, scope: &str, name: &str, authority: &Authority) {
    let path = format!("scopes/{scope}/authorities/{name}");
    put(world, &path, &json!({ "certificate": authority.certificate_pem })).await;
    let code = world.manage("POST", &format!("/api/v1/{path}/verification-code"), b"").await;
    let code = json_of(&code)["verificationCode"].as_str().unwrap().to_owned();
    let proof = authority.device(&code, Ambient::system().now(), 1).unwrap().certificate_pem;
    let body = json!({ "certificate": proof }).to_string();
    let verified = world.manage("POST", &format!("/api/v1/{path}/verify"), body.as_bytes()).await;
    assert!(verified.status.is_success(), "{verified:?}");
}

async fn record(world: &World, scope: &str, id: &str) {
    let path = format!("/api/v1/scopes/{scope}/records?manufacturer=acme");
    let row = format!("{}\n", json!({ "registrationId": id, "facts": { "site": "oslo" } }));
    let answer = world.manage_as(&world.operator_token, "POST", &path, "application/x-ndjson", row.as_bytes()).await;
    assert_eq!(json_of(&answer)["refused"], 0, "{answer:?}");
}
