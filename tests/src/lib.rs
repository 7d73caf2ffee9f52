//! What the tests share.

pub mod chance;
pub mod crash;
pub mod fuzz;
pub mod guests;
pub mod https;
pub mod mutations;
pub mod odd;
pub mod power;
pub mod setting;
pub mod swtpm;
pub mod timing;
pub mod world;
