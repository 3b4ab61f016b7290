//! What is found while a configuration is checked, and where it was written: in the file, or on the command line.

use std::{collections::BTreeMap, ops::Range};

use saga_config::{
    diagnostic::{Diagnostic, Place, sort},
    template::TemplateError,
    yaml::{Document, Pointer},
};

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Findings {
    document: Option<Document>,
    /// What could not be read and was reported: checks that would look at it know nothing.
    left_out: Vec<Pointer>,
    /// What was not written in the file: the flag or variable by pointer.
    origins: BTreeMap<Pointer, String>,
    /// How many other files were read, or should have been.
    files: usize,
    found: Vec<Diagnostic>,
}

impl Findings {
    /// `found`: what is wrong with the file's form.
    pub(super) fn of_file(document: Document, left_out: Vec<Pointer>, found: Vec<Diagnostic>) -> Self {
        Self { document: Some(document), left_out, origins: BTreeMap::new(), files: 0, found }
    }

    /// What follows about `at` is about a flag or a variable.
    pub(super) fn given_elsewhere(&mut self, at: Pointer, origin: &str) {
        self.origins.insert(at, origin.to_owned());
    }

    /// Whether something stands at `at` in the file.
    pub(super) fn is_written(&self, at: &Pointer) -> bool {
        self.document.as_ref().is_some_and(|document| document.node(at).is_some())
    }

    /// Whether what stands at `at` was not written in the file.
    pub(super) fn is_given_elsewhere(&self, at: &Pointer) -> bool {
        self.origins.contains_key(at)
    }

    /// Another file is looked at.
    pub(super) fn count_file(&mut self) {
        self.files += 1;
    }

    /// How many other files were looked at.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    pub(super) fn error(&mut self, code: &'static str, at: &Pointer, message: impl Into<String>, help: impl Into<String>) {
        self.add(Diagnostic::error(code, self.place(at), message).with_help(help));
    }

    pub(super) fn warning(&mut self, code: &'static str, at: &Pointer, message: impl Into<String>, help: impl Into<String>) {
        self.add(Diagnostic::warning(code, self.place(at), message).with_help(help));
    }

    /// As [`warning`](Self::warning), about the key at `at`.
    pub(super) fn warning_at_key(
        &mut self,
        code: &'static str,
        at: &Pointer,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Diagnostic::warning(code, self.key_place(at), message).with_help(help));
    }

    /// An error in a template that stands at `at`, its text from `offset` on.
    pub(super) fn template_error(&mut self, at: &Pointer, offset: usize, error: TemplateError) {
        let text = self.document.as_ref().and_then(|document| document.node(at)?.as_str());
        let diagnostic = error.into_diagnostic(text, offset, |part| self.place_within(at, part));
        self.add(diagnostic);
    }

    /// Where the value at `at` was written; what it would hang at if it was not.
    pub(super) fn place(&self, at: &Pointer) -> Place {
        self.elsewhere(at).unwrap_or_else(|| match &self.document {
            Some(document) => document.place(at),
            None => Place::elsewhere("the defaults"),
        })
    }

    /// Where the key at `at` was written.
    pub(super) fn key_place(&self, at: &Pointer) -> Place {
        self.elsewhere(at).unwrap_or_else(|| match &self.document {
            Some(document) => document.key_place(at),
            None => Place::elsewhere("the defaults"),
        })
    }

    /// Where a part of the text at `at` was written.
    pub(super) fn place_within(&self, at: &Pointer, part: Range<usize>) -> Place {
        match &self.document {
            Some(document) if self.elsewhere(at).is_none() => document.place_within(at, part),
            _ => self.place(at),
        }
    }

    /// The keys of the map at `at`, sound or not.
    pub(super) fn keys(&self, at: &Pointer) -> Vec<String> {
        let node = self.document.as_ref().and_then(|document| document.node(at));
        node.map(|node| node.entries().iter().map(|entry| entry.key.text.clone()).collect()).unwrap_or_default()
    }

    /// Whether nothing at, above or below `at` had to be left out.
    pub(super) fn is_whole(&self, at: &Pointer) -> bool {
        !self.left_out.iter().any(|left_out| left_out.is_within(at) || at.is_within(left_out))
    }

    /// Everything, in the order of the file.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found;
        sort(&mut found);
        found
    }

    fn elsewhere(&self, at: &Pointer) -> Option<Place> {
        self.origins.get(at).map(Place::elsewhere)
    }
}
