//! The only place where this program trusts machine code that it reads from a file.

use wasmtime::component::Component;

use super::Authentic;
use crate::engine::PolicyEngine;

/// Turns compiled code into a component.
#[allow(unsafe_code, reason = "see SAFETY; the only use in this program")]
pub(super) fn load(engine: &PolicyEngine, code: Authentic<'_>) -> wasmtime::Result<Component> {
    // SAFETY: `Component::deserialize` runs whatever it is given, so it must be given only what this engine's own
    // `Component::serialize` returned, unchanged. That holds because:
    //
    // 1. `Authentic` cannot be made outside the parent module. That module makes it from two sources only. The first is
    //    code that the compiler has just returned (`Cache::fresh`), from within this process or over a pipe from a
    //    process of this program. The second is a file whose HMAC-SHA-256 was verified in constant time under a 256-bit
    //    key that was made by this host, is owned by its user, and is readable by nobody else (`key::open` refuses
    //    anything less).
    // 2. The tag covers the entry's name as well: engine fingerprint, component, settings. Code of another engine or
    //    another component, copied here by someone who can write files but not read the key, does not verify. The
    //    engine's own check of version and settings follows inside `deserialize`; it catches accidents, not attacks.
    // 3. The only code that is ever tagged is what `Component::serialize` returned (`compile::Compiling`).
    // 4. The bytes that were verified are the bytes that are used: they were read into memory once, and `deserialize`
    //    copies them into pages of its own. The file is not mapped, so editing or replacing it afterwards changes
    //    nothing.
    //
    // Whoever can read the key can already run code as this host's user.
    unsafe { Component::deserialize(engine.wasm(), code.0) }
}
