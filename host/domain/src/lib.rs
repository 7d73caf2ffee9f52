//! The terms of Landfall as types that cannot hold an invalid value.
//!
//! Everything here is data: names, times, checked JSON, and what the other crates keep and pass to each other
//! (enrollments, manufacturing records, registrations, hubs, plugins, decisions, API tokens). Nothing here reads a
//! file, opens a connection or waits. The crate depends on no other crate of Landfall.
//!
//! A text from outside is parsed here once. After that, an invalid value cannot exist:
//!
//! ```
//! use landfall_domain::names::RegistrationId;
//!
//! let id: RegistrationId = "Pump-7".parse()?;
//! assert_eq!(id.key(), "pump-7");
//! let refused = "pump 7".parse::<RegistrationId>().unwrap_err();
//! assert!(refused.to_string().contains("1 to 128 letters"));
//! # Ok::<(), landfall_domain::names::NameError>(())
//! ```

pub mod api_token;
pub mod clock;
pub mod decision;
pub mod did_you_mean;
pub mod enrollment;
pub mod fatal;
pub mod hub;
pub mod json;
pub mod names;
pub mod plugin;
pub mod registration;
pub mod registry;
pub mod rfc3339;
pub mod secret;
pub mod text;
