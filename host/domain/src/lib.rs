//! The words of Landfall as types that cannot hold a bad value.
//!
//! Everything here is data: names, times, JSON that was checked, and what the other crates keep and hand to each other
//! (enrollments, manufacturing records, registrations, hubs, plugins, decisions, API tokens). Nothing here reads a file,
//! opens a connection or waits. The crate knows no other crate of Landfall.
//!
//! A text that crosses a border is parsed here once; past that point a bad one cannot exist:
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
