//! When a call is tried again: capped exponential backoff with full jitter.
//!
//! The jitter is no chance: it is a hash of the call's key and the number of the wait, so that a turn can be taken again with the same
//! result, and calls of different sagas still do not come all at once.

use std::time::Duration;

use saga_config::saga::Retry;

/// The longest that an upstream's `Retry-After` is heeded.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// How long to wait before the next try. `number` counts the waits so far. The upstream's own wish counts, within an hour, where it is
/// longer.
pub(super) fn delay(retry: &Retry, key: &str, number: u32, retry_after: Option<Duration>) -> Duration {
    let bound = retry.initial.saturating_mul(1_u32.checked_shl(number.min(30)).unwrap_or(u32::MAX)).min(retry.max_delay);
    let jittered = fraction(bound, hash(key, number));
    jittered.max(retry_after.unwrap_or_default().min(MOST_RETRY_AFTER))
}

/// The part of `whole` that `hash` stands for, of 2¹⁶.
fn fraction(whole: Duration, hash: u64) -> Duration {
    let part = u32::try_from(hash >> 48).unwrap_or(u32::MAX);
    // Divided first: a delay of years must not overflow.
    (whole / (1 << 16)).saturating_mul(part)
}

/// FNV-1a, and a finaliser that spreads short differences over all bits.
fn hash(key: &str, number: u32) -> u64 {
    let bytes = key.bytes().chain(number.to_be_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry =
        Retry { max: Some(5), within: None, initial: Duration::from_millis(200), max_delay: Duration::from_secs(10) };

    #[test]
    fn a_delay_stays_below_a_bound_that_doubles_up_to_the_cap() {
        for number in 0..200 {
            let bound = Duration::from_millis(200).saturating_mul(1 << number.min(20)).min(RETRY.max_delay);
            for key in ["a", "b", "c"] {
                assert!(delay(&RETRY, key, number, None) < bound, "{number}");
            }
        }
    }

    #[test]
    fn the_same_wait_of_the_same_call_has_the_same_delay_and_others_have_others() {
        assert_eq!(delay(&RETRY, "a", 3, None), delay(&RETRY, "a", 3, None));
        let delays: std::collections::BTreeSet<_> =
            (0..100).map(|saga| delay(&RETRY, &format!("saga-{saga}"), 6, None)).collect();
        assert!(delays.len() > 90, "{}", delays.len());
        let mean = delays.iter().sum::<Duration>() / u32::try_from(delays.len()).unwrap_or(1);
        assert!((3..7).contains(&mean.as_secs()), "they are spread over the whole: {mean:?}");
    }

    #[test]
    fn an_upstream_that_says_when_to_come_back_is_heeded_within_an_hour() {
        assert_eq!(delay(&RETRY, "a", 0, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(delay(&RETRY, "a", 0, Some(Duration::from_secs(90_000))), MOST_RETRY_AFTER);
    }

    #[test]
    fn delays_of_any_length_are_computed() {
        let retry = Retry { initial: Duration::MAX, max_delay: Duration::MAX, ..RETRY };
        assert!(delay(&retry, "a", u32::MAX, Some(Duration::MAX)) >= MOST_RETRY_AFTER);
    }
}
