//! What is remembered of tokens, by their hash: bounded, and shared by all cores.
//!
//! Two generations: what is asked for moves to the young one; when that is full, it becomes the old one, and what was old is forgotten.
//! So what is used stays, at the price of one comparison.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A token's name here: nothing leads back to the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(*blake3::hash(token.as_bytes()).as_bytes())
    }
}

/// Cores that serve at once seldom meet in one.
const SHARDS: usize = 16;

/// A bounded map by token.
pub(super) struct Cache<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    /// What one generation of one shard may weigh.
    room: usize,
}

struct Shard<V> {
    young: HashMap<TokenHash, (V, usize)>,
    weight: usize,
    old: HashMap<TokenHash, (V, usize)>,
}

impl<V: Clone> Cache<V> {
    /// A map of values that weigh `room` together at the most.
    pub(super) fn new(room: usize) -> Self {
        let shard = || Mutex::new(Shard { young: HashMap::new(), weight: 0, old: HashMap::new() });
        Self { shards: std::array::from_fn(|_| shard()), room: room / SHARDS / 2 }
    }

    /// The value, if it is remembered.
    pub(super) fn get(&self, token: &TokenHash) -> Option<V> {
        let mut shard = self.shard(token);
        if let Some((value, _)) = shard.young.get(token) {
            return Some(value.clone());
        }
        let (value, weight) = shard.old.remove(token)?;
        self.put(&mut shard, *token, value.clone(), weight);
        Some(value)
    }

    /// Remembers a value, instead of what was remembered.
    pub(super) fn insert(&self, token: TokenHash, value: V, weight: usize) {
        let mut shard = self.shard(&token);
        shard.old.remove(&token);
        self.put(&mut shard, token, value, weight);
    }

    /// The value that `keep` is content with, or a new one, which is remembered: whoever comes next gets the same.
    pub(super) fn get_or_insert(&self, token: TokenHash, keep: impl FnOnce(&V) -> bool, make: impl FnOnce() -> V) -> V {
        let mut shard = self.shard(&token);
        let known = shard.young.get(&token).or_else(|| shard.old.get(&token)).map(|(value, _)| value.clone());
        let value = known.filter(keep).unwrap_or_else(make);
        shard.old.remove(&token);
        self.put(&mut shard, token, value.clone(), 1);
        value
    }

    /// Forgets the value, if `goes`.
    pub(super) fn remove_if(&self, token: &TokenHash, goes: impl Fn(&V) -> bool) {
        let mut shard = self.shard(token);
        if shard.old.get(token).is_some_and(|(value, _)| goes(value)) {
            shard.old.remove(token);
        }
        if shard.young.get(token).is_some_and(|(value, _)| goes(value))
            && let Some((_, weight)) = shard.young.remove(token)
        {
            shard.weight -= weight;
        }
    }

    fn put(&self, shard: &mut Shard<V>, token: TokenHash, value: V, weight: usize) {
        if let Some((_, before)) = shard.young.remove(&token) {
            shard.weight -= before;
        }
        if shard.weight + weight > self.room {
            shard.old = std::mem::take(&mut shard.young);
            shard.weight = 0;
        }
        if weight <= self.room {
            shard.weight += weight;
            shard.young.insert(token, (value, weight));
        }
    }

    fn shard(&self, token: &TokenHash) -> MutexGuard<'_, Shard<V>> {
        let at = usize::from(token.0[0]) % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> std::fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn named(number: usize) -> TokenHash {
        TokenHash::of(&number.to_string())
    }

    #[test]
    fn it_never_holds_more_than_it_has_room_for_and_what_is_used_stays() {
        const ROOM: usize = 32 * 10;
        let cache = Cache::new(ROOM);
        cache.insert(named(0), 0, 1);
        for number in 1..10_000 {
            cache.insert(named(number), number, 1);
            assert_eq!(cache.get(&named(0)), Some(0), "after {number}");
        }
        let held = (0..10_000).filter(|number| cache.get(&named(*number)).is_some()).count();
        assert!((1..=ROOM).contains(&held), "{held}");
    }

    #[test]
    fn weights_count_and_what_is_too_heavy_is_not_held() {
        let cache = Cache::new(32 * 10);
        cache.insert(named(1), 1, 11);
        assert_eq!(cache.get(&named(1)), None);
        cache.insert(named(1), 1, 10);
        cache.insert(named(1), 2, 10);
        assert_eq!(cache.get(&named(1)), Some(2));
    }

    #[test]
    fn whoever_asks_at_once_gets_the_same_value_until_it_is_given_up() {
        let cache = Cache::new(32 * 10);
        assert_eq!(cache.get_or_insert(named(1), |_| true, || 1), 1);
        assert_eq!(cache.get_or_insert(named(1), |_| true, || 2), 1);
        assert_eq!(cache.get_or_insert(named(1), |_| false, || 3), 3);
        cache.remove_if(&named(1), |value| *value == 1);
        assert_eq!(cache.get(&named(1)), Some(3));
        cache.remove_if(&named(1), |value| *value == 3);
        assert_eq!(cache.get(&named(1)), None);
    }
}
