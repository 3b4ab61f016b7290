//! The target of a call: `GET /orders/?reference=${key}`, `billing POST /accounts/`.

use std::fmt;

use super::{PathTemplate, ReferenceTemplate, RenderError, Template, TemplateError};
use crate::expr::{Bindings, Names};
use crate::names::UpstreamName;

/// Where a step or a probe calls, parsed from `[upstream] METHOD target`.
///
/// ```
/// use saga_config::expr::{Bindings, Names};
/// use saga_config::template::{CallTarget, Method};
/// use serde_json::json;
///
/// let call = CallTarget::parse("orders PATCH /internal/orders/${id}/", &Names::new(&["id"])).unwrap();
/// assert_eq!(call.upstream().map(AsRef::as_ref), Some("orders"));
/// assert_eq!(call.method(), Method::Patch);
/// let id = json!(17);
/// assert_eq!(call.render(&Bindings::new().with("id", &id), &[]).unwrap(), "/internal/orders/17/");
/// ```
#[derive(Debug, Clone)]
pub struct CallTarget {
    upstream: Option<UpstreamName>,
    method: Method,
    target: Target,
    /// Where the target begins in the text.
    target_offset: usize,
}

/// What follows the method.
#[derive(Debug, Clone)]
pub enum Target {
    /// A path with expressions in it, each encoded.
    Path(PathTemplate),
    /// One whole `${…}`: a reference that a service gave, as it is.
    Reference(ReferenceTemplate),
}

/// A method that a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `OPTIONS`
    Options,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

const SHAPE: &str = "a call is `METHOD /path` or `upstream METHOD /path`";

impl CallTarget {
    /// Parses `[upstream] METHOD target`, in whose expressions `names` may be used.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] with the span of the part that is wrong, in `text`.
    pub fn parse(text: &str, names: &Names) -> Result<Self, TemplateError> {
        let (first, first_at) = word(text, 0);
        let (upstream, method, after) = match Method::parse(first) {
            Some(method) => (None, method, first_at + first.len()),
            None => {
                let (second, second_at) = word(text, first_at + first.len());
                let Some(method) = Method::parse(second) else {
                    return Err(not_a_call((first, first_at), (second, second_at)));
                };
                let upstream = first
                    .parse::<UpstreamName>()
                    .map_err(|error| TemplateError::new(first_at..first_at + first.len(), error.to_string()).help(SHAPE))?;
                (Some(upstream), method, second_at + second.len())
            }
        };
        let rest = text[after..].trim_end();
        let target = rest.trim_start();
        let target_offset = after + rest.len() - target.len();
        if target.is_empty() {
            return Err(TemplateError::new(text.len()..text.len(), "the path is missing").help(SHAPE));
        }
        let shift = |error: TemplateError| TemplateError {
            span: error.span.start + target_offset..error.span.end + target_offset,
            offset_bytes: error.offset_bytes.map(|offset| offset + target_offset),
            ..error
        };
        let template = Template::parse(target, names).map_err(shift)?;
        let target = match ReferenceTemplate::from_template(&template) {
            Some(reference) => Target::Reference(reference),
            None => Target::Path(PathTemplate::from_template(template).map_err(shift)?),
        };
        Ok(Self { upstream, method, target, target_offset })
    }

    /// Renders path and query. `origins` are the upstream's own, which only a [`Target::Reference`] needs.
    ///
    /// # Errors
    ///
    /// [`RenderError`], if an expression has no value, or one that cannot stand where it is.
    pub fn render(&self, bindings: &Bindings<'_>, origins: &[&str]) -> Result<String, RenderError> {
        match &self.target {
            Target::Path(path) => path.render(bindings),
            Target::Reference(reference) => reference.render(bindings, origins),
        }
    }

    /// The upstream, if the call names one; the local service otherwise.
    pub fn upstream(&self) -> Option<&UpstreamName> {
        self.upstream.as_ref()
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// What follows the method.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The template of the target; spans of its expressions are relative to [`target_offset`](Self::target_offset).
    pub fn template(&self) -> &Template {
        match &self.target {
            Target::Path(path) => path.template(),
            Target::Reference(reference) => reference.template(),
        }
    }

    /// Where the target begins in the text of the call, in bytes.
    pub fn target_offset(&self) -> usize {
        self.target_offset
    }
}

/// The next word from `from` on, and where it begins. An expression is not a word.
fn word(text: &str, from: usize) -> (&str, usize) {
    let rest = &text[from..];
    let trimmed = rest.trim_start();
    let end = trimmed.find(|c: char| c.is_whitespace() || c == '$').unwrap_or(trimmed.len());
    (&trimmed[..end], from + rest.len() - trimmed.len())
}

/// What is wrong with a text whose first two words hold no method.
fn not_a_call(first: (&str, usize), second: (&str, usize)) -> TemplateError {
    let wrong = |(word, at): (&str, usize), message: String| TemplateError::new(at..at + word.len(), message);
    for word in [first, second] {
        if let Some(method) = Method::parse(&word.0.to_ascii_uppercase()) {
            return wrong(word, format!("`{}` is not a method", word.0)).help(format!("did you mean `{method}`?"));
        }
    }
    let has_second = !second.0.is_empty() && !second.0.starts_with('/');
    let unknown = if has_second { second } else { first };
    if unknown.0.starts_with(|c: char| c.is_ascii_uppercase()) || has_second {
        return wrong(unknown, format!("`{}` is not a method that a call can use", unknown.0))
            .help("use GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE");
    }
    wrong(first, "the method is missing".to_owned()).help(SHAPE)
}

impl Method {
    /// The method of that name; names are case-sensitive (RFC 9110, section 9.1).
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// The method as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
