//! Texts with `${…}` in them, compiled for the place they stand at.

use http::HeaderName;
use serde_json::Value;

use super::{
    build::Builder,
    limits,
    ordered::Ordered,
    raw::Status,
    scope::{EVERYWHERE, Scope},
    unfold::LoopPlan,
};
use crate::{
    diagnostic::{Diagnostic, quoted},
    expr::{Expression, Names, Use},
    names::VariableName,
    template::{CallTarget, Template, TemplateError, ValueTemplate},
    yaml::Pointer,
};

/// Headers that are Refrain's to set, or the connection's.
const RESERVED: [&str; 16] = [
    "connection",
    "content-length",
    "host",
    "idempotency-attempt",
    "idempotency-expires",
    "idempotency-key",
    "idempotency-replayed",
    "idempotency-status",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
];

impl Builder<'_, '_> {
    /// Compiles the condition, one `${…}`, that `text`, written at `at`, has to be. `None`: reported.
    pub(super) fn expression(&mut self, text: &str, at: &Pointer, scope: &Scope) -> Option<Expression> {
        self.expression_for(Use::Condition, text, at, scope)
    }

    pub(super) fn expression_for(&mut self, wanted: Use, text: &str, at: &Pointer, scope: &Scope) -> Option<Expression> {
        let template = self.template_for(wanted, text, at, scope)?;
        let whole = template.whole().cloned();
        if whole.is_none() {
            let help = match template.literal() {
                Some(_) => format!("write ${{{text}}}"),
                None => "put everything into one ${…}".to_owned(),
            };
            self.findings.error("not-an-expression", at, "this has to be one expression, `${…}`, and nothing else", help);
        }
        whole
    }

    /// As [`expression`](Self::expression), for one that may be left out: `Some(None)`.
    pub(super) fn maybe(&mut self, text: Option<&String>, at: &Pointer, scope: &Scope) -> Option<Option<Expression>> {
        match text {
            None => Some(None),
            Some(text) => self.expression(text, at, scope).map(Some),
        }
    }

    /// Compiles a text with `${…}` in it, for a text. `None`: reported.
    pub(super) fn template(&mut self, text: &str, at: &Pointer, scope: &Scope) -> Option<Template> {
        self.template_for(Use::Text, text, at, scope)
    }

    fn template_for(&mut self, wanted: Use, text: &str, at: &Pointer, scope: &Scope) -> Option<Template> {
        match Template::parse(text, &self.names(scope)) {
            Ok(template) => self.check(&template, wanted, at, 0, scope).then_some(template),
            Err(error) => {
                self.not_a_template(text, at, error, scope);
                None
            }
        }
    }

    /// Compiles JSON with templates in it. `None`: reported.
    pub(super) fn value(&mut self, value: &Value, at: &Pointer, scope: &Scope) -> Option<ValueTemplate> {
        match ValueTemplate::parse(value, &self.names(scope)) {
            Ok(parsed) => {
                let mut sound = true;
                for (inside, template) in parsed.templates() {
                    sound &= self.check(template, Use::Value, &below(at, &inside), 0, scope);
                }
                sound.then_some(parsed)
            }
            Err(errors) => {
                for wrong in errors {
                    let text = value.pointer(&wrong.pointer).and_then(Value::as_str).unwrap_or_default();
                    let inside = wrong.pointer.parse().unwrap_or_else(|_| Pointer::root());
                    self.not_a_template(text, &below(at, &inside), wrong.error, scope);
                }
                self.check_sound_texts(value, at, scope);
                None
            }
        }
    }

