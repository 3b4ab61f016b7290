//! Which files are looked at, and what as.

use crate::support::Folder;

const SAGA: &str = "saga: pay
version: 1
trigger: {route: POST /pay/}
steps:
  - id: charge
    call: billing POST /charges
    compensate: {call: billing POST /refunds}
";

const CONFIG: &str = "upstreams:
  orders: {url: http://127.0.0.1:8001, local: true}
  billing: {url: http://127.0.0.1:8102, refrain: true}
idempotency: {scope: global}
";

fn without_billing() -> String {
    CONFIG.replace("billing", "billings")
}

fn second() -> String {
    SAGA.replace("saga: pay", "saga: refund").replace("/pay/", "/refund/")
}

#[test]
fn sagas_alone_are_told_with_their_hash_and_nothing_is_said_of_upstreams() {
    let said = Folder::new(&[("a.yaml", SAGA), ("b.yaml", &second())]).refrain("check a.yaml b.yaml");
    insta::assert_snapshot!("sagas_alone", said.shown());
}

#[test]
fn with_a_configuration_sagas_that_it_does_not_name_are_held_against_its_upstreams_too() {
    let folder = Folder::new(&[("a.yaml", SAGA), ("refrain.yaml", &without_billing())]);
    insta::assert_snapshot!("unnamed_saga", folder.refrain("check a.yaml refrain.yaml").shown());
    assert_eq!(folder.refrain("check refrain.yaml a.yaml").err, folder.refrain("check --config refrain.yaml a.yaml").err);
    folder.write("refrain.yaml", CONFIG.as_bytes());
    insta::assert_snapshot!("together", folder.refrain("check a.yaml refrain.yaml").shown());
}

#[test]
fn a_saga_that_is_named_twice_is_one_saga() {
    let config = format!("{CONFIG}sagas: {{files: [sagas/*.yaml]}}\n");
    let folder = Folder::new(&[("sagas/a.yaml", SAGA), ("refrain.yaml", &config)]);
    for args in ["check refrain.yaml sagas/a.yaml", "check refrain.yaml ./sagas/../sagas/a.yaml sagas/a.yaml refrain.yaml"] {
        let said = folder.refrain(args);
        assert_eq!(said.code, Some(0), "{}", said.shown());
        assert!(said.out.contains("1 saga(s)") && said.out.ends_with("0 errors, 0 warnings in 2 files\n"), "{}", said.shown());
    }
}

#[test]
fn sagas_of_one_run_are_held_against_each_other() {
    let folder = Folder::new(&[("a.yaml", SAGA), ("b.yaml", SAGA)]);
    let said = folder.refrain("check a.yaml b.yaml");
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("duplicate-saga") && said.err.contains("ambiguous-triggers"), "{}", said.err);
}

#[test]
fn mistakes_of_a_configuration_that_is_no_yaml_and_those_of_sagas_are_told_in_one_run() {
    let broken = SAGA.replace("compensate: {call: billing POST /refunds}", "effects: once");
    let folder = Folder::new(&[("a.yaml", &broken), ("refrain.yaml", "upstreams: [\n"), ("b.yaml", "saga: b\n\tsteps: 1\n")]);
    insta::assert_snapshot!("all_at_once", folder.refrain("check a.yaml refrain.yaml b.yaml").shown());
}

#[test]
fn what_cannot_be_read_is_told_for_what_it_is() {
    let folder = Folder::new(&[("pay.yaml", SAGA)]);
    folder.write("folder/a.yaml", b"");
    folder.write("program", b"\x7fELF\x02\x01\x01\0\0\xff");
    folder.write("latin1.yaml", b"saga: caf\xe9\n");
    folder.write("utf16.yaml", b"\xff\xfes\0a\0");
    folder.write("huge.yaml", &vec![b'#'; (1 << 20) + 1]);
    let said = folder.refrain("check pay.yam folder program latin1.yaml utf16.yaml huge.yaml pay.yaml");
    insta::assert_snapshot!("unreadable", said.shown());
}

#[test]
fn one_configuration_at_a_time() {
    let folder = Folder::new(&[("one.yaml", CONFIG), ("two.yaml", CONFIG)]);
    insta::assert_snapshot!("two_configurations", folder.refrain("check one.yaml two.yaml").shown());
    assert_eq!(folder.refrain("check --config one.yaml two.yaml").code, Some(2));
}

#[test]
fn a_configuration_that_a_variable_names_gives_way_to_a_file_and_one_that_a_flag_names_does_not() {
    let folder = Folder::new(&[("a.yaml", SAGA), ("with.yaml", CONFIG), ("without.yaml", &without_billing())]);
    let variable = [("REFRAIN_CONFIG", "without.yaml")];
    let refused = folder.refrain_with("check a.yaml", &variable, "");
    assert!(refused.code == Some(2) && refused.err.contains("there is no upstream `billing`"), "{}", refused.shown());
    assert_eq!(folder.refrain_with("check a.yaml with.yaml", &variable, "").code, Some(0));
    assert_eq!(folder.refrain_with("check a.yaml --config with.yaml", &variable, "").code, Some(0));
}

#[test]
fn flags_alone_are_a_configuration_to_hold_sagas_against() {
    let folder = Folder::new(&[("a.yaml", SAGA)]);
    let said = folder.refrain("check a.yaml --upstream http://127.0.0.1:3000");
    assert!(said.code == Some(2) && said.err.contains("there is no upstream `billing`"), "{}", said.shown());
    // A variable is about the service that is run here.
    let variable = [("REFRAIN_UPSTREAM", "http://127.0.0.1:3000")];
    assert_eq!(folder.refrain_with("check a.yaml", &variable, "").code, Some(0));
}

#[test]
fn upstreams_of_the_file_are_given_by_flags_or_in_one_variable_with_blanks_between_them() {
    let folder = Folder::new(&[("refrain.yaml", CONFIG)]);
    let check = "check --config refrain.yaml";
    let variable = [("REFRAIN_UPSTREAM", " http://o  billing=http://b1\tbilling=http://b1 ")];
    let said = folder.refrain_with(check, &variable, "");
    assert!(said.code == Some(2) && said.err.contains("REFRAIN_UPSTREAM"), "{}", said.shown());
    assert!(said.err.contains("the endpoint `http://b1/` is in the list already"), "{}", said.shown());
    // A flag counts before the variable, which then says nothing.
    let said = folder.refrain_with(&format!("{check} --upstream http://o --upstream billing=http://b1"), &variable, "");
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let said = folder.refrain(&format!("{check} --upstream biling=http://b1"));
    assert!(said.code == Some(2) && said.err.contains("did you mean `billing`?"), "{}", said.shown());
    for nothing in ["", " "] {
        let said = folder.refrain_with(check, &[("REFRAIN_UPSTREAM", nothing)], "");
        assert!(said.code == Some(2) && said.err.contains("REFRAIN_UPSTREAM"), "{nothing:?}: {}", said.shown());
    }
}

#[test]
fn a_saga_can_come_on_standard_input() {
    let folder = Folder::new(&[]);
    let said = folder.refrain_with("check -", &[], SAGA);
    assert!(said.code == Some(0) && said.out.starts_with("pay 1 sha256:"), "{}", said.shown());
    let said = folder.refrain_with("check -", &[], "saga: 1\n");
    assert!(said.code == Some(2) && said.err.contains("standard input:1:"), "{}", said.shown());
}

#[test]
fn programs_get_one_object_a_line_and_nothing_else() {
    let folder = Folder::new(&[("a.yaml", SAGA), ("refrain.yaml", &without_billing())]);
    let said = folder.refrain("check a.yaml refrain.yaml none.yaml --format json");
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""));
    insta::assert_snapshot!("json", said.out);
    for line in said.out.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).unwrap().is_object(), "{line}");
    }
    folder.write("refrain.yaml", CONFIG.as_bytes());
    let said = folder.refrain("check a.yaml refrain.yaml --format json");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "", ""));
}

#[test]
fn without_files_the_configuration_is_checked_with_the_sagas_that_it_names() {
    let config = format!("{CONFIG}sagas: {{files: [sagas/*.yaml]}}\n");
    let folder = Folder::new(&[("sagas/a.yaml", SAGA), ("refrain.yaml", &config)]);
    let said = folder.refrain("check --config refrain.yaml");
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (Some(0), "refrain.yaml is good: 2 upstream(s), 0 route(s), 1 saga(s)\n", "")
    );
    let said = folder.refrain("check --upstream http://127.0.0.1:3000");
    assert!(said.out.starts_with("the configuration is good: "), "{}", said.shown());
}
