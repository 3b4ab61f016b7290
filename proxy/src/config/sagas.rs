//! `sagas`: the definitions, from their files, held against the upstreams and against each other.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use saga_config::{
    diagnostic::{Diagnostic, Place, Source, quoted},
    names::UpstreamName,
    saga::{Action, Later, Loaded, Saga, Step, UpstreamFact, UpstreamFacts},
    yaml::{Document, Node, Pointer, read_file},
};

use super::{
    FilePattern, PathMatch, RouteMatch, SagasConfig, Segment, UpstreamConfig,
    authentication::has_claims,
    files::{self, MAX_FILES},
    findings::Findings,
    limits::positive,
    paths,
    raw::{self, Raw, sagas::Durability},
    secrets::{Surroundings, find_unused},
    upstreams::{Named, Upstreams},
};
use crate::router::clash;

/// A shorter lease lapses between two renewals.
const SHORTEST_LEASE: Duration = Duration::from_millis(200);
/// The first segment of what this Refrain answers itself.
const OWN_SEGMENT: &str = "refrain";

/// A saga's file that was read.
#[derive(Debug)]
pub(super) struct SagaFile {
    pub(super) path: PathBuf,
    pub(super) source: Arc<Source>,
}

/// What the file says of sagas, and those that it names, with `also`, which it need not name.
pub(super) fn sagas(
    raw: &Raw,
    upstreams: &Upstreams,
    around: Surroundings<'_>,
    also: &[SagaFile],
    findings: &mut Findings,
) -> SagasConfig {
    let at = Pointer::root().child("sagas");
    let default = SagasConfig::default();
    let nothing = raw::sagas::Sagas::default();
    let written = raw.sagas.as_ref().unwrap_or(&nothing);
    // The only one there is: the others are refused by name.
    let Durability::Store = written.durability.unwrap_or(Durability::Store);
    let lease = positive(written.lease, default.lease, &at.child("lease"), findings);
    if !lease.is_zero() && lease < SHORTEST_LEASE {
        let message = format!("a lease of {lease:?} lapses between two renewals");
        findings.error("lease-too-short", &at.child("lease"), message, format!("write at least {SHORTEST_LEASE:?}"));
    }
    let files = patterns(written, &at.child("files"), around, findings);
    let sources = read(&files, also, findings);
    let can_seal =
        raw.store.as_ref().and_then(|store| store.encryption.as_ref()?.keys.as_ref()).is_some_and(|keys| !keys.is_empty());
    let secrets = findings.keys(&Pointer::root().child("secrets"));
    let facts = Facts { upstreams, secrets: &secrets };
    // Where an upstream has a mistake, nothing is said of the services that sagas name: it would be wrong.
    let facts = upstreams.are_sound().then_some(&facts as &dyn UpstreamFacts);
    let has_claims = has_claims(raw, findings);
    let together = Together { can_seal, is_reachable: raw.public_url.is_some(), has_claims, seen: Vec::new() };
    let definitions = definitions(&sources, facts, together, findings);
    // A saga that could not be read may be the one that names it.
    if definitions.len() == sources.len() {
        find_unused(&secrets, &definitions, findings);
    }
    SagasConfig {
        definitions,
        lease,
        partitions: written.partitions.unwrap_or(default.partitions),
        retention: positive(written.retention, default.retention, &at.child("retention"), findings),
        files: files.into_iter().map(|(_, pattern)| pattern).collect(),
    }
}

/// Sagas without a configuration: nothing is said of upstreams, nor of whether the store encrypts.
pub(super) fn alone(files: &[SagaFile], findings: &mut Findings) -> Vec<Arc<Saga>> {
    let sources: Vec<_> = files.iter().map(|file| Arc::clone(&file.source)).collect();
    let together = Together { can_seal: true, is_reachable: true, has_claims: true, seen: Vec::new() };
    definitions(&sources, None, together, findings)
}

/// The sound ones of `sources`, held against `upstreams`, where those are known, and against each other.
fn definitions(
    sources: &[Arc<Source>],
    upstreams: Option<&dyn UpstreamFacts>,
    mut together: Together,
    findings: &mut Findings,
) -> Vec<Arc<Saga>> {
    let mut definitions = Vec::new();
    for (source, loaded) in sources.iter().zip(Saga::load_all(sources, upstreams)) {
        findings.count_file();
        match loaded {
            Err(mistakes) => mistakes.into_iter().for_each(|mistake| findings.add(mistake)),
            Ok(Loaded { saga, warnings, .. }) => {
                warnings.into_iter().for_each(|warning| findings.add(warning));
                let saga = Arc::new(saga);
                together.check(&saga, source, findings);
                definitions.push(saga);
            }
        }
    }
    definitions
}

