//! Diagnostics as programs read them.

use serde::Serialize;

use super::{Diagnostic, Place};

/// One JSON object per line and diagnostic, in the order given.
///
/// Members: `file`, `line`, `column`, `end_line`, `end_column` (null where there is no text), `origin` (the flag or
/// variable, null for files), `severity` (`error`, `warning`), `code`, `message`, `notes`, `help` (or null), and `labels`,
/// each with the members of a place and its `message`. Lines and columns count from 1, columns in Unicode scalar
/// values; the end is exclusive.
pub fn to_json_lines(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let line = serde_json::to_string(&Object::from(diagnostic)).expect("structs of strings and numbers always become JSON");
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    place: JsonPlace<'a>,
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    notes: &'a [String],
    help: Option<&'a str>,
    labels: Vec<JsonLabel<'a>>,
}

#[derive(Serialize)]
struct JsonLabel<'a> {
    #[serde(flatten)]
    place: JsonPlace<'a>,
    message: &'a str,
}

#[derive(Serialize)]
struct JsonPlace<'a> {
    file: Option<&'a str>,
    origin: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    end_line: Option<usize>,
    end_column: Option<usize>,
}

impl<'a> From<&'a Diagnostic> for Object<'a> {
    fn from(diagnostic: &'a Diagnostic) -> Self {
        Self {
            place: JsonPlace::from(diagnostic.place()),
            severity: diagnostic.severity().as_str(),
            code: diagnostic.code(),
            message: diagnostic.message(),
            notes: diagnostic.notes(),
            help: diagnostic.help(),
            labels: (diagnostic.labels().iter())
                .map(|label| JsonLabel { place: JsonPlace::from(&label.place), message: &label.text })
                .collect(),
        }
    }
}

impl<'a> From<&'a Place> for JsonPlace<'a> {
    fn from(place: &'a Place) -> Self {
        let in_file = matches!(place, Place::InSource { .. });
        let (start, end) = place.positions().unzip();
        Self {
            file: in_file.then(|| place.name()),
            origin: (!in_file).then(|| place.name()),
            line: start.map(|p| p.line),
            column: start.map(|p| p.column),
            end_line: end.map(|p| p.line),
            end_column: end.map(|p| p.column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, Span};
    use super::*;

    #[test]
    fn every_diagnostic_is_one_json_line() {
        let source = Source::new("f.yaml", "é: 1\nb: 2\n");
        let found = Diagnostic::error("bad", Place::in_source(&source, Span::new(4, 7)), "a\n\"b\"")
            .with_label(Place::elsewhere("--b"), "flag")
            .with_help("do not");
        let warning = Diagnostic::warning("odd", Place::elsewhere("REFRAIN_X"), "hm");
        assert_eq!(
            to_json_lines(&[found, warning]),
            concat!(
                r#"{"file":"f.yaml","origin":null,"line":1,"column":4,"end_line":2,"end_column":2,"severity":"error","#,
                r#""code":"bad","message":"a\n\"b\"","notes":[],"help":"do not","#,
                r#""labels":[{"file":null,"origin":"--b","line":null,"column":null,"end_line":null,"end_column":null,"message":"flag"}]}"#,
                "\n",
                r#"{"file":null,"origin":"REFRAIN_X","line":null,"column":null,"end_line":null,"end_column":null,"severity":"warning","#,
                r#""code":"odd","message":"hm","notes":[],"help":null,"labels":[]}"#,
                "\n"
            )
        );
    }
}
