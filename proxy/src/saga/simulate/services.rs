//! Services that keep books, and what stands beside them.

use std::{collections::BTreeMap, time::Duration};

use saga_config::{names::StepPath, saga::Effect};
use serde::Serialize;

use super::super::{
    entry::Direction,
    turn::{SendEffect, UndoKnows},
};
use crate::time::Timestamp;

/// What a service is, as far as repeats go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A Refrain stands beside it: keys are remembered with every answer, and sealed where nothing is to happen any more.
    Refrain,
    /// It remembers the keys of what it did for this long, and repeats its answer. A request that it refused it judges anew.
    Remembers(#[serde(rename = "for_seconds", serialize_with = "seconds")] Duration),
    /// It remembers nothing, and can be asked what it has.
    Ledger,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

/// What a service did for one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Book {
    /// How often it was carried out.
    pub(super) done: u32,
    /// How often it was undone.
    pub(super) undone: u32,
}

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Memory {
    Answered { said: Served, sends: u32, at: Timestamp },
    Sealed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Served {
    Done,
    Refused,
    Gone,
}

/// What a service, or the Refrain beside it, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Done. `only`: a Refrain says that this is the answer of the only send.
    Done { only: bool },
    /// No.
    Refused { only: bool },
    /// There is nothing to undo.
    Gone { only: bool },
    /// The key is sealed.
    Sealed,
    /// The Refrain answers the undo itself.
    NothingToUndo,
}

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Services {
    books: BTreeMap<StepPath, Book>,
    memory: BTreeMap<String, Memory>,
}

impl Services {
    /// A request arrives. `refuses`: the service says no to what it is asked for the first time.
    pub(super) fn arrive(&mut self, send: &SendEffect, refuses: bool, kind: Kind, now: Timestamp) -> Said {
        if send.effect == Effect::None {
            return if refuses { Said::Refused { only: false } } else { Said::Done { only: false } };
        }
        match (kind, send.of.direction) {
            (Kind::Ledger, _) => said(self.serve(send, refuses), false),
            (Kind::Remembers(window), _) => match self.memory.get(&send.key) {
                Some(Memory::Answered { said: served @ Served::Done, at, .. }) if now < at.plus(window) => said(*served, false),
                _ => {
                    let served = self.serve(send, refuses);
                    self.remember(send, served, now);
                    said(served, false)
                }
            },
            (Kind::Refrain, Direction::Undo) => self.barrier(send, refuses, now),
            (Kind::Refrain, Direction::Forward) => match self.memory.get(&send.key) {
                Some(Memory::Sealed) => Said::Sealed,
                None if send.resolve => {
                    self.memory.insert(send.key.clone(), Memory::Sealed);
                    Said::Sealed
                }
                _ => self.replay_or_serve(send, refuses, now),
            },
        }
    }

    /// Whether a repeat is answered without asking the service, so that it cannot say no.
    pub(super) fn knows(&self, send: &SendEffect, kind: Kind, now: Timestamp) -> bool {
        match (self.memory.get(&send.key), kind) {
            (None, _) | (_, Kind::Ledger) => false,
            (Some(_), Kind::Refrain) => true,
            (Some(Memory::Answered { said, at, .. }), Kind::Remembers(window)) => *said == Served::Done && now < at.plus(window),
            (Some(Memory::Sealed), Kind::Remembers(_)) => false,
        }
    }

    /// What was accepted comes to nothing.
    pub(super) fn fails(&mut self, step: &StepPath) {
        if let Some(book) = self.books.get_mut(step).filter(|book| book.done > book.undone) {
            book.done -= 1;
        }
    }

    /// Whether a probe finds what it asks for.
    pub(super) fn has(&self, step: &StepPath, direction: Direction) -> bool {
        let book = self.book(step);
        match direction {
            Direction::Forward => book.done > 0,
            Direction::Undo => book.undone > 0,
        }
    }

    /// What was done for a step.
    pub(super) fn book(&self, step: &StepPath) -> Book {
        self.books.get(step).copied().unwrap_or_default()
    }

    /// All steps for which something was done, and what.
    pub(super) fn books(&self) -> impl Iterator<Item = (&StepPath, Book)> {
        self.books.iter().map(|(step, book)| (step, *book))
    }

    /// A Refrain decides what an undo means.
    fn barrier(&mut self, send: &SendEffect, refuses: bool, now: Timestamp) -> Said {
        let Some(undo) = &send.undo else { return self.replay_or_serve(send, refuses, now) };
        if self.memory.contains_key(&send.key) {
            return self.replay_or_serve(send, refuses, now);
        }
        let happened = match self.memory.get(&undo.of) {
            Some(Memory::Answered { said: Served::Done, .. }) => true,
            Some(Memory::Answered { .. } | Memory::Sealed) => false,
            None => undo.knows == UndoKnows::Done,
        };
        if happened {
            return self.replay_or_serve(send, refuses, now);
        }
        self.memory.insert(undo.of.clone(), Memory::Sealed);
        Said::NothingToUndo
    }

    fn replay_or_serve(&mut self, send: &SendEffect, refuses: bool, now: Timestamp) -> Said {
        if let Some(Memory::Answered { said: served, sends, .. }) = self.memory.get(&send.key) {
            return said(*served, *sends == 1);
        }
        let served = self.serve(send, refuses);
        self.remember(send, served, now);
        said(served, true)
    }

    fn remember(&mut self, send: &SendEffect, said: Served, at: Timestamp) {
        self.memory.insert(send.key.clone(), Memory::Answered { said, sends: 1, at });
    }

    /// The service itself. To set a state that is there already changes nothing.
    fn serve(&mut self, send: &SendEffect, refuses: bool) -> Served {
        if refuses {
            return Served::Refused;
        }
        let sets = send.effect == Effect::Idempotent;
        let book = self.books.entry(send.of.step.clone()).or_default();
        match send.of.direction {
            Direction::Forward if sets && book.done > book.undone => Served::Done,
            Direction::Forward => {
                book.done += 1;
                Served::Done
            }
            Direction::Undo if sets && book.undone > 0 && book.undone == book.done => Served::Done,
            Direction::Undo if book.done == 0 => Served::Gone,
            Direction::Undo => {
                book.undone += 1;
                Served::Done
            }
        }
    }
}

const fn said(served: Served, only: bool) -> Said {
    match served {
        Served::Done => Said::Done { only },
        Served::Refused => Said::Refused { only },
        Served::Gone => Said::Gone { only },
    }
}