fn patterns(
    written: &raw::sagas::Sagas,
    at: &Pointer,
    around: Surroundings<'_>,
    findings: &mut Findings,
) -> Vec<(Pointer, FilePattern)> {
    let mut patterns: Vec<(Pointer, FilePattern)> = Vec::new();
    for (index, text) in written.files.iter().flatten().enumerate() {
        let at = at.child(index);
        match FilePattern::new(&around.resolve(text)) {
            Err(message) => findings.error("invalid-path", &at, message, "write a path such as sagas/*.yaml"),
            Ok(pattern) if patterns.iter().any(|(_, known)| *known == pattern) => {
                findings.error("duplicate-item", &at, "this path is in the list already", "name every path once");
            }
            Ok(pattern) => patterns.push((at, pattern)),
        }
    }
    patterns
}

/// The files, each once, in the order of their names within a pattern; then those of `also` that no pattern names.
fn read(patterns: &[(Pointer, FilePattern)], also: &[SagaFile], findings: &mut Findings) -> Vec<Arc<Source>> {
    let mut seen: HashSet<PathBuf> = HashSet::new();
    let mut sources = Vec::new();
    for (at, pattern) in patterns {
        let files = match pattern.files() {
            Ok(files) => files,
            Err(error) => {
                let message = format!("the folder {} cannot be read: {error}", quoted(&pattern.folder().display().to_string()));
                findings.error("unreadable", at, message, "name a folder that is there");
                continue;
            }
        };
        if files.is_empty() {
            findings.warning(
                "no-file",
                at,
                "no file is called so: there is no saga here",
                "put definitions there, or leave it out",
            );
        }
        for file in files {
            if seen.len() == MAX_FILES {
                findings.error("too-many-files", at, format!("there are more than {MAX_FILES} files"), "name fewer");
                return sources;
            }
            if seen.insert(file.clone()) {
                match read_file(&file) {
                    Ok(source) => sources.push(source),
                    Err(mistake) => {
                        findings.count_file();
                        findings.add(mistake.with_label(findings.place(at), "named here"));
                    }
                }
            }
        }
    }
    if !also.is_empty() {
        let named: HashSet<PathBuf> = seen.iter().map(|path| files::identity(path)).collect();
        let others = also.iter().filter(|file| !named.contains(&files::identity(&file.path)));
        sources.extend(others.map(|file| Arc::clone(&file.source)));
    }
    sources
}

/// What is right alone and wrong together.
struct Together {
    /// Whether the store seals what is stored.
    can_seal: bool,
    /// Whether it is said how this Refrain is reached (`public_url`).
    is_reachable: bool,
    /// Whether tokens are verified, so that there are `claims`.
    has_claims: bool,
    seen: Vec<Seen>,
}

struct Seen {
    name: (String, Place),
    trigger: Option<(RouteMatch, Place)>,
}

