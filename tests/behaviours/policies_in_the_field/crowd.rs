//! More calls than the policies' threads can take, and half of them bad.

use landfall::client::Answer;
use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_domain::names::Digest;
use landfall_tests::world::{Device, World, group, json_of};
use tokio::task::JoinSet;

use super::{assigned, patient, publish, retry_after, selected_by, waits};

/// Devices of each kind.
const EACH: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn healthy_devices_get_through_a_crowd_whose_policy_never_answers() {
    let world = World::with(patient).await;
    let (broken, healthy) = two_crowds(&world).await;
    let (broken, healthy) = (at_once(broken), at_once(healthy));
    for (_, answer) in healthy.join_all().await {
        assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    }
    for (device, answer) in broken.join_all().await {
        assert_eq!(waits(&world, &answer).await["kind"], "out-of-fuel", "{}", device.id);
    }
    assert_eq!(assigned(&world).await, EACH);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_find_the_policies_busy_wait_a_moment_and_get_through() {
    let world = World::with(|config| {
        patient(config);
        config.limits.policy.workers = 1;
        config.limits.policy.queue_per_worker = 1;
    })
    .await;
    let (broken, mut waiting) = two_crowds(&world).await;
    let broken = at_once(broken);
    let mut had_to_wait = 0;
    while !waiting.is_empty() {
        for (device, answer) in at_once(std::mem::take(&mut waiting)).join_all().await {
            if answer.status == 200 {
                assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
                continue;
            }
            assert_eq!(answer.status, 202, "{answer:?}");
            assert!(retry_after(&answer) <= 2, "it passes by itself, so the wait is short: {answer:?}");
            had_to_wait += 1;
            waiting.push(device);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(had_to_wait > 0, "one thread, and one place in its queue, were never too few");
    for (_, answer) in broken.join_all().await {
        let kind = waits(&world, &answer).await["kind"].clone();
        assert!(["out-of-fuel", "host-queue-full"].contains(&kind.as_str().unwrap()), "{kind}");
    }
    assert_eq!(assigned(&world).await, EACH);
}

fn at_once(devices: Vec<Device>) -> JoinSet<(Device, Answer)> {
    let register = |device: Device| async {
        let answer = device.register().await;
        (device, answer)
    };
    devices.into_iter().map(register).collect()
}

/// Devices of a group whose policy loops for ever, and devices of a group that is well.
async fn two_crowds(world: &World) -> (Vec<Device>, Vec<Device>) {
    publish(world, "loops-forever", "loops-forever").await;
    let now = Ambient::system().now();
    let works = Authority::root("Broken Works CA", now, 30).unwrap();
    world.upload_authority("broken", &works).await;
    let mut own = group("broken");
    own["allocation"] = selected_by("loops-forever");
    world.put("enrollment-groups/broken", &own).await;
    let (mut broken, mut healthy) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        let id = format!("broken-{number}");
        let issued = works.device(&id, now, 30).unwrap();
        world.record(&id, Some(Digest::of(&issued.certificate_der))).await;
        broken.push(world.stranger(&id, &issued));
        healthy.push(world.device(&format!("healthy-{number}")).await);
    }
    (broken, healthy)
}
