//! What is given on the command line or in the environment, over what the file says.

use std::{collections::BTreeMap, fmt};

use saga_config::{
    diagnostic::{Diagnostic, Place, did_you_mean, quoted},
    yaml::Pointer,
};

use super::{
    findings::Findings,
    raw::{
        Auto, Listen, Raw, Workers,
        idempotency::{Idempotency, Preset, Rules},
        text::{Address, Endpoint, StoreUrl},
        upstream::{Upstream, Url},
    },
};

/// The name of the upstream that `--upstream` makes where the file has no local one.
const LOCAL: &str = "local";
/// As many endpoints as a list in the file may have.
const MAX_ENDPOINTS: usize = 64;
const MAX_WORKERS: u16 = 1024;

/// A setting given outside the file. `Debug` hides the text: a store's URL may hold a password.
#[derive(Clone)]
pub struct Given {
    /// What was given.
    pub text: String,
    /// The flag or variable that it was given with, for messages: `--listen`, `REFRAIN_LISTEN`.
    pub origin: String,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Settings given outside the file; each beats the file's.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The one address to listen on.
    pub listen: Option<Given>,
    /// `URL`: of the local upstream; without one in the file, of one named `local`. `NAME=URL`: of an upstream that the file names.
    /// Several for one upstream are its endpoints.
    pub upstreams: Vec<Given>,
    /// The store's URL. A relative path is relative to where the process stands.
    pub store: Option<Given>,
    /// The admin side's address.
    pub admin: Option<Given>,
    /// The preset of every route that names none.
    pub preset: Option<Given>,
    /// How many cores serve, or `auto`.
    pub workers: Option<Given>,
}

impl Overrides {
    /// Puts them over `raw`, and tells `findings` where they came from.
    pub(super) fn apply(&self, raw: &mut Raw, findings: &mut Findings) {
        let at = |path: &[&str]| path.iter().fold(Pointer::root(), |at, token| at.child(token));
        if let Some(address) = parsed(self.listen.as_ref(), at(&["listen"]), Address::parse, findings) {
            raw.listen = Some(Listen::One(address));
        }
        if let Some(address) = parsed(self.admin.as_ref(), at(&["admin", "listen"]), Address::parse, findings) {
            raw.admin.get_or_insert_default().listen = Some(address);
        }
        if let Some(workers) = parsed(self.workers.as_ref(), at(&["workers"]), workers, findings) {
            raw.workers = Some(workers);
        }
        if let Some(url) = parsed(self.store.as_ref(), at(&["store", "url"]), StoreUrl::parse, findings) {
            raw.store.get_or_insert_default().url = Some(url);
        }
        if let Some(preset) = parsed(self.preset.as_ref(), at(&["idempotency", "preset"]), preset, findings) {
            set_preset(raw, preset);
        }
        self.set_upstreams(raw, findings);
    }

    fn set_upstreams(&self, raw: &mut Raw, findings: &mut Findings) {
        let (named, local): (Vec<_>, Vec<_>) =
            self.upstreams.iter().map(|given| (given, split_name(&given.text))).partition(|(_, (name, _))| name.is_some());
        // By upstream, those of one in the order they were given in.
        let mut urls: BTreeMap<String, Vec<(&Given, &str)>> = BTreeMap::new();
        if let Some((given, _)) = local.first()
            && let Some(name) = local_upstream(raw, given, findings)
        {
            urls.insert(name, local.iter().map(|(given, (_, url))| (*given, *url)).collect());
        }
        for (given, (name, url)) in &named {
            let name = name.unwrap_or_default();
            if is_upstream(raw, name, given, findings) {
                urls.entry(name.to_owned()).or_default().push((given, url));
            }
        }
        for (name, given) in urls {
            set_endpoints(raw, &name, &given, findings);
        }
    }
}

/// The name before the URL, and the URL. What stands before an `=` is no name if it holds what a URL does.
fn split_name(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, url)) if !name.contains([':', '/']) => (Some(name), url),
        _ => (None, text),
    }
}

/// The name of the local upstream, made if there is none. `None`: reported.
fn local_upstream(raw: &mut Raw, given: &Given, findings: &mut Findings) -> Option<String> {
    let upstreams = raw.upstreams.get_or_insert_default();
    let is_local = |upstream: &Upstream| upstream.local == Some(true);
    let name = upstreams.iter().find(|(_, upstream)| is_local(upstream)).map_or(LOCAL, |(name, _)| name).to_owned();
    if upstreams.get(&name).is_some_and(|upstream| !is_local(upstream)) {
        findings.error(
            "not-local",
            &Pointer::root().child("upstreams").child(&name),
            format!("`{}` gives the local upstream, but this one of that name is not `local`", given.origin),
            "add `local: true` to it, or name it otherwise",
        );
        return None;
    }
    // There all the same, so that a wrong URL is one mistake and not also a missing upstream.
    upstreams.entry(name.clone()).or_insert_with(|| Upstream { local: Some(true), ..Upstream::default() });
    Some(name)
}

