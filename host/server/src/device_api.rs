//! What devices speak: the runtime API of Azure's Device Provisioning Service, so that the SDKs which devices
//! already ship work unmodified.
//!
//! The modules here are thin. [`http`] turns requests into calls of [`crate::provisioning`] and results into
//! answers; [`wire`] has the shapes of bodies; [`error`] the few errors that a device may know. All refusals look
//! alike on the wire, and their reasons are in the ledger under the tracking id that the device is given.

mod call;
pub mod error;
pub mod heads;
pub mod http;
pub mod prefer;
pub mod wire;
