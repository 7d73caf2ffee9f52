//! The module through its front door: chains made for each case, and the public vectors.

pub(super) mod authority;
mod dates;
mod endorsement;
mod groups;
mod known;
mod lists;
mod nearest;
mod presented;
mod refusals;
mod vectors;
