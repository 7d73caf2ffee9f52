//! Looks for environment variables, arguments and files. There must be none.

use std::{env, fs};

use landfall_plugin::{Choice, Fault};

landfall_guests::selector!("reads-surroundings", "Says what it finds around it", |call, device, hubs| {
    let found = [
        ("variables", env::vars().count().to_string()),
        ("arguments", env::args().count().to_string()),
        ("passwords", fs::read_to_string("/etc/passwd").map_or_else(|_| "none".into(), |text| text.len().to_string())),
        ("folder", fs::read_dir(".").map_or_else(|_| "none".into(), |folder| folder.count().to_string())),
    ];
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(found.into_iter().fold(choice, |choice, (code, detail)| choice.because(code, detail)).into())
});
