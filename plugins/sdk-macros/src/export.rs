//! `export!(Type: world, name = "...", summary = "...")`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitStr, Path, Result, Token};

/// What the author wrote.
pub(crate) struct Plugin {
    policy: Path,
    world: World,
    name: Option<LitStr>,
    summary: Option<LitStr>,
}

#[derive(Clone, Copy)]
enum World {
    Selector,
    Grouper,
    Policy,
}

pub(crate) fn expand(plugin: &Plugin) -> Result<TokenStream> {
    let policy = &plugin.policy;
    let name = plugin.name()?;
    let summary = plugin.summary()?;
    let selection = plugin.world.selects().then(|| selection(policy));
    let grouping = plugin.world.groups().then(|| grouping(policy));
    let promise = plugin.world.promise();

    // A test program is not a component that exports a policy. Off WebAssembly nothing is exported either: `@` is not allowed in the symbols of an ELF library, and a plain
    // `cargo test` has no use for them. That the traits are there is checked all the same.
    Ok(quote! {
        const _: fn() = || {
            fn promised<P: #promise>() {}
            promised::<#policy>();
        };

        #[cfg(all(target_arch = "wasm32", not(test)))]
        #[allow(unsafe_code)]
        const _: () = {
            struct Component;

            ::std::thread_local! {
                static STATE: ::landfall_plugin::__export::State<#policy> =
                    const { ::landfall_plugin::__export::State::new() };
            }

            impl ::landfall_plugin::__export::control::Guest for Component {
                fn describe() -> ::landfall_plugin::__export::control::Description {
                    ::landfall_plugin::__export::describe::<#policy>(#name, ::core::env!("CARGO_PKG_VERSION"), #summary)
                }

                fn configure(
                    settings: ::std::string::String,
                ) -> ::core::result::Result<(), ::std::vec::Vec<::landfall_plugin::Problem>> {
                    STATE.with(|state| state.configure(&settings))
                }
            }

            ::landfall_plugin::__export::export_control!(
                Component with_types_in ::landfall_plugin::__export::base
            );

            #selection
            #grouping
        };
    })
}

fn selection(policy: &Path) -> TokenStream {
    quote! {
        impl ::landfall_plugin::__export::hub_selection::Guest for Component {
            fn select_hub(
                call: ::landfall_plugin::Call,
                device: ::landfall_plugin::Device,
                candidates: ::std::vec::Vec<::landfall_plugin::Hub>,
            ) -> ::core::result::Result<::landfall_plugin::Outcome, ::landfall_plugin::Fault> {
                STATE.with(|state| state.run(|policy| {
                    <#policy as ::landfall_plugin::SelectHub>::select_hub(policy, &call, &device, &candidates)
                }))
            }
        }

        ::landfall_plugin::__export::export_selection!(
            Component with_types_in ::landfall_plugin::__export::selection
        );
    }
}

fn grouping(policy: &Path) -> TokenStream {
    quote! {
        impl ::landfall_plugin::__export::grouping::Guest for Component {
            fn place(
                call: ::landfall_plugin::Call,
                device: ::landfall_plugin::Device,
                hub: ::landfall_plugin::Hub,
            ) -> ::core::result::Result<::landfall_plugin::Placement, ::landfall_plugin::Fault> {
                STATE.with(|state| state.run(|policy| {
                    <#policy as ::landfall_plugin::Place>::place(policy, &call, &device, &hub)
                }))
            }
        }

        ::landfall_plugin::__export::export_placement!(
            Component with_types_in ::landfall_plugin::__export::placement
        );
    }
}

impl Plugin {
    /// The plugin's name: what the author said, or the package's.
    fn name(&self) -> Result<String> {
        let (name, span) = said_or_package(self.name.as_ref(), "CARGO_PKG_NAME");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            let advice = "a plugin's name is made of lower-case letters, digits and hyphens";
            return Err(Error::new(span, format!("{advice}; `{name}` is not: add `name = \"...\"`")));
        }
        Ok(name)
    }

    /// One sentence: what the author said, or the package's description.
    fn summary(&self) -> Result<String> {
        let (summary, span) = said_or_package(self.summary.as_ref(), "CARGO_PKG_DESCRIPTION");
        if summary.trim().is_empty() {
            let advice = "say in one sentence what the plugin does";
            return Err(Error::new(
                span,
                format!("{advice}: `description` in Cargo.toml, or `summary = \"...\"` here"),
            ));
        }
        Ok(summary)
    }
}

fn said_or_package(said: Option<&LitStr>, variable: &str) -> (String, Span) {
    match said {
        Some(said) => (said.value(), said.span()),
        None => (std::env::var(variable).unwrap_or_default(), Span::call_site()),
    }
}

impl World {
    fn selects(self) -> bool {
        matches!(self, Self::Selector | Self::Policy)
    }

    fn groups(self) -> bool {
        matches!(self, Self::Grouper | Self::Policy)
    }

    fn promise(self) -> TokenStream {
        match self {
            Self::Selector => quote!(::landfall_plugin::SelectHub),
            Self::Grouper => quote!(::landfall_plugin::Place),
            Self::Policy => quote!(::landfall_plugin::SelectHub + ::landfall_plugin::Place),
        }
    }
}

impl Parse for Plugin {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let policy = input.parse()?;
        input.parse::<Token![:]>()?;
        let mut plugin = Self { policy, world: input.parse()?, name: None, summary: None };
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let value = Some(input.parse()?);
            match key.to_string().as_str() {
                "name" => plugin.name = value,
                "summary" => plugin.summary = value,
                _ => return Err(Error::new(key.span(), "expected `name` or `summary`")),
            }
        }
        Ok(plugin)
    }
}

impl Parse for World {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let world: Ident = input.parse()?;
        match world.to_string().as_str() {
            "selector" => Ok(Self::Selector),
            "grouper" => Ok(Self::Grouper),
            "policy" => Ok(Self::Policy),
            _ => Err(Error::new(
                world.span(),
                "expected `selector` (chooses hubs), `grouper` (places devices) or `policy` (does both)",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let outcome = syn::parse_str::<Plugin>(text).and_then(|plugin| expand(&plugin));
        outcome.expect_err("this must be refused").to_string()
    }

    #[test]
    fn an_unknown_world_is_answered_with_the_three_that_exist() {
        assert!(refusal("Mine: allocator").contains("`selector` (chooses hubs)"));
    }

    #[test]
    fn a_name_with_capitals_or_underscores_is_refused() {
        let refused = refusal(r#"Mine: selector, name = "My_Policy", summary = "x""#);
        assert!(refused.contains("`My_Policy` is not"), "{refused}");
    }

    #[test]
    fn a_plugin_without_a_sentence_is_refused() {
        let refused = refusal(r#"Mine: selector, name = "mine", summary = " ""#);
        assert!(refused.contains("say in one sentence"), "{refused}");
    }

    #[test]
    fn a_selector_exports_selection_and_not_grouping() {
        let plugin = syn::parse_str(r#"a::Mine: selector, name = "mine", summary = "x","#).expect("parses");
        let code = expand(&plugin).expect("expands").to_string();
        assert!(code.contains("hub_selection"));
        assert!(!code.contains("grouping"));
    }
}
