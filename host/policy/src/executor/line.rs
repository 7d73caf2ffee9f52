//! Who waits for a worker, and whose turn is next. It knows no threads: moments and costs are told to it.
//!
//! Turns are shared in two levels, so that neither a tenant nor a policy delays the others by more than one of its calls:
//! first among id scopes, then among the plugins (by revision) of the scope whose turn it is. Each of them has an account
//! of what its calls have cost; whoever has cost least is next. The cost is time of the thread, so that touched memory,
//! calls into the host and the clearing away of an instance are paid for as well as instructions. A visit to a worker
//! asks several plugins: it stands in the line of the one that has cost most, and each pays for its own calls. One that
//! had nothing to ask for a while does not come back with a credit, nor does one that was asked with a dearer one only.
//!
//! A call is not interrupted for another's sake, so turns alone are not enough. What may take every thread differs:
//!
//! - [`Kind::Decides`]: calls that take long by what they took lately (a new revision counts as such until it is known)
//!   leave one thread to the others, while there are others.
//! - [`Kind::Waits`]: calls that wait for services are cheap to hold and may be held for seconds. A plugin begins another
//!   one only while it has fewer under way than threads are free, and an id scope while it has fewer than twice as many. A
//!   visit that asks plugins which only compute as well is not held back for these, whoever else asks them.
//!   One plugin alone gets half of the threads, two get a third each, and there is always a free one for the next.
//!
//! When the line is full, the newest visit of who has most of them in it makes room for who has fewer: of the id scopes, and
//! within one of the plugins that the two visits do not share.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall_domain::names::IdScope;

/// What the calls of a line do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Decides,
    /// They may wait for a service.
    Waits,
}

/// Who pays for a visit to a worker: an id scope, and the plugins that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payers {
    scope: IdScope,
    /// In order, each once.
    plugins: Vec<Payer>,
    /// Those of them whose calls may wait for a service, in order.
    waiting: Vec<Payer>,
}

/// One revision of one plugin of one id scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payer(pub(crate) u64);

impl Payer {
    /// One that a benchmark makes up.
    #[must_use]
    pub fn of_bench(number: u64) -> Self {
        Self(u64::MAX - number)
    }
}

impl Payers {
    /// These. The calls of each of them may wait for a service.
    #[must_use]
    pub fn new(scope: IdScope, plugins: impl IntoIterator<Item = Payer>) -> Self {
        Self::of(scope, plugins.into_iter().map(|plugin| (plugin, true)))
    }

    /// These, each with whether its calls may wait for a service.
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

/// What waits, and the accounts of who has it run.
pub(super) struct Line<J> {
    kind: Kind,
    threads: usize,
    limit: usize,
    flows: Vec<Flow<J>>,
    waiting: usize,
    running: usize,
    /// Runs that take long.
    long: usize,
    /// When one began that does not.
    short_began: Option<Instant>,
    scopes: HashMap<IdScope, Account>,
    plugins: HashMap<Payer, Account>,
    /// What the scope had cost whose turn it was last.
    reached: u64,
    number: u64,
}

/// Visits with the same payers, in the order in which they came.
struct Flow<J> {
    payers: Arc<Payers>,
    jobs: VecDeque<(u64, J)>,
}

/// What somebody's calls cost.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// Nanoseconds of a thread, what runs counted as expected. Above what was really spent for one that was away.
    spent: u64,
    /// The longest of its latest calls, fading.
    longest: u64,
    running: usize,
    waiting: usize,
    /// Of a scope: what its plugin had cost whose turn it was last.
    reached: u64,
}

/// A visit that has begun.
pub(super) struct Begun {
    payers: Arc<Payers>,
    /// What its scope and then its plugins were charged in advance.
    expected: Vec<u64>,
    long: bool,
}

/// What came of joining the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined<J> {
    Waits,
    /// It waits in the place of another, which is turned away.
    InPlaceOf(J),
    /// There is no room for it.
    Full(J),
}

impl<J> Line<J> {
    /// An empty one for so many threads, of which `limit` visits may wait or run.
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

    /// Visits that wait or run.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting + self.running
    }

    /// Visits that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a visit into the line.
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
            // Beside a dearer plugin it waited for that one's turns, and what it did not spend meanwhile is no credit.
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

    /// Takes in what a visit has cost: all of it, and each plugin's own calls. What was nobody's own is everybody's.
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

    /// Empties the line.
    pub(super) fn clear(&mut self) -> Vec<J> {
        self.waiting = 0;
        for account in self.scopes.values_mut().chain(self.plugins.values_mut()) {
            account.waiting = 0;
        }
        std::mem::take(&mut self.flows).into_iter().flat_map(|flow| flow.jobs).map(|(_, job)| job).collect()
    }

    /// Where a flow stands, if its first visit may begin: what its scope has cost, what its plugins have, when it came.
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

    /// Takes the newest visit of who has most out of the line, if that is more than these have.
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

    /// How many more visits wait for the plugins of a flow than for these of the same scope. Plugins that both ask are nobody's
    /// own; when one asks nothing that the other does not, the visits of both are counted.
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

    /// Lets go of accounts that nobody uses, once there are many.
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

/// Calls that take longer than this, in nanoseconds, hold others up when all threads are theirs.
const LONG: u64 = 1_000_000;
/// What is expected of a revision of which nothing is known yet: some dozens of quick calls make it a quick one.
const UNKNOWN: u64 = 10_000_000;
/// What a plugin may have spent less than the one of its scope whose turn it was last: one long call.
const MOST_CREDIT: u64 = UNKNOWN;
/// The part by which the longest call fades with each that is shorter.
const FADES: u64 = 8;
/// How long a thread is kept free for quick calls after there was one.
const LATELY: Duration = Duration::from_secs(1);
/// Accounts that are kept before those that nobody uses are let go.
const MOST_ACCOUNTS: usize = 4096;

#[cfg(test)]
mod tests;
