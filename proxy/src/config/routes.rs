//! `routes`, each with its upstream and its policy.

use std::{collections::HashMap, sync::Arc};

use saga_config::{
    diagnostic::{Diagnostic, did_you_mean, quoted},
    yaml::Pointer,
};

use super::{
    Access, PathMatch, RouteConfig, RouteMatch, Segment, UpstreamConfig,
    authentication::has_claims,
    findings::Findings,
    idempotency::{About, Presets, Written, policy},
    paths::{self, Mistake},
    raw::{
        self, Raw,
        idempotency::{Idempotency, Rules},
        route::{Match, Route},
    },
    upstreams::{Named, Upstreams},
};
use crate::{
    idempotency::policy::{Policy, UnknownPolicy},
    router::clash,
};

/// The label of the route that takes what no other does.
const FALLBACK: &str = "*";

/// Which requests go where.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) routes: Vec<Arc<RouteConfig>>,
    /// Of everything else, if there is a local upstream.
    pub(super) fallback: Option<Arc<RouteConfig>>,
    /// Of requests that start a saga, where their route has no policy or there is none.
    pub(super) trigger_policy: Arc<Policy>,
}

/// Which requests go where.
pub(super) fn routes(raw: &Raw, upstreams: &Upstreams, findings: &mut Findings) -> Routes {
    let all = &upstreams.sound;
    let mut policies = Policies::new(raw, has_claims(raw, findings));
    let mut matchers: Vec<(Pointer, RouteMatch)> = Vec::new();
    let mut routes = Vec::new();
    for (index, written) in raw.routes.iter().flatten().enumerate() {
        let at = Pointer::root().child("routes").child(index);
        let matcher = written.r#match.as_ref().and_then(|matcher| self::matcher(matcher, &at.child("match"), findings));
        if let Some(matcher) = &matcher {
            check_clash(matcher, &at.child("match"), &matchers, findings);
            matchers.push((at.child("match"), matcher.clone()));
        }
        let access = access(written.access);
        let Some(upstream) = upstream(written, access, &at, upstreams, findings) else { continue };
        let about = policies.about(&all[upstream], access);
        let policy = policies.of_route(written, &at, about, upstream, findings);
        check_resend(access, policy.as_deref(), &at, findings);
        if let Some(matcher) = matcher {
            routes.push(Arc::new(RouteConfig { label: label(&matcher), matcher, upstream, policy, access }));
        }
    }
    let fallback = match upstreams.local {
        Named::Sound(upstream) => Some(Arc::new(RouteConfig {
            label: FALLBACK.to_owned(),
            matcher: RouteMatch { path: PathMatch::Prefix("/".to_owned()), methods: Vec::new(), host: None },
            upstream,
            policy: policies.of_top(policies.about(&all[upstream], Access::Public), upstream, findings),
            access: Access::Public,
        })),
        Named::Reported | Named::Unknown => None,
    };
    let of_fallback = fallback.as_ref().and_then(|fallback| fallback.policy.clone());
    let trigger_policy = of_fallback.unwrap_or_else(|| policies.of_triggers(all.first()));
    Routes { routes, fallback, trigger_policy }
}

/// A step is sent again by what the step says, never by what the route says: an unknown one is held here, and its saga waits.
fn check_resend(access: Access, policy: Option<&Policy>, at: &Pointer, findings: &mut Findings) {
    let at = at.child("idempotency").child("on_unknown");
    let resends = policy.is_some_and(|policy| matches!(policy.on_unknown, UnknownPolicy::Resend));
    if access == Access::Saga && resends && findings.is_written(&at) {
        let message = "only steps of sagas come here, and whether a step is sent again the step says: this has no effect";
        let help = "write `effect: idempotent` at the step, or ask the service with a `probe` here";
        findings.warning("resend-of-steps", &at, message, help);
    }
}

