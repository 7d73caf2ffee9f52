//! What one plugin may use, and the meter that enforces it.
//!
//! A plugin is written by somebody else and its input comes from devices that may lie, so everything it does must be
//! limited. No single limit is enough, because each alone misses what another detects:
//!
//! | limit | catches | misses |
//! | --- | --- | --- |
//! | fuel | work, counted the same on every machine | a host call that takes long |
//! | deadline | CPU time on this machine | work that fits in it |
//! | memory, tables | growth of the guest | growth of the host on the guest's behalf |
//! | host-call bytes, output, log, transcript | that growth | many small calls |
//! | host calls | many small calls | - |
//!
//! Fuel makes a budget portable: the number is the same wherever the same engine runs, so authors can test against it.
//! The deadline is the last safeguard: CPU time, checked at ticks of one millisecond. A call that the deadline ends
//! might have finished on a faster machine. That is why a replay compares fuel and not time.
//!
//! Loading and configuring have a far larger budget of their own (`init`): an interpreter may take a second to start,
//! once, and a deadline that suits a call would refuse it.

use landfall_domain::plugin::rules::PluginLimits;
use serde::{Deserialize, Serialize};
use wasmtime::ResourceLimiter;

use super::engine::{MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS};
use super::log::LogLevel;

/// What one call into a plugin may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Units of fuel, about one a Wasm instruction. Default 50,000,000 (a Rust policy over 64 hubs takes 60,000; an
    /// interpreted one, 20,000,000).
    pub fuel: u64,
    /// Milliseconds of CPU time. The limit in wall-clock time is ten times as long. Default 25.
    pub deadline_ms: u32,
    /// Bytes in each linear memory. Default 16 MiB, at most 64 MiB.
    pub memory_bytes: usize,
    /// Elements of each table. Default and at most 20,000.
    pub table_elements: usize,
    /// Bytes of the answer, all texts together. Default 64 KiB.
    pub output_bytes: usize,
    /// Bytes of log lines that are kept with the decision. Default 8 KiB. Further lines are counted and dropped.
    pub log_bytes: usize,
    /// Log lines that are kept with the decision. Default 64.
    pub log_lines: usize,
    /// The lowest level of log lines that are kept. A plugin that asks is told this level. Default `info`. Like
    /// everything here, it is part of what a decision depends on: a tool that explains a decision sets it lower, a
    /// replay uses the recorded value.
    pub log_level: LogLevel,
    /// Calls from the plugin into the host, including WASI's. Default 10,000.
    pub host_calls: u32,
    /// Units of fuel that each call into the host costs, in addition to the instructions around it. Default 1,000.
    pub host_call_fuel: u64,
    /// Bytes that the host copies out of the plugin for one call into the host, or for the plugin's answer. Default 1
    /// MiB.
    pub host_call_bytes: usize,
    /// Bytes of the catalogue's answers that are kept with the decision. Default 64 KiB.
    pub transcript_bytes: usize,
    /// The number of hubs for which fuel and deadline are meant. A call with more hubs gets proportionally more, so
    /// that a policy does not start to fail when hubs are added. Default 64. Budgets that older versions kept do not
    /// have this number.
    #[serde(default = "any_number")]
    pub hubs: u32,
}

/// What a call may use, and what loading and configuring may use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budgets {
    /// For `select-hub` and `place`.
    pub call: Budget,
    /// For `describe` and `configure`.
    pub init: InitBudget,
}

/// What `describe` and `configure` may use. Limits that are not here are those of [`Budget`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InitBudget {
    /// Units of fuel. Default 5,000,000,000.
    pub fuel: u64,
    /// Milliseconds of CPU time. The limit in wall-clock time is ten times as long. Default 10,000.
    pub deadline_ms: u32,
}

/// A limit that the engine cannot enforce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy budget's `{limit}` is {value}; it must be from {lowest} to {highest}")]
pub struct BudgetError {
    /// The limit's name in the configuration.
    pub limit: &'static str,
    /// The value that was requested.
    pub value: u64,
    /// The lowest value that makes sense.
    pub lowest: u64,
    /// The highest value that the engine allows.
    pub highest: u64,
}

impl Budget {
    /// Refuses limits of zero and limits above what the engine reserves for any plugin.
    ///
    /// # Errors
    ///
    /// The first limit that is out of its range.
    pub fn check(&self) -> Result<(), BudgetError> {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let ranges = [
            ("fuel", self.fuel, 1, u64::MAX / 2),
            ("deadline_ms", self.deadline_ms.into(), 1, 60_000),
            ("memory_bytes", wide(self.memory_bytes), 64 << 10, wide(MAX_MEMORY_BYTES)),
            ("table_elements", wide(self.table_elements), 1, wide(MAX_TABLE_ELEMENTS)),
            ("output_bytes", wide(self.output_bytes), 1, 1 << 20),
            ("log_bytes", wide(self.log_bytes), 0, 1 << 20),
            ("log_lines", wide(self.log_lines), 0, 10_000),
            ("host_calls", self.host_calls.into(), 1, 1_000_000),
            ("host_call_fuel", self.host_call_fuel, 0, 1_000_000),
            ("host_call_bytes", wide(self.host_call_bytes), 1 << 10, 16 << 20),
            ("transcript_bytes", wide(self.transcript_bytes), 0, 1 << 20),
            ("hubs", self.hubs.into(), 1, u32::MAX.into()),
        ];
        ranges.into_iter().try_for_each(|(limit, value, lowest, highest)| in_range(limit, value, lowest, highest))
    }

