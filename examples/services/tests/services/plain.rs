use std::fs;
use std::path::{Path, PathBuf};

/// All files under `folder`, which holds no links.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_services_hold_no_code_against_repeated_requests_or_for_sagas() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let services = [package.join("src/services"), package.join("migrations")].map(|folder| files(&folder)).concat();
    assert!(services.len() > 10, "{services:?}");
    for file in services {
        let text = fs::read_to_string(&file).unwrap().to_lowercase();
        for word in ["idempot", "refrain", "replay", "dedup", "saga", "compensat", "sidecar", "proxy"] {
            assert!(!text.contains(word), "{} says {word:?}", file.display());
        }
    }
}
