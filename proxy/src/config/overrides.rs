//! What is given on the command line or in the environment, over what the file says.

use std::fmt;

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
    /// The URL of the local upstream. Without a local upstream in the file: one named `local`.
    pub upstream: Option<Given>,
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
        self.set_upstream(raw, findings);
    }

    fn set_upstream(&self, raw: &mut Raw, findings: &mut Findings) {
        let Some(given) = &self.upstream else { return };
        let upstreams = raw.upstreams.get_or_insert_default();
        let is_local = |upstream: &Upstream| upstream.local == Some(true);
        let name = upstreams.iter().find(|(_, upstream)| is_local(upstream)).map_or(LOCAL, |(name, _)| name).to_owned();
        let taken = upstreams.get(&name).is_some_and(|upstream| !is_local(upstream));
        let at = Pointer::root().child("upstreams").child(&name);
        if taken {
            findings.error(
                "not-local",
                &at,
                format!("`{}` gives the local upstream, but this one of that name is not `local`", given.origin),
                "add `local: true` to it, or name it otherwise",
            );
            return;
        }
        // There all the same, so that a wrong URL is one mistake and not also a missing upstream.
        let upstream = upstreams.entry(name).or_insert_with(|| Upstream { local: Some(true), ..Upstream::default() });
        if let Some(url) = parsed(Some(given), at.child("url"), Endpoint::parse, findings) {
            upstream.url = Some(Url::One(url));
        }
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
