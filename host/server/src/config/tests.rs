use std::path::Path;

use proptest::prelude::*;

use super::limits::TABLES;
use super::*;

#[test]
fn the_file_that_init_writes_says_the_defaults() {
    let server = server();
    let text = Config::file_text(&server);
    assert_eq!(parse(&text).unwrap(), Config::new(server));
}

#[test]
fn the_commented_values_are_the_defaults_too() {
    let server = server();
    let is_setting = |line: &str| {
        line.strip_prefix("# ").is_some_and(|rest| {
            TABLES.iter().flat_map(|(.., facts)| *facts).any(|fact| rest.starts_with(&format!("{} = ", fact.key)))
        })
    };
    let written = Config::file_text(&server);
    let (mut text, mut uncommented) = (String::new(), 0);
    for line in written.lines() {
        let on = is_setting(line);
        uncommented += usize::from(on);
        text.push_str(if on { line.trim_start_matches("# ") } else { line });
        text.push('\n');
    }
    let config = parse(&text).unwrap();
    assert_eq!(uncommented, config.in_force().len());
    assert_eq!(config, Config::new(server));
}

#[test]
fn grants_are_read_and_mistakes_in_them_are_told_with_their_line() {
    let granted = |text: &str| parse(&format!("{HEAD}[policy.http.plugins.webhook]\n{text}\n"));
    let config = granted("allow = [\"https://*.fn.example\"]").unwrap();
    let settings = config.policy_settings("cache").http;
    assert_eq!(settings.grants.values().next().unwrap().allow, ["https://*.fn.example".parse().unwrap()]);
    for (text, said) in [
        ("allow = [\"http://fn.example\"]", "it does not begin with https://"),
        ("alow = []", "did you mean policy.http.plugins"),
        ("allow = []\nfuel = 3", "there is no setting"),
    ] {
        let error = granted(text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    assert!(parse(&format!("{HEAD}[policy.htp]\n")).is_err());
}

#[test]
fn every_default_is_within_its_range() {
    for (fact, value) in Config::new(server()).in_force() {
        assert_eq!(value, fact.default, "{}.{}", fact.table, fact.key);
        assert!((fact.lowest..=fact.highest).contains(&value), "{}.{}", fact.table, fact.key);
    }
}

#[test]
fn the_defaults_are_taken_by_the_policy_host() {
    let settings = Config::new(server()).policy_settings("cache");
    settings.budgets.check().unwrap();
    assert_eq!(settings.budgets, Budgets::default());
}

#[test]
fn the_widest_policy_limits_are_taken_by_the_policy_host() {
    let mut text = format!("{HEAD}[limits.policy]\n");
    for fact in PolicyLimits::FACTS {
        text.push_str(&format!("{} = {}\n", fact.key, fact.highest));
    }
    parse(&text).unwrap().policy_settings("cache").budgets.check().unwrap();
}

#[test]
fn the_page_on_limits_has_the_defaults_of_policies() {
    let page = include_str!("../../../../docs/policies/limits.md");
    let (table, _) = page.split_once("What a policy may answer").unwrap();
    let mut seen = 0;
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let keys: Vec<&str> = cells[1].split(", ").map(|key| key.trim_matches('`')).collect();
        let values: Vec<&str> = cells[2].split(", ").collect();
        assert_eq!(keys.len(), values.len(), "{row}");
        for (key, value) in keys.into_iter().zip(values) {
            let number: String = value.chars().take_while(|c| *c != ' ').filter(char::is_ascii_digit).collect();
            let fact = PolicyLimits::FACTS.iter().find(|fact| fact.key == key);
            assert_eq!(fact.map(|fact| fact.default), number.parse().ok(), "{row}");
            seen += 1;
        }
    }
    assert!(seen > 14, "{seen}");
}

#[test]
fn an_unknown_key_is_answered_with_its_line_and_the_nearest_known_one() {
    let error = parse(&format!("{HEAD}[limits.device]\nbody_second = 3\n")).unwrap_err().to_string();
    assert!(error.starts_with("landfall.toml:5: there is no setting \"limits.device.body_second\""), "{error}");
    assert!(error.contains("did you mean limits.device.body_seconds?"), "{error}");
}

#[test]
fn a_key_in_the_wrong_table_is_answered_with_the_right_one() {
    let error = parse(&format!("{HEAD}[limits.store]\nfuel = 3\n")).unwrap_err().to_string();
    assert!(error.contains("did you mean limits.policy.fuel?"), "{error}");
}

#[test]
fn a_misspelt_key_in_the_wrong_table_is_answered_too() {
    let error = parse(&format!("{HEAD}[limits.policy]\nmax_wait_second = 3\n")).unwrap_err().to_string();
    assert!(error.contains("did you mean limits.device.max_wait_seconds?"), "{error}");
}

#[test]
fn a_key_that_resembles_nothing_is_to_be_taken_out() {
    let error = parse(&format!("{HEAD}[limits.policy]\nxyzzy = 3\n")).unwrap_err().to_string();
    assert!(error.contains("take it out; `landfall config` lists all"), "{error}");
}

#[test]
fn an_unknown_table_is_an_error() {
    let error = parse(&format!("{HEAD}[limit.store]\ncache_mib = 64\n")).unwrap_err().to_string();
    assert!(error.contains("there is no setting \"limit\""), "{error}");
    let error = parse(&format!("{HEAD}[limits.stores]\ncache_mib = 64\n")).unwrap_err().to_string();
    assert!(error.contains("did you mean limits.store?"), "{error}");
}

#[test]
fn a_number_out_of_range_is_answered_with_the_range() {
    for value in ["0", "-1", "99999", "301"] {
        let error = parse(&format!("{HEAD}[limits.device]\nbody_seconds = {value}\n")).unwrap_err().to_string();
        let wanted =
            format!("landfall.toml:5: limits.device.body_seconds is {value}; it must be from 1 to 300 (seconds)");
        assert_eq!(error, wanted);
    }
}

#[test]
fn a_value_of_another_kind_is_answered_with_its_line() {
    let error = parse(&format!("{HEAD}[limits.device]\nbody_seconds = \"3\"\n")).unwrap_err().to_string();
    assert!(error.starts_with("landfall.toml:5: "), "{error}");
    let error = parse("[server]\nhostname = 7\n").unwrap_err().to_string();
    assert!(error.starts_with("landfall.toml:2: "), "{error}");
    let error = parse("[server]\nhostname = \"a:1\"\nscope = \"s\"\n").unwrap_err().to_string();
    assert!(error.contains("without a port"), "{error}");
}

#[test]
fn a_changed_limit_reaches_those_who_hold_it() {
    let config = parse(&format!("{HEAD}[limits.policy]\nmemory_mib = 8\nworkers = 3\n[limits.store]\ncache_mib = 9\n"));
    let config = config.unwrap();
    let policies = config.policy_settings("cache");
    assert_eq!((policies.workers, policies.queue, policies.budgets.call.memory_bytes), (3, 384, 8 << 20));
    assert_eq!(config.store_settings().cache_bytes, 9 << 20);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]a-z_.=\"0-9\\n ]{0,200}") {
        let _ = parse(&text);
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("landfall.toml"))
}

fn server() -> Server {
    Server::new("dps.example.com", "0neABC".parse().unwrap())
}

const HEAD: &str = "[server]\nhostname = \"dps.example.com\"\nscope = \"0neABC\"\n";

#[test]
fn a_plant_of_5000_devices_behind_one_router_comes_through_with_the_defaults() {
    let limits = Config::new(server()).limits;
    let plant = 5_000;
    assert!(limits.listener.connections_per_prefix >= plant, "each holds a connection between two polls");
    assert!(limits.listener.connections >= 2 * limits.listener.connections_per_prefix, "and another plant beside it");
    assert!(limits.device.max_operations >= plant);
    // The burst must allow each device a registration and two polls before the bucket drains.
    assert!(usize::try_from(limits.throttle.address_burst).unwrap() >= 3 * plant);
}
