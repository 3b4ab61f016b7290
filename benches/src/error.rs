//! Why there is no figure.

use std::io;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system does not do something.
    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
    /// A program that is not here. A contender is skipped for it.
    #[error("{0} is not installed")]
    Missing(String),
    /// A program did not do its part.
    #[error("{who}: {said}")]
    Program { who: String, said: String },
    /// What was measured is no result.
    #[error("{0}")]
    Invalid(String),
    /// By a signal.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// For `map_err`.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// A program's failure.
    pub(crate) fn program(who: impl Into<String>, said: impl Into<String>) -> Self {
        Self::Program { who: who.into(), said: said.into() }
    }

    /// On standard error.
    pub(crate) fn tell(&self) {
        eprintln!("bench: {self}");
    }
}
