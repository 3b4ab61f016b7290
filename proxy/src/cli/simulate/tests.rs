#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;

const CREATE_ORDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/services/sagas/create-order.yaml");

fn args(file: &str, check: bool) -> SimulateArgs {
    let files = vec![PathBuf::from(file)];
    SimulateArgs { files, config: None, check, faults: 1, runs: 1000, format: Format::Human }
}

fn code(args: &SimulateArgs) -> String {
    format!("{:?}", run(args))
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn the_table_of_create_order_is_as_it_was_and_the_documentation_shows_it() {
    let reports = reports(&args(CREATE_ORDER, false)).unwrap();
    let text = shown::report(&reports[0], false);
    insta::assert_snapshot!("create_order", text);
    let page = include_str!("../../../../docs/simulate.md");
    let mut shows = false;
    // Space is laid out anew: the page shows some of the lines.
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(squeezed).filter(|line| !line.is_empty()).collect();
    for line in page.lines() {
        match line {
            "```text" => shows = true,
            "```" => shows = false,
            _ if shows => {
                let line = squeezed(line);
                let is_there =
                    lines.iter().any(|known| *known == line || line.ends_with(known.as_str()) || known.ends_with(&line));
                assert!(is_there, "not printed: {line}");
            }
            _ => {}
        }
    }
}

#[test]
fn the_report_as_json_has_its_rows_and_its_verdict() {
    let reports = reports(&args(CREATE_ORDER, false)).unwrap();
    let report: serde_json::Value = serde_json::from_str(&json(&reports[0])).unwrap();
    let row = &report["cases"][0]["rows"][1];
    assert_eq!((row["step"].as_str(), row["outcome"].as_str()), (Some("create_order"), Some("refused")));
    assert_eq!(row["ending"]["state"], "compensated");
    assert_eq!(report["verdict"]["leaking"], 0);
}

#[test]
fn check_fails_for_a_broken_invariant_and_bad_files_are_another_matter() {
    let folder = tempfile::tempdir().unwrap();
    let saga = "saga: s\nversion: 1\ntrigger: {route: POST /s/}\nsteps:\n  - {id: a, call: svc POST /a, compensate: none}\n";
    let good = format!("{saga}test: {{invariants: [{{check: \"${{ending.effects.a != 'undone'}}\"}}]}}\n");
    let broken = format!("{saga}test: {{invariants: [{{name: all goes well, check: \"${{ending.state == 'completed'}}\"}}]}}\n");
    let good = written(folder.path(), "good.yaml", &good);
    let broken = written(folder.path(), "broken.yaml", &broken);
    let bad = written(folder.path(), "bad.yaml", "saga: s\n");
    assert_eq!(code(&args(&good, true)), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(code(&args(&broken, false)), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(code(&args(&broken, true)), format!("{:?}", ExitCode::FAILURE));
    assert_eq!(code(&args(&bad, true)), format!("{:?}", ExitCode::from(2)));
    let reports = reports(&args(&broken, true)).unwrap();
    let text = shown::report(&reports[0], false);
    assert!(text.contains("BROKEN all goes well") && text.contains("The shortest: a: refused"), "{text}");
}

#[test]
fn a_case_that_does_not_go_through_is_told_at_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let saga = "saga: s\nversion: 1\ntrigger: {route: POST /s/}\nsteps:\n  - {id: a, call: svc GET /a, effect: none, output: {x: \"${response.body.x}\"}}\n  - {id: b, set: {y: \"${steps.a.x.map(c, c.deep.down)[0]}\"}}\n";
    let file = written(folder.path(), "s.yaml", saga);
    let mistakes = reports(&args(&file, false)).unwrap_err();
    let text = mistakes[0].to_string();
    assert!(text.contains("s.yaml:6:10") && text.contains("answers.a.body.x"), "{text}");
}

#[test]
fn every_sample_goes_through_and_nothing_that_goes_wrong_once_leaks() {
    let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
    let folders = ["sagas", "services/sagas"].map(|folder| std::fs::read_dir(examples.join(folder)).unwrap());
    let mut files: Vec<PathBuf> = folders.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml") && !file.ends_with("refrain.yaml"));
    files.sort();
    assert!(files.len() >= 15, "{files:?}");
    let together = SimulateArgs { files, ..args(CREATE_ORDER, false) };
    for report in reports(&together).unwrap_or_else(|found| panic!("{found:#?}")) {
        assert!(report.is_good(), "{}", shown::report(&report, false));
        if report.saga == "book-trip" {
            insta::assert_snapshot!("book_trip", shown::report(&report, false));
        }
    }
}
