//! The protocol's rules that clients in the field rely on, one by one.

use http::HeaderMap;
use landfall_tests::world::{World, json_of};
use serde_json::json;
