//! What a source file names: enough of Rust to tell, and no more.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;

use crate::tree::File;

/// What one source file of the library names.
pub(crate) struct Names {
    /// The module it is: `idempotency::key`; empty for the crate's root.
    pub(crate) module: String,
    /// Paths in this crate, such as `store::redis::RedisStore`.
    pub(crate) ours: BTreeSet<String>,
    /// Crates, and whatever else stands before the first `::` and is not this crate's.
    pub(crate) crates: BTreeSet<String>,
}

static USE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?use ([^;]+);").unwrap());
static INLINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(^|[^\w:])([a-z_][a-z0-9_]*)((?:::\w+)+)").unwrap());
/// How far a name is seen: no arrow.
static SCOPE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"pub\(in [^)]*\)").unwrap());
static TESTS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"#\[cfg\(test\)\][^;{]*mod \w+ \{").unwrap());
static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"//[^\n]*").unwrap());
static TEXT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#""(?:[^"\\]|\\.)*""#).unwrap());

/// The code of a file: without comments, texts and its tests, which stand last.
pub(crate) fn code(text: &str) -> String {
    let text = COMMENT.replace_all(text, "");
    let text = TESTS.find(&text).map_or(&*text, |tests| &text[..tests.start()]);
    TEXT.replace_all(text, "\"\"").into_owned()
}

/// What `file` names; `source` is the folder of its crate's root.
pub(crate) fn names(file: &File, source: &str) -> Names {
    let path = file.path.strip_prefix(source).unwrap().trim_end_matches(".rs");
    let mut module: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if matches!(module.last(), Some(&"mod" | &"lib" | &"main")) {
        module.pop();
    }
    let code = code(&file.text);
    let code = SCOPE.replace_all(&code, "pub(super)");
    let mut paths = Vec::new();
    for used in USE.captures_iter(&code) {
        expand("", &used[1].split_whitespace().collect::<Vec<_>>().join(" "), &mut paths);
    }
    let rest = USE.replace_all(&code, "");
    let bound: BTreeSet<String> = paths.iter().map(|path| last(path).to_owned()).collect();
    let inline = INLINE.captures_iter(&rest).filter(|found| !bound.contains(&found[2]));
    paths.extend(inline.map(|found| format!("{}{}", &found[2], &found[3])));
    let mut names = Names { module: module.join("::"), ours: BTreeSet::new(), crates: BTreeSet::new() };
    for path in paths {
        match resolve(&module, &path) {
            Some(ours) => names.ours.insert(ours),
            None => names.crates.insert(path.split("::").next().unwrap().to_owned()),
        };
    }
    names
}

/// The leaves of a `use` tree.
fn expand(prefix: &str, tree: &str, out: &mut Vec<String>) {
    let Some((head, inner)) = tree.split_once('{') else {
        let path = format!("{prefix}{}", tree.trim());
        out.push(path.strip_suffix("::self").unwrap_or(&path).to_owned());
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let inner = inner.rsplit_once('}').unwrap().0;
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[from..at], out);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !inner[from..].trim().is_empty() {
        expand(&prefix, &inner[from..], out);
    }
}

/// The name that a leaf binds.
fn last(path: &str) -> &str {
    let leaf = path.rsplit("::").next().unwrap();
    leaf.split(" as ").last().unwrap().trim()
}

/// A path from the crate's root; `None`: of another crate.
fn resolve(module: &[&str], path: &str) -> Option<String> {
    let mut base = module.to_vec();
    let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
    match *parts.first()? {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while parts.get(1) == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
            base.pop();
        }
        _ => return None,
    }
    parts.remove(0);
    base.extend(parts);
    Some(base.join("::"))
}

/// Whether `path` is `prefix` or below it.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn a_use_tree_is_read_to_its_leaves() {
    let text = "//! redis::nothing\nuse super::{name::Key, store::{self, redis::{Redis as R}}};\nuse http::Uri;\npub(crate) use crate::time;
        pub(in super::super) struct S;\n fn f() { tokio::spawn(\"hyper::x\"); crate::ids::random(); Key::new(); self::g() }
        #[cfg(test)]\nmod tests { use redb::X; }";
    let names = names(&File { path: "src/a/b.rs".into(), text: text.into() }, "src/");
    assert_eq!(names.module, "a::b");
    assert_eq!(
        names.ours.iter().map(String::as_str).collect::<Vec<_>>(),
        ["a::b::g", "a::name::Key", "a::store", "a::store::redis::Redis as R", "ids::random", "time"]
    );
    assert_eq!(names.crates.iter().map(String::as_str).collect::<Vec<_>>(), ["http", "tokio"]);
}
