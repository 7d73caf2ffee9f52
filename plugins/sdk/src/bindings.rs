//! The contract as Rust, made from the WIT.
//!
//! One interface that is exported is one module here, each with its own piece of type information, because a plugin
//! exports two or three of them and the linker joins the pieces of those that it does. The data types are made once,
//! in `base`, and shared by all; the rest of this crate gives them their methods.

#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::use_self)]

pub mod base {
    wit_bindgen::generate!({
        path: "../../wit/v0_1",
        world: "base",
        generate_unused_types: true,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_control",
        disable_run_ctors_once_workaround: true,
    });
}

pub mod selection {
    wit_bindgen::generate!({
        path: "../../wit/v0_1",
        inline: "
            package landfall:sdk-selection;
            world selection {
                export landfall:policy/hub-selection@0.1.0;
            }
        ",
        with: { "landfall:policy/types@0.1.0": crate::bindings::base::landfall::policy::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_selection",
        disable_run_ctors_once_workaround: true,
    });
}

pub mod placement {
    wit_bindgen::generate!({
        path: "../../wit/v0_1",
        inline: "
            package landfall:sdk-placement;
            world placement {
                export landfall:policy/grouping@0.1.0;
            }
        ",
        with: { "landfall:policy/types@0.1.0": crate::bindings::base::landfall::policy::types },
        additional_derives: [PartialEq],
        pub_export_macro: true,
        export_macro_name: "export_placement",
        disable_run_ctors_once_workaround: true,
    });
}
