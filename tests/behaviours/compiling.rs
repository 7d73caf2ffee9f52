//! A component that is hard to compile costs what it may and no more, and nobody waits for it but who published it.

use std::path::PathBuf;

use landfall::client::Answer;
use landfall::config::Config;
use landfall_tests::guests::component;
use landfall_tests::world::{World, json_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_takes_the_compiler_too_long_is_refused_while_devices_register() {
    let world = World::with(|config| {
        apart(config);
        config.limits.policy.compile_cpu_seconds = 1;
    })
    .await;
    let device = world.device("pump-1").await;
    let (refused, registered) =
        tokio::join!(publish(&world, "bomb", bulky(3_000, 3_000)), async { device.register().await });
    assert_eq!(json_of(&registered)["status"], "assigned", "{registered:?}");
    assert_eq!(refused.status, 422, "{refused:?}");
    let detail = json_of(&refused)["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("took more than 1 s of CPU time"), "{detail}");
    assert!(detail.contains("limits.policy.compile_cpu_seconds"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_takes_the_compiler_too_much_memory_is_refused() {
    let world = World::with(|config| {
        apart(config);
        config.limits.policy.compile_memory_mib = 128;
    })
    .await;
    let refused = publish(&world, "bomb", bulky(20, 200_000)).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let detail = json_of(&refused)["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("took more than 128 MiB of memory"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compiled_in_a_process_of_its_own_decides() {
    let world = World::with(apart).await;
    // Nobody else publishes these very bytes, so they are in no cache.
    let published = publish(&world, "ours", bulky(1, 10 + u32::from(std::process::id() as u16))).await;
    assert!(published.status.is_success(), "{published:?}");
    let group = serde_json::json!({
        "x509": { "authorities": { "primary": "factory" } },
        "allocation": { "selection": { "plugin": "ours" } },
    });
    world.put("enrollment-groups/devices", &group).await;
    let answer = world.device("pump-1").await.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
}

fn apart(config: &mut Config) {
    config.compiler = Some(PathBuf::from(env!("CARGO_BIN_EXE_landfall-under-test")));
}

async fn publish(world: &World, name: &str, component: Vec<u8>) -> Answer {
    let path = format!("/api/v1/scopes/{}/plugins/{name}", world.scope);
    world.manage_as(&world.operator_token, "PUT", &path, "application/wasm", &component).await
}

/// A good policy that carries a module which nothing uses: so many functions, each with so many additions.
fn bulky(functions: u32, additions: u32) -> Vec<u8> {
    let mut body = vec![0x00, 0x20, 0x00];
    for number in 0..additions {
        body.extend([0x41, u8::try_from(number % 64).unwrap(), 0x6a]);
    }
    body.push(0x0b);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    // One type, (i32) -> i32, and every function is of it.
    section(&mut module, 1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    let mut types = leb(functions);
    types.extend(std::iter::repeat_n(0, functions as usize));
    section(&mut module, 3, &types);
    let mut code = leb(functions);
    for _ in 0..functions {
        code.extend(leb(u32::try_from(body.len()).unwrap()));
        code.extend(&body);
    }
    section(&mut module, 10, &code);
    let mut bulky = component("takes-first").to_vec();
    section(&mut bulky, 1, &module);
    bulky
}

fn section(to: &mut Vec<u8>, id: u8, content: &[u8]) {
    to.push(id);
    to.extend(leb(u32::try_from(content.len()).unwrap()));
    to.extend(content);
}

/// An unsigned number as WebAssembly writes it.
fn leb(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
