//! Writes to the standard output and the standard error, many lines and one without an end.

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("prints", "Writes to the standard output", |call, device, hubs| {
    for line in 0..1000 {
        println!("out {line}");
        eprintln!("err {line}");
    }
    print!("{}", "no end ".repeat(10_000));
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.into())
});
