//! The queue for workers: who waits, and whose turn is next. It uses no threads and no clock: times and costs are
//! passed in.
//!
//! Turns are shared on two levels, so that neither a tenant nor a policy delays the others by more than one of its
//! calls: first among id scopes, then among the plugins (by revision) of the scope whose turn it is. Each of them has
//! an account of what its calls have cost. The one with the lowest cost is next. Cost is time of the thread, so
//! touched memory, calls into the host and the cleanup of an instance are paid for as well as instructions. A visit to
//! a worker asks several plugins: it is ordered by the most expensive of their accounts, and each plugin pays for its
//! own calls. A plugin that was not asked for a while gets no credit for that time, and neither does one that was
//! asked only together with a more expensive one.
//!
//! A running call is not interrupted for another, so turns alone are not enough: calls must not occupy all threads.
//! The rule depends on the kind of queue:
//!
//! - [`Kind::Decides`]: calls of plugins whose calls lately took long leave one thread to the others, while there are
//!   others. A new revision counts as long until it is known.
//! - [`Kind::Waits`]: calls that wait for services cost little and may take seconds. A plugin begins another one only
//!   while it has fewer running than there are free threads, and an id scope while it has fewer than twice as many.
//!   The plugins of a visit that only compute are not counted. So one plugin alone gets half of the threads, two get a
//!   third each, and there is always a free thread for the next plugin.
//!
//! When the queue is full, whoever has the most visits in it loses the newest one to whoever has fewer. That holds
//! among id scopes, and within a scope among the plugins that the two visits do not share.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall_domain::names::IdScope;

/// The kind of calls in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Decides,
    /// Calls that may wait for a service.
    Waits,
}

/// Who pays for a visit to a worker: an id scope, and the plugins that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payers {
    scope: IdScope,
    /// All plugins, sorted, each once.
    plugins: Vec<Payer>,
    /// The plugins whose calls may wait for a service, sorted.
    waiting: Vec<Payer>,
}

/// The account of one revision of one plugin in one id scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payer(pub(crate) u64);

impl Payer {
    /// An account for a benchmark.
    #[must_use]
    pub fn of_bench(number: u64) -> Self {
        Self(u64::MAX - number)
    }
}

impl Payers {
    /// Payers of which every plugin may wait for a service.
    #[must_use]
    pub fn new(scope: IdScope, plugins: impl IntoIterator<Item = Payer>) -> Self {
        Self::of(scope, plugins.into_iter().map(|plugin| (plugin, true)))
    }

    /// Payers. The flag says for each plugin whether its calls may wait for a service.
    #[must_use]
    pub fn of(scope: IdScope, plugins: impl IntoIterator<Item = (Payer, bool)>) -> Self {
        let (mut all, mut waiting) = (Vec::new(), Vec::new());
        for (plugin, waits) in plugins {
            all.push(plugin);
            waiting.extend(waits.then_some(plugin));
        }
        for plugins in [&mut all, &mut waiting] {
            plugins.sort_unstable();
            plugins.dedup();
        }
        Self { scope, plugins: all, waiting }
    }
}

/// The visits that wait, and the accounts of their payers.
pub(super) struct Line<J> {
    kind: Kind,
    threads: usize,
    limit: usize,
    flows: Vec<Flow<J>>,
    waiting: usize,
    running: usize,
    /// How many running visits count as long.
    long: usize,
    /// When a visit that does not count as long last began.
    short_began: Option<Instant>,
    scopes: HashMap<IdScope, Account>,
    plugins: HashMap<Payer, Account>,
    /// The cost of the scope whose turn was last.
    reached: u64,
    number: u64,
}

/// Visits with the same payers, in the order in which they arrived.
struct Flow<J> {
    payers: Arc<Payers>,
    jobs: VecDeque<(u64, J)>,
}

/// The account of a scope or a plugin.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// Nanoseconds of thread time. Running visits are included with their expected cost. For an account that was idle,
    /// it is raised above what was really spent, so that idle time gives no credit.
    spent: u64,
    /// The longest of the latest calls. It decays with each shorter call.
    longest: u64,
    running: usize,
    waiting: usize,
    /// For a scope: the cost of its plugin whose turn was last.
    reached: u64,
}

/// A visit that has begun.
pub(super) struct Begun {
    payers: Arc<Payers>,
    /// What the scope, and then each plugin, was charged in advance.
    expected: Vec<u64>,
    long: bool,
}

/// The result of joining the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined<J> {
    Waits,
    /// The visit waits, and another one was removed to make room for it.
    InPlaceOf(J),
    /// There is no room for the visit.
    Full(J),
}

impl<J> Line<J> {
    /// An empty queue for `threads` threads, in which at most `limit` visits may wait or run.
    pub(super) fn new(kind: Kind, threads: usize, limit: usize) -> Self {
        Self {
            kind,
            threads,
            limit,
            flows: Vec::new(),
            waiting: 0,
            running: 0,
            long: 0,
            short_began: None,
            scopes: HashMap::new(),
            plugins: HashMap::new(),
            reached: 0,
            number: 0,
        }
    }

