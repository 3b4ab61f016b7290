//! Templates of request targets: what is embedded can never change which segments and parameters there are.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value;

use super::{Part, RenderError, Template, TemplateError, evaluate, scalar};
use crate::expr::{Bindings, Expression, Names};

/// Longest request target, in bytes: what RFC 9112, section 3, asks every recipient to support.
pub const TARGET_BYTES: usize = 8000;

/// A path and query with expressions in it, such as `/orders/${id}/?reference=${key}`.
///
/// Every embedded value is percent-encoded but for the unreserved characters (RFC 3986, section 2.3), so that it
/// stays within its segment or parameter. A value in the path may not be empty, and no segment may come out as `.`
/// or `..`, encoded or not.
///
/// ```
/// use saga_config::expr::{Bindings, Names};
/// use saga_config::template::PathTemplate;
/// use serde_json::json;
///
/// let path = PathTemplate::parse("/orders/${id}?of=${id}", &Names::new(&["id"])).unwrap();
/// let render = |id| path.render(&Bindings::new().with("id", &id));
/// assert_eq!(render(json!("a/../b?c")).unwrap(), "/orders/a%2F..%2Fb%3Fc?of=a%2F..%2Fb%3Fc");
/// assert!(render(json!("..")).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct PathTemplate(Template);

impl PathTemplate {
    /// Parses a path that begins with one `/`.
    ///
    /// # Errors
    ///
    /// As [`Template::parse`], and for literal text that cannot stand in a request target (RFC 9112, section 3.2.1).
    pub fn parse(text: &str, names: &Names) -> Result<Self, TemplateError> {
        Self::from_template(Template::parse(text, names)?)
    }

    pub(super) fn from_template(template: Template) -> Result<Self, TemplateError> {
        let whole = 0..template.source.len();
        match &*template.parts {
            [Part::Text { text, .. }, ..] if text.starts_with("//") => {
                return Err(TemplateError::new(0..2, "a path that begins with `//` names another host"));
            }
            [Part::Text { text, .. }, ..] if text.starts_with('/') => {}
            _ => return Err(TemplateError::new(whole, "a path begins with `/`")),
        }
        for part in &*template.parts {
            if let Part::Text { text, offset } = part {
                check_literal(text, *offset)?;
            }
        }
        if let Some(segment) = literal_dots(&template) {
            return Err(TemplateError::new(whole, format!("a path has no segment `{segment}`")));
        }
        Ok(Self(template))
    }

    /// Renders path and query.
    ///
    /// # Errors
    ///
    /// [`RenderError`], if an expression has no value, or one that cannot stand where it is.
    pub fn render(&self, bindings: &Bindings<'_>) -> Result<String, RenderError> {
        if let Some(text) = self.0.literal() {
            // Its segments were looked at when it was parsed.
            self.0.refuse_longer(text, TARGET_BYTES)?;
            return Ok(text.to_owned());
        }
        let mut target = String::with_capacity(64);
        let mut segment = Segment::default();
        let mut in_query = false;
        for part in &*self.0.parts {
            match part {
                Part::Text { text, .. } => match text.find(['/', '?']).filter(|_| !in_query) {
                    None => target.push_str(text),
                    Some(end) => {
                        let (last, rest) = text.split_at(end);
                        target.push_str(last);
                        segment.close(&target, &self.0)?;
                        // Between this part's own slashes nothing is embedded.
                        in_query = rest.contains('?');
                        segment = Segment::at(target.len() + rest.rfind('/').map_or(0, |slash| slash + 1));
                        target.push_str(rest);
                    }
                },
                Part::Expression { expression, .. } => {
                    let value = evaluate(expression, bindings)?;
                    let text = scalar(expression, &value)?;
                    if text.is_empty() && !in_query {
                        let expression = expression.source().to_owned();
                        return Err(RenderError::EmptySegment { expression });
                    }
                    segment.embeds = true;
                    encode(text, &mut target);
                }
            }
            self.0.refuse_longer(&target, TARGET_BYTES)?;
        }
        if !in_query {
            segment.close(&target, &self.0)?;
        }
        Ok(target)
    }

    /// The template: its source and expressions.
    pub fn template(&self) -> &Template {
        &self.0
    }
}

/// The segment of a path that is being written.
#[derive(Default)]
struct Segment {
    start: usize,
    embeds: bool,
}

impl Segment {
    fn at(start: usize) -> Self {
        Self { start, embeds: false }
    }

    fn close(&self, target: &str, template: &Template) -> Result<(), RenderError> {
        if self.embeds && is_dots(&target[self.start..]) {
            let text = template.source.to_string();
            return Err(RenderError::DotSegment { text });
        }
        Ok(())
    }
}

/// Whether a segment is `.` or `..`; `%2e` is the same as `.` (RFC 3986, section 6.2.2.2).
fn is_dots(segment: &str) -> bool {
    segment.len() <= "%2e%2e".len() && matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..")
}

