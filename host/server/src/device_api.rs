//! What devices speak: the runtime API of Azure's Device Provisioning Service, so that the SDKs which devices
//! already ship work unmodified.
//!
//! What a device asks and what it is answered do not know how they are carried:
//!
//! ```text
//! http (requests, responses) ─▶ call::DeviceCall ─▶ exchange ─▶ provisioning
//!                            ◀─ answer::DeviceAnswer ◀─┘
//! ```
//!
//! [`call`] is what a device asks, and how it becomes a request of the domain. [`exchange`] asks [`crate::provisioning`] and
//! makes the answer of its result; what goes wrong gets its story there. [`answer`] is what the device is told: a status of
//! DPS, which HTTP answers with and MQTT names in its topics, a body, and when to ask again. [`wire`] has the shapes of the
//! bodies, [`error`] the few errors that a device may know. All refusals look alike, and their reasons are in the ledger under
//! the tracking id that the device is given. [`http`] is the transport that is served: it turns requests into calls and
//! answers into responses, and what is HTTP's own (paths, methods, headers, heads that are none) is nowhere else.

pub mod answer;
pub mod call;
pub mod error;
pub mod exchange;
pub mod http;
pub mod wire;