    /// The number of visits that wait or run.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting + self.running
    }

    /// The number of visits that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Adds a visit to the queue.
    pub(super) fn join(&mut self, payers: Payers, job: J) -> Joined<J> {
        let turned_away = if self.in_flight() < self.limit {
            None
        } else {
            match self.make_room(&payers) {
                Some(job) => Some(job),
                None => return Joined::Full(job),
            }
        };
        self.forget_idle();
        let scope = self.scopes.entry(payers.scope.clone()).or_insert_with(Account::new);
        scope.joins(self.reached);
        let reached = scope.reached;
        for plugin in &payers.plugins {
            self.plugins.entry(*plugin).or_insert_with(Account::new).joins(reached);
        }
        if self.flows.iter().all(|flow| *flow.payers != payers) {
            // A plugin that was asked only beside a more expensive one waited for that one's turns. What it did not
            // spend meanwhile gives no credit.
            let least = reached.saturating_sub(MOST_CREDIT);
            for plugin in &payers.plugins {
                if let Some(account) = self.plugins.get_mut(plugin) {
                    account.spent = account.spent.max(least);
                }
            }
        }
        self.number += 1;
        self.waiting += 1;
        let job = (self.number, job);
        match self.flows.iter_mut().find(|flow| *flow.payers == payers) {
            Some(flow) => flow.jobs.push_back(job),
            None => self.flows.push(Flow { payers: Arc::new(payers), jobs: VecDeque::from([job]) }),
        }
        turned_away.map_or(Joined::Waits, Joined::InPlaceOf)
    }

    /// Begins the visit whose turn it is, if one may begin now.
    pub(super) fn begin(&mut self, now: Instant) -> Option<(J, Begun)> {
        let place = (0..).zip(&self.flows).filter_map(|(place, flow)| Some((self.turn(flow, now)?, place))).min()?.1;
        let flow = self.flows.get_mut(place)?;
        let (_, job) = flow.jobs.pop_front()?;
        let payers = Arc::clone(&flow.payers);
        if flow.jobs.is_empty() {
            self.flows.swap_remove(place);
        }
        let long = self.is_long(&payers);
        let reached = self.spent_by_plugins(&payers);
        let mut expected = Vec::with_capacity(1 + payers.plugins.len());
        if let Some(scope) = self.scopes.get_mut(&payers.scope) {
            self.reached = self.reached.max(scope.spent);
            scope.reached = scope.reached.max(reached);
            expected.push(scope.begins());
        }
        for plugin in &payers.plugins {
            expected.push(self.plugins.get_mut(plugin).map_or(0, Account::begins));
        }
        self.waiting -= 1;
        self.running += 1;
        self.long += usize::from(long);
        if !long {
            self.short_began = Some(now);
        }
        Some((job, Begun { payers, expected, long }))
    }

    /// Charges the cost of a visit: all of it to the scope, and to each plugin its own calls. Cost that belongs to no
    /// single plugin is charged to each of them.
    pub(super) fn end(&mut self, begun: &Begun, all: Duration, own: &[(Payer, Duration)]) {
        let Begun { payers, expected, long } = begun;
        self.running = self.running.saturating_sub(1);
        self.long = self.long.saturating_sub(usize::from(*long));
        let mut expected = expected.iter().copied();
        if let Some(scope) = self.scopes.get_mut(&payers.scope) {
            scope.ends(expected.next().unwrap_or_default(), nanos(all));
        }
        let shared = nanos(all.saturating_sub(own.iter().map(|(_, cost)| *cost).sum()));
        for plugin in &payers.plugins {
            let calls = own.iter().filter(|(payer, _)| payer == plugin);
            let calls = calls.fold(0_u64, |sum, (_, cost)| sum.saturating_add(nanos(*cost)));
            let expected = expected.next().unwrap_or_default();
            if let Some(account) = self.plugins.get_mut(plugin) {
                account.ends(expected, shared.saturating_add(calls));
            }
        }
    }

    /// Empties the queue.
    pub(super) fn clear(&mut self) -> Vec<J> {
        self.waiting = 0;
        for account in self.scopes.values_mut().chain(self.plugins.values_mut()) {
            account.waiting = 0;
        }
        std::mem::take(&mut self.flows).into_iter().flat_map(|flow| flow.jobs).map(|(_, job)| job).collect()
    }

    /// The rank of a flow, if its first visit may begin: the cost of its scope, the cost of its plugins, its arrival.
    fn turn(&self, flow: &Flow<J>, now: Instant) -> Option<(u64, u64, u64)> {
        let payers = &*flow.payers;
        let free = self.threads.saturating_sub(self.running);
        let scope = self.scopes.get(&payers.scope)?;
        let may = match self.kind {
            Kind::Decides => !self.is_long(payers) || self.long < self.threads_for_long(now),
            Kind::Waits => {
                let few = |plugin| self.plugins.get(plugin).is_none_or(|account| account.running < free);
                scope.running < free.saturating_mul(2) && payers.waiting.iter().all(few)
            }
        };
        let (came, _) = flow.jobs.front().filter(|_| may)?;
        Some((scope.spent, self.spent_by_plugins(payers), *came))
    }

    fn threads_for_long(&self, now: Instant) -> usize {
        let lately = |began: Instant| now.saturating_duration_since(began) < LATELY;
        if self.short_began.is_some_and(lately) { self.threads.saturating_sub(1).max(1) } else { self.threads }
    }

    fn is_long(&self, payers: &Payers) -> bool {
        payers.plugins.iter().any(|plugin| self.plugins.get(plugin).is_some_and(|account| account.longest > LONG))
    }

    fn spent_by_plugins(&self, payers: &Payers) -> u64 {
        let spent = payers.plugins.iter().filter_map(|plugin| self.plugins.get(plugin)).map(|account| account.spent);
        spent.max().unwrap_or_default()
    }

    /// Removes the newest visit of whoever has the most, if that is more than these payers have.
    fn make_room(&mut self, payers: &Payers) -> Option<J> {
        let waits = |scope: &IdScope| self.scopes.get(scope).map_or(0, |account| account.waiting);
        let mine = waits(&payers.scope);
        let is_own = |flow: &Flow<J>| flow.payers.scope == payers.scope;
        let rank = |flow: &Flow<J>| {
            let lead = if is_own(flow) { self.lead(flow, payers) } else { 0 };
            (waits(&flow.payers.scope), is_own(flow), lead, flow.jobs.len())
        };
        let most = self.flows.iter().max_by_key(|flow| rank(flow))?;
        let has_more = if is_own(most) { self.lead(most, payers) > 1 } else { waits(&most.payers.scope) > mine + 1 };
        let from = Arc::clone(&most.payers);
        let place = self.flows.iter().position(|flow| has_more && *flow.payers == *from)?;
        let flow = self.flows.get_mut(place)?;
        let (_, job) = flow.jobs.pop_back()?;
        if flow.jobs.is_empty() {
            self.flows.swap_remove(place);
        }
        self.waiting -= 1;
        if let Some(scope) = self.scopes.get_mut(&from.scope) {
            scope.waiting = scope.waiting.saturating_sub(1);
        }
        for plugin in &from.plugins {
            if let Some(account) = self.plugins.get_mut(plugin) {
                account.waiting = account.waiting.saturating_sub(1);
            }
        }
        Some(job)
    }

    /// How many more visits wait for the plugins of a flow than for these payers of the same scope. Plugins that both
    /// ask do not count. If one of them asks no plugin that the other does not ask, the visits of both flows are
    /// compared instead.
    fn lead(&self, flow: &Flow<J>, payers: &Payers) -> usize {
        let most = |of: &Payers, without: &Payers| {
            let own = of.plugins.iter().filter(|plugin| !without.plugins.contains(plugin));
            own.map(|plugin| self.plugins.get(plugin).map_or(0, |account| account.waiting)).max()
        };
        match (most(&flow.payers, payers), most(payers, &flow.payers)) {
            (Some(theirs), Some(mine)) => theirs.saturating_sub(mine),
            _ => {
                let own = self.flows.iter().find(|flow| *flow.payers == *payers).map_or(0, |flow| flow.jobs.len());
                flow.jobs.len().saturating_sub(own)
            }
        }
    }

    /// Drops unused accounts, once there are many.
    fn forget_idle(&mut self) {
        if self.plugins.len() + self.scopes.len() > MOST_ACCOUNTS {
            self.plugins.retain(|_, account| account.is_used());
            self.scopes.retain(|_, account| account.is_used());
        }
    }
}

