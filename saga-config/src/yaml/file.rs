//! Bytes to text.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place, Source, Span, did_you_mean, quoted};

/// The longest file that is read: 1 MiB.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// How many names of a folder are looked at for the one that was meant.
const MAX_NEIGHBOURS: usize = 1000;

/// Reads a file. Blocks; never reads more than [`MAX_FILE_BYTES`] and one byte.
///
/// # Errors
///
/// The file cannot be opened or read, is too long, or is not UTF-8.
pub fn read_file(path: &Path) -> Result<Arc<Source>, Diagnostic> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(unreadable(path, name, &error));
    }
    decode(name, bytes)
}

fn unreadable(path: &Path, name: String, error: &io::Error) -> Diagnostic {
    let place = Place::elsewhere(name);
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            let help = "name the files in it, such as sagas/*.yaml";
            Diagnostic::error("unreadable", place, "this is a folder, not a file").with_help(help)
        }
        io::ErrorKind::NotFound => {
            let missing = Diagnostic::error("unreadable", place, "cannot read the file: there is none of this name");
            match neighbour(path) {
                Some(meant) => missing.with_help(format!("did you mean {}?", quoted(&meant))),
                None => missing.with_help("check the path: a relative one begins where this was started"),
            }
        }
        _ => Diagnostic::error("unreadable", place, format!("cannot read the file: {error}")),
    }
}

/// The file of the same folder that may have been meant.
fn neighbour(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).ok()?.take(MAX_NEIGHBOURS).filter_map(Result::ok);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // A folder has no order of its own.
    names.sort_unstable();
    let meant = did_you_mean(path.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(path.with_file_name(meant).display().to_string())
}

/// Takes the bytes of a file as its text.
///
/// # Errors
///
/// They are more than [`MAX_FILE_BYTES`], or no text, or not UTF-8.
pub fn decode(name: impl Into<String>, bytes: Vec<u8>) -> Result<Arc<Source>, Diagnostic> {
    let name = name.into();
    let sixteen_bits = matches!(bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    if bytes.contains(&0) && !sixteen_bits {
        let found = Diagnostic::error("not-text", Place::elsewhere(name), "the file is not text: it has a zero byte in it");
        return Err(found.with_help("name a YAML file"));
    }
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_long(Place::elsewhere(name)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        // The text before the offset is the same in both, so the offset holds.
        let source = Source::new(name.clone(), String::from_utf8_lossy(error.as_bytes()));
        let span = Span::new(offset, offset + char::REPLACEMENT_CHARACTER.len_utf8());
        let found = Diagnostic::error("not-utf8", Place::in_source(&source, span), "the file is not UTF-8");
        found.with_help(if sixteen_bits { "the file looks like UTF-16: save it as UTF-8" } else { "save the file as UTF-8" })
    })?;
    Ok(Source::new(name, text))
}

pub(super) fn too_long(place: Place) -> Diagnostic {
    Diagnostic::error("yaml-limit", place, "the file is longer than 1 MiB")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_pointed_at() {
        let error = decode("f", b"a: \xc3\xa9\nb: \xff\n".to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "f:2:4: error: the file is not UTF-8 (save the file as UTF-8)");
        let error = decode("f", b"\xff\xfea\0".to_vec()).unwrap_err();
        assert!(error.help().unwrap().contains("UTF-16"));
    }

    #[test]
    fn a_file_over_one_mebibyte_is_refused() {
        assert!(decode("f", vec![b'#'; MAX_FILE_BYTES]).is_ok());
        let error = decode("f", vec![b'#'; MAX_FILE_BYTES + 1]).unwrap_err();
        assert_eq!(error.to_string(), "f: error: the file is longer than 1 MiB");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read_file(Path::new("no/such/file.yaml")).unwrap_err();
        assert!(error.to_string().starts_with("no/such/file.yaml: error: cannot read the file: "));
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let error = read_file(&here.join("Cargo.tom")).unwrap_err();
        assert_eq!(error.help(), Some(format!("did you mean `{}`?", here.join("Cargo.toml").display()).as_str()));
    }

    #[test]
    fn a_folder_is_no_file_and_a_program_is_no_text() {
        let error = read_file(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_err();
        assert!(error.to_string().contains("this is a folder"), "{error}");
        let error = decode("f", b"\x7fELF\x02\0\xff".to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "f: error: the file is not text: it has a zero byte in it (name a YAML file)");
    }
}
