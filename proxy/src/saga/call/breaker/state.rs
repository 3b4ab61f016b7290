//! When an upstream is left alone: the rules, with the time as an argument.

use std::time::{Duration, Instant};

use crate::config::BreakerConfig;

/// How soon to ask again while one call tries whether the upstream is back.
const WHILE_TRYING: Duration = Duration::from_secs(1);

/// A breaker. It opens after a number of failures in a row, and then lets nothing through for a while; after that one call tries, and
/// what comes of it closes the breaker or opens it anew.
#[derive(Debug)]
pub(super) struct State {
    config: BreakerConfig,
    mode: Mode,
    /// One more for each change of mode: what was let through before it says nothing any more.
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Everything is let through. So many failures in a row.
    Closed { failures: u32 },
    /// Nothing is let through until then.
    Open { until: Instant },
    /// One call tries.
    Trying,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes; what comes of it is to be told.
    Through(Pass),
    /// Not now: ask again after this long.
    Refused(Duration),
}

/// A call that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    epoch: u64,
}

/// What a call says of its upstream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Well,
    /// It cannot be reached, does not answer, or is in trouble.
    Ill,
    /// Nothing.
    Untold,
}

impl State {
    pub(super) const fn new(config: BreakerConfig) -> Self {
        Self { config, mode: Mode::Closed { failures: 0 }, epoch: 0 }
    }