    /// The budget for a call that is shown `shown` hubs.
    #[must_use]
    pub fn for_hubs(&self, shown: usize) -> Self {
        let (shown, hubs) = (u64::try_from(shown).unwrap_or(u64::MAX), u64::from(self.hubs.max(1)));
        if shown <= hubs {
            return self.clone();
        }
        let times =
            |part: u64| u64::try_from(u128::from(part) * u128::from(shown) / u128::from(hubs)).unwrap_or(u64::MAX);
        Self {
            // Limited to what the engine can count.
            fuel: times(self.fuel).min(u64::MAX / 2),
            deadline_ms: u32::try_from(times(self.deadline_ms.into())).unwrap_or(u32::MAX),
            ..self.clone()
        }
    }
}

impl Budgets {
    /// Refuses limits that the engine cannot enforce, for calls and for loading.
    ///
    /// # Errors
    ///
    /// The first limit that is out of its range.
    pub fn check(&self) -> Result<(), BudgetError> {
        self.call.check()?;
        in_range("init.fuel", self.init.fuel, 1, u64::MAX / 2)?;
        in_range("init.deadline_ms", self.init.deadline_ms.into(), 1, 600_000)
    }

    /// These budgets with the limits of one plugin applied.
    #[must_use]
    pub fn limited(&self, limits: PluginLimits) -> Self {
        let PluginLimits { fuel, deadline_ms, memory_bytes, output_bytes, log_bytes } = limits;
        let before = &self.call;
        let call = Budget {
            fuel: fuel.unwrap_or(before.fuel),
            deadline_ms: deadline_ms.unwrap_or(before.deadline_ms),
            memory_bytes: memory_bytes.unwrap_or(before.memory_bytes),
            output_bytes: output_bytes.unwrap_or(before.output_bytes),
            log_bytes: log_bytes.unwrap_or(before.log_bytes),
            ..before.clone()
        };
        Self { call, init: self.init.clone() }
    }

    /// The budget for `describe` and `configure`, as a complete budget.
    pub(super) fn for_init(&self) -> Budget {
        Budget {
            fuel: self.init.fuel,
            deadline_ms: self.init.deadline_ms,
            // Every call starts from the memory that `configure` leaves behind, so that memory must fit in the call's
            // budget.
            ..self.call.clone()
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            fuel: 50_000_000,
            deadline_ms: 25,
            memory_bytes: 16 << 20,
            table_elements: MAX_TABLE_ELEMENTS,
            output_bytes: 64 << 10,
            log_bytes: 8 << 10,
            log_lines: 64,
            log_level: LogLevel::Info,
            host_calls: 10_000,
            host_call_fuel: 1_000,
            host_call_bytes: 1 << 20,
            transcript_bytes: 64 << 10,
            hubs: 64,
        }
    }
}

/// Refuses limits of a plugin that the engine cannot enforce.
///
/// # Errors
///
/// The first limit that is out of its range.
pub fn check_limits(limits: PluginLimits) -> Result<(), BudgetError> {
    Budgets::default().limited(limits).check()
}

/// Budgets without this number give the same fuel for any number of hubs.
fn any_number() -> u32 {
    u32::MAX
}

impl Default for InitBudget {
    fn default() -> Self {
        Self { fuel: 5_000_000_000, deadline_ms: 10_000 }
    }
}

/// Enforces the memory and table limits of a store, and remembers the largest size.
///
/// Growth over the limit is a trap and not the `-1` that Wasm allows: a guest that ignores `-1` would loop until its
/// deadline, and its author would read `timeout` although the cause is memory.
#[derive(Debug)]
pub(super) struct Meter {
    memory_bytes: usize,
    table_elements: usize,
    peak_memory_bytes: usize,
}

/// The guest wanted more memory or table elements than its budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wanted {wanted} {unit}, has a budget of {limit}")]
pub(super) struct OverBudget {
    pub(super) unit: &'static str,
    pub(super) wanted: u64,
    pub(super) limit: u64,
}

impl Meter {
    pub(super) fn new(budget: &Budget) -> Self {
        Self { memory_bytes: budget.memory_bytes, table_elements: budget.table_elements, peak_memory_bytes: 0 }
    }

