//! Which saga a request starts, if any: the most specific trigger that matches, as with routes.

use std::sync::Arc;

use http::{Method, Uri};
use saga_config::saga::Saga;

use crate::{
    config::{PathMatch, RouteMatch},
    router,
};

/// The triggers in force. Requests are matched by method and path; the service decides which requests are matched at all.
#[derive(Debug, Default)]
pub struct Triggers {
    /// The most specific first.
    all: Vec<Trigger>,
}

#[derive(Debug)]
struct Trigger {
    matcher: RouteMatch,
    saga: Arc<Saga>,
}

impl Triggers {
    /// The triggers of these sagas, each with what its path matches.
    pub fn new(sagas: impl IntoIterator<Item = (PathMatch, Arc<Saga>)>) -> Self {
        let trigger = |(path, saga): (PathMatch, Arc<Saga>)| {
            let matcher = RouteMatch { path, methods: vec![saga.trigger.method.clone()], host: None };
            Trigger { matcher, saga }
        };
        let mut all: Vec<_> = sagas.into_iter().map(trigger).collect();
        all.sort_by(|a, b| router::specificity(&a.matcher, &b.matcher));
        Self { all }
    }

    /// The saga that a request starts.
    pub fn find(&self, method: &Method, uri: &Uri) -> Option<&Arc<Saga>> {
        // Most processes have none: nothing is computed then.
        let is_started_so = |trigger: &&Trigger| trigger.matcher.methods.contains(method);
        let mut candidates = self.all.iter().filter(is_started_so).peekable();
        candidates.peek()?;
        let path = router::canonical(uri.path());
        candidates.find(|trigger| router::matches_path(&trigger.matcher.path, &path)).map(|trigger| &trigger.saga)
    }
}
