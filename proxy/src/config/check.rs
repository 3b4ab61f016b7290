//! Files held against each other before anything runs by them: sagas and a configuration, together or alone.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use saga_config::{
    diagnostic::{Diagnostic, Place, Source, Span, sort},
    saga::Saga,
    yaml::{Document, read_file},
};

use super::{
    Config,
    files::{MAX_FILES, identity},
    findings::Findings,
    load::{Judged, Overrides, judge},
    sagas::{SagaFile, alone},
    secrets::Surroundings,
};

/// The name by which a text that comes on standard input is known.
pub const STANDARD_INPUT: &str = "standard input";

/// Keys that only a saga's file has at its top.
const OF_SAGAS: [&str; 3] = ["saga", "steps", "trigger"];

/// What to check.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// Files, each a saga or a configuration by its content; `-` is `input`.
    pub files: &'a [PathBuf],
    /// What came on standard input, if it was asked for.
    pub input: Option<Result<Arc<Source>, Diagnostic>>,
    /// A configuration, whatever its content.
    pub config: Option<&'a Path>,
    /// Whether `config` gives way to a configuration among `files`, as what a variable says does.
    pub config_gives_way: bool,
    /// Whether `overrides` alone are a configuration, where there is no file of one.
    pub is_configured: bool,
}

/// What came of a check.
#[derive(Debug)]
pub struct Checked {
    /// The configuration, if one was looked at; usable only where nothing is wrong.
    pub config: Option<Config>,
    /// The configuration's file, if there is one.
    pub config_file: Option<PathBuf>,
    /// The sagas that are sound by themselves.
    pub sagas: Vec<Arc<Saga>>,
    /// How many files were read, or should have been, each counted once.
    pub files: usize,
    /// Everything that is wrong or probably not meant, file by file.
    pub found: Vec<Diagnostic>,
}

/// Checks files, and those that they name. Sagas that come with a configuration are held against its upstreams, whether it names them or
/// not. `env` is as for [`load`](super::load::load). Blocks.
pub fn check(request: Request<'_>, overrides: &Overrides, env: &dyn Fn(&str) -> Option<String>) -> Checked {
    let is_configured = request.is_configured;
    let Sorted { config, sagas, unread, mut found } = Sorted::read(request);
    let judged = match &config {
        Some((path, source)) => {
            let folder = path.parent().unwrap_or(Path::new(""));
            judge(Some(source), overrides, Surroundings { folder, env }, &sagas)
        }
        None if is_configured => judge(None, overrides, Surroundings { folder: Path::new(""), env }, &sagas),
        None => Err(Vec::new()),
    };
    let mut checked = match judged {
        Ok(Judged { config, found, files }) => {
            Checked { sagas: config.sagas.definitions.clone(), config: Some(config), config_file: None, files, found }
        }
        Err(mistakes) => {
            let mut findings = Findings::default();
            let sagas = alone(&sagas, &mut findings);
            let files = findings.files() + usize::from(config.is_some());
            found.extend(mistakes);
            Checked { config: None, config_file: None, sagas, files, found: findings.into_sorted() }
        }
    };
    checked.config_file = config.map(|(path, _)| path);
    checked.files += unread;
    checked.found.extend(found);
    sort(&mut checked.found);
    checked
}

/// Files, by what they are.
#[derive(Default)]
struct Sorted {
    config: Option<(PathBuf, Arc<Source>)>,
    sagas: Vec<SagaFile>,
    /// How many could not be read, or are not looked at.
    unread: usize,
    found: Vec<Diagnostic>,
}

impl Sorted {
    fn read(request: Request<'_>) -> Self {
        let mut sorted = Self::default();
        let mut input = request.input;
        let mut seen = HashSet::new();
        let named = request.config.filter(|_| !request.config_gives_way);
        if let Some(path) = named {
            seen.insert(identity(path));
            sorted.take(path, read_file(path), Kind::Config);
        }
        for path in request.files {
            if seen.len() >= MAX_FILES {
                let message = format!("there are more than {MAX_FILES} files");
                let place = Place::elsewhere(path.display().to_string());
                sorted.refuse(Diagnostic::error("too-many-files", place, message).with_help("check them in several runs"));
                break;
            }
            let is_input = path.as_os_str() == "-";
            // The same file under two names is one file.
            if !seen.insert(if is_input { path.clone() } else { identity(path) }) {
                continue;
            }
            let text = match input.take().filter(|_| is_input) {
                Some(text) => text,
                None => read_file(path),
            };
            sorted.take_by_content(path, text);
        }
        if let Some(path) = request.config.filter(|_| request.config_gives_way && sorted.config.is_none()) {
            sorted.take(path, read_file(path), Kind::Config);
        }
        sorted
    }

    fn take_by_content(&mut self, path: &Path, text: Result<Arc<Source>, Diagnostic>) {
        let kind = text.as_ref().map_or(Kind::Saga, kind);
        self.take(path, text, kind);
    }

    fn take(&mut self, path: &Path, text: Result<Arc<Source>, Diagnostic>, kind: Kind) {
        let source = match text {
            Ok(source) => source,
            Err(mistake) => return self.refuse(mistake),
        };
        match (kind, &self.config) {
            (Kind::Saga, _) => self.sagas.push(SagaFile { path: path.to_owned(), source }),
            (Kind::Config, None) => self.config = Some((path.to_owned(), source)),
            (Kind::Config, Some((_, first))) => {
                let place = Place::in_source(&source, Span::at(0));
                let message = "this is a second configuration: sagas are held against one";
                let diagnostic = Diagnostic::error("two-configurations", place, message)
                    .with_label(Place::elsewhere(first.name()), "the first")
                    .with_help("check them in two runs; a saga's file has `saga: NAME` at its top");
                self.refuse(diagnostic);
            }
        }
    }

    fn refuse(&mut self, mistake: Diagnostic) {
        self.unread += 1;
        self.found.push(mistake);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Saga,
    Config,
}

/// What a file is, by the keys at its top.
fn kind(source: &Arc<Source>) -> Kind {
    let is_of_saga = |key: &str| OF_SAGAS.contains(&key);
    let is_saga = match Document::recover(source).0 {
        Some(document) => document.root().entries().iter().any(|entry| is_of_saga(&entry.key.text)),
        // What is no YAML may still show what it was to be.
        None => source.text().lines().filter_map(|line| line.split_once(':')).any(|(key, _)| is_of_saga(key)),
    };
    if is_saga { Kind::Saga } else { Kind::Config }
}