    /// Checks the texts of a value of which others are wrong. As deep as a file nests at most.
    fn check_sound_texts(&mut self, value: &Value, at: &Pointer, scope: &Scope) {
        match value {
            Value::String(text) => {
                if let Ok(template) = Template::parse(text, &self.names(scope)) {
                    self.check(&template, Use::Value, at, 0, scope);
                }
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.check_sound_texts(item, &at.child(index), scope));
            }
            Value::Object(entries) => {
                entries.iter().for_each(|(key, value)| self.check_sound_texts(value, &at.child(key), scope));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Compiles `[upstream] METHOD target`. `None`: reported.
    pub(super) fn target(&mut self, text: &str, at: &Pointer, scope: &Scope) -> Option<CallTarget> {
        match CallTarget::parse(text, &self.names(scope)) {
            Ok(call) => self.check(call.template(), Use::Text, at, call.target_offset(), scope).then_some(call),
            Err(error) => {
                self.not_a_template(text, at, error, scope);
                None
            }
        }
    }

    /// Compiles headers. `None`: reported.
    pub(super) fn headers(
        &mut self,
        written: Option<&Ordered<String>>,
        at: &Pointer,
        scope: &Scope,
    ) -> Option<Vec<(HeaderName, Template)>> {
        let Some(Ordered(written)) = written else { return Some(Vec::new()) };
        self.at_most(written.len(), limits::HEADERS, "headers", at);
        let mut headers: Vec<(HeaderName, Template)> = Vec::new();
        for (name, text) in written {
            let at = at.child(name);
            let name = self.header_name(name, &at);
            let template = self.template(text, &at, scope);
            if text.contains(|c: char| c.is_ascii_control()) {
                self.findings.refuse(
                    "control-in-header",
                    &at,
                    "a header has no line breaks and no control characters",
                    "leave them out",
                );
            }
            let (Some(name), Some(template)) = (name, template) else { continue };
            if headers.iter().any(|(known, _)| *known == name) {
                let place = self.findings.key_place(&at);
                let message = format!("the header {} is there twice", quoted(name.as_str()));
                self.findings
                    .add(Diagnostic::error("duplicate-header", place, message).with_help("headers have no case: leave one out"));
            }
            headers.push((name, template));
        }
        (headers.len() == written.len()).then_some(headers)
    }

    fn header_name(&mut self, text: &str, at: &Pointer) -> Option<HeaderName> {
        let place = self.findings.key_place(at);
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            let message = format!("{} is not a header's name", quoted(text));
            let diagnostic =
                Diagnostic::error("invalid-value", place, message).with_help("use letters, digits and `-`, without a colon");
            self.findings.add(diagnostic);
            return None;
        };
        let is_ours = RESERVED.contains(&name.as_str()) || ["saga-", "refrain-"].iter().any(|own| name.as_str().starts_with(own));
        if is_ours {
            let message = format!("{} is set by Refrain itself", quoted(text));
            self.findings.prove(Diagnostic::error("reserved-header", place, message).with_help("leave it out"));
        }
        Some(name)
    }

    /// Compiles named values: outputs, and what a step computes. `None`: reported.
    pub(super) fn named(
        &mut self,
        written: Option<&Ordered<Value>>,
        at: &Pointer,
        scope: &Scope,
    ) -> Option<Vec<(VariableName, ValueTemplate)>> {
        let Some(Ordered(written)) = written else { return Some(Vec::new()) };
        self.at_most(written.len(), limits::OUTPUTS, "outputs", at);
        let mut values = Vec::new();
        for (name, value) in written {
            let at = at.child(name);
            let name = self.variable(name, &at);
            let value = self.value(value, &at, scope);
            values.extend(name.zip(value));
        }
        (values.len() == written.len()).then_some(values)
    }

    /// A key that names something. `None`: reported.
    pub(super) fn variable(&mut self, text: &str, at: &Pointer) -> Option<VariableName> {
        match text.parse::<VariableName>() {
            Ok(name) => Some(name),
            Err(error) => {
                let place = self.findings.key_place(at);
                let diagnostic = Diagnostic::error("invalid-value", place, error.to_string());
                self.findings.add(diagnostic.with_help("use lower-case letters, digits and `_`, such as order_id"));
                None
            }
        }
    }

    /// Compiles a status. `None`: reported.
    pub(super) fn status(&mut self, written: &Status, at: &Pointer, scope: &Scope) -> Option<ValueTemplate> {
        match written {
            Status::Number(number) => self.value(&Value::from(*number), at, scope),
            Status::Text(text) => {
                self.expression_for(Use::Status, text, at, scope)?;
                self.value(&Value::from(text.as_str()), at, scope)
            }
        }
    }

    pub(super) fn at_most(&mut self, count: usize, limit: usize, what: &str, at: &Pointer) {
        if count > limit {
            self.findings.refuse("too-many", at, format!("there are {count} {what}; the limit is {limit}"), "leave some out");
        }
    }

    /// Whether every expression uses only what there is; `offset` is where the template begins in the text at `at`. What the values are
    /// wanted for goes for a template that is one expression: what has text around it has to be text.
    fn check(&mut self, template: &Template, wanted: Use, at: &Pointer, offset: usize, scope: &Scope) -> bool {
        let wanted = if template.whole().is_some() { wanted } else { Use::Text };
        let mut sound = true;
        for (expression, span) in template.expressions() {
            // After the `${`.
            let start = offset + span.start + 2;
            for secret in expression.secrets() {
                sound &= self.secret(expression, secret, at, start, scope.secrets);
            }
            let mut reads_what_is_there = true;
            for reference in expression.references() {
                let Some(wrong) = self.mistake_in(reference, scope) else { continue };
                let part = match reference.offset_bytes() {
                    Some(found) => start + found..start + found + reference.root().len(),
                    None => offset + span.start..offset + span.end,
                };
                let place = self.findings.place_within(at, part);
                self.findings.prove(Diagnostic::error(wrong.code, place, wrong.message).with_help(wrong.help));
                reads_what_is_there = false;
            }
            if reads_what_is_there {
                self.check_types(expression, wanted, at, start);
            }
        }
        sound
    }

    /// Reports what an expression, whose source begins at `start` in the text at `at`, does with values it cannot be done with.
    fn check_types(&mut self, expression: &Expression, wanted: Use, at: &Pointer, start: usize) {
        for clash in expression.clashes().iter().cloned().chain(expression.clash_as(wanted)) {
            let place = self.findings.place_within(at, start + clash.span.start..start + clash.span.end);
            let diagnostic = Diagnostic::error("type-clash", place, clash.message);
            self.findings.prove(match clash.help {
                Some(help) => diagnostic.with_help(help),
                None => diagnostic,
            });
        }
    }

    /// Reports why `text` is not a template. Names that are there elsewhere are told from those that are not there at all.
    fn not_a_template(&mut self, text: &str, at: &Pointer, error: TemplateError, scope: &Scope) {
        let roots: Vec<&'static str> = EVERYWHERE.iter().map(|(name, _)| *name).collect();
        let everywhere = Names::new(&roots).with_function("secret");
        let items = self.plan.loops.iter().filter_map(|known| known.item.as_ref());
        let everywhere = items.fold(everywhere, Names::with_variable);
        // Of a call the method is no expression, and stays as it is.
        let Some(known) = Template::parse(text, &everywhere).ok().filter(|_| error.offset_bytes.is_some()) else {
            self.findings.template_error(at, 0, error);
            return;
        };
        let mut told = false;
        for (expression, span) in known.expressions() {
            for reference in expression.references().iter().filter(|reference| !scope.has_root(reference.root())) {
                let name = reference.root();
                let start = reference.offset_bytes().map_or(span.start, |found| span.start + 2 + found);
                let place = self.findings.place_within(at, start..start + name.len());
                let diagnostic = Diagnostic::error("invalid-expression", place, format!("there is no `{name}` here"));
                let help = self.where_it_is(name);
                self.findings.add(diagnostic.with_help(help));
                told = true;
            }
        }
        if !told {
            self.findings.template_error(at, 0, error);
        }
    }

    /// Where a name that is not there is there.
    fn where_it_is(&self, name: &str) -> String {
        if let Some((_, help)) = EVERYWHERE.iter().find(|(known, _)| *known == name) {
            return (*help).to_owned();
        }
        let is_its = |known: &&LoopPlan<'_>| known.item.as_ref().is_some_and(|item| item.as_str() == name);
        let looped = self.plan.loops.iter().find(is_its).and_then(|known| self.plan.nodes[known.node].id.as_ref());
        let looped = looped.map_or_else(|| "its loop".to_owned(), |id| format!("the loop {}", quoted(id.as_str())));
        format!("`{name}` is there for the steps of {looped}")
    }
}

/// `inside`, which begins at `at`, from the top.
fn below(at: &Pointer, inside: &Pointer) -> Pointer {
    inside.tokens().fold(at.clone(), |at, token| at.child(token))
}
