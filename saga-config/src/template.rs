//! Templates: text with `${…}` in it, an [expression](crate::expr) each.
//!
//! A text that is one whole `${…}` renders to the expression's value, of whatever type and with a number's digits as
//! they are. Text around it makes a string, into which only scalars can be embedded: strings, numbers, `true` and
//! `false`. `$${` stands for a literal `${`.
//!
//! ```
//! use saga_config::expr::{Bindings, Names};
//! use saga_config::template::Template;
//! use serde_json::json;
//!
//! let names = Names::new(&["order"]);
//! let order = json!({"id": 17, "price": 19.5});
//! let bindings = Bindings::new().with("order", &order);
//! let render = |text| Template::parse(text, &names).unwrap().render(&bindings).unwrap();
//!
//! assert_eq!(render("${order.price}"), json!(19.5));
//! assert_eq!(render("Order ${order.id}, $${order.id}"), json!("Order 17, ${order.id}"));
//! ```
//!
//! Where a text goes decides what it may contain: [`PathTemplate`] encodes what it embeds, [`Template::render_header`]
//! refuses controls, [`ValueTemplate`] is a tree of JSON with templates at its leaves, and [`CallTarget`] is the
//! `GET /orders/${…}` of steps and probes.

mod call;
mod header;
mod path;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Place};
use crate::expr::scan::{Scanner, Token};
use crate::expr::value::kind;
use crate::expr::{Bindings, EvalError, ExprError, Expression, Names};

pub use call::{CallTarget, Method, Target};
pub use header::HeaderPart;
pub use path::{PathTemplate, ReferenceTemplate, TARGET_BYTES};
pub use value::{ValueTemplate, ValueTemplateError};

/// Longest text of a template, in bytes.
pub const TEXT_BYTES: usize = 64 * 1024;
/// Longest string that a template with text around its expressions renders, in bytes.
pub const RENDERED_BYTES: usize = 4 * 1024 * 1024;
/// Longest header value, in bytes.
pub const HEADER_BYTES: usize = 8 * 1024;

/// A parsed text. Cloning it is cheap.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    parts: Arc<[Part]>,
}

#[derive(Debug)]
enum Part {
    /// Literal text, with `$${` already replaced, and where it begins in the source.
    Text { text: String, offset: usize },
    Expression {
        expression: Expression,
        /// Of the `${…}` in the source.
        span: Range<usize>,
    },
}

impl Template {
    /// Parses `text`, in whose expressions `names` may be used.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] for the first `${…}` that is not closed or not an expression.
    pub fn parse(text: &str, names: &Names) -> Result<Self, TemplateError> {
        if text.len() > TEXT_BYTES {
            let message = format!("the text is {} bytes long; the limit is {TEXT_BYTES}", text.len());
            return Err(TemplateError::new(0..text.len(), message));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let (mut literal_start, mut at) = (0, 0);
        while let Some(found) = text[at..].find('$') {
            let dollar = at + found;
            literal.push_str(&text[at..dollar]);
            let rest = &text[dollar..];
            if rest.starts_with("$${") {
                literal.push_str("${");
                at = dollar + 3;
            } else if rest.starts_with("${") {
                let end = closing_brace(text, dollar)?;
                if !literal.is_empty() {
                    let text = std::mem::take(&mut literal);
                    parts.push(Part::Text { text, offset: literal_start });
                }
                let span = dollar..end + 1;
                let expression = Expression::compile(&text[dollar + 2..end], names)
                    .map_err(|error| TemplateError::of_expression(span.clone(), error))?;
                parts.push(Part::Expression { expression, span });
                at = end + 1;
                literal_start = at;
            } else {
                literal.push('$');
                at = dollar + 1;
            }
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(Part::Text { text: literal, offset: literal_start });
        }
        Ok(Self { source: text.into(), parts: parts.into() })
    }

    /// Renders to JSON: the value itself if the text is one whole `${…}`, a string otherwise.
    ///
    /// # Errors
    ///
    /// [`RenderError`], if an expression has no value or one that cannot be embedded.
    pub fn render(&self, bindings: &Bindings<'_>) -> Result<Value, RenderError> {
        match self.whole() {
            Some(expression) => expression.eval(bindings).map_err(|error| RenderError::eval(expression, error)),
            None => self.render_string(bindings).map(Value::String),
        }
    }

    /// Renders to a string; even a whole `${…}` has to give a scalar.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render).
    pub fn render_string(&self, bindings: &Bindings<'_>) -> Result<String, RenderError> {
        self.render_text(bindings, RENDERED_BYTES)
    }

    /// Renders to a header's value: no CR, LF, NUL or other control character, nor more than [`HEADER_BYTES`]
    /// (RFC 9110, section 5.5). What is not ASCII goes out as UTF-8.
    ///
    /// # Errors
    ///
    /// As [`render`](Self::render), and [`RenderError::Control`].
    pub fn render_header(&self, bindings: &Bindings<'_>) -> Result<String, RenderError> {
        let value = self.render_text(bindings, HEADER_BYTES)?;
        self.refuse_controls(&value)?;
        Ok(value)
    }

    /// The text without its expressions, if it has none.
    pub fn literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text { text, .. }] => Some(text),
            _ => None,
        }
    }

    /// The expression, if the text is one whole `${…}`.
    pub fn whole(&self) -> Option<&Expression> {
        match &*self.parts {
            [Part::Expression { expression, .. }] => Some(expression),
            _ => None,
        }
    }

    /// The expressions, in the order they stand, each with the span of its `${…}` in the source, in bytes.
    pub fn expressions(&self) -> impl Iterator<Item = (&Expression, Range<usize>)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression { expression, span } => Some((expression, span.clone())),
            Part::Text { .. } => None,
        })
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn render_text(&self, bindings: &Bindings<'_>, limit: usize) -> Result<String, RenderError> {
        let mut rendered = String::new();
        for part in &*self.parts {
            match part {
                Part::Text { text, .. } => rendered.push_str(text),
                Part::Expression { expression, .. } => {
                    let value = evaluate(expression, bindings)?;
                    rendered.push_str(scalar(expression, &value)?);
                }
            }
            self.refuse_longer(&rendered, limit)?;
        }
        Ok(rendered)
    }

    fn refuse_controls(&self, value: &str) -> Result<(), RenderError> {
        match value.bytes().find(u8::is_ascii_control) {
            None => Ok(()),
            Some(byte) => Err(RenderError::Control { text: self.source.to_string(), byte }),
        }
    }

    fn refuse_longer(&self, rendered: &str, limit: usize) -> Result<(), RenderError> {
        if rendered.len() <= limit {
            return Ok(());
        }
        Err(RenderError::TooLong { text: self.source.to_string(), limit })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

fn evaluate<'v>(expression: &'v Expression, bindings: &'v Bindings<'_>) -> Result<Cow<'v, Value>, RenderError> {
    expression.eval_ref(bindings).map_err(|error| RenderError::eval(expression, error))
}

