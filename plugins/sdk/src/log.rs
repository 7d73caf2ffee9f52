//! Lines that are kept with the decision: [`error!`](crate::error), [`warn!`](crate::warn), [`info!`](crate::info),
//! [`debug!`](crate::debug), [`trace!`](crate::trace).
//!
//! ```
//! # let hub = landfall_plugin::testing::hub("a.example").alone();
//! landfall_plugin::info!("chosen for its room");
//! landfall_plugin::debug!("{} has room for {}", hub.name, hub.room());
//! landfall_plugin::debug!("has room"; hub = hub.name, room = hub.room());
//! ```
//!
//! Neither the text nor the fields are computed unless the host keeps lines of that level. Lines never change the
//! outcome, and past a plugin's log budget they are counted and dropped.

use std::fmt::{Arguments, Display};

use crate::Label;
pub use crate::bindings::base::landfall::policy::log::Level;

/// Whether lines of this level are kept.
pub fn enabled(level: Level) -> bool {
    #[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
    return crate::bindings::base::landfall::policy::log::enabled(level);
    #[cfg(any(not(target_arch = "wasm32"), feature = "testing"))]
    return crate::testing::asked::log_enabled(level);
}

/// Keeps one line. The macros are more convenient, and cheaper when the level is off.
pub fn emit(level: Level, message: Arguments<'_>, fields: &[(&str, &dyn Display)]) {
    let fields: Vec<Label> =
        fields.iter().map(|(key, value)| Label { key: (*key).to_owned(), value: value.to_string() }).collect();
    let message = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
    #[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
    crate::bindings::base::landfall::policy::log::emit(level, &message, &fields);
    #[cfg(any(not(target_arch = "wasm32"), feature = "testing"))]
    crate::testing::asked::log_emit(level, message, fields);
}

/// Logs a line at a [`Level`](crate::log::Level): `log!(level, "text {}", argument; field = value)`.
#[macro_export]
macro_rules! log {
    ($level:expr, $text:literal $(, $argument:expr)* $(,)?) => {
        $crate::log!($level, $text $(, $argument)* ;)
    };
    ($level:expr, $text:literal $(, $argument:expr)* ; $($key:ident = $value:expr),* $(,)?) => {{
        let level = $level;
        if $crate::log::enabled(level) {
            $crate::log::emit(
                level,
                ::core::format_args!($text $(, $argument)*),
                &[$((::core::stringify!($key), &$value as &dyn ::core::fmt::Display)),*],
            );
        }
    }};
}

/// Logs what stops the policy from doing its work. Syntax as of [`log!`](crate::log!).
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Error, $($line)+) };
}

/// Logs what an operator should look at. Syntax as of [`log!`](crate::log!).
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Warn, $($line)+) };
}

/// Logs what an operator may want to know. Syntax as of [`log!`](crate::log!).
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Info, $($line)+) };
}

/// Logs how the policy came to its answer. Syntax as of [`log!`](crate::log!).
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Debug, $($line)+) };
}

/// Logs every step. Syntax as of [`log!`](crate::log!).
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::log!($crate::log::Level::Trace, $($line)+) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Catalogue;

    #[test]
    fn a_line_carries_its_text_and_its_fields() {
        let site = "berlin";
        let run = Catalogue::new().run(|_| crate::info!("placed at {site}, try {}", 2; site = site, room = 3));
        let line = run.log.first().expect("one line");
        assert_eq!((line.level, line.message.as_str()), (Level::Info, "placed at berlin, try 2"));
        assert_eq!(line.field("room"), Some("3"));
    }

    #[test]
    fn nothing_is_computed_for_a_level_that_is_off() {
        let costly = || -> u32 { panic!("computed") };
        let run = Catalogue::new().keep_log_from(Level::Warn).run(|_| crate::info!("{}", costly(); cost = costly()));
        assert!(run.log.is_empty());
    }
}
