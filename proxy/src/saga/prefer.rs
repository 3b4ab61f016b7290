//! `Prefer` (RFC 7240): how long a caller wants to wait for its saga.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The request header.
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The response header.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The longest wait that a caller can ask for, unless the saga itself lets callers wait longer.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long to wait, and what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long to wait for the saga's end.
    pub wait: Duration,
    /// The preference that was applied.
    pub applied: Option<HeaderValue>,
}

impl Patience {
    /// What the caller wants (`respond-async`, `wait=SECONDS`; RFC 7240, sections 4.1 and 4.3), within bounds; else `default`.
    /// `respond-async` beside `wait` is answered early only when the wait is over. What is not understood is ignored, as the RFC says.
    pub fn of(headers: &HeaderMap, default: Duration) -> Self {
        let lines: Vec<&str> = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok()).collect();
        let preferences =
            || lines.iter().flat_map(|line| line.split(',')).map(|one| one.split(';').next().unwrap_or_default().trim());
        let wait = preferences().find_map(|one| {
            let (name, value) = one.split_once('=')?;
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("wait").then(|| value.parse::<u32>().ok()).flatten()
        });
        let is_async = preferences().any(|one| one.eq_ignore_ascii_case("respond-async"));
        match wait {
            Some(seconds) => {
                let wait = Duration::from_secs(u64::from(seconds)).min(LONGEST_WAIT.max(default));
                Self { wait, applied: HeaderValue::try_from(format!("wait={}", wait.as_secs())).ok() }
            }
            None if is_async => Self { wait: Duration::ZERO, applied: Some(HeaderValue::from_static("respond-async")) },
            None => Self { wait: default, applied: None },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn patience(lines: &[&str]) -> (u64, Option<String>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, HeaderValue::from_str(line).unwrap());
        }
        let Patience { wait, applied } = Patience::of(&headers, Duration::from_secs(10));
        (wait.as_secs(), applied.map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_caller_says_how_long_it_waits_within_bounds() {
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(patience(&[]), (10, None));
        assert_eq!(patience(&["respond-async"]), (0, said("respond-async")));
        assert_eq!(patience(&["return=minimal", "Wait = 3 ; x=y"]), (3, said("wait=3")));
        assert_eq!(patience(&["respond-async, wait=\"5\""]), (5, said("wait=5")));
        assert_eq!(patience(&["wait=86400"]), (60, said("wait=60")));
        assert_eq!(patience(&["wait=-1, wait=x, waiting"]), (10, None));
    }
}
