//! `landfall config`: prints every limit, from the declared list.

use std::fmt::Display;

use comfy_table::{Cell, CellAlignment};
use landfall_domain::names::IdScope;
use serde_json::{Value, json};

use super::{CliError, Common};
use crate::config::{Config, Fact, Server, scopes_of};

/// Prints the current values.
pub(super) fn run(common: &Common) -> Result<(), CliError> {
    let path = common.folder().config();
    let out = common.output();
    let mut config = Config::load(&path)?;
    let limits = config.in_force();
    config.directory.values_mut().for_each(|one| in_force(&mut one.scopes, &config.server));
    config.issuing.values_mut().for_each(|one| in_force(&mut one.scopes, &config.server));
    if out.is_json() {
        return out.value(&json!({
            "server": config.server,
            "certificates": config.certificates,
            "passwords": config.passwords,
            "plugins": config.plugins,
            "directory": config.directory,
            "issuing": config.issuing,
            "limits": limits.iter().map(as_json).collect::<Vec<_>>(),
        }));
    }
    let server = &config.server;
    out.say(format!(
        "hostname           {}\nscope              {}\ndevice_listen      {}\nmanagement_listen  {}",
        server.hostname, server.scope, server.device_listen, server.management_listen
    ))?;
    out.say(format!(
        "passwords          {}\ndirectories        {}\nissuing            {}",
        if config.passwords.enabled { "taken, not recommended" } else { "not taken" },
        for_scopes(config.directory.iter().map(|(name, one)| (name, one.scopes.as_deref())), server),
        for_scopes(config.issuing.iter().map(|(name, one)| (name, one.scopes.as_deref())), server),
    ))?;
    let mut rest = limits.as_slice();
    while let Some((first, _)) = rest.first() {
        let (table, after) = rest.split_at(rest.iter().take_while(|(fact, _)| fact.table == first.table).count());
        out.say(format!("\n[{}]", first.table))?;
        out.table(&["limit", "value", "unit", "from", "to", "bounds", "beyond"], table.iter().map(as_row))?;
        rest = after;
    }
    out.say(format!("\nA * stands at values that are not the default. {} changes them.", path.display()))
}

/// Fills in the id scopes of something that names none.
fn in_force(scopes: &mut Option<Vec<IdScope>>, server: &Server) {
    *scopes = Some(scopes_of(scopes.as_deref(), &server.scope));
}

/// The names of things that are for some id scopes, each with its scopes.
fn for_scopes<'a, N: Display>(all: impl Iterator<Item = (N, Option<&'a [IdScope]>)>, server: &Server) -> String {
    let named = |(name, scopes): (N, Option<&[IdScope]>)| {
        let scopes: Vec<String> = scopes_of(scopes, &server.scope).iter().map(ToString::to_string).collect();
        format!("{name} (for {})", if scopes.is_empty() { "no id scope".to_owned() } else { scopes.join(", ") })
    };
    let names: Vec<String> = all.map(named).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn as_row((fact, value): &(&Fact, u64)) -> Vec<Cell> {
    let changed = if *value == fact.default { "" } else { " *" };
    let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    vec![
        Cell::new(fact.key),
        number(format!("{value}{changed}")),
        Cell::new(fact.unit),
        number(fact.lowest.to_string()),
        number(fact.highest.to_string()),
        Cell::new(fact.bounds.trim()),
        Cell::new(fact.beyond),
    ]
}

fn as_json((fact, value): &(&Fact, u64)) -> Value {
    json!({
        "name": format!("{}.{}", fact.table, fact.key),
        "value": value,
        "unit": fact.unit,
        "default": fact.default,
        "lowest": fact.lowest,
        "highest": fact.highest,
        "bounds": fact.bounds.trim(),
        "beyond": fact.beyond,
    })
}
