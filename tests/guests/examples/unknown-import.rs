//! Wants something that nobody grants.

use landfall_plugin::{Choice, Fault};

wit_bindgen::generate!({
    inline: "
        package vault:keys@1.0.0;
        interface safe {
            open: func(name: string) -> option<string>;
        }
        world thief {
            import safe;
        }
    ",
});

landfall_guests::selector!("unknown-import", "Wants something that nobody grants", |call, device, hubs| {
    let secret = vault::keys::safe::open("root").unwrap_or_default();
    let choice = Choice::in_order(hubs).ok_or_else(|| Fault::internal("no hubs"))?;
    Ok(choice.because("opened", secret).into())
});
