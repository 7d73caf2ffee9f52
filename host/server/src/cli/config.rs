//! `landfall config`: every limit, from the one list of them.

use comfy_table::{Cell, CellAlignment};
use serde_json::{Value, json};

use super::{CliError, Common};
use crate::config::{Config, Fact};

/// Prints what is in force.
pub(super) fn run(common: &Common) -> Result<(), CliError> {
    let path = common.folder().config();
    let out = common.output();
    let config = Config::load(&path)?;
    let limits = config.in_force();
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
        names(config.directory.keys()),
        names(config.issuing.keys()),
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

fn names(all: impl Iterator<Item = impl ToString>) -> String {
    let names: Vec<String> = all.map(|name| name.to_string()).collect();
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
