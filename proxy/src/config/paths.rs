//! The paths of routes.
//!
//! Requests are matched by their path decoded and without empty and dot segments, so a route that is written otherwise would never
//! match: it is refused.

use saga_config::diagnostic::quoted;

use super::{PathMatch, Segment};

/// The longest path of a route, in bytes.
const MAX_BYTES: usize = 2048;

/// What is wrong with a path, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) message: String,
    pub(super) help: String,
}

fn mistake<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { message: message.into(), help: help.into() })
}

/// A path that is matched whole.
pub(super) fn exact(text: &str) -> Result<PathMatch, Mistake> {
    Ok(PathMatch::Exact(no_patterns(checked(text)?)?.to_owned()))
}

/// The beginning of paths.
pub(super) fn prefix(text: &str) -> Result<PathMatch, Mistake> {
    Ok(PathMatch::Prefix(no_patterns(checked(text)?)?.to_owned()))
}

/// A path with placeholders.
pub(super) fn template(text: &str) -> Result<PathMatch, Mistake> {
    let path = checked(text)?;
    let mut segments = Vec::new();
    for segment in path.trim_start_matches('/').split('/') {
        segments.push(one_segment(segment, &segments)?);
    }
    if !segments.iter().any(|segment| matches!(segment, Segment::Any(_))) {
        return mistake("this template has no placeholder", format!("write path: {}", quoted(text)));
    }
    Ok(PathMatch::Template(segments))
}

/// The path of a saga's trigger: exact, or with placeholders.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub(super) fn trigger(text: &str) -> Result<PathMatch, Mistake> {
    if text.contains(['{', '}']) { template(text) } else { exact(text) }
}

fn one_segment(text: &str, earlier: &[Segment]) -> Result<Segment, Mistake> {
    if text.contains('*') {
        return mistake(
            format!("{} is no pattern here: only placeholders are", quoted(text)),
            "write {name} for any one segment",
        );
    }
    if !text.contains(['{', '}']) {
        return Ok(Segment::Literal(text.to_owned()));
    }
    let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).filter(|name| !name.contains(['{', '}']))
    else {
        return mistake(format!("a placeholder is a whole segment, {} is more", quoted(text)), "write it like /orders/{id}/");
    };
    let is_word = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
    if !is_word {
        return mistake(
            format!("{} does not name a placeholder", quoted(name)),
            "use lower-case letters, digits and `_`, a letter first, like {order_id}",
        );
    }
    let taken = earlier.iter().any(|segment| matches!(segment, Segment::Any(known) if known == name));
    if taken {
        return mistake(format!("the placeholder {} is there twice", quoted(name)), "give each its own name");
    }
    Ok(Segment::Any(name.to_owned()))
}

fn no_patterns(text: &str) -> Result<&str, Mistake> {
    if text.contains(['{', '}']) {
        return mistake("a path with `{…}` is a template", format!("write template: {}", quoted(text)));
    }
    match text.find('*') {
        None => Ok(text),
        Some(star) => {
            let head = text[..star].trim_end_matches('*');
            mistake("`*` is no pattern here", format!("write prefix: {}", quoted(head)))
        }
    }
}

fn checked(text: &str) -> Result<&str, Mistake> {
    let Some(rest) = text.strip_prefix('/') else {
        return match text.strip_prefix("http") {
            Some(_) => mistake("a route's path has no host in it", "write the path alone, and the host as `host`"),
            None => mistake("a path begins with `/`", format!("write {}", quoted(&format!("/{text}")))),
        };
    };
    if text.len() > MAX_BYTES {
        return mistake(format!("a path has at most {MAX_BYTES} bytes, this has {}", text.len()), "use a prefix");
    }
    if text.contains(['?', '#']) {
        return mistake("a route's path has no query and no fragment", "leave it out: every query matches");
    }
    if text.contains('%') {
        return mistake("paths are compared decoded", "write the character itself instead of its `%` escape");
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) || text.contains('\\') {
        return mistake("a path has no white space, control characters or backslashes", "leave them out");
    }
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        if matches!(segment, "." | "..") {
            return mistake(
                format!("a path has no segment {}", quoted(segment)),
                "requests are matched without dot segments: leave it out",
            );
        }
        if segment.is_empty() && segments.peek().is_some() {
            return mistake("a path has no empty segments", "requests are matched with single slashes: leave the others out");
        }
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(parsed: Result<PathMatch, Mistake>, message: &str, help: &str) {
        let mistake = parsed.unwrap_err();
        assert!(mistake.message.contains(message) && mistake.help.contains(help), "{mistake:?}");
    }

    #[test]
    fn paths_are_read_as_they_are_written() {
        assert_eq!(exact("/orders/").unwrap(), PathMatch::Exact("/orders/".into()));
        assert_eq!(exact("/").unwrap(), PathMatch::Exact("/".into()));
        assert_eq!(prefix("/").unwrap(), PathMatch::Prefix("/".into()));
        let (literal, any) = (|text: &str| Segment::Literal(text.into()), |name: &str| Segment::Any(name.into()));
        assert_eq!(
            template("/orders/{id}/lines/{line}").unwrap(),
            PathMatch::Template(vec![literal("orders"), any("id"), literal("lines"), any("line")])
        );
        assert_eq!(template("/{id}/").unwrap(), PathMatch::Template(vec![any("id"), literal("")]));
    }

    #[test]
    fn a_path_that_could_never_match_is_refused() {
        refused(exact("orders/"), "begins with", "`/orders/`");
        refused(exact("http://a/orders"), "host", "host");
        refused(exact("/a//b"), "empty", "single");
        refused(exact("/a/../b"), "`..`", "dot");
        refused(prefix("/a/./"), "`.`", "dot");
        refused(exact("/a?b=1"), "query", "every query");
        refused(exact("/%61"), "decoded", "itself");
        refused(exact("/a b"), "white space", "");
        refused(exact(&format!("/{}", "a".repeat(MAX_BYTES))), "at most", "prefix");
        refused(exact(""), "begins with", "`/`");
    }

    #[test]
    fn a_pattern_in_the_wrong_place_names_the_right_one() {
        refused(exact("/orders/{id}/"), "template", "template: `/orders/{id}/`");
        refused(exact("/orders/*"), "no pattern", "prefix: `/orders/`");
        refused(prefix("/orders/**"), "no pattern", "prefix: `/orders/`");
        refused(template("/orders/"), "no placeholder", "path: `/orders/`");
        refused(template("/orders/{id}/*"), "no pattern", "{name}");
        refused(template("/orders/o-{id}"), "whole segment", "");
        refused(template("/{a}{b}"), "whole segment", "");
        refused(template("/{}"), "name", "{order_id}");
        refused(template("/{Id}"), "name", "{order_id}");
        refused(template("/{id}/{id}"), "twice", "own name");
    }
}
