//! Guests that misbehave, one component each, in `examples/`. The tests load them and look at what becomes of the host.
//!
//! Most are written with the SDK, because that is what a plugin that goes wrong looks like; a few need what the SDK
//! would not let them do, and are written against the contract itself, or against a changed copy of it.

/// A selector without settings whose decision is the given expression.
#[macro_export]
macro_rules! selector {
    ($name:literal, $summary:literal, |$call:ident, $device:ident, $hubs:ident| $decision:expr) => {
        $crate::guest!($name, $summary, selector);

        impl ::landfall_plugin::SelectHub for Guest {
            #[allow(unused_variables, unreachable_code)]
            fn select_hub(
                &self,
                $call: &::landfall_plugin::Call,
                $device: &::landfall_plugin::Device,
                $hubs: &[::landfall_plugin::Hub],
            ) -> Result<::landfall_plugin::Outcome, ::landfall_plugin::Fault> {
                $decision
            }
        }
    };
}

/// A grouper without settings whose placement is the given expression.
#[macro_export]
macro_rules! grouper {
    ($name:literal, $summary:literal, |$call:ident, $device:ident, $hub:ident| $placement:expr) => {
        $crate::guest!($name, $summary, grouper);

        impl ::landfall_plugin::Place for Guest {
            #[allow(unused_variables)]
            fn place(
                &self,
                $call: &::landfall_plugin::Call,
                $device: &::landfall_plugin::Device,
                $hub: &::landfall_plugin::Hub,
            ) -> Result<::landfall_plugin::Placement, ::landfall_plugin::Fault> {
                $placement
            }
        }
    };
}

/// What both have in common.
#[doc(hidden)]
#[macro_export]
macro_rules! guest {
    ($name:literal, $summary:literal, $world:ident) => {
        struct Guest;

        impl ::landfall_plugin::Policy for Guest {
            type Settings = ::landfall_plugin::NoSettings;

            fn configure(_: ::landfall_plugin::NoSettings) -> Result<Self, Vec<::landfall_plugin::Problem>> {
                Ok(Self)
            }
        }

        ::landfall_plugin::export!(Guest: $world, name = $name, summary = $summary);
    };
}
