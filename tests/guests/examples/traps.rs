//! Traps without a word.

landfall_guests::selector!("traps", "Traps without a word", |call, device, hubs| {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
});
