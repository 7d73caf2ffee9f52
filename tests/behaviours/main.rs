//! What Landfall does, seen from outside. One file a behaviour.

mod hostile_policies;
