//! The store's time, as far as this process knows it (invariant 17): what the store said last, plus what has passed here since.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::time::{Timestamp, wall_now};

/// What the store said last to anybody in this process. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LastHeard(Arc<Mutex<Option<(Timestamp, Instant)>>>);

impl LastHeard {
    /// The store said just now what time it is.
    pub fn heard(&self, said: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((said, Instant::now()));
    }

    /// A clock for one saga. Before the store has said anything, it begins with this machine's time.
    pub fn clock(&self) -> StoreTime {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, at) = heard.unwrap_or_else(|| (wall_now(), Instant::now()));
        StoreTime { said, at, last: Timestamp::ZERO }
    }
}

/// The clock of one saga's driver. It never goes back.
#[derive(Clone, Copy, Debug)]
pub struct StoreTime {
    said: Timestamp,
    at: Instant,
    last: Timestamp,
}

impl StoreTime {
    /// The store said just now what time it is.
    pub fn heard(&mut self, said: Timestamp) {
        (self.said, self.at) = (said, Instant::now());
    }

    /// Now.
    pub fn now(&mut self) -> Timestamp {
        self.last = self.last.max(self.said.plus_whole(self.at.elapsed()));
        self.last
    }

    /// When it will be `time` here; at once, if it is past.
    pub fn instant_of(&mut self, time: Timestamp) -> Instant {
        let now = self.now();
        Instant::now() + now.until(time)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_is_the_stores_plus_what_has_passed_here_and_never_goes_back() {
        let heard = LastHeard::default();
        heard.heard(Timestamp::from_unix_ms(5000));
        let mut clock = heard.clock();
        tokio::time::advance(Duration::from_millis(70)).await;
        assert_eq!(clock.now(), Timestamp::from_unix_ms(5070));
        clock.heard(Timestamp::from_unix_ms(4000));
        assert_eq!(clock.now(), Timestamp::from_unix_ms(5070));
        clock.heard(Timestamp::from_unix_ms(6000));
        assert_eq!(clock.now(), Timestamp::from_unix_ms(6000));
        assert_eq!(clock.instant_of(Timestamp::from_unix_ms(6250)), Instant::now() + Duration::from_millis(250));
        assert_eq!(clock.instant_of(Timestamp::from_unix_ms(10)), Instant::now());
    }
}