/// Whether there is an upstream of that name that can be read. If there is none at all, that is reported: nothing would lead to one
/// that is made here.
fn is_upstream(raw: &Raw, name: &str, given: &Given, findings: &mut Findings) -> bool {
    if raw.upstreams.as_ref().is_some_and(|upstreams| upstreams.contains_key(name)) {
        return true;
    }
    let mut names = findings.keys(&Pointer::root().child("upstreams"));
    // One that could not be read has been reported.
    if !names.iter().any(|known| known == name) {
        names.extend(raw.upstreams.iter().flat_map(|upstreams| upstreams.keys().cloned()));
        names.sort();
        names.dedup();
        let help = match did_you_mean(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.is_empty() => {
                "a NAME is one of the file's `upstreams`; the service beside this Refrain is given without one".to_owned()
            }
            None => format!("the upstreams are `{}`", names.join("`, `")),
        };
        let message = format!("there is no upstream {}", quoted(name));
        findings.add(Diagnostic::error("unknown-upstream", Place::elsewhere(&given.origin), message).with_help(help));
    }
    false
}

/// Puts the endpoints in the place of the file's, if all of them are URLs.
fn set_endpoints(raw: &mut Raw, name: &str, given: &[(&Given, &str)], findings: &mut Findings) {
    let at = Pointer::root().child("upstreams").child(name).child("url");
    let mut endpoints = Vec::with_capacity(given.len());
    for (index, (given, url)) in given.iter().enumerate() {
        let place = Place::elsewhere(&given.origin);
        if index == MAX_ENDPOINTS {
            let message = format!("these are more than {MAX_ENDPOINTS} endpoints of {}", quoted(name));
            findings.add(Diagnostic::error("invalid-value", place, message));
            return;
        }
        match Endpoint::parse(url) {
            Ok(endpoint) => {
                findings.given_elsewhere(at.child(index), &given.origin);
                endpoints.push(endpoint);
            }
            Err(reason) => {
                let reason = if url.len() == given.text.len() { reason } else { format!("{}: {reason}", quoted(name)) };
                findings.add(Diagnostic::error("invalid-value", place, reason));
            }
        }
    }
    if endpoints.len() < given.len() {
        return;
    }
    if let Some((first, _)) = given.first() {
        findings.given_elsewhere(at, &first.origin);
    }
    if let Some(upstream) = raw.upstreams.as_mut().and_then(|upstreams| upstreams.get_mut(name)) {
        upstream.url = Some(Url::Many(endpoints));
    }
}

fn parsed<T>(
    given: Option<&Given>,
    at: Pointer,
    parse: impl Fn(&str) -> Result<T, String>,
    findings: &mut Findings,
) -> Option<T> {
    let given = given?;
    match parse(&given.text) {
        Ok(value) => {
            findings.given_elsewhere(at, &given.origin);
            Some(value)
        }
        Err(reason) => {
            findings.add(Diagnostic::error("invalid-value", Place::elsewhere(&given.origin), reason));
            None
        }
    }
}

fn set_preset(raw: &mut Raw, preset: Preset) {
    let rules = match raw.idempotency.take() {
        Some(Idempotency::On(mut rules)) => {
            rules.preset = Some(preset);
            rules
        }
        Some(Idempotency::Off(_)) | None => Box::new(Rules { preset: Some(preset), ..Rules::default() }),
    };
    raw.idempotency = Some(Idempotency::On(rules));
}

fn workers(text: &str) -> Result<Workers, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_WORKERS).contains(&number) => Ok(Workers::Number(number)),
        _ if text == "auto" => Ok(Workers::Word(Auto::Auto)),
        _ => Err(format!("{} is neither `auto` nor a number from 1 to {MAX_WORKERS}", quoted(text))),
    }
}

fn preset(text: &str) -> Result<Preset, String> {
    const PRESETS: [(&str, Preset); 3] = [("ietf", Preset::Ietf), ("stripe", Preset::Stripe), ("idempot-js", Preset::IdempotJs)];
    let names = PRESETS.map(|(name, _)| name);
    PRESETS.iter().find(|(name, _)| *name == text).map(|(_, preset)| *preset).ok_or_else(|| match did_you_mean(text, names) {
        Some(meant) => format!("{} is not a preset: did you mean `{meant}`?", quoted(text)),
        None => format!("{} is not a preset: there are `ietf`, `stripe` and `idempot-js`", quoted(text)),
    })
}
