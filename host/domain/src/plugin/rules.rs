//! What the operator says of a plugin, whichever of its revisions is live: how much a call may use, and what follows
//! when a call gives no answer.
//!
//! **Limits.** The server's configuration has a budget for every plugin. An interpreter needs more of it than a plugin
//! in Rust, and a plugin that somebody else wrote deserves less, so each limit that matters to an operator can be set
//! for one plugin; what is not set follows the configuration. Neither a limit nor a resort belongs to a revision: they
//! stay when the next one is published, and a replay finds what was in force with the decision.
//!
//! **Resorts.** A policy that says no (`reject`, `defer`, `abstain`) has answered, and its answer stands. A policy that
//! broke or could not has not, and then the resorts are asked in their order, in the same decision: the revision that
//! was live before, with the same settings; a policy that comes with Landfall. The last one is always to let the device
//! wait, and it is the only one unless the operator says otherwise: a policy that was written for a reason is not
//! replaced by another one that nobody chose. There is no resort that lets a device in or turns it away: who is admitted
//! is settled before any policy is asked.

use serde::{Deserialize, Serialize};

use crate::json::JsonText;
use crate::names::PluginName;

/// What the operator says of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginRules {
    /// What a call of it may use.
    pub limits: PluginLimits,
    /// Who is asked when it gives no answer, in this order; then the device waits.
    pub on_failure: Vec<Resort>,
}

/// What a call of one plugin may use, where that is not what the configuration says for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginLimits {
    /// Units of fuel.
    pub fuel: Option<u64>,
    /// Milliseconds of CPU time.
    pub deadline_ms: Option<u32>,
    /// Bytes of each linear memory.
    pub memory_bytes: Option<usize>,
    /// Bytes of the answer.
    pub output_bytes: Option<usize>,
    /// Bytes of log lines kept with the decision.
    pub log_bytes: Option<usize>,
}

/// Who is asked when a policy gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Resort {
    /// The revision that was live before, with the settings of the enrollment. An enrollment that names one revision
    /// wants that one, so there it is passed over.
    PreviousRevision,
    /// A policy that comes with Landfall, whatever is published under its name.
    Shipped { policy: PluginName, settings: JsonText },
}

impl Resort {
    /// A word for records and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PreviousRevision => "previous-revision",
            Self::Shipped { .. } => "shipped",
        }
    }
}

/// Resorts of one plugin.
pub const MAX_RESORTS: usize = 4;
