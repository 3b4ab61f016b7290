//! Expressions and templates, compiled with the names that are there when they are evaluated.

use saga_config::{
    diagnostic::{did_you_mean, quoted},
    expr::{Clash, Expression, Key, Names, Type, Use},
    template::{Template, TemplateError},
    yaml::Pointer,
};

use super::findings::Findings;

/// What `request` has.
const REQUEST: [&str; 5] = ["method", "path", "query", "headers", "body"];
/// What `response` has.
const RESPONSE: [&str; 3] = ["status", "headers", "body"];

/// What a verified token says.
const CLAIMS: &str = "claims";

/// The names of a place, with what is known of their values.
pub(in crate::config) fn names(roots: &[&'static str]) -> Names {
    roots.iter().fold(Names::new(roots), |names, root| match *root {
        "request" => names.with_type("request", Type::request()),
        "response" => names.with_type("response", Type::response()),
        "key" => names.with_type("key", Type::String),
        _ => names,
    })
}

/// As [`expression`], for a condition.
pub(in crate::config) fn condition(text: &str, at: &Pointer, names: &Names, findings: &mut Findings) -> Option<Expression> {
    let condition = expression(text, at, names, findings)?;
    let Some(clash) = condition.clash_as(Use::Condition) else { return Some(condition) };
    // After the `${`.
    let found = text.find("${").map_or(0, |dollar| dollar + 2);
    report(clash, found, at, findings);
    None
}

/// Reports what is done with a value it cannot be done with, in an expression whose source begins at `start`.
fn report(clash: Clash, start: usize, at: &Pointer, findings: &mut Findings) {
    let Clash { span, message, help } = clash;
    let span = start + span.start..start + span.end;
    findings.template_error(at, 0, TemplateError { span, offset_bytes: None, message, help });
}

/// Compiles the one `${…}` that `text`, written at `at`, has to be. `None`: reported.
pub(in crate::config) fn expression(text: &str, at: &Pointer, names: &Names, findings: &mut Findings) -> Option<Expression> {
    let template = template(text, at, names, findings)?;
    let whole = template.whole().cloned();
    if whole.is_none() {
        let help = match template.literal() {
            Some(_) => format!("write ${{{text}}}"),
            None => "put everything into one ${…}: \"${'a-' + request.path}\"".to_owned(),
        };
        findings.error("not-an-expression", at, "this has to be one expression, `${…}`, and nothing else", help);
    }
    whole
}

/// Compiles a text with `${…}` in it. `None`: reported.
pub(in crate::config) fn template(text: &str, at: &Pointer, names: &Names, findings: &mut Findings) -> Option<Template> {
    match Template::parse(text, names) {
        Ok(template) => check_fields(template.expressions(), at, 0, findings).then_some(template),
        Err(error) => {
            findings.template_error(at, 0, error);
            None
        }
    }
}

/// Whether every expression reads only what there is; `offset` is where the template begins in the text at `at`.
pub(in crate::config) fn check_fields<'e>(
    expressions: impl Iterator<Item = (&'e Expression, std::ops::Range<usize>)>,
    at: &Pointer,
    offset: usize,
    findings: &mut Findings,
) -> bool {
    let mut sound = true;
    for (expression, span) in expressions {
        let clashes = expression.clashes();
        let mut reads_what_is_there = true;
        for reference in expression.references() {
            let fields: &[&str] = match reference.root() {
                "request" => &REQUEST,
                "response" => &RESPONSE,
                _ => continue,
            };
            let mut segments = reference.segments().iter().map(|segment| &segment.key);
            let Some(Key::Field(field)) = segments.next() else { continue };
            let wrong = if !fields.contains(&field.as_str()) {
                let help = match did_you_mean(field, fields.iter().copied()) {
                    Some(meant) => format!("did you mean `{}.{meant}`?", reference.root()),
                    None => format!("there are {}", fields.join(", ")),
                };
                Some((format!("`{}` has no {}", reference.root(), quoted(field)), help))
            } else {
                let name = segments.next().filter(|_| field == "headers");
                upper_case(name)
            };
            let Some((message, help)) = wrong else { continue };
            (sound, reads_what_is_there) = (false, false);
            let part = match reference.offset_bytes() {
                // After the `${`.
                Some(start) => span.start + 2 + start..span.start + 2 + start + reference.root().len(),
                None => span.clone(),
            };
            findings.template_error(at, offset, TemplateError { span: part, offset_bytes: None, message, help: Some(help) });
        }
        if reads_what_is_there {
            sound &= clashes.is_empty();
            clashes.iter().cloned().for_each(|clash| report(clash, offset + span.start + 2, at, findings));
        }
    }
    sound
}

/// Whether none of the expressions, of the text at `at`, reads `claims`: for where no token is verified, so that there are none.
pub(in crate::config) fn reads_no_claims<'e>(
    mut expressions: impl Iterator<Item = (&'e Expression, std::ops::Range<usize>)>,
    at: &Pointer,
    findings: &mut Findings,
) -> bool {
    let found = expressions.find_map(|(expression, span)| {
        let reference = expression.references().iter().find(|reference| reference.root() == CLAIMS)?;
        // After the `${`.
        let part = reference.offset_bytes().map(|start| span.start + 2 + start..span.start + 2 + start + CLAIMS.len());
        Some(part.unwrap_or(span))
    });
    let Some(span) = found else { return true };
    findings.template_error(at, 0, no_claims(span));
    false
}

/// What is wrong with `claims` where no token is verified.
pub(in crate::config) fn no_claims(span: std::ops::Range<usize>) -> TemplateError {
    TemplateError {
        span,
        offset_bytes: None,
        message: "`claims` are those of a verified token, and no token is verified here".to_owned(),
        help: Some("say how with `authentication: {jwt: …}`, or take the value from `request`".to_owned()),
    }
}

/// A header that is never there, since they are bound in lower case.
fn upper_case(name: Option<&Key>) -> Option<(String, String)> {
    match name {
        Some(Key::Field(name)) if name.contains(|c: char| c.is_ascii_uppercase()) => {
            let help = format!("write headers['{}']", name.to_ascii_lowercase());
            Some((format!("headers are named in lower case here, {} is never there", quoted(name)), help))
        }
        _ => None,
    }
}
