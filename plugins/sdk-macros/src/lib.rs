//! The macros of `landfall-plugin`. Use them through that crate, which documents them with examples.
//!
//! They are thin on purpose: everything that can be an ordinary function is one, in `landfall_plugin::__export`.
//! What is left for a macro is what the language offers no other way for: exported symbols, which must exist in the
//! author's own crate, and the author's name and version, which only the author's own build knows.

use proc_macro::TokenStream;

mod export;
mod policy;

/// Makes the crate a plugin. See `landfall_plugin::export!`.
#[proc_macro]
pub fn export(input: TokenStream) -> TokenStream {
    let plugin = syn::parse_macro_input!(input as export::Plugin);
    export::expand(&plugin).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `Policy` for a type that is its own settings. See `landfall_plugin::Policy`.
#[proc_macro_derive(Policy)]
pub fn derive_policy(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    policy::expand(&input).into()
}
