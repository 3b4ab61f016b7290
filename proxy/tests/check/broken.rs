//! Files with mistakes, through the command line.

use crate::support::Folder;

const BROKEN: &str = include_str!("broken.yaml");

#[test]
fn ten_mistakes_of_one_file_are_ten_located_errors_of_one_run() {
    let folder = Folder::new(&[("broken.yaml", BROKEN)]);
    let said = folder.refrain("check broken.yaml");
    insta::assert_snapshot!("ten_mistakes", said.shown());
    let json = folder.refrain("check broken.yaml --format json").out;
    let errors: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(errors.len(), 10, "{json}");
    let mut codes: Vec<&str> = errors.iter().map(|error| error["code"].as_str().unwrap()).collect();
    for error in &errors {
        assert_eq!((&error["severity"], &error["file"]), (&"error".into(), &"broken.yaml".into()), "{error}");
        assert!(error["line"].as_u64() >= Some(1) && error["column"].as_u64() >= Some(1), "{error}");
    }
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), 10, "each of another kind: {codes:?}");
}

#[test]
fn broken_yaml_is_told_for_every_file() {
    let folder = Folder::new(&[("a.yaml", "saga: a\n\tversion: 1\n"), ("b.yaml", "saga: b\nsteps: [\n")]);
    insta::assert_snapshot!("broken_yaml", folder.refrain("check a.yaml b.yaml").shown());
}