fn check_clash(matcher: &RouteMatch, at: &Pointer, earlier: &[(Pointer, RouteMatch)], findings: &mut Findings) {
    let Some((other, _)) = earlier.iter().find(|(_, earlier)| clash(earlier, matcher)) else { return };
    let message = "this route and an earlier one take the same requests, and neither is more specific";
    let diagnostic = Diagnostic::error("ambiguous-routes", findings.place(at), message)
        .with_label(findings.place(other), "the earlier one")
        .with_help("tell them apart by path, methods or host, or remove one");
    findings.add(diagnostic);
}

/// Makes policies; those of routes that add nothing of their own are shared.
struct Policies<'a> {
    presets: Presets,
    top: Option<&'a Idempotency>,
    has_claims: bool,
    shared: HashMap<(usize, bool), Option<Arc<Policy>>>,
}

impl<'a> Policies<'a> {
    fn new(raw: &'a Raw, has_claims: bool) -> Self {
        Self { presets: Presets::new(), top: raw.idempotency.as_ref(), has_claims, shared: HashMap::new() }
    }

    fn about<'u>(&self, upstream: &'u UpstreamConfig, access: Access) -> About<'u> {
        About { upstream, access, has_claims: self.has_claims }
    }

    fn of_route(
        &mut self,
        route: &Route,
        at: &Pointer,
        about: About<'_>,
        upstream: usize,
        findings: &mut Findings,
    ) -> Option<Arc<Policy>> {
        match &route.idempotency {
            None => self.of_top(about, upstream, findings),
            Some(Idempotency::Off(_)) => None,
            Some(Idempotency::On(rules)) => {
                let written = Written { route: Some((at.child("idempotency"), rules)), top: self.top_rules() };
                policy(&written, &self.presets, &about, findings).map(Arc::new)
            }
        }
    }

    fn of_top(&mut self, about: About<'_>, upstream: usize, findings: &mut Findings) -> Option<Arc<Policy>> {
        if matches!(self.top, Some(Idempotency::Off(_))) {
            return None;
        }
        let written = Written { route: None, top: self.top_rules() };
        let presets = &self.presets;
        let shared = self.shared.entry((upstream, about.access == Access::Saga));
        shared.or_insert_with(|| policy(&written, presets, &about, findings).map(Arc::new)).clone()
    }

    /// By what stands at the top, or by the defaults. What is wrong at the top is told by the routes that go by it.
    fn of_triggers(&self, upstream: Option<&Arc<UpstreamConfig>>) -> Arc<Policy> {
        let written = Written { route: None, top: self.top_rules() };
        let of = |upstream: &Arc<UpstreamConfig>| {
            policy(&written, &self.presets, &self.about(upstream, Access::Public), &mut Findings::default())
        };
        // Without an upstream there is no configuration.
        Arc::new(upstream.and_then(of).unwrap_or_else(Policy::of_triggers))
    }

    fn top_rules(&self) -> Option<(Pointer, &'a Rules)> {
        match self.top {
            Some(Idempotency::On(rules)) => Some((Pointer::root().child("idempotency"), rules)),
            Some(Idempotency::Off(_)) | None => None,
        }
    }
}

fn access(written: Option<raw::route::Access>) -> Access {
    match written {
        Some(raw::route::Access::Public) | None => Access::Public,
        Some(raw::route::Access::Saga) => Access::Saga,
        Some(raw::route::Access::Deny) => Access::Deny,
    }
}

/// The index of a route's upstream. `None`: reported.
fn upstream(route: &Route, access: Access, at: &Pointer, upstreams: &Upstreams, findings: &mut Findings) -> Option<usize> {
    let Some(name) = &route.upstream else {
        return match upstreams.local {
            Named::Sound(index) => Some(index),
            Named::Reported => None,
            // Nothing is sent by it: any upstream will do.
            Named::Unknown if access == Access::Deny && !upstreams.sound.is_empty() => Some(0),
            Named::Unknown => {
                if findings.is_whole(&Pointer::root().child("upstreams")) && findings.is_whole(&at.child("upstream")) {
                    let help = "name one with `upstream`, or mark the service beside this Refrain with `local: true`";
                    findings.error("no-local-upstream", at, "this route names no upstream, and none is `local`", help);
                }
                None
            }
        };
    };
    match upstreams.find(name) {
        Named::Sound(index) => Some(index),
        Named::Reported => None,
        Named::Unknown => {
            unknown_upstream(name, &at.child("upstream"), upstreams, findings);
            None
        }
    }
}