/// The text of a scalar; a number's digits as they are.
fn scalar<'v>(expression: &Expression, value: &'v Value) -> Result<&'v str, RenderError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.as_str()),
        Value::Bool(true) => Ok("true"),
        Value::Bool(false) => Ok("false"),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(RenderError::NotScalar { expression: expression.source().to_owned(), found: kind(value) })
        }
    }
}

/// The offset of the `}` that closes the `${` at `dollar`.
fn closing_brace(text: &str, dollar: usize) -> Result<usize, TemplateError> {
    let mut scanner = Scanner::new(text, dollar + 2);
    let mut depth = 0_usize;
    let unclosed = |message: &str| TemplateError::new(dollar..text.len(), message);
    loop {
        let token = scanner.next().map_err(|unterminated| {
            let mut error = unclosed("a string in this `${` is never closed");
            error.offset_bytes = Some(unterminated.offset);
            error
        })?;
        match token {
            None => {
                let mut error = unclosed("this `${` is never closed");
                error.help = Some("write `$${` for a literal `${`".to_owned());
                return Err(error);
            }
            Some((_, Token::Open)) => depth += 1,
            Some((at, Token::Close(b'}'))) if depth == 0 => return Ok(at),
            Some((_, Token::Close(_))) => depth = depth.saturating_sub(1),
            Some(_) => {}
        }
    }
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// The `${…}`, or the part of the text, that is wrong: bytes of the text.
    pub span: Range<usize>,
    /// Where inside of that, in bytes from the start of the text, if one place is to blame.
    pub offset_bytes: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl TemplateError {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, offset_bytes: None, message: message.into(), help: None }
    }

    fn of_expression(span: Range<usize>, error: ExprError) -> Self {
        Self {
            offset_bytes: error.offset_bytes.map(|offset| span.start + 2 + offset),
            message: error.message,
            help: error.help,
            span,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As a mistake of a file: of `text`, where it is known, the template begins at byte `offset`, and `place` says where a part of it
    /// stands. If one place in an expression is to blame, the word that begins there is shown.
    pub fn into_diagnostic(self, text: Option<&str>, offset: usize, place: impl FnOnce(Range<usize>) -> Place) -> Diagnostic {
        let part = match self.offset_bytes {
            Some(start) => start..start + word_length(text.and_then(|text| text.get(start + offset..))),
            None => self.span,
        };
        let diagnostic = Diagnostic::error("invalid-expression", place(part.start + offset..part.end + offset), self.message);
        match self.help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }
    }
}

/// The bytes of the word that `text` begins with; at least 1.
fn word_length(text: Option<&str>) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.map_or(0, |text| text.find(|c| !is_part(c)).unwrap_or(text.len())).max(1)
}

/// Why a template does not render. The text shows expressions and types, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// An expression has no value.
    #[error("${{{expression}}}: {error}")]
    Eval {
        /// The expression.
        expression: String,
        /// Why.
        error: EvalError,
    },
    /// Null, a list or a map inside of text.
    #[error("${{{expression}}} gives {found}; only strings, numbers and booleans can stand inside of text")]
    NotScalar {
        /// The expression.
        expression: String,
        /// What it gives.
        found: &'static str,
    },
    /// A value that would leave a path without a segment.
    #[error("${{{expression}}} is empty, and a path cannot do without it")]
    EmptySegment {
        /// The expression.
        expression: String,
    },
    /// A segment of a path that would be `.` or `..`, which servers and proxies resolve.
    #[error("`{text}` renders a path with a segment `.` or `..`")]
    DotSegment {
        /// The template.
        text: String,
    },
    /// A control character in a header.
    #[error("`{text}` renders a header with the control character {byte:#04x}")]
    Control {
        /// The template.
        text: String,
        /// The character.
        byte: u8,
    },
    /// A target that is not a reference on the upstream's origin.
    #[error("${{{expression}}}: {reason}")]
    NotReference {
        /// The expression.
        expression: String,
        /// Why not.
        reason: &'static str,
    },
    /// More bytes than the place allows.
    #[error("`{text}` renders to more than {limit} bytes")]
    TooLong {
        /// The template.
        text: String,
        /// The most there may be.
        limit: usize,
    },
}

impl RenderError {
    fn eval(expression: &Expression, error: EvalError) -> Self {
        Self::Eval { expression: expression.source().to_owned(), error }
    }
}