impl Account {
    fn new() -> Self {
        Self { spent: 0, longest: UNKNOWN, running: 0, waiting: 0, reached: 0 }
    }

    fn is_used(&self) -> bool {
        self.running > 0 || self.waiting > 0
    }

    fn joins(&mut self, reached: u64) {
        if !self.is_used() {
            self.spent = self.spent.max(reached);
        }
        self.waiting += 1;
    }

    fn begins(&mut self) -> u64 {
        self.waiting = self.waiting.saturating_sub(1);
        self.running += 1;
        self.spent = self.spent.saturating_add(self.longest);
        self.longest
    }

    fn ends(&mut self, expected: u64, cost: u64) {
        self.running = self.running.saturating_sub(1);
        self.spent = self.spent.saturating_sub(expected).saturating_add(cost);
        self.longest = cost.max(self.longest - self.longest / FADES);
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Calls that take longer, in nanoseconds, delay others when they occupy all threads.
const LONG: u64 = 1_000_000;
/// The expected cost of a new revision. After some dozens of quick calls it counts as quick.
const UNKNOWN: u64 = 10_000_000;
/// How far a plugin's account may be below that of the plugin of its scope whose turn was last: one long call.
const MOST_CREDIT: u64 = UNKNOWN;
/// With each shorter call, the longest call decays by this part.
const FADES: u64 = 8;
/// How long a thread is kept free for quick calls after the last one.
const LATELY: Duration = Duration::from_secs(1);
/// How many accounts are kept before unused ones are dropped.
const MOST_ACCOUNTS: usize = 4096;

#[cfg(test)]
mod tests;
