//! What is found while a definition is checked, and where it was written.

use std::ops::Range;

use crate::{
    diagnostic::{Diagnostic, Place, has_errors, sort},
    template::TemplateError,
    yaml::{Document, Pointer},
};

/// Collects what is wrong.
#[derive(Debug)]
pub(super) struct Findings {
    /// The file; of a definition from the store there is none.
    document: Option<Document>,
    /// What could not be read and was reported: checks that would look at it know nothing.
    left_out: Vec<Pointer>,
    /// Whether proofs count. Those of a definition that was accepted once do not: it must load.
    judges: bool,
    found: Vec<Diagnostic>,
}

impl Findings {
    /// `found`: what is wrong with the file's form.
    pub(super) fn of_file(document: Document, left_out: Vec<Pointer>, found: Vec<Diagnostic>) -> Self {
        Self { document: Some(document), left_out, judges: true, found }
    }

    /// Of a definition that was accepted once.
    pub(super) fn of_stored() -> Self {
        Self { document: None, left_out: Vec::new(), judges: false, found: Vec::new() }
    }

    /// Something without which there is no saga.
    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// As [`add`](Self::add), for the value at `at`.
    pub(super) fn error(&mut self, code: &'static str, at: &Pointer, message: impl Into<String>, help: impl Into<String>) {
        self.add(Diagnostic::error(code, self.place(at), message).with_help(help));
    }

    /// Something that could be run and is refused.
    pub(super) fn prove(&mut self, diagnostic: Diagnostic) {
        if self.judges {
            self.found.push(diagnostic);
        }
    }

    /// As [`prove`](Self::prove), for the value at `at`.
    pub(super) fn refuse(&mut self, code: &'static str, at: &Pointer, message: impl Into<String>, help: impl Into<String>) {
        self.prove(Diagnostic::error(code, self.place(at), message).with_help(help));
    }

    /// Something that is allowed and probably not meant.
    pub(super) fn warning(&mut self, code: &'static str, at: &Pointer, message: impl Into<String>, help: impl Into<String>) {
        self.prove(Diagnostic::warning(code, self.place(at), message).with_help(help));
    }

    /// An error in a template that stands at `at`, its text from `offset` on.
    pub(super) fn template_error(&mut self, at: &Pointer, offset: usize, error: TemplateError) {
        let text = self.document.as_ref().and_then(|document| document.node(at)?.as_str());
        let diagnostic = error.into_diagnostic(text, offset, |part| self.place_within(at, part));
        self.add(diagnostic);
    }

    /// Where the value at `at` was written; what it would hang at if it was not.
    pub(super) fn place(&self, at: &Pointer) -> Place {
        self.place_by(at, |document| document.place(at))
    }

    /// Where the key at `at` was written.
    pub(super) fn key_place(&self, at: &Pointer) -> Place {
        self.place_by(at, |document| document.key_place(at))
    }

    /// Where a part of the text at `at` was written.
    pub(super) fn place_within(&self, at: &Pointer, part: Range<usize>) -> Place {
        self.place_by(at, |document| document.place_within(at, part))
    }

    /// Whether nothing at, above or below `at` had to be left out.
    pub(super) fn is_whole(&self, at: &Pointer) -> bool {
        !self.left_out.iter().any(|left_out| left_out.is_within(at) || at.is_within(left_out))
    }

    /// Whether `at` itself had to be left out.
    pub(super) fn is_left_out(&self, at: &Pointer) -> bool {
        self.left_out.contains(at)
    }

    /// Whether something is wrong, as far as is known.
    pub(super) fn has_errors(&self) -> bool {
        has_errors(&self.found)
    }

    /// Everything, in the order of the file.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found;
        sort(&mut found);
        found
    }

    fn place_by(&self, at: &Pointer, in_file: impl FnOnce(&Document) -> Place) -> Place {
        match &self.document {
            Some(document) => in_file(document),
            None => Place::elsewhere(format!("the stored definition, at {at}")),
        }
    }
}