impl Together {
    fn check(&mut self, saga: &Arc<Saga>, source: &Arc<Source>, findings: &mut Findings) {
        let document = Document::recover(source).0;
        let place = |at: &[&str]| {
            let at = at.iter().fold(Pointer::root(), |at, key| at.child(*key));
            document.as_ref().map_or_else(|| Place::elsewhere(source.name()), |document| document.place(&at))
        };
        let key = if saga.trigger.by_name { "start" } else { "route" };
        let trigger_at = place(&["trigger", key]);
        let trigger = matcher(saga);
        if trigger.as_ref().is_some_and(is_own) {
            let message = format!("paths below `/{OWN_SEGMENT}/` are this Refrain's own");
            findings.add(Diagnostic::error("own-path", trigger_at.clone(), message).with_help("start the saga at another path"));
        }
        if saga.sensitive && !self.can_seal {
            let message = "this saga holds secrets, and the store does not seal what is stored";
            let help = "give the configuration a key: `store: {encryption: {keys: [{id: 2026-01, key: {env: STORE_KEY}}]}}`";
            findings.add(Diagnostic::error("not-sealed", place(&["sensitive"]), message).with_help(help));
        }
        if !self.is_reachable {
            for step in saga.steps.iter().filter(|step| is_called_back(step)) {
                let at = document.as_ref().and_then(|document| wait_of(document, step.id.id()));
                let at = at.unwrap_or_else(|| place(&["steps"]));
                let message =
                    format!("`{}` waits for a callback, and nothing says at which address this Refrain is reached", step.id);
                let help = "write it in the configuration: `public_url: https://shop.example`";
                findings.add(Diagnostic::error("no-public-url", at, message).with_help(help));
            }
        }
        for input in saga.input.iter().filter(|_| !self.has_claims) {
            if input.from.expressions().iter().any(|expression| expression.touches(&["claims"])) {
                let message = "`claims` are those of a verified token, and no token is verified here";
                let help = "say how in the configuration, with `authentication: {jwt: …}`, or take the value from `request`";
                let at = place(&["input", input.name.as_str(), "from"]);
                findings.add(Diagnostic::error("no-claims", at, message).with_help(help));
            }
        }
        let name = (saga.name.as_str().to_owned(), place(&["saga"]));
        if let Some(other) = self.seen.iter().find(|other| other.name.0 == name.0) {
            let diagnostic = Diagnostic::error("duplicate-saga", name.1.clone(), "another saga has this name")
                .with_label(other.name.1.clone(), "the other one")
                .with_help("give every saga a name of its own");
            findings.add(diagnostic);
        }
        let trigger = trigger.map(|matcher| (matcher, trigger_at));
        let clashing = trigger.as_ref().and_then(|(matcher, at)| {
            let other = self.seen.iter().filter_map(|other| other.trigger.as_ref()).find(|(other, _)| clash(other, matcher))?;
            Some((at.clone(), other.1.clone()))
        });
        if let Some((at, other)) = clashing {
            let diagnostic = Diagnostic::error("ambiguous-triggers", at, "another saga is started by the same requests")
                .with_label(other, "the other one")
                .with_help("tell them apart by path or method");
            findings.add(diagnostic);
        }
        self.seen.push(Seen { name, trigger });
    }
}

fn is_called_back(step: &Step) -> bool {
    matches!(&step.action, Action::Call(call) if matches!(call.later, Some(Later::Callback(_))))
}

/// Where a step says that it waits. It may stand in a group, in a switch or in a loop: that is as deep as a file is.
fn wait_of(document: &Document, id: &str) -> Option<Place> {
    fn find<'d>(node: &'d Node, id: &str) -> Option<&'d Node> {
        let is_it = node.child("id").and_then(Node::as_str) == Some(id);
        let own = node.child("wait").filter(|_| is_it);
        let within =
            || node.items().iter().chain(node.entries().iter().map(|entry| &entry.value)).find_map(|node| find(node, id));
        own.or_else(within)
    }
    find(document.root(), id).map(|node| document.at(node.span()))
}

fn matcher(saga: &Saga) -> Option<RouteMatch> {
    // A path that is none has been reported.
    let path = paths::trigger(&saga.trigger.path).ok()?;
    Some(RouteMatch { path, methods: vec![saga.trigger.method.clone()], host: None })
}

/// Whether every path that it matches is this Refrain's own.
fn is_own(matcher: &RouteMatch) -> bool {
    match &matcher.path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path.trim_start_matches('/').split('/').next() == Some(OWN_SEGMENT),
        PathMatch::Template(segments) => matches!(segments.first(), Some(Segment::Literal(first)) if first == OWN_SEGMENT),
    }
}

/// What sagas are held against.
struct Facts<'a> {
    upstreams: &'a Upstreams,
    secrets: &'a [String],
}

impl UpstreamFacts for Facts<'_> {
    fn find(&self, name: Option<&UpstreamName>) -> Option<UpstreamFact> {
        let named = name.map_or(self.upstreams.local, |name| self.upstreams.find(name.as_str()));
        let Named::Sound(index) = named else { return None };
        self.upstreams.sound.get(index).map(|upstream| fact(upstream))
    }

    fn names(&self) -> Vec<String> {
        self.upstreams.names().map(str::to_owned).collect()
    }

    fn secrets(&self) -> Option<Vec<String>> {
        Some(self.secrets.to_vec())
    }
}

fn fact(upstream: &UpstreamConfig) -> UpstreamFact {
    UpstreamFact {
        has_refrain: upstream.local || upstream.refrain,
        idempotency_window: upstream.idempotency_window,
        max_execution: upstream.max_execution,
        has_credentials: upstream.auth.is_some(),
    }
}