    pub(super) fn peak_memory_bytes(&self) -> u64 {
        u64::try_from(self.peak_memory_bytes).unwrap_or(u64::MAX)
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        over("bytes of memory", desired, self.memory_bytes)?;
        self.peak_memory_bytes = self.peak_memory_bytes.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        over("table elements", desired, self.table_elements)?;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

fn in_range(limit: &'static str, value: u64, lowest: u64, highest: u64) -> Result<(), BudgetError> {
    if (lowest..=highest).contains(&value) { Ok(()) } else { Err(BudgetError { limit, value, lowest, highest }) }
}

fn over(unit: &'static str, desired: usize, limit: usize) -> Result<(), OverBudget> {
    if desired <= limit {
        return Ok(());
    }
    let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Err(OverBudget { unit, wanted: wide(desired), limit: wide(limit) })
}

/// Maximum number of core instances in one store. A Python component alone has 38.
pub(super) const MAX_CORE_INSTANCES: usize = 64;
/// Maximum number of tables in one store.
pub(super) const MAX_TABLES: usize = 16;
/// Maximum number of linear memories in one store.
pub(super) const MAX_MEMORIES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_what_the_documentation_says() {
        let budget = Budget::default();
        assert_eq!((budget.fuel, budget.deadline_ms), (50_000_000, 25));
        assert_eq!((budget.memory_bytes, budget.table_elements), (16 * 1024 * 1024, 20_000));
        assert_eq!((budget.output_bytes, budget.log_bytes, budget.log_lines), (65_536, 8_192, 64));
        assert_eq!((budget.host_calls, budget.host_call_fuel), (10_000, 1_000));
        assert_eq!((budget.host_call_bytes, budget.transcript_bytes), (1_048_576, 65_536));
        assert_eq!(budget.check(), Ok(()));
    }

    #[test]
    fn a_call_that_is_shown_more_hubs_may_use_more() {
        let of = |budget: &Budget, shown| {
            let budget = budget.for_hubs(shown);
            (budget.fuel, budget.deadline_ms, budget.memory_bytes)
        };
        let budget = Budget::default();
        assert_eq!(of(&budget, 0), of(&budget, 64));
        assert_eq!(of(&budget, 64), (50_000_000, 25, 16 << 20));
        assert_eq!(of(&budget, 96), (75_000_000, 37, 16 << 20));
        assert_eq!(of(&budget, 512), (400_000_000, 200, 16 << 20));
        let kept_before: Budget = serde_json::from_str(r#"{"fuel": 7}"#).unwrap();
        assert_eq!(of(&kept_before, 100_000), (7, 25, 16 << 20));
        let endless = Budget { fuel: u64::MAX / 2, ..budget };
        assert_eq!(endless.for_hubs(usize::MAX).fuel, u64::MAX / 2);
    }

    #[test]
    fn a_limit_that_the_engine_cannot_hold_is_named() {
        let error = Budget { memory_bytes: 1 << 30, ..Budget::default() }.check().unwrap_err();
        assert_eq!(error.limit, "memory_bytes");
        assert_eq!(error.highest, 64 * 1024 * 1024);
        assert_eq!(Budget { fuel: 0, ..Budget::default() }.check().unwrap_err().limit, "fuel");
    }

    #[test]
    fn an_unknown_limit_is_an_error() {
        assert!(serde_json::from_str::<Budget>(r#"{"feul": 1}"#).is_err());
        assert_eq!(serde_json::from_str::<Budget>(r#"{"fuel": 7}"#).unwrap().fuel, 7);
    }

    #[test]
    fn growth_over_the_budget_is_refused_and_the_peak_is_kept() {
        let mut meter = Meter::new(&Budget { memory_bytes: 1000, ..Budget::default() });
        assert!(meter.memory_growing(0, 900, None).unwrap());
        assert!(meter.memory_growing(900, 500, None).unwrap());
        let error = meter.memory_growing(900, 1001, None).unwrap_err();
        assert_eq!(error.downcast_ref::<OverBudget>().map(|over| (over.wanted, over.limit)), Some((1001, 1000)));
        assert_eq!(meter.peak_memory_bytes(), 900);
    }

    #[test]
    fn what_is_not_set_follows_the_configuration() {
        let budgets = Budgets { call: Budget { log_lines: 3, ..Budget::default() }, ..Budgets::default() };
        let limits = PluginLimits { fuel: Some(7), ..PluginLimits::default() };
        let within = budgets.limited(limits);
        assert_eq!(budgets.limited(PluginLimits::default()), budgets);
        assert_eq!(within.init, budgets.init);
        assert_eq!(within.call, Budget { fuel: 7, ..budgets.call });
    }

    #[test]
    fn a_limit_beyond_what_the_engine_reserves_is_refused() {
        let limits = PluginLimits { memory_bytes: Some(1 << 40), ..PluginLimits::default() };
        assert_eq!(check_limits(limits).unwrap_err().limit, "memory_bytes");
        assert_eq!(
            check_limits(PluginLimits { deadline_ms: Some(60_000), ..limits }).unwrap_err().limit,
            "memory_bytes"
        );
        assert_eq!(check_limits(PluginLimits::default()), Ok(()));
    }
}
