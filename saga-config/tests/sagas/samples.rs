//! The sagas to copy (`examples/sagas`, and those of the shop): each is read and proved, and keeps its identity in the store.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{fs, path::Path};

use saga_config::{
    diagnostic::{Colour, Diagnostic, Source, render},
    saga::{Action, Loaded, Saga},
};

/// Every sample by its file's name, read together, as a configuration reads them.
fn samples() -> Vec<(String, Result<Loaded, Vec<Diagnostic>>)> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples");
    let folders = ["sagas", "services/sagas"].map(|folder| fs::read_dir(examples.join(folder)).unwrap());
    let mut files: Vec<_> = folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let texts = files.iter().map(|file| (file, fs::read_to_string(file).unwrap()));
    let sagas: Vec<_> = texts.filter(|(_, text)| text.lines().any(|line| line.starts_with("saga:"))).collect();
    assert!(sagas.len() >= 15, "{} samples: are these all?", sagas.len());
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();
    let sources: Vec<_> = sagas.iter().map(|(file, text)| Source::new(name(file), text)).collect();
    sagas.iter().map(|(file, _)| name(file)).zip(Saga::load_all(&sources, None)).collect()
}

#[test]
fn every_sample_is_sound_and_nothing_is_unwise_in_it() {
    for (name, loaded) in samples() {
        match loaded {
            Ok(Loaded { saga, warnings, .. }) => {
                assert!(warnings.is_empty(), "{}", render(&warnings, Colour::Never));
                assert_eq!(format!("{}.yaml", saga.name), name);
                assert_eq!(Saga::from_canonical(&saga.canonical).unwrap().hash, saga.hash, "{name}");
            }
            Err(found) => {
                let supported: Vec<_> = found.iter().filter(|found| found.code() != "not-supported").cloned().collect();
                assert!(supported.is_empty(), "{}", render(&supported, Colour::Never));
            }
        }
    }
}

#[test]
fn the_samples_show_every_construct() {
    let sagas: Vec<Saga> = samples().into_iter().filter_map(|(_, loaded)| Some(loaded.ok()?.saga)).collect();
    let any = |holds: &dyn Fn(&Action) -> bool| sagas.iter().flat_map(|saga| &saga.steps).any(|step| holds(&step.action));
    assert!(any(&|action| matches!(action, Action::Call(_))));
    assert!(any(&|action| matches!(action, Action::Switch(_))));
    assert!(any(&|action| matches!(action, Action::Foreach(_))));
    assert!(any(&|action| matches!(action, Action::Enter(_))));
    assert!(sagas.iter().any(|saga| !saga.groups.is_empty()) && sagas.iter().any(|saga| !saga.secrets.is_empty()));
    assert!(sagas.iter().any(|saga| saga.sensitive));
}

#[test]
fn their_pictures_do_not_change_unseen() {
    for (name, loaded) in samples() {
        let Ok(Loaded { saga, .. }) = loaded else { continue };
        let name = name.trim_end_matches(".yaml");
        insta::assert_snapshot!(format!("{name}.mermaid"), saga_config::diagram::mermaid(&saga));
        insta::assert_snapshot!(format!("{name}.dot"), saga_config::diagram::dot(&saga));
    }
}
