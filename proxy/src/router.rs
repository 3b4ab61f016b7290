//! Which route a request takes: the most specific one that matches.
//!
//! By path first (exact, then templates segment by segment from the left, a literal before a placeholder, then the longest prefix),
//! then with a host before without, then with methods before without. Two routes that this does not order are an error in the
//! configuration (see [`clash`]). Matching sees the path decoded and without dot segments, so that `/%69nternal/` is `/internal/`;
//! the upstream gets the path as the client wrote it.

use std::{borrow::Cow, cmp::Ordering, collections::HashMap, sync::Arc};

use http::{Method, Uri};

use crate::{
    config::{PathMatch, RouteConfig, RouteMatch, Segment},
    metrics::RouteMetrics,
    upstream::Upstream,
};

/// A route in force.
#[derive(Debug)]
pub struct Route {
    /// What it says.
    pub config: Arc<RouteConfig>,
    /// Its upstream.
    pub upstream: Arc<Upstream>,
    /// Its counters.
    pub metrics: RouteMetrics,
}

/// The routes in force.
#[derive(Debug)]
pub struct Router {
    exact: HashMap<Box<str>, Vec<Arc<Route>>>,
    patterns: Vec<Pattern>,
    fallback: Option<Arc<Route>>,
}

/// A route whose path is no literal.
#[derive(Debug)]
struct Pattern {
    /// What every path of it begins with: most requests of other routes are told apart by that alone.
    head: Box<str>,
    route: Arc<Route>,
}

impl Pattern {
    fn new(route: Arc<Route>) -> Self {
        Self { head: head(&route.config.matcher.path).into(), route }
    }

    fn matches(&self, path: &str) -> bool {
        path.as_bytes().starts_with(self.head.as_bytes()) && matches_path(&self.route.config.matcher.path, path)
    }
}

/// What every path that begins with `/` and matches begins with.
fn head(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path.clone(),
        PathMatch::Template(segments) => {
            let literals = segments.iter().map_while(|segment| match segment {
                Segment::Literal(literal) => Some(literal.as_str()),
                Segment::Any(_) => None,
            });
            literals.fold(String::new(), |head, literal| head + "/" + literal)
        }
    }
}

impl Router {
    /// A router over `routes`; what none of them matches takes `fallback`.
    pub fn new(routes: Vec<Arc<Route>>, fallback: Option<Arc<Route>>) -> Self {
        let mut sorted = routes;
        sorted.sort_by(|a, b| specificity(&a.config.matcher, &b.config.matcher));
        let mut exact: HashMap<Box<str>, Vec<Arc<Route>>> = HashMap::new();
        let mut patterns = Vec::new();
        for route in sorted {
            match &route.config.matcher.path {
                PathMatch::Exact(path) => exact.entry(path.as_str().into()).or_default().push(Arc::clone(&route)),
                PathMatch::Template(_) | PathMatch::Prefix(_) => patterns.push(Pattern::new(route)),
            }
        }
        Self { exact, patterns, fallback }
    }

    /// The route of a request; `None` if there is none.
    pub fn find(&self, method: &Method, uri: &Uri, host: Option<&str>) -> Option<&Arc<Route>> {
        let path = canonical(uri.path());
        let host = host.map(without_port);
        let exact = self.exact.get(path.as_ref()).into_iter().flatten();
        let patterns = self.patterns.iter().filter(|pattern| pattern.matches(&path)).map(|pattern| &pattern.route);
        exact.chain(patterns).find(|route| matches_rest(&route.config.matcher, method, host)).or(self.fallback.as_ref())
    }

    /// Every route, the fallback last.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.exact.values().flatten().chain(self.patterns.iter().map(|pattern| &pattern.route)).chain(&self.fallback)
    }
}

/// Whether two routes are equally specific and can match the same request.
pub fn clash(a: &RouteMatch, b: &RouteMatch) -> bool {
    let same_host = a.host == b.host;
    let same_methods = a.methods.is_empty() == b.methods.is_empty()
        && (a.methods.is_empty() || a.methods.iter().any(|method| b.methods.contains(method)));
    by_path(&a.path, &b.path) == Ordering::Equal && same_path(&a.path, &b.path) && same_host && same_methods
}

fn same_path(a: &PathMatch, b: &PathMatch) -> bool {
    match (a, b) {
        (PathMatch::Exact(a), PathMatch::Exact(b)) | (PathMatch::Prefix(a), PathMatch::Prefix(b)) => a == b,
        (PathMatch::Template(a), PathMatch::Template(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|pair| match pair {
                    (Segment::Literal(a), Segment::Literal(b)) => a == b,
                    (Segment::Any(_), Segment::Any(_)) => true,
                    (Segment::Literal(_), Segment::Any(_)) | (Segment::Any(_), Segment::Literal(_)) => false,
                })
        }
        _ => false,
    }
}

/// The most specific first.
pub(crate) fn specificity(a: &RouteMatch, b: &RouteMatch) -> Ordering {
    by_path(&a.path, &b.path)
        .then_with(|| b.host.is_some().cmp(&a.host.is_some()))
        .then_with(|| a.methods.is_empty().cmp(&b.methods.is_empty()))
}

fn by_path(a: &PathMatch, b: &PathMatch) -> Ordering {
    const fn kind(path: &PathMatch) -> u8 {
        match path {
            PathMatch::Exact(_) => 0,
            PathMatch::Template(_) => 1,
            PathMatch::Prefix(_) => 2,
        }
    }
    match (a, b) {
        (PathMatch::Template(a), PathMatch::Template(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| matches!(a, Segment::Any(_)).cmp(&matches!(b, Segment::Any(_))))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal),
        (PathMatch::Prefix(a), PathMatch::Prefix(b)) => b.len().cmp(&a.len()),
        _ => kind(a).cmp(&kind(b)),
    }
}

