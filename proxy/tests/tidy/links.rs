//! Every relative link of the documentation leads somewhere.

use std::{collections::BTreeSet, path::Path, sync::LazyLock};

use regex::Regex;

use crate::tree::{File, assert_none, files, root};

static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\]\(([^)\s]+)\)").unwrap());

/// A document's text without its fenced blocks.
pub(crate) fn prose(file: &File) -> String {
    let mut inside = false;
    let keep = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    };
    file.text.lines().filter(keep).collect::<Vec<_>>().join("\n")
}

/// The anchors that a document's headings have where it is shown.
fn anchors(file: &File) -> BTreeSet<String> {
    let prose = prose(file);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(anchor).collect()
}

/// As the common code hosts make it: lower case, spaces to hyphens, punctuation gone.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.replace(' ', "-")
}

/// Where a link leads, from the root; `None`: out of the repository's root.
fn target(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn broken(file: &File, documents: &[File], root: &Path) -> Vec<String> {
    let prose = prose(file);
    let links = LINK.captures_iter(&prose).map(|found| found[1].to_owned());
    let relative = links.filter(|link| !link.contains("://") && !link.starts_with("mailto:"));
    let is_broken = |link: &String| {
        let (path, fragment) = link.split_once('#').map_or((link.as_str(), None), |(path, fragment)| (path, Some(fragment)));
        let path = if path.is_empty() { Some(file.path.clone()) } else { target(&file.path, path) };
        let Some(path) = path.filter(|path| root.join(path).exists()) else { return true };
        let Some(fragment) = fragment else { return false };
        !documents.iter().any(|document| document.path == path && anchors(document).contains(fragment))
    };
    relative.filter(is_broken).map(|link| format!("{}: {link}", file.path)).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let documents = files(".md");
    assert!(documents.iter().any(|file| file.path == "README.md"));
    let broken: Vec<_> = documents.iter().flat_map(|file| broken(file, &documents, &root())).collect();
    assert_none("broken links", &broken);
}

#[test]
fn every_page_can_be_reached_from_its_index() {
    let documents = files(".md");
    let linked = |index: &str| -> BTreeSet<String> {
        let index = documents.iter().find(|file| file.path == index).unwrap_or_else(|| panic!("there is no {index}"));
        let prose = prose(index);
        LINK.captures_iter(&prose).filter_map(|found| target(&index.path, found[1].split('#').next()?)).collect()
    };
    let (pages, decisions) = (linked("docs/README.md"), linked("docs/decisions/README.md"));
    let lost = |file: &&File| match file.path.strip_prefix("docs/") {
        None | Some("README.md") | Some("decisions/README.md") => false,
        Some(page) if page.starts_with("decisions/") => !decisions.contains(&file.path),
        Some(_) => !pages.contains(&file.path),
    };
    assert_none("not in the index", &documents.iter().filter(lost).map(|file| file.path.clone()).collect::<Vec<_>>());
}

#[test]
fn a_link_to_nothing_is_found() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let documents = [file("docs/a.md", "# A\n## What's in `it`\n")];
    let page = file(
        "docs/b.md",
        "[1](a.md#whats-in-it) [2](a.md#not) [3](../docs/none.md) ```\n```\n[4](x.md)\n```\n[5](https://a.example)",
    );
    // `docs/a.md` does not exist on disk either, so all but the block's and the outward one are broken here.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("docs")).unwrap();
    std::fs::write(folder.path().join("docs/a.md"), "").unwrap();
    assert_eq!(broken(&page, &documents, folder.path()), ["docs/b.md: a.md#not", "docs/b.md: ../docs/none.md"]);
}
