//! The operator's rules for a plugin, whichever of its revisions is live: how much a call may use, and what happens
//! when a call gives no answer.
//!
//! **Limits.** The server's configuration has one budget for all plugins. An interpreter needs more than a plugin in
//! Rust, and a plugin from a third party deserves less. So each limit that matters to an operator can be set for one
//! plugin; limits that are not set follow the configuration. Neither limits nor resorts belong to a revision: they
//! stay when the next revision is published. A decision records the ones that were in force, for replays.
//!
//! **Resorts.** A policy that says no (`reject`, `defer`, `abstain`) has answered, and its answer stands. A policy
//! that broke or could not do its work has not answered. Then the resorts are asked in their order, in the same
//! decision: the revision that was live before, with the same settings; or a policy that comes with Landfall. The last
//! resort is always to let the device wait, and it is the only one unless the operator says otherwise: a policy that
//! was written for a reason is not replaced by another one that nobody chose. No resort admits or refuses a device:
//! who is admitted is settled before any policy is asked.

use serde::{Deserialize, Serialize};

use crate::json::JsonText;
use crate::names::PluginName;

/// The operator's rules for a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginRules {
    /// What a call may use.
    pub limits: PluginLimits,
    /// The resorts: who is asked, in this order, when the policy gives no answer. After the last one the device waits.
    pub on_failure: Vec<Resort>,
}

/// What a call of one plugin may use. `None`: the configuration's limit for all plugins applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginLimits {
    /// Units of fuel.
    pub fuel: Option<u64>,
    /// Milliseconds of CPU time.
    pub deadline_ms: Option<u32>,
    /// Bytes in each linear memory.
    pub memory_bytes: Option<usize>,
    /// Bytes of the answer.
    pub output_bytes: Option<usize>,
    /// Bytes of log lines kept with the decision.
    pub log_bytes: Option<usize>,
}

/// Who is asked when a policy gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Resort {
    /// The revision that was live before, with the settings of the enrollment. This resort is skipped for an
    /// enrollment that names one exact revision, because it wants that revision.
    PreviousRevision,
    /// A policy that comes with Landfall, even if another plugin is published under its name.
    Shipped { policy: PluginName, settings: JsonText },
}

impl Resort {
    /// A stable word for records and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PreviousRevision => "previous-revision",
            Self::Shipped { .. } => "shipped",
        }
    }
}

/// Maximum number of resorts of one plugin.
pub const MAX_RESORTS: usize = 4;
