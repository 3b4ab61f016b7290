//! `Prefer` (RFC 7240): how long a caller wants to wait for its saga.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header::VARY};

/// The request header.
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The response header.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The longest wait that a caller can ask for, unless the saga itself lets callers wait longer.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long to wait, and what to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long to wait for the saga's end.
    pub wait: Duration,
    /// Whether `wait` was asked for.
    waits: bool,
    /// Whether `respond-async` was asked for.
    is_async: bool,
}

/// Whether an answer is the saga's, or only tells where it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is the saga's.
    Own,
    /// It only tells where it will be.
    Pending,
}

impl Patience {
    /// What the caller wants (`respond-async`, `wait=SECONDS`; RFC 7240, sections 4.1 and 4.3), within bounds; else `default`.
    /// `respond-async` beside `wait` is answered early only when the wait is over. What is not understood is ignored, and of a
    /// preference that is given twice the first counts, as the RFC says (section 2).
    pub fn of(headers: &HeaderMap, default: Duration) -> Self {
        let (mut wait, mut is_async) = (None, None);
        for line in headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok()) {
            for one in parts(line, ',') {
                // What comes after `;` are parameters; neither preference has any.
                let preference = parts(one, ';').next().unwrap_or_default();
                let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
                let (name, value) = (name.trim(), unquoted(value.trim()));
                if name.eq_ignore_ascii_case("wait") {
                    wait.get_or_insert_with(|| value.parse::<u32>().ok());
                } else if name.eq_ignore_ascii_case("respond-async") {
                    is_async.get_or_insert(value.is_empty());
                }
            }
        }
        let asked = wait.flatten().map(|seconds| Duration::from_secs(u64::from(seconds)).min(LONGEST_WAIT.max(default)));
        let is_async = is_async.unwrap_or(false);
        let wait = asked.unwrap_or(if is_async { Duration::ZERO } else { default });
        Self { wait, waits: asked.is_some(), is_async }
    }

    /// Says in an answer which preferences were applied (section 3), and that it depends on them (section 2).
    pub fn tell(&self, kind: Kind, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("prefer"));
        // An answer that is there is not held back for having been wanted later.
        let is_async = (self.is_async && kind == Kind::Pending).then(|| "respond-async".to_owned());
        let wait = self.waits.then(|| format!("wait={}", self.wait.as_secs()));
        let applied: Vec<String> = is_async.into_iter().chain(wait).collect();
        if !applied.is_empty()
            && let Ok(applied) = HeaderValue::try_from(applied.join(", "))
        {
            headers.insert(PREFERENCE_APPLIED, applied);
        }
    }
}

/// The parts between separators; one within a quoted text does not separate (RFC 9110, section 5.6.4).
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c: char| {
        let separates = c == separator && !is_quoted;
        let ends_or_begins = c == '"' && !is_escaped;
        is_escaped = is_quoted && c == '\\' && !is_escaped;
        is_quoted ^= ends_or_begins;
        separates
    })
}

/// The value of a word. What would have to be unescaped is no number.
fn unquoted(word: &str) -> &str {
    word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(word)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn patience(lines: &[&str]) -> (u64, Option<String>, Option<String>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, HeaderValue::from_str(line).unwrap());
        }
        let patience = Patience::of(&headers, Duration::from_secs(10));
        let said = |kind| {
            let mut headers = HeaderMap::new();
            patience.tell(kind, &mut headers);
            assert_eq!(headers["vary"], "prefer");
            headers.get(PREFERENCE_APPLIED).map(|value| value.to_str().unwrap().to_owned())
        };
        (patience.wait.as_secs(), said(Kind::Pending), said(Kind::Own))
    }

    #[test]
    fn a_caller_says_how_long_it_waits_within_bounds() {
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(patience(&[]), (10, None, None));
        assert_eq!(patience(&["respond-async"]), (0, said("respond-async"), None));
        assert_eq!(patience(&["return=minimal", "Wait = 3 ; x=y"]), (3, said("wait=3"), said("wait=3")));
        assert_eq!(patience(&["respond-async, wait=\"5\""]), (5, said("respond-async, wait=5"), said("wait=5")));
        assert_eq!(patience(&["wait=86400"]), (60, said("wait=60"), said("wait=60")));
        assert_eq!(patience(&["wait=0"]), (0, said("wait=0"), said("wait=0")));
    }

    #[test]
    fn what_is_not_understood_is_ignored_and_the_first_of_two_counts() {
        for lines in [&["wait=-1, wait=3"][..], &["wait=x, waiting"], &["respond-async=yes"], &[r#"x="a, wait=3", y"#]] {
            assert_eq!(patience(lines), (10, None, None), "{lines:?}");
        }
        assert_eq!(patience(&["wait=2", "wait=3"]).0, 2);
        assert_eq!(patience(&[r#"x="\"", wait=4"#]).0, 4);
        assert_eq!(patience(&[r#"x="a;b", respond-async=""; wait=4"#]).0, 0);
    }
}
