//! What ends when, in buckets of one second: to put an entry in, to take one out and to find what has ended costs the same however
//! many there are.
//!
//! Who owns an entry remembers its slot, and is told when another entry moves.

use std::collections::BTreeMap;

use crate::{ids::RecordName, time::Timestamp};

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Record,
    Reservation,
}

/// An entry: what ends.
pub(super) type Ending = (Kind, RecordName);

/// All entries.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// By second. None is empty; there are no more than seconds in the longest retention.
    buckets: BTreeMap<u64, Vec<Ending>>,
}

impl Expiry {
    /// Whether what ends at `one` and at `other` is in the same bucket: then its entry can stay where it is.
    pub(super) const fn is_same_bucket(one: Timestamp, other: Timestamp) -> bool {
        second(one) == second(other)
    }

    /// Puts an entry in; its slot.
    pub(super) fn insert(&mut self, at: Timestamp, ending: Ending) -> usize {
        let bucket = self.buckets.entry(second(at)).or_default();
        bucket.push(ending);
        bucket.len() - 1
    }

    /// Takes an entry out. The one that is given back has its slot now.
    pub(super) fn remove(&mut self, at: Timestamp, slot: usize) -> Option<Ending> {
        let bucket = self.buckets.get_mut(&second(at))?;
        if slot < bucket.len() {
            bucket.swap_remove(slot);
        }
        let moved = bucket.get(slot).copied();
        if bucket.is_empty() {
            self.buckets.remove(&second(at));
        }
        moved
    }

    /// One of those that end first, if they may have ended by `now`. Of a second that is not over, one that ends early in it may be
    /// hidden by one that ends late.
    pub(super) fn first_by(&self, now: Timestamp) -> Option<Ending> {
        let (at, bucket) = self.buckets.first_key_value()?;
        (*at <= second(now)).then(|| bucket.last().copied()).flatten()
    }
}

const fn second(at: Timestamp) -> u64 {
    at.as_unix_ms() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ending(n: u8) -> Ending {
        (Kind::Record, RecordName::from_bytes([n; 32]))
    }

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(seconds * 1000)
    }

    #[test]
    fn who_moves_into_a_freed_slot_is_told() {
        let mut expiry = Expiry::default();
        let slots: Vec<_> = (0..3).map(|n| expiry.insert(at(5), ending(n))).collect();
        assert_eq!(slots, [0, 1, 2]);
        assert_eq!(expiry.remove(at(5), 0), Some(ending(2)), "the last one has the first one's slot");
        assert_eq!(expiry.remove(at(5), 1), None);
        assert_eq!(expiry.first_by(at(5)), Some(ending(2)));
        assert_eq!(expiry.remove(at(5), 0), None);
        assert!(expiry.buckets.is_empty());
        assert_eq!(expiry.remove(at(5), 0), None);
    }

    #[test]
    fn what_ends_first_comes_first_and_not_before_its_second() {
        let mut expiry = Expiry::default();
        expiry.insert(at(9), ending(9));
        expiry.insert(at(7), ending(7));
        assert_eq!(expiry.first_by(Timestamp::from_unix_ms(6999)), None);
        assert_eq!(expiry.first_by(at(7)), Some(ending(7)));
        assert_eq!(expiry.first_by(at(100)), Some(ending(7)));
    }
}
