//! What Landfall does, seen from outside. One file a behaviour.

mod allocation_function;
mod author_tool;
mod changed_meanwhile;
mod client_certificates;
mod command_line;
mod command_line_alone;
mod compiling;
mod durability;
mod hostile_imports;
mod hostile_policies;
mod kill;
mod languages;
mod management_api;
mod metrics;
mod museum;
mod new_policies;
mod plugin_life;
mod policies_in_the_field;
mod real_clients;
mod refusals;
mod registration;
mod registry_import;
mod signing;
mod slow_clients;
mod wire_corpora;
mod wire_rules;
