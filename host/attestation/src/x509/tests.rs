//! Tests of the module through its public functions: with chains that are made for each case, and with the public test
//! vectors.

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
