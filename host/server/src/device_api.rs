//! The device API: the runtime API of Azure's Device Provisioning Service, so that existing device SDKs work
//! unmodified.
//!
//! Calls and answers do not depend on the transport:
//!
//! ```text
//! http (requests, responses) ─▶ call::DeviceCall ─▶ exchange ─▶ provisioning
//!                            ◀─ answer::DeviceAnswer ◀─┘
//! ```
//!
//! [`call`] is a device's call, and its conversion into a request of the domain. [`exchange`] passes it to
//! [`crate::provisioning`], converts the result into an answer, and records why a call failed. [`answer`] is what the
//! device gets: a DPS status (the status code in HTTP, a part of the topic in MQTT), a body, and when to ask again.
//! [`wire`] has the types of the bodies, [`error`] the few errors that a device may see. All refusals look alike;
//! their reasons are in the ledger, under the tracking id that the device gets. [`http`] is the transport: it converts
//! requests into calls and answers into responses. Everything specific to HTTP (paths, methods, headers, invalid
//! request heads) is only there.

pub mod answer;
pub mod call;
pub mod error;
pub mod exchange;
pub mod http;
pub mod wire;
