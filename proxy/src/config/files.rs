//! Files that a configuration names by a path with `*` in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The most files that all patterns together may stand for.
pub(super) const MAX_FILES: usize = 1000;
/// The most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// What tells a file from others, by whatever path it is named; of one that is not there, the path. Blocks.
pub(super) fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A file, or the files of one folder whose names fit a pattern: `*` stands for any characters, at the beginning of a name for any
/// but a `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern {
    folder: PathBuf,
    name: String,
}

impl FilePattern {
    /// A pattern: a path whose last part may have `*` in it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn new(path: &Path) -> Result<Self, &'static str> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Err("this names no file");
        };
        if folder.to_string_lossy().contains('*') {
            return Err("`*` stands for a part of a file's name, not of a folder's");
        }
        if name.contains("**") {
            return Err("`**` is no pattern here: folders are not searched");
        }
        Ok(Self { folder: folder.to_owned(), name: name.to_owned() })
    }

    /// The folder that the files are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it stands for any number of files, none included.
    pub fn is_open(&self) -> bool {
        self.name.contains('*')
    }

    /// The files there are now, by name. Without `*`: this one, whether it is there or not. Blocks.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or has too many entries.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        if !self.is_open() {
            return Ok(vec![self.folder.join(&self.name)]);
        }
        let here = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let mut files = Vec::new();
        for (index, entry) in fs::read_dir(here)?.enumerate() {
            if index == MAX_ENTRIES {
                return Err(io::Error::other(format!("it has more than {MAX_ENTRIES} entries")));
            }
            let name = entry?.file_name();
            let path = self.folder.join(&name);
            // Through symbolic links: a Kubernetes volume is made of them.
            if name.to_str().is_some_and(|name| fits(&self.name, name)) && path.is_file() {
                files.push(path);
            }
        }
        files.sort_unstable();
        Ok(files)
    }
}

/// Whether `name` fits `pattern`.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut parts = pattern.split('*');
    let (Some(first), last) = (parts.next(), parts.next_back()) else { return false };
    let Some(last) = last else { return name == pattern };
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    // The leftmost place for each part leaves the most room for those that follow.
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [
            ("*.yaml", "a.yaml"),
            ("*", "a"),
            ("a*b*c", "abc"),
            ("a*b*c", "a-b-b-c"),
            ("*.yaml", "a.b.yaml"),
            (".*", ".a"),
            ("a", "a"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.yaml", "a.yml"), ("*.yaml", ".yaml"), ("*", ".a"), ("ab*ba", "aba"), ("a*b*c", "acb"), ("a", "b"), ("a*b", "a")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn only_names_have_patterns() {
        for wrong in ["/a*/b.yaml", "sagas/**", "/", ".."] {
            assert!(FilePattern::new(Path::new(wrong)).is_err(), "{wrong}");
        }
        assert!(!FilePattern::new(Path::new("sagas/a.yaml")).unwrap().is_open());
    }

    #[test]
    fn files_come_by_name_and_links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yaml", ".hidden.yaml", "c.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("d.yaml")).unwrap();
        std::os::unix::fs::symlink("c.txt", folder.path().join("link.yaml")).unwrap();
        let found = FilePattern::new(&folder.path().join("*.yaml")).unwrap().files().unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.yaml", "b.yaml", "link.yaml"]);
        assert!(FilePattern::new(&folder.path().join("none/*.yaml")).unwrap().files().is_err());
    }
}
