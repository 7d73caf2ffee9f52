
pub mod guests;
