//! What is wrong with a file, where, and what would be right.
//!
//! A check never stops at the first mistake: it returns every [`Diagnostic`] it can, each pointing at the text that
//! caused it. [`render`] shows them to people, [`to_json_lines`] to programs. Nothing here decides what is wrong.
//!
//! ```
//! use saga_config::diagnostic::{Colour, Diagnostic, Place, Source, Span, render};
//!
//! let source = Source::new("refrain.yaml", "lissten: 127.0.0.1:8080\n");
//! let found = Diagnostic::error("unknown-key", Place::in_source(&source, Span::new(0, 7)), "unknown key `lissten`")
//!     .with_help("did you mean `listen`?");
//! assert_eq!(
//!     render(&[found], Colour::Never),
//!     "error[unknown-key]: unknown key `lissten`
//!  --> refrain.yaml:1:1
//!   |
//! 1 | lissten: 127.0.0.1:8080
//!   | ^^^^^^^
//!   = help: did you mean `listen`?
//! "
//! );
//! ```

mod json;
mod render;
mod source;
mod suggest;
mod text;

pub use json::to_json_lines;
pub use render::{Colour, render};
pub use source::{Place, Position, Source, Span};
pub use suggest::did_you_mean;
pub(crate) use text::escaped;
pub use text::quoted;

/// One thing to say about a file, a flag or a variable.
///
/// A pointer wide, so that it can be the error of a `Result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    severity: Severity,
    code: &'static str,
    message: String,
    place: Place,
    labels: Vec<Label>,
    notes: Vec<String>,
    help: Option<String>,
}

/// Whether a diagnostic forbids to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, and something in it is probably not what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Another place that belongs to a diagnostic, such as the first of two equal keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What is to be seen there, in a few words.
    pub text: String,
}

impl Diagnostic {
    /// A reason to refuse the file. `code` is a stable name in kebab-case, for programs and for the documentation.
    pub fn error(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, place, message.into())
    }

    /// Something that is allowed and probably not meant.
    pub fn warning(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, place, message.into())
    }

    fn new(severity: Severity, code: &'static str, place: Place, message: String) -> Self {
        Self(Box::new(Parts { severity, code, message, place, labels: Vec::new(), notes: Vec::new(), help: None }))
    }

    /// Points at a second place.
    #[must_use]
    pub fn with_label(mut self, place: Place, text: impl Into<String>) -> Self {
        let text = text.into();
        self.0.labels.push(Label { place, text });
        self
    }

    /// Adds a fact that explains the message.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// Says what would be right. There is one help; a second call replaces it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Error or warning.
    pub fn severity(&self) -> Severity {
        self.0.severity
    }

    /// The stable name of the kind of mistake.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The other places.
    pub fn labels(&self) -> &[Label] {
        &self.0.labels
    }

    /// The explaining facts.
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// What would be right, if known.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

/// The one-line form for logs: `refrain.yaml:3:1: error: unknown key …`.
impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (place, severity) = (self.place(), self.severity().as_str());
        write!(f, "{place}: {severity}: {}", text::escaped(self.message()))?;
        match self.help() {
            Some(help) => write!(f, " ({})", text::escaped(help)),
            None => Ok(()),
        }
    }
}

/// Orders diagnostics by file and place and drops those that say the same of the same place.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| {
        let key = |d: &'_ Diagnostic| (d.severity(), d.code());
        (a.place().order().cmp(&b.place().order())).then_with(|| key(a).cmp(&key(b))).then_with(|| a.message().cmp(b.message()))
    });
    diagnostics.dedup_by(|a, b| a.code() == b.code() && a.message() == b.message() && a.place().order() == b.place().order());
}

/// Whether any of them forbids to go on.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity() == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_orders_by_place_and_drops_repetitions() {
        let source = Source::new("b", "x: 1\ny: 2\n");
        let at = |start| Place::in_source(&source, Span::new(start, start + 1));
        let mut found = vec![
            Diagnostic::error("later", at(5), "second"),
            Diagnostic::error("flag", Place::elsewhere("--listen"), "flag"),
            Diagnostic::warning("first", at(0), "warning"),
            Diagnostic::error("later", at(5), "second").with_help("again"),
            Diagnostic::error("first", at(0), "error"),
        ];
        sort(&mut found);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["--listen: error: flag", "b:1:1: error: error", "b:1:1: warning: warning", "b:2:1: error: second",]);
        assert!(has_errors(&found));
        assert!(!has_errors(&found[2..3]));
    }
}
