//! Where `secret()` is there. What it gives is written down nowhere but, sealed, in bodies of sagas that say that they are `sensitive`.

use super::build::Builder;
use crate::{
    diagnostic::{Diagnostic, did_you_mean, quoted},
    expr::{Expression, SecretUse},
    yaml::Pointer,
};

/// Whether `secret()` is there, in a place of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrets {
    /// It is not: what is computed there is journalled, shown or part of an address.
    Refused,
    /// Alone in its `${…}`: it is bound when the header is sent, and never evaluated.
    InHeader,
    /// In a `sensitive` saga, as a part of any expression.
    InBody,
}

const WORD: &str = "secret";

impl Builder<'_, '_> {
    /// Whether an expression, which begins at byte `start` of the text at `at`, may name a secret as it does; else it is reported.
    pub(super) fn secret(
        &mut self,
        expression: &Expression,
        used: &SecretUse,
        at: &Pointer,
        start: usize,
        allowed: Secrets,
    ) -> bool {
        let offset = start + used.offset_bytes.unwrap_or_default();
        let place = self.findings.place_within(at, offset..offset + WORD.len());
        let refusal = match allowed {
            Secrets::InHeader if expression.as_secret().is_some() => None,
            Secrets::InBody if self.is_sensitive => None,
            Secrets::InHeader => Some((
                "a secret in a header is put in when that is sent, and not evaluated: nothing else stands in its `${…}`",
                "write text around it: `Bearer ${secret('name')}`",
            )),
            Secrets::InBody => Some((
                "a body is kept until its call is done, and the store is to seal one with a secret in it",
                "write `sensitive: true` at the saga, or send the secret in a header",
            )),
            Secrets::Refused => Some((
                "`secret()` is not there here: what is computed here is journalled, logged or shown",
                "secrets are there in the headers of calls, and in the bodies of `sensitive` sagas",
            )),
        };
        if let Some((message, help)) = refusal {
            self.findings.add(Diagnostic::error("secret-here", place, message).with_help(help));
            return false;
        }
        if !self.secrets.contains(&used.name) {
            self.secrets.push(used.name.clone());
        }
        let known = self.upstreams.and_then(|upstreams| upstreams.secrets());
        if let Some(known) = known.filter(|known| !known.iter().any(|known| known == used.name.as_str())) {
            let message = format!("there is no secret {}", quoted(used.name.as_str()));
            let help = match did_you_mean(used.name.as_str(), known.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None if known.is_empty() => format!("write `secrets: {{{}: {{env: NAME}}}}` in the configuration", used.name),
                None => format!("there are {}", known.join(", ")),
            };
            self.findings.prove(Diagnostic::error("unknown-secret", place, message).with_help(help));
        }
        true
    }
}
