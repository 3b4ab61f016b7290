//! Headers with secrets in them: they are rendered without the secrets, which whoever sends them puts in.

use super::{HEADER_BYTES, Part, RenderError, Template, evaluate, scalar};
use crate::expr::Bindings;
use crate::names::SecretName;

/// A part of a header's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderPart {
    /// Text, never empty.
    Text(String),
    /// A secret: what it is when the header is sent.
    Secret(SecretName),
}

impl Template {
    /// Whether one of its expressions is `secret('name')` and nothing else.
    pub fn has_secrets(&self) -> bool {
        self.expressions().any(|(expression, _)| expression.as_secret().is_some())
    }

    /// Renders to a header's value, as [`render_header`](Self::render_header) does, but for each `${secret('name')}`, which is left to
    /// whoever sends it. The limit is for the text without the secrets.
    ///
    /// ```
    /// use saga_config::expr::{Bindings, Names};
    /// use saga_config::template::{HeaderPart, Template};
    ///
    /// let names = Names::new(&[]).with_function("secret");
    /// let header = Template::parse("Bearer ${secret('visa_token')}", &names).unwrap();
    /// let parts = header.render_header_parts(&Bindings::new()).unwrap();
    /// let token = HeaderPart::Secret("visa_token".parse().unwrap());
    /// assert_eq!(parts, [HeaderPart::Text("Bearer ".to_owned()), token]);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`render_header`](Self::render_header).
    pub fn render_header_parts(&self, bindings: &Bindings<'_>) -> Result<Vec<HeaderPart>, RenderError> {
        let mut parts = Vec::new();
        let (mut text, mut length) = (String::new(), 0);
        for part in &*self.parts {
            let before = text.len();
            match part {
                Part::Text { text: literal, .. } => text.push_str(literal),
                Part::Expression { expression, .. } => match expression.as_secret() {
                    Some(secret) => {
                        let text = std::mem::take(&mut text);
                        parts.extend(Some(text).filter(|text| !text.is_empty()).map(HeaderPart::Text));
                        parts.push(HeaderPart::Secret(secret.clone()));
                        continue;
                    }
                    None => {
                        let value = evaluate(expression, bindings)?;
                        text.push_str(scalar(expression, &value)?);
                    }
                },
            }
            length += text.len() - before;
            if length > HEADER_BYTES {
                return Err(RenderError::TooLong { text: self.source.to_string(), limit: HEADER_BYTES });
            }
            self.refuse_controls(&text)?;
        }
        parts.extend(Some(text).filter(|text| !text.is_empty()).map(HeaderPart::Text));
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::expr::Names;
    use serde_json::json;

    fn parts(text: &str, value: &serde_json::Value) -> Result<Vec<HeaderPart>, RenderError> {
        let template = Template::parse(text, &Names::new(&["input"]).with_function("secret")).unwrap();
        template.render_header_parts(&Bindings::new().with("input", value))
    }

    #[test]
    fn a_header_is_rendered_around_its_secrets() {
        let text = |text: &str| HeaderPart::Text(text.to_owned());
        let secret = |name: &str| HeaderPart::Secret(name.parse().unwrap());
        let value = json!("x");
        assert_eq!(parts("${secret('a')}", &value).unwrap(), [secret("a")]);
        assert_eq!(parts("${ secret(\"a\") }${secret('b')}", &value).unwrap(), [secret("a"), secret("b")]);
        let around = [text("k=x; t="), secret("a"), text(", x")];
        assert_eq!(parts("k=${input}; t=${secret('a')}, ${input}", &value).unwrap(), around);
    }

    #[test]
    fn what_stands_around_a_secret_keeps_to_the_rules_of_headers() {
        assert!(matches!(parts("${input}${secret('a')}", &json!("a\nb")), Err(RenderError::Control { byte: b'\n', .. })));
        let long = json!("a".repeat(HEADER_BYTES));
        assert!(parts("${input}${secret('a')}", &long).is_ok());
        assert!(matches!(parts("${input}${secret('a')}b", &long), Err(RenderError::TooLong { .. })));
    }

    #[test]
    fn which_secret_it_is_is_known_before_anything_runs() {
        let parse = |text: &str| Template::parse(text, &Names::new(&["input"]).with_function("secret"));
        for (text, message, offset) in [
            ("${secret(input)}", "its name is a literal string", 2),
            ("${'a' + secret('A')}", "`A` is not a secret's name", 8),
            ("${secret()}", "takes the name of one secret, not 0 arguments", 2),
            ("${[1].map(x, secret('a', 'b'))}", "not 2 arguments", 13),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {error}");
            assert_eq!(error.offset_bytes, Some(offset), "{text}");
        }
        let uses = parse("${secret('a') + secret('b')}").unwrap();
        let (expression, _) = uses.expressions().next().unwrap();
        let named: Vec<_> = expression.secrets().iter().map(|secret| (secret.name.as_str(), secret.offset_bytes)).collect();
        assert_eq!(named, [("a", Some(0)), ("b", Some(14))]);
        assert!(expression.as_secret().is_none() && !uses.has_secrets());
        // Where it is no function, it is as unknown as any other.
        assert!(Template::parse("${secret('a')}", &Names::new(&[])).is_err());
    }
}