/// Reports that there is no upstream of the name that stands at `at`.
pub(super) fn unknown_upstream(name: &str, at: &Pointer, upstreams: &Upstreams, findings: &mut Findings) {
    let help = match did_you_mean(name, upstreams.names()) {
        Some(meant) => format!("did you mean {}?", quoted(meant)),
        None if upstreams.names().next().is_none() => "describe it under `upstreams`".to_owned(),
        None => format!("the upstreams are {}", upstreams.names().map(quoted).collect::<Vec<_>>().join(", ")),
    };
    if findings.is_whole(&Pointer::root().child("upstreams")) || upstreams.names().next().is_some() {
        findings.error("unknown-upstream", at, format!("there is no upstream {}", quoted(name)), help);
    }
}

/// What a route matches. `None`: reported.
pub(super) fn matcher(written: &Match, at: &Pointer, findings: &mut Findings) -> Option<RouteMatch> {
    type Parse = fn(&str) -> Result<PathMatch, Mistake>;
    let ways: [(&str, &Option<String>, Parse); 3] = [
        ("path", &written.path, paths::exact),
        ("template", &written.template, paths::template),
        ("prefix", &written.prefix, paths::prefix),
    ];
    let given: Vec<_> = ways.iter().filter_map(|(name, text, parse)| Some((*name, text.as_deref()?, parse))).collect();
    if let [(first, ..), rest @ ..] = &given[..] {
        for (name, ..) in rest {
            let message = format!("`{name}` cannot stand beside `{first}`");
            let diagnostic =
                Diagnostic::error("exclusive-keys", findings.key_place(&at.child(name)), message).with_help("keep one of them");
            findings.add(diagnostic);
        }
    }
    let path = match given.first() {
        Some((name, text, parse)) => match parse(text) {
            Ok(path) => path,
            Err(Mistake { message, help }) => {
                findings.error("invalid-path", &at.child(name), message, help);
                return None;
            }
        },
        None if !findings.is_whole(at) => return None,
        None if written.methods.is_none() && written.host.is_none() => {
            findings.error("empty-match", at, "this matches everything", "write prefix: \"/\" if that is meant");
            return None;
        }
        None => PathMatch::Prefix("/".to_owned()),
    };
    if let PathMatch::Prefix(prefix) = &path
        && !prefix.ends_with('/')
    {
        let message = format!("this matches {} as well", quoted(&format!("{prefix}-and-more")));
        findings.warning(
            "open-prefix",
            &at.child("prefix"),
            message,
            format!("write {} if that is not meant", quoted(&format!("{prefix}/"))),
        );
    }
    let methods = written.methods.iter().flatten().map(|method| method.0.clone()).collect();
    Some(RouteMatch { path, methods, host: written.host.as_ref().map(|host| host.0.clone()) })
}

/// A route's pattern: `POST,PUT shop.example/orders/{id}/`, `/internal/*`.
fn label(matcher: &RouteMatch) -> String {
    let methods: Vec<&str> = matcher.methods.iter().map(http::Method::as_str).collect();
    let space = if methods.is_empty() { "" } else { " " };
    let path = match &matcher.path {
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(prefix) => format!("{prefix}*"),
        PathMatch::Template(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => format!("/{text}"),
                Segment::Any(name) => format!("/{{{name}}}"),
            })
            .collect(),
    };
    format!("{}{space}{}{path}", methods.join(","), matcher.host.as_deref().unwrap_or_default())
}
