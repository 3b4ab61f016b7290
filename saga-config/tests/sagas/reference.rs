//! The page of the documentation that says every key, written from the schema.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Write as _,
    path::Path,
};

use saga_config::saga;
use serde_json::{Map, Value};

const BEGIN: &str =
    "<!-- From here on, the page is written from the schema: SAGA_REFERENCE=write cargo test -p saga-config reference -->\n";
const END: &str = "<!-- From here on, the page is written by hand. -->\n";

type Rule = Map<String, Value>;

/// Says the keys of every map of the file, a section for each, in the order in which they come by.
struct Page<'s> {
    definitions: &'s Rule,
    left: VecDeque<(String, &'s Rule)>,
    known: BTreeSet<String>,
    text: String,
}

impl<'s> Page<'s> {
    fn write(schema: &'s Value) -> String {
        let root = schema.as_object().expect("it is a map");
        let definitions = schema["$defs"].as_object().expect("it has definitions");
        let left = VecDeque::from([("At the top".to_owned(), root)]);
        let mut page = Self { definitions, left, known: BTreeSet::new(), text: String::new() };
        while let Some((title, rule)) = page.left.pop_front() {
            page.section(&title, rule);
        }
        page.text
    }

    fn section(&mut self, title: &str, rule: &'s Rule) {
        let about = text(rule, "description");
        // Writing to a String cannot fail.
        let _ = write!(self.text, "\n## {title}\n\n{about}\n\n| key | takes | default | what |\n|---|---|---|---|\n");
        let required: Vec<&str> = rule
            .get("required")
            .into_iter()
            .flat_map(|keys| keys.as_array().expect("a list"))
            .filter_map(Value::as_str)
            .collect();
        for (key, value) in rule["properties"].as_object().expect("it has keys") {
            let value = value.as_object().expect("every key has a rule");
            let default = match value.get("default") {
                Some(Value::String(word)) => format!("`{word}`"),
                Some(other) => format!("`{other}`"),
                None if required.contains(&key.as_str()) => "required".to_owned(),
                None => String::new(),
            };
            let (takes, what) = (self.takes(key, value), self.what(value));
            let _ = writeln!(self.text, "| `{key}` | {takes} | {default} | {what} |");
        }
    }

    /// What may stand there, in a few words.
    fn takes(&mut self, key: &str, rule: &'s Rule) -> String {
        if let Some(name) = reference(rule) {
            return self.named(name);
        }
        for several in ["anyOf", "oneOf"] {
            if let Some(several) = rule.get(several).and_then(Value::as_array) {
                let several = several.iter().filter_map(Value::as_object).filter(|one| one.get("type") != Some(&"null".into()));
                let takes: Vec<String> = several.map(|one| self.takes(key, one)).collect();
                return match takes.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => "nothing".to_owned(),
                };
            }
        }
        if let Some(word) = rule.get("const") {
            return format!("`{}`", word.as_str().expect("words are text"));
        }
        if let Some(keys) = rule.get("properties").and_then(Value::as_object) {
            // An alternative with one key is that key.
            if let [(inner, value)] = keys.iter().collect::<Vec<_>>()[..]
                && rule.get("required").is_some()
            {
                let takes = self.takes(inner, value.as_object().expect("every key has a rule"));
                return format!("`{inner}:` {takes}");
            }
            return self.link(&capitalised(key), rule);
        }
        self.plain(key, rule)
    }

    fn plain(&mut self, key: &str, rule: &'s Rule) -> String {
        let kinds: Vec<&str> = match rule.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
            _ => return "JSON".to_owned(),
        };
        let bound = |least: &str, most: &str| match (rule.get(least), rule.get(most)) {
            (Some(least), Some(most)) => format!(", {least} to {most}"),
            (Some(least), None) => format!(", at least {least}"),
            (None, Some(most)) => format!(", at most {most}"),
            (None, None) => String::new(),
        };
        match kinds[..] {
            ["string"] => format!("text{}", bound("minLength", "maxLength")),
            ["integer"] => format!("a whole number{}", bound("minimum", "maximum")),
            ["number"] => format!("a number{}", bound("minimum", "maximum")),
            ["boolean"] => "`true` or `false`".to_owned(),
            ["array"] => {
                let items = rule
                    .get("items")
                    .and_then(Value::as_object)
                    .map_or_else(|| "JSON".to_owned(), |items| self.takes(key, items));
                format!("a list: {items}{}", bound("minItems", "maxItems"))
            }
            ["object"] => match rule.get("additionalProperties").and_then(Value::as_object) {
                Some(values) => format!("by name: {}", self.takes(key, values)),
                None => "by name: JSON".to_owned(),
            },
            _ => kinds.join(" or "),
        }
    }

    fn named(&mut self, name: &str) -> String {
        if name == "Duration" {
            return "a duration".to_owned();
        }
        let rule = self.definitions[name].as_object().expect("it is a map");
        match rule.contains_key("properties") {
            true => self.link(&spaced(name), rule),
            false => self.takes(name, rule),
        }
    }

    /// A link to the section of a map, which is written once.
    fn link(&mut self, title: &str, rule: &'s Rule) -> String {
        if self.known.insert(title.to_owned()) {
            self.left.push_back((title.to_owned(), rule));
        }
        format!("[{}](#{})", title.to_lowercase(), title.to_lowercase().replace(' ', "-"))
    }

    /// What it is for, and what each word means.
    fn what(&self, rule: &Rule) -> String {
        let words = self.words(rule);
        let mut what = text(rule, "description").to_owned();
        if words.len() > 1 {
            let _ = write!(what, " {}", words.join(" "));
        }
        what.replace('|', "\\|").replace('\n', " ")
    }

    fn words(&self, rule: &Rule) -> Vec<String> {
        if let Some(name) = reference(rule) {
            return self.words(self.definitions[name].as_object().expect("it is a map"));
        }
        let several =
            ["anyOf", "oneOf"].into_iter().filter_map(|key| rule.get(key)?.as_array()).flatten().filter_map(Value::as_object);
        several
            .flat_map(|one| match one.get("const").and_then(Value::as_str) {
                Some(word) => vec![format!("`{word}`: {}", text(one, "description"))],
                None if one.contains_key("$ref") => self.words(one),
                None => Vec::new(),
            })
            .collect()
    }
}

fn reference(rule: &Rule) -> Option<&str> {
    rule.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn text<'r>(rule: &'r Rule, key: &str) -> &'r str {
    rule.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `CheckResponse` in words.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_uppercase() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

#[test]
fn the_reference_says_what_the_schema_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/saga-reference.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page says where the written part begins");
    let (written, after) = rest.split_once(END).expect("the page says where the written part ends");
    let schema = saga::schema().to_value();
    let meant = format!("{}\n", Page::write(&schema));
    if std::env::var_os("SAGA_REFERENCE").is_some_and(|value| value == "write") {
        std::fs::write(&path, format!("{before}{BEGIN}{meant}{END}{after}")).expect("the page can be written");
        return;
    }
    assert!(
        written == meant,
        "docs/saga-reference.md is not what the schema says: SAGA_REFERENCE=write cargo test -p saga-config reference"
    );
}
