//! Policy plugins: what is kept of a component, who may publish it, and what the operator's rules for it are.

pub mod card;
pub mod published;
pub mod rules;
pub mod signature;
pub mod statement;

pub use card::PluginCard;
pub use published::{KeptComponent, PastRevision, PublishBounds, PublishedPlugin};

/// The names of the policies that come with Landfall, sorted. A publisher whose token lists no names may not publish
/// under these.
pub const SHIPPED: [&str; 5] = ["fixed", "nearest", "table", "webhook", "weighted"];
