//! Sends requests as the device's payload says: to which address, how often, how large.

use landfall_plugin::{Choice, Fault, http};

#[derive(serde::Deserialize)]
struct Said {
    url: String,
    times: u32,
    bytes: usize,
}

landfall_guests::selector!("asks", "Sends the requests that a device wants", |call, device, hubs| {
    let said: Said = device.payload()?.ok_or_else(|| Fault::bad_input("no payload"))?;
    for _ in 0..said.times {
        let answer = http::post_json(&said.url, &[("authorization", "Bearer hunter2")], &"x".repeat(said.bytes));
        answer.map_err(|error| Fault::internal(error.to_string()))?;
    }
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("asked", said.times.to_string()).into())
});