fn encode(text: &str, target: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            target.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

fn check_literal(text: &str, offset: usize) -> Result<(), TemplateError> {
    match invalid_at(text) {
        None => Ok(()),
        Some(at) => {
            let c = text[at..].chars().next().unwrap_or('%');
            let span: Range<usize> = offset + at..offset + at + c.len_utf8();
            let error = TemplateError::new(span, format!("`{}` cannot stand in a path or query", c.escape_debug()));
            Err(match c {
                '#' => error.help("a fragment is never sent"),
                '%' => error.help("`%` begins two hexadecimal digits; write `%25` for the character"),
                '$' | '{' | '}' => error.help("write an expression as `${…}`"),
                _ => error.help("percent-encode it"),
            })
        }
    }
}

/// The first byte that RFC 3986, sections 3.3 and 3.4, do not allow.
fn invalid_at(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..bytes.len()).find(|&at| match bytes[at] {
        b'%' => !is_hex(at + 1) || !is_hex(at + 2),
        // `$` is a sub-delimiter, and here far more likely a slip.
        b'-' | b'.' | b'_' | b'~' | b'!' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/'
        | b'?' => false,
        byte => !byte.is_ascii_alphanumeric(),
    })
}

/// A `.` or `..` that stands in the path whatever is embedded.
fn literal_dots(template: &Template) -> Option<String> {
    let mut text = String::new();
    for part in &*template.parts {
        match part {
            Part::Text { text: literal, .. } => text.push_str(literal),
            // Stands for any value; it cannot be in the literal text, which is checked before.
            Part::Expression { .. } => text.push('$'),
        }
    }
    let path = text.split('?').next().unwrap_or_default();
    path.split('/').find(|segment| is_dots(segment)).map(str::to_owned)
}

/// A target that is one whole `${…}`: a URI reference that a service gave, such as a `Location`. It is not encoded.
///
/// It has to be an absolute path, or an absolute URI on one of the upstream's own origins; a fragment is dropped.
/// Anything else, another host above all, is refused.
#[derive(Debug, Clone)]
pub struct ReferenceTemplate {
    template: Template,
    expression: Expression,
}

impl ReferenceTemplate {
    /// `None` unless the template is one whole `${…}`.
    pub(super) fn from_template(template: &Template) -> Option<Self> {
        Some(Self { expression: template.whole()?.clone(), template: template.clone() })
    }

    /// Renders path and query. `origins` are the upstream's, such as `https://psp.example` or `http://127.0.0.1:8001`.
    ///
    /// # Errors
    ///
    /// [`RenderError::NotReference`], or that the expression has no value.
    pub fn render(&self, bindings: &Bindings<'_>, origins: &[&str]) -> Result<String, RenderError> {
        let refuse = |reason| RenderError::NotReference { expression: self.expression.source().to_owned(), reason };
        let value = evaluate(&self.expression, bindings)?;
        let Value::String(reference) = &*value else {
            return Err(refuse("it is not a string, so not a reference to a resource"));
        };
        self.template.refuse_longer(reference, TARGET_BYTES)?;
        path_of(reference, origins).map_err(refuse)
    }

    /// The template: its source and expression.
    pub fn template(&self) -> &Template {
        &self.template
    }
}

fn path_of(reference: &str, origins: &[&str]) -> Result<String, &'static str> {
    let reference = reference.split('#').next().unwrap_or_default();
    let (origin, path) = match reference.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some((scheme, &rest[..end])), &rest[end..])
        }
        _ => (None, reference),
    };
    if let Some(origin) = origin
        && !origins.iter().any(|own| own.split_once("://").is_some_and(|own| same_origin(own, origin)))
    {
        return Err("it names an origin that is not the upstream's");
    }
    let path = match path {
        "" if origin.is_some() => "/".to_owned(),
        _ if path.starts_with('?') && origin.is_some() => format!("/{path}"),
        _ if path.starts_with("//") => return Err("it begins with `//`, which names another host"),
        _ if path.starts_with('/') => path.to_owned(),
        _ => return Err("it neither begins with `/` nor names an origin"),
    };
    if invalid_in_reference(&path) {
        return Err("it has a character that cannot stand in a path or query");
    }
    let segments = path.split('?').next().unwrap_or_default();
    if segments.split('/').any(is_dots) {
        return Err("it has a segment `.` or `..`");
    }
    Ok(path)
}

fn invalid_in_reference(path: &str) -> bool {
    invalid_at(&path.replace('$', "-")).is_some()
}

/// Whether two origins are the same (RFC 9110, section 4.3.1): scheme and host without case, the default port implied.
fn same_origin(own: (&str, &str), other: (&str, &str)) -> bool {
    let authority = |(scheme, authority): (&str, &str)| {
        let scheme = scheme.to_ascii_lowercase();
        let default = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.split('/').next().unwrap_or_default().to_ascii_lowercase();
        let host = authority.strip_suffix(default).unwrap_or(&authority).to_owned();
        (scheme, host)
    };
    authority(own) == authority(other)
}
