//! Asking until it is decided.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::{Answer, ClientError, Edge, Intent};

/// How long a client goes on asking, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// When it gives up.
    pub within: Duration,
    /// The pause after the first answer that decides nothing; twice as long after each further one.
    pub first_pause: Duration,
    /// The longest pause, also where `Retry-After` says more.
    pub longest_pause: Duration,
}

/// A client that wants everything it asks for done once, and to know what became of it.
#[derive(Clone, Debug)]
pub struct Patient {
    edge: Edge,
    patience: Patience,
}

/// What became of an intent, and what it took to know.
#[derive(Clone, Debug)]
pub struct Settled<T> {
    /// What became of it.
    pub fate: Fate<T>,
    /// How often the request was sent again after the first time.
    pub retries: u32,
}

/// What became of an intent.
#[derive(Clone, Debug)]
pub enum Fate<T> {
    /// It was done.
    Final {
        /// What the answer says.
        said: T,
        /// The answer itself.
        answer: Answer,
    },
    /// It was not done, and will not be under this key.
    Refused {
        /// The status that says so.
        status: u16,
        /// What the answer said.
        said: String,
    },
    /// Nobody has said in time what became of it.
    GaveUp {
        /// What was heard last.
        last: String,
    },
}

/// What an answer means for who wants to know.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    Refused,
    Again(Option<Duration>),
}

impl Default for Patience {
    /// Two minutes, with pauses from 50 milliseconds to 2 seconds.
    fn default() -> Self {
        Self { within: Duration::from_secs(120), first_pause: Duration::from_millis(50), longest_pause: Duration::from_secs(2) }
    }
}

impl Patience {
    /// The pause after so many answers that decided nothing: all of it at most, half of it at least, so that clients
    /// that failed together do not come back together.
    pub(super) fn pause(&self, undecided: u32, after: Option<Duration>) -> Duration {
        let doubled = self.first_pause.saturating_mul(1_u32.checked_shl(undecided).unwrap_or(u32::MAX));
        let pause = doubled.min(self.longest_pause).mul_f64(rand::random_range(0.5..=1.0));
        pause.max(after.unwrap_or_default()).min(self.longest_pause)
    }
}

impl Patient {
    /// A client of this edge.
    pub fn new(edge: Edge, patience: Patience) -> Self {
        Self { edge, patience }
    }

    /// The edge it speaks to.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Sends the request, with the same key each time, until the answer decides it: for as long as there is no answer,
    /// or one that says 202, 5xx, 408, 425, 429, or 409 with `retry: same-key`. An answer that was recorded is the last
    /// one, whatever it says.
    ///
    /// # Errors
    /// When it was done, and the answer does not say what it should.
    pub async fn settle<T: DeserializeOwned>(&self, intent: &Intent) -> Result<Settled<T>, ClientError> {
        let begun = Instant::now();
        let mut retries = 0;
        loop {
            let (last, after) = match self.edge.send(intent).await {
                Ok(answer) => match judge(&answer) {
                    Verdict::Done => {
                        let said = answer.expect(answer.status)?;
                        return Ok(Settled { fate: Fate::Final { said, answer }, retries });
                    }
                    Verdict::Refused => {
                        let fate = Fate::Refused { status: answer.status, said: answer.said() };
                        return Ok(Settled { fate, retries });
                    }
                    Verdict::Again(after) => (format!("{} {}", answer.status, answer.said()), after),
                },
                Err(error) => (error.to_string(), None),
            };
            let pause = self.patience.pause(retries, after);
            if begun.elapsed() + pause >= self.patience.within {
                return Ok(Settled { fate: Fate::GaveUp { last }, retries });
            }
            sleep(pause).await;
            retries += 1;
        }
    }
}

impl<T> Settled<T> {
    /// What the answer says, if it was done.
    ///
    /// # Errors
    /// When it was refused, or nobody knows.
    pub fn done(self, what: &str) -> Result<T, ClientError> {
        match self.fate {
            Fate::Final { said, .. } => Ok(said),
            Fate::Refused { status, said } => Err(ClientError::Unexpected { what: what.to_owned(), status, said }),
            Fate::GaveUp { last } => {
                Err(ClientError::NoAnswer(format!("{what}: given up after {} retries; the last answer: {last}", self.retries)))
            }
        }
    }
}

fn judge(answer: &Answer) -> Verdict {
    let again = || Verdict::Again(answer.retry_after());
    match answer.status {
        202 | 408 | 425 | 429 => again(),
        200..=299 => Verdict::Done,
        // A recorded answer does not change.
        500..=599 if answer.is_replayed() => Verdict::Refused,
        500..=599 => again(),
        409 if answer.problem().retry.as_deref() == Some("same-key") => again(),
        _ => Verdict::Refused,
    }
}