    /// Whether calls are let through as they come.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.mode, Mode::Closed { .. })
    }

    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match self.mode {
            Mode::Closed { .. } => {}
            Mode::Open { until } if now < until => return Admission::Refused(until - now),
            Mode::Open { .. } => self.enter(Mode::Trying),
            Mode::Trying => return Admission::Refused(WHILE_TRYING),
        }
        Admission::Through(Pass { epoch: self.epoch })
    }

    /// A call that was let through has ended.
    pub(super) fn report(&mut self, pass: Pass, health: Health, now: Instant) {
        if pass.epoch != self.epoch {
            return;
        }
        match (self.mode, health) {
            (Mode::Closed { .. }, Health::Untold) | (Mode::Open { .. }, _) => {}
            (Mode::Closed { .. }, Health::Well) => self.mode = Mode::Closed { failures: 0 },
            (Mode::Closed { failures }, Health::Ill) => match failures.saturating_add(1) {
                failures if failures >= self.config.failures => self.open(now),
                failures => self.mode = Mode::Closed { failures },
            },
            (Mode::Trying, Health::Well) => self.enter(Mode::Closed { failures: 0 }),
            (Mode::Trying, Health::Ill) => self.open(now),
            // The one that tried has learnt nothing: the next one tries.
            (Mode::Trying, Health::Untold) => self.enter(Mode::Open { until: now }),
        }
    }

    fn open(&mut self, now: Instant) {
        self.enter(Mode::Open { until: now.checked_add(self.config.open_for).unwrap_or(now) });
    }

    fn enter(&mut self, mode: Mode) {
        self.mode = mode;
        self.epoch += 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::monotonic_now;

    const CONFIG: BreakerConfig = BreakerConfig { failures: 3, open_for: Duration::from_secs(15) };

    fn through(state: &mut State, now: Instant) -> Pass {
        match state.admit(now) {
            Admission::Through(pass) => pass,
            Admission::Refused(left) => panic!("refused for {left:?}"),
        }
    }

    fn one(state: &mut State, health: Health, now: Instant) {
        let pass = through(state, now);
        state.report(pass, health, now);
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row_and_says_how_long() {
        let (mut state, now) = (State::new(CONFIG), monotonic_now());
        for health in [Health::Ill, Health::Ill, Health::Well, Health::Ill, Health::Untold, Health::Ill] {
            one(&mut state, health, now);
        }
        assert!(state.is_closed());
        one(&mut state, Health::Ill, now);
        assert_eq!(state.admit(now + Duration::from_secs(5)), Admission::Refused(Duration::from_secs(10)));
        assert!(!state.is_closed());
    }

    #[test]
    fn after_its_time_one_call_tries_and_decides() {
        for (health, closed) in [(Health::Well, true), (Health::Ill, false)] {
            let (mut state, now) = (State::new(CONFIG), monotonic_now());
            (0..3).for_each(|_| one(&mut state, Health::Ill, now));
            let later = now + CONFIG.open_for;
            let trial = through(&mut state, later);
            assert_eq!(state.admit(later), Admission::Refused(WHILE_TRYING), "only one tries");
            state.report(trial, health, later);
            assert_eq!(state.is_closed(), closed);
            assert_eq!(matches!(state.admit(later), Admission::Through(_)), closed);
        }
    }

    #[test]
    fn a_trial_that_learns_nothing_leaves_its_place_to_the_next() {
        let (mut state, now) = (State::new(CONFIG), monotonic_now());
        (0..3).for_each(|_| one(&mut state, Health::Ill, now));
        let later = now + CONFIG.open_for;
        one(&mut state, Health::Untold, later);
        assert!(!state.is_closed());
        one(&mut state, Health::Well, later);
        assert!(state.is_closed());
    }

    #[test]
    fn what_was_let_through_before_it_opened_neither_closes_it_nor_keeps_it_open() {
        let (mut state, now) = (State::new(CONFIG), monotonic_now());
        let early: Vec<_> = (0..2).map(|_| through(&mut state, now)).collect();
        (0..3).for_each(|_| one(&mut state, Health::Ill, now));
        state.report(early[0], Health::Well, now);
        assert!(matches!(state.admit(now), Admission::Refused(_)));
        let later = now + CONFIG.open_for;
        let trial = through(&mut state, later);
        state.report(early[1], Health::Ill, later);
        state.report(trial, Health::Well, later);
        assert!(state.is_closed());
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Call,
        End(usize, Health),
        Pass(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        let health = prop_oneof![Just(Health::Well), Just(Health::Ill), Just(Health::Untold)];
        prop_oneof![
            3 => Just(Act::Call),
            3 => (0_usize..8, health).prop_map(|(which, health)| Act::End(which, health)),
            1 => (0_u64..20_000).prop_map(Act::Pass),
        ]
    }

    proptest! {
        /// Whatever happens: it is never shut for longer than `open_for` once nothing is under way, it opens only upon failures,
        /// and while it is not closed at most one call that counts is under way.
        #[test]
        fn a_breaker_never_stays_shut_and_lets_one_try(acts in proptest::collection::vec(act(), 0..200)) {
            let (mut state, mut now) = (State::new(CONFIG), monotonic_now());
            let mut under_way: Vec<Pass> = Vec::new();
            let mut ill_in_a_row = 0;
            for act in acts {
                match act {
                    Act::Call => match state.admit(now) {
                        Admission::Through(pass) => under_way.push(pass),
                        Admission::Refused(left) => prop_assert!(left > Duration::ZERO && left <= CONFIG.open_for),
                    },
                    Act::End(which, health) if which < under_way.len() => {
                        let was_closed = state.is_closed();
                        let counts = under_way[which].epoch == state.epoch;
                        state.report(under_way.swap_remove(which), health, now);
                        ill_in_a_row = match health {
                            _ if !was_closed => 0,
                            _ if !counts => ill_in_a_row,
                            Health::Ill => ill_in_a_row + 1,
                            Health::Well => 0,
                            Health::Untold => ill_in_a_row,
                        };
                        if was_closed {
                            prop_assert_eq!(state.is_closed(), ill_in_a_row < CONFIG.failures);
                        }
                        if state.is_closed() && !was_closed {
                            prop_assert!(counts && health == Health::Well, "only a trial that went well closes it");
                        }
                    }
                    Act::End(..) => {}
                    Act::Pass(ms) => now += Duration::from_millis(ms),
                }
                let counting = under_way.iter().filter(|pass| pass.epoch == state.epoch).count();
                prop_assert!(state.is_closed() || counting <= 1);
            }
            under_way.drain(..).for_each(|pass| state.report(pass, Health::Untold, now));
            let admitted = matches!(state.admit(now + CONFIG.open_for), Admission::Through(_));
            prop_assert!(admitted);
        }
    }
}
