//! The nearest of the words that would have been right.

/// The longest word worth comparing, in bytes; keys and values people meant to write are shorter.
const MAX_WORD: usize = 64;

/// The candidate that `word` was probably meant to be, if one is near enough.
///
/// Near is an edit distance (insert, delete, change, swap neighbours) of at most a third of the word's length and at
/// least 1, ignoring case and the difference between `-` and `_`; or a candidate with the same words in another
/// order. The first of equally near ones wins.
///
/// ```
/// use saga_config::diagnostic::did_you_mean;
/// assert_eq!(did_you_mean("lissten", ["listen", "admin"]), Some("listen"));
/// assert_eq!(did_you_mean("stuff", ["listen", "admin"]), None);
/// ```
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > MAX_WORD {
        return None;
    }
    let folded = fold(word);
    let limit = (folded.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= MAX_WORD)
        .filter_map(|candidate| {
            let other = fold(candidate);
            let distance = if same_words(&folded, &other) { 0 } else { strsim::damerau_levenshtein(&folded, &other) };
            // A change of every character is no likeness, however short the word.
            let alike = distance <= limit && distance < other.chars().count();
            alike.then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

fn same_words(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split('_').map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    sorted(a) == sorted(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near_or_absent() {
        let keys = ["listen", "max_stored_body", "open_for", "ttl", "to"];
        assert_eq!(did_you_mean("lsiten", keys), Some("listen"));
        assert_eq!(did_you_mean("maxStoredBody", keys), Some("max_stored_body"));
        assert_eq!(did_you_mean("stored-body-max", keys), Some("max_stored_body"));
        assert_eq!(did_you_mean("TTL", keys), Some("ttl"));
        assert_eq!(did_you_mean("tll", keys), Some("ttl"));
        assert_eq!(did_you_mean("xy", keys), None);
        assert_eq!(did_you_mean("", keys), None);
        assert_eq!(did_you_mean(&"x".repeat(5000), keys), None);
    }

    #[test]
    fn the_nearest_of_several_wins() {
        assert_eq!(did_you_mean("resend", ["reset", "resent"]), Some("resent"));
    }
}
