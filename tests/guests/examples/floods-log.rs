//! Logs a great deal, in many lines and in long ones, and then decides as if nothing had been.

use landfall_plugin::{Choice, Fault, error, info};

landfall_guests::selector!("floods-log", "Logs a great deal", |call, device, hubs| {
    let long = "x".repeat(100_000);
    for line in 0..10_000 {
        info!("line {line}"; line = line);
    }
    for _ in 0..10 {
        error!("{long}"; long = long);
    }
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("after-the-flood", "it logged a great deal").into())
});
