//! Turns at the processor, for expensive work that strangers can ask for: handshakes and passwords.
//!
//! A turn is held for work, and never while a peer is waited for, so that no peer can hold on to one. Those who wait
//! are served network by network in rotation. Within a network, those that have already done a part come first. If too
//! many wait, the network with the most of them loses its newest. So no network can keep another from its turn, and a
//! network that is alone gets all turns.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Limits how many work at once, and keeps those who wait in order.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<State>,
    most_waiting: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: usize,
    lines: HashMap<u128, Line>,
    /// The networks that have somebody waiting, in the order of their turns.
    order: VecDeque<u128>,
}

/// The waiting ones of one network.
#[derive(Debug, Default)]
struct Line {
    going_on: VecDeque<oneshot::Sender<Turn>>,
    beginning: VecDeque<oneshot::Sender<Turn>>,
}

/// A turn. Dropping it gives it to the next in line.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<Turns>>);

impl Turns {
    /// At most `at_once` turns at once. At most `most_waiting` wait to begin.
    pub(crate) fn new(at_once: usize, most_waiting: usize) -> Self {
        let state = State { free: at_once.max(1), waiting: 0, lines: HashMap::new(), order: VecDeque::new() };
        Self { state: Mutex::new(state), most_waiting }
    }

    /// Waits for a turn to begin work. Answers `None` if too many wait.
    pub(crate) async fn begin(self: &Arc<Self>, network: u128) -> Option<Turn> {
        let waits = {
            let mut state = self.state();
            if state.take() { None } else { Some(state.queue_to_begin(network, self.most_waiting)?) }
        };
        self.when_it_comes(waits).await
    }

    /// Waits for a turn for a further step of the same work. It is never refused, because the steps before would be
    /// lost.
    pub(crate) async fn go_on(self: &Arc<Self>, network: u128) -> Option<Turn> {
        let waits = {
            let mut state = self.state();
            if state.take() { None } else { Some(state.queue_to_go_on(network)) }
        };
        self.when_it_comes(waits).await
    }

    async fn when_it_comes(self: &Arc<Self>, waits: Option<oneshot::Receiver<Turn>>) -> Option<Turn> {
        match waits {
            Some(waits) => waits.await.ok(),
            None => {
                let turn = Turn(Some(Arc::clone(self)));
                // Other tasks that are ready run first, and whoever comes meanwhile waits in the order of the networks.
                // So at most as many steps as there are turns stand between a request and a thread.
                tokio::task::yield_now().await;
                Some(turn)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a turn if one is free.
    fn take(&mut self) -> bool {
        let free = self.free > 0;
        self.free -= usize::from(free);
        free
    }

    fn line(&mut self, network: u128) -> &mut Line {
        let Self { lines, order, .. } = self;
        lines.entry(network).or_insert_with(|| {
            order.push_back(network);
            Line::default()
        })
    }

    fn queue_to_begin(&mut self, network: u128, most: usize) -> Option<oneshot::Receiver<Turn>> {
        if self.waiting >= most {
            let longest =
                self.lines.iter().max_by_key(|(_, line)| line.beginning.len()).map(|(network, _)| *network)?;
            let here = self.lines.get(&network).map_or(0, |line| line.beginning.len());
            let longest = self.lines.get_mut(&longest)?;
            if here >= longest.beginning.len() {
                return None;
            }
            // Dropping the sender tells the one who waits for it. The network's line stays in the order, even if empty,
            // until it is next.
            longest.beginning.pop_back();
            self.waiting = self.waiting.saturating_sub(1);
        }
        let (sender, waits) = oneshot::channel();
        self.line(network).beginning.push_back(sender);
        self.waiting += 1;
        Some(waits)
    }

    fn queue_to_go_on(&mut self, network: u128) -> oneshot::Receiver<Turn> {
        let (sender, waits) = oneshot::channel();
        self.line(network).going_on.push_back(sender);
        waits
    }

    /// The next one who gets a turn.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(network) = self.order.pop_front() {
            let Some(line) = self.lines.get_mut(&network) else { continue };
            let next = line.going_on.pop_front().or_else(|| {
                let next = line.beginning.pop_front();
                self.waiting = self.waiting.saturating_sub(usize::from(next.is_some()));
                next
            });
            if line.going_on.is_empty() && line.beginning.is_empty() {
                self.lines.remove(&network);
            } else {
                self.order.push_back(network);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        let mut state = turns.state();
        while let Some(next) = state.next() {
            match next.send(Self(Some(Arc::clone(&turns)))) {
                Ok(()) => return,
                // The one who waited is gone. The returned turn must not be given back as well, so it is emptied; the
                // next one gets the turn.
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
        state.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(most_waiting: usize) -> Arc<Turns> {
        Arc::new(Turns::new(1, most_waiting))
    }

    /// The order in which turns are given, until nobody waits.
    async fn served(mut holding: Turn, mut waiting: Vec<(&'static str, oneshot::Receiver<Turn>)>) -> Vec<&'static str> {
        let mut order = Vec::new();
        loop {
            drop(holding);
            let next = waiting.iter_mut().find_map(|(name, waits)| Some((*name, waits.try_recv().ok()?)));
            let Some((name, turn)) = next else { return order };
            order.push(name);
            holding = turn;
        }
    }

    #[tokio::test]
    async fn networks_are_served_in_turn_and_those_half_through_first() {
        let turns = turns(100);
        let holding = turns.begin(9).await.unwrap();
        let mut waiting = Vec::new();
        for (name, network) in [("a1", 1), ("a2", 1), ("a3", 1), ("b1", 2)] {
            waiting.push((name, turns.state().queue_to_begin(network, 100).unwrap()));
        }
        waiting.push(("a, half through", turns.state().queue_to_go_on(1)));
        assert_eq!(served(holding, waiting).await, ["a, half through", "b1", "a1", "a2", "a3"]);
        assert_eq!(turns.state().free, 1);
    }

    #[tokio::test]
    async fn the_network_with_the_most_who_wait_loses_its_newest() {
        let turns = turns(4);
        let holding = turns.begin(9).await.unwrap();
        let queue = |network| turns.state().queue_to_begin(network, 4);
        let mut flood: Vec<_> = (0..4).map(|_| queue(1).unwrap()).collect();
        assert!(queue(1).is_none(), "a fifth of the flood");
        let honest = queue(2).unwrap();
        assert!(flood.pop().unwrap().await.is_err(), "it made room");
        let waiting = flood.into_iter().map(|waits| ("flood", waits)).chain([("honest", honest)]).collect();
        assert_eq!(served(holding, waiting).await, ["flood", "honest", "flood", "flood"]);
    }

    #[tokio::test]
    async fn who_has_gone_is_passed_over_and_no_turn_is_lost() {
        let turns = turns(100);
        let holding = turns.begin(9).await.unwrap();
        drop(turns.state().queue_to_begin(1, 100));
        let given = turns.state().queue_to_begin(2, 100).unwrap();
        drop(holding);
        // The receiver has got a turn and is dropped before it looks at it.
        drop(given);
        let state = turns.state();
        assert_eq!((state.free, state.waiting), (1, 0));
        assert!(state.lines.is_empty() && state.order.is_empty());
    }
}
