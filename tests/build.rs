//! Builds the components that the tests load: the guests that misbehave, and the example of a solution team's own policy.

fn main() {
    landfall_guest_build::Guests::default()
        .examples("guests/Cargo.toml")
        .libraries("../examples/policies/rust/Cargo.toml", &["region-and-customer"])
        .build("guests.rs");
}
