//! Who runs next: a bounded number of statements at once, and no user at the cost of another.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Gives out turns. Of the statements that wait, the next is one of the user who runs fewest, the
/// oldest first.
pub struct Turns {
    /// Statements at once, of all users.
    most: usize,
    /// Statements at once of one user: some turns are always left to others.
    most_of_one: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Statements that run, by user.
    running: HashMap<String, usize>,
    waiting: VecDeque<(String, oneshot::Sender<Turn>)>,
}

impl State {
    fn runs(&self, user: &str) -> usize {
        self.running.get(user).copied().unwrap_or_default()
    }

    fn ended(&mut self, user: &str) {
        if let Some(runs) = self.running.get_mut(user) {
            *runs -= 1;
            if *runs == 0 {
                self.running.remove(user);
            }
        }
    }
}

/// A statement's turn, until it is dropped.
pub struct Turn {
    user: String,
    /// None for a turn that nobody took.
    turns: Option<Arc<Turns>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            let mut state = turns.state.lock();
            state.ended(&self.user);
            turns.give(&mut state);
        }
    }
}

impl Turns {
    /// `most` statements at once, of which one user has at most `most_of_one`.
    pub fn new(most: usize, most_of_one: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            most_of_one: most_of_one.max(1),
            state: Mutex::default(),
        })
    }

    /// Waits for a turn.
    pub async fn take(self: &Arc<Self>, user: &str) -> Turn {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state.lock();
            state.waiting.push_back((user.to_string(), sender));
            self.give(&mut state);
        }
        match receiver.await {
            Ok(turn) => turn,
            // The sender waits in `self` until it has sent.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives away the turns that are free.
    fn give(self: &Arc<Self>, state: &mut State) {
        state.waiting.retain(|(_, sender)| !sender.is_closed());
        while state.running.values().sum::<usize>() < self.most {
            let waiting = state.waiting.iter().enumerate();
            let may = waiting
                .map(|(place, (user, _))| (state.runs(user), place))
                .filter(|(runs, _)| *runs < self.most_of_one);
            let Some((_, place)) = may.min() else {
                return;
            };
            let Some((user, sender)) = state.waiting.remove(place) else {
                return;
            };
            *state.running.entry(user.clone()).or_default() += 1;
            let turn = Turn {
                user,
                turns: Some(Arc::clone(self)),
            };
            if let Err(mut turn) = sender.send(turn) {
                // Gone meanwhile. Its drop would wait for the lock that is held here.
                turn.turns = None;
                state.ended(&turn.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn a_user_with_many_statements_leaves_turns_to_others() {
        let turns = Turns::new(4, 3);
        let mut heavy = Vec::new();
        for _ in 0..3 {
            heavy.push(turns.take("heavy").await);
        }
        let fourth = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.take("heavy").await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!fourth.is_finished());
        // Another is served at once, though the fourth waited before.
        let light = turns.take("light").now_or_never();
        assert!(light.is_some());
        drop(heavy.pop());
        fourth.await.unwrap();
    }

    #[tokio::test]
    async fn who_runs_fewest_is_next() {
        let turns = Turns::new(2, 2);
        let first = turns.take("heavy").await;
        let _second = turns.take("heavy").await;
        let mut heavy = Box::pin(turns.take("heavy"));
        assert!(heavy.as_mut().now_or_never().is_none());
        let mut light = Box::pin(turns.take("light"));
        assert!(light.as_mut().now_or_never().is_none());
        drop(first);
        assert!(heavy.as_mut().now_or_never().is_none());
        assert!(light.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_no_turn() {
        let turns = Turns::new(1, 1);
        let running = turns.take("a").await;
        let mut waiting = Box::pin(turns.take("b"));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        drop(running);
        assert!(turns.take("c").now_or_never().is_some());
    }

    proptest! {
        /// Whatever comes and goes in whatever order: the limits hold, and nobody waits while
        /// there is a turn for him.
        #[test]
        fn limits_hold_and_no_turn_is_lost(steps in prop::collection::vec((0usize..4, any::<bool>(), any::<prop::sample::Index>()), 1..60)) {
            let turns = Turns::new(3, 2);
            let mut waiting = Vec::new();
            let mut running: Vec<(usize, Turn)> = Vec::new();
            for (user, comes, which) in steps {
                if comes {
                    let turns = Arc::clone(&turns);
                    waiting.push((user, Box::pin(async move { turns.take(&user.to_string()).await })));
                } else if !running.is_empty() {
                    running.swap_remove(which.index(running.len()));
                }
                let mut still = Vec::new();
                for (user, mut future) in waiting {
                    match future.as_mut().now_or_never() {
                        Some(turn) => running.push((user, turn)),
                        None => still.push((user, future)),
                    }
                }
                waiting = still;
                let of = |user: usize| running.iter().filter(|(u, _)| *u == user).count();
                prop_assert!(running.len() <= 3 && (0..4).all(|user| of(user) <= 2));
                let free = running.len() < 3;
                prop_assert!(!free || waiting.iter().all(|(user, _)| of(*user) == 2));
            }
        }
    }
}
