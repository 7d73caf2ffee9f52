//! Limits how many compile at once. The others wait, and no owner has two turns at the same time.
//!
//! If somebody publishes many components that take long to compile, only their own components wait: each token has its
//! own queue, and components that an operator or a device needs are compiled beside it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use landfall_domain::names::Digest;

/// The owner of a turn: for whom a component is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The token that publishes it.
    Token(String),
    /// A published revision that somebody uses.
    Revision(Digest),
}

/// A limited number of turns.
pub(super) struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: usize,
    having: Vec<Owner>,
    waiting: VecDeque<(u64, Owner)>,
    tickets: u64,
}

/// A turn. Dropping it gives it back.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    owner: Owner,
}

impl Turns {
    pub(super) fn new(at_once: usize) -> Self {
        let state = State { free: at_once, having: Vec::new(), waiting: VecDeque::new(), tickets: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits until a turn is free and the owner has none.
    pub(super) fn take(&self, owner: Owner) -> Turn<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tickets += 1;
        let ticket = state.tickets;
        state.waiting.push_back((ticket, owner.clone()));
        let mut state =
            self.changed.wait_while(state, |state| !state.is_next(ticket)).unwrap_or_else(PoisonError::into_inner);
        state.waiting.retain(|(waiting, _)| *waiting != ticket);
        state.free -= 1;
        state.having.push(owner.clone());
        drop(state);
        // Another owner may be the next one now.
        self.changed.notify_all();
        Turn { turns: self, owner }
    }
}

impl State {
    fn is_next(&self, ticket: u64) -> bool {
        let next = self.waiting.iter().find(|(_, owner)| !self.having.contains(owner));
        self.free > 0 && next.is_some_and(|(next, _)| *next == ticket)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free += 1;
        if let Some(at) = state.having.iter().position(|owner| *owner == self.owner) {
            state.having.swap_remove(at);
        }
        drop(state);
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn token(name: impl ToString) -> Owner {
        Owner::Token(name.to_string())
    }

    #[test]
    fn no_more_than_so_many_have_a_turn_and_all_get_one() {
        let (turns, now, most, done) = (Turns::new(2), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for number in 0..6 {
                let (turns, now, most, done) = (&turns, &now, &most, &done);
                threads.spawn(move || {
                    let _turn = turns.take(token(number));
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.into_inner() <= 2);
        assert_eq!(done.into_inner(), 6);
    }

    #[test]
    fn who_has_a_turn_waits_for_itself_and_not_others_for_it() {
        let turns = Turns::new(2);
        let held = turns.take(token("bomber"));
        let (told, tells) = mpsc::channel();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                let (turns, told) = (&turns, told.clone());
                threads.spawn(move || {
                    let _turn = turns.take(token("bomber"));
                    told.send("bomber").unwrap();
                });
            }
            while turns.state.lock().unwrap().waiting.len() < 4 {
                std::thread::yield_now();
            }
            // All four are before it in the queue.
            drop(turns.take(token("operator")));
            drop(turns.take(Owner::Revision(Digest::of(b"a"))));
            assert!(tells.try_recv().is_err(), "the other turn was the bomber's too");
            drop(held);
        });
        assert_eq!(tells.try_iter().count(), 4);
    }
}
