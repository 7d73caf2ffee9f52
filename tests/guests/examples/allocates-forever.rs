//! Takes memory until there is none.

use std::hint::black_box;

landfall_guests::selector!("allocates-forever", "Takes memory until there is none", |call, device, hubs| {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 64 << 10]));
    }
});
