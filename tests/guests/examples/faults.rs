//! Cannot do its work.

use landfall_plugin::Fault;

landfall_guests::selector!("faults", "Cannot do its work", |call, device, hubs| {
    Err(Fault::bad_input("the manufacturing record has no fact `region`"))
});
