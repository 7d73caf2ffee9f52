//! Machine code for a component, from the cache or from the compiler.

use wasmtime::component::Component;

use crate::policy::cache::{Cache, Key};
use crate::policy::engine::PolicyEngine;

/// A component that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the component cannot be compiled: {detail}")]
pub struct CompileError {
    /// What the compiler says.
    pub detail: String,
}

/// Takes machine code from the cache, or compiles and caches it. A cache that cannot be written is slow, not wrong.
pub(in crate::policy) fn compile(
    engine: &PolicyEngine,
    cache: &Cache,
    key: &Key,
    bytes: &[u8],
) -> Result<Component, CompileError> {
    if let Some(component) = cache.get(engine, key) {
        return Ok(component);
    }
    let failed = |error: wasmtime::Error| CompileError { detail: format!("{error:#}") };
    let component = Component::from_binary(engine.wasm(), bytes).map_err(failed)?;
    if let Err(error) = component.serialize().map_err(std::io::Error::other).and_then(|code| cache.put(key, &code)) {
        tracing::warn!(%key, %error, "a compiled policy cannot be cached; it will be compiled again at the next start");
    }
    Ok(component)
}
