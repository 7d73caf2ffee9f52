//! Builds the policies that are embedded in the binary.

fn main() {
    landfall_guest_build::Guests::default()
        .libraries(
            "../Cargo.toml",
            &["landfall-fixed", "landfall-nearest", "landfall-table", "landfall-webhook", "landfall-weighted"],
        )
        .build("shipped.rs");
}
