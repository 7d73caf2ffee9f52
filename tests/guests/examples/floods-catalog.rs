//! Asks the host a million times.

use landfall_plugin::{Choice, Fault, group_count};

landfall_guests::selector!("floods-catalog", "Asks the host a million times", |call, device, hubs| {
    let mut heard = 0;
    for question in 0..1_000_000_usize {
        let hub = hubs.get(question % hubs.len().max(1)).ok_or_else(|| Fault::internal("no hubs"))?;
        heard += hub.labels().len() as u64 + group_count(&[&hub.name]);
    }
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("asked", heard.to_string()).into())
});
