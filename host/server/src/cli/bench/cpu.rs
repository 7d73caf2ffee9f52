//! CPU time of this process, by the purpose of its threads.

use std::collections::BTreeMap;
use std::fs;

/// Nanoseconds on a CPU, by the purpose of the threads.
#[derive(Clone, Debug, Default)]
pub(super) struct CpuTime(BTreeMap<&'static str, u64>);

impl CpuTime {
    /// The kernel's present counts (`/proc/self/task/*/schedstat`). Threads that have ended are missing; a server ends
    /// no thread while it serves.
    pub(super) fn now() -> std::io::Result<Self> {
        let mut by_purpose = BTreeMap::new();
        for thread in fs::read_dir("/proc/self/task")? {
            let path = thread?.path();
            // A thread that ends between two reads is no error.
            let (Ok(name), Ok(stat)) =
                (fs::read_to_string(path.join("comm")), fs::read_to_string(path.join("schedstat")))
            else {
                continue;
            };
            let nanos = stat.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
            *by_purpose.entry(purpose(name.trim())).or_default() += nanos;
        }
        Ok(Self(by_purpose))
    }

    /// The microseconds that were used since an earlier reading, divided by a number of things.
    pub(super) fn since(&self, earlier: &Self, things: u64) -> BTreeMap<&'static str, f64> {
        let each = |(purpose, nanos): (&&'static str, &u64)| {
            let used = nanos.saturating_sub(earlier.0.get(purpose).copied().unwrap_or_default());
            (*purpose, micros(used) / count(things.max(1)))
        };
        self.0.iter().map(each).collect()
    }
}

fn purpose(thread: &str) -> &'static str {
    match thread {
        name if name.starts_with("policy") => "policies",
        "store-writer" => "commit",
        _ => "connections",
    }
}

#[expect(clippy::cast_precision_loss, reason = "a benchmark's nanoseconds are far below 2^53")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a benchmark's counts are far below 2^53")]
pub(super) fn count(things: u64) -> f64 {
    things as f64
}
