//! `#[derive(Policy)]`: a policy that is nothing but its settings needs no `configure` of its own.

use proc_macro2::TokenStream;
use quote::quote;

pub(crate) fn expand(input: &syn::DeriveInput) -> TokenStream {
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #generics ::landfall_plugin::Policy for #name #arguments #bounds {
            type Settings = Self;

            fn configure(settings: Self) -> ::core::result::Result<Self, ::std::vec::Vec<::landfall_plugin::Problem>> {
                ::core::result::Result::Ok(settings)
            }
        }
    }
}