/// Whether a pattern matches a [canonical] path.
pub(crate) fn matches_path(pattern: &PathMatch, path: &str) -> bool {
    match pattern {
        PathMatch::Exact(exact) => exact == path,
        PathMatch::Prefix(prefix) => path.starts_with(prefix.as_str()),
        PathMatch::Template(segments) => {
            let mut rest = path.strip_prefix('/').unwrap_or(path).split('/');
            segments.iter().all(|segment| match (segment, rest.next()) {
                (Segment::Literal(literal), Some(text)) => literal == text,
                (Segment::Any(_), Some(text)) => !text.is_empty(),
                (_, None) => false,
            }) && rest.next().is_none()
        }
    }
}

/// Whether a request with this [canonical] path is what `matcher` means.
pub(crate) fn matches(matcher: &RouteMatch, method: &Method, path: &str, host: Option<&str>) -> bool {
    matches_path(&matcher.path, path) && matches_rest(matcher, method, host.map(without_port))
}

fn matches_rest(matcher: &RouteMatch, method: &Method, host: Option<&str>) -> bool {
    (matcher.methods.is_empty() || matcher.methods.contains(method))
        && matcher.host.as_deref().is_none_or(|wanted| host.is_some_and(|host| host.eq_ignore_ascii_case(wanted)))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// The path as a service would understand it: percent-decoded, without empty, `.` and `..` segments. Allocates only if it differs.
pub(crate) fn canonical(path: &str) -> Cow<'_, str> {
    let bytes = path.as_bytes();
    let has_odd_segment = || bytes.windows(2).any(|two| two[0] == b'/' && matches!(two[1], b'/' | b'.'));
    if !(bytes.contains(&b'%') || has_odd_segment()) {
        return Cow::Borrowed(path);
    }
    let decoded = decode(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let is_folder = decoded.ends_with('/') || decoded.ends_with("/.") || decoded.ends_with("/..");
    let mut canonical = format!("/{}", segments.join("/"));
    if is_folder && canonical.len() > 1 {
        canonical.push('/');
    }
    Cow::Owned(canonical)
}

fn decode(path: &str) -> String {
    let hex = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| Some(hex(*bytes.get(at + 1)?)? << 4 | hex(*bytes.get(at + 2)?)?)).flatten();
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn matcher(path: PathMatch) -> RouteMatch {
        RouteMatch { path, methods: Vec::new(), host: None }
    }

    fn template(text: &str) -> PathMatch {
        let segments = text.trim_start_matches('/').split('/').map(|segment| match segment.strip_prefix('{') {
            Some(name) => Segment::Any(name.trim_end_matches('}').to_owned()),
            None => Segment::Literal(segment.to_owned()),
        });
        PathMatch::Template(segments.collect())
    }

    #[test]
    fn an_exact_path_beats_a_template_beats_a_prefix_and_longer_prefixes_come_first() {
        let exact = matcher(PathMatch::Exact("/orders/1/".into()));
        let one = matcher(template("/orders/{id}/"));
        let long = matcher(PathMatch::Prefix("/orders/".into()));
        let short = matcher(PathMatch::Prefix("/".into()));
        for pair in [&exact, &one, &long, &short].windows(2) {
            assert_eq!(specificity(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn a_literal_on_the_left_beats_a_placeholder() {
        assert_eq!(by_path(&template("/a/{x}"), &template("/{y}/b")), Ordering::Less);
        assert!(!clash(&matcher(template("/a/{x}")), &matcher(template("/{y}/b"))));
        assert!(clash(&matcher(template("/a/{x}")), &matcher(template("/a/{y}"))));
    }

    #[test]
    fn routes_clash_only_where_methods_overlap() {
        let with = |methods: &[Method]| RouteMatch { methods: methods.to_vec(), ..matcher(PathMatch::Exact("/a".into())) };
        assert!(clash(&with(&[Method::POST, Method::PUT]), &with(&[Method::PUT])));
        assert!(!clash(&with(&[Method::POST]), &with(&[Method::PUT])));
        assert!(!clash(&with(&[]), &with(&[Method::PUT])));
    }

    #[test]
    fn a_placeholder_takes_one_segment_that_is_not_empty() {
        let pattern = template("/orders/{id}/");
        assert!(matches_path(&pattern, "/orders/7/"));
        assert!(!matches_path(&pattern, "/orders//"));
        assert!(!matches_path(&pattern, "/orders/7"));
        assert!(!matches_path(&pattern, "/orders/7/8/"));
    }

    #[test]
    fn a_path_cannot_be_disguised() {
        for disguise in
            ["/%69nternal/x", "//internal/x", "/./internal/x", "/a/../internal/x", "/internal%2Fx", "/a/%2e%2e/internal/x"]
        {
            assert_eq!(canonical(disguise), "/internal/x", "{disguise}");
        }
        assert_eq!(canonical("/internal/"), "/internal/");
        assert_eq!(canonical("/a/./"), "/a/");
        assert_eq!(canonical("/%zz"), "/%zz");
    }

    #[test]
    fn a_host_is_compared_without_its_port() {
        assert_eq!(without_port("shop.example:8080"), "shop.example");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("shop.example"), "shop.example");
    }
}
