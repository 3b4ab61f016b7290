//! Bytes to text.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place, Source, Span};

/// The longest file that is read: 1 MiB.
pub const MAX_FILE_BYTES: usize = 1 << 20;

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
        let message = format!("cannot read the file: {error}");
        return Err(Diagnostic::error("unreadable", Place::elsewhere(name), message));
    }
    decode(name, bytes)
}

/// Takes the bytes of a file as its text.
///
/// # Errors
///
/// They are more than [`MAX_FILE_BYTES`], or not UTF-8.
pub fn decode(name: impl Into<String>, bytes: Vec<u8>) -> Result<Arc<Source>, Diagnostic> {
    let name = name.into();
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_long(Place::elsewhere(name)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let sixteen_bits = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
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
    }
}
