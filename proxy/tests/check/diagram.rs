//! `refrain diagram`.

use crate::support::Folder;

const SAGA: &str = r#"
saga: order
version: 1
trigger: {route: POST /orders/}
steps:
  - {id: create, call: orders POST /orders, compensate: {call: "orders DELETE /orders/${saga.id}"}}
  - {id: pay, pivot: true, call: billing POST /charges}
"#;

#[test]
fn a_saga_is_drawn_in_three_languages_on_standard_output_or_into_a_file() {
    let folder = Folder::new(&[("order.yaml", SAGA)]);
    for (args, begins) in [
        ("diagram order.yaml", "flowchart TB\n"),
        ("diagram order.yaml --format mermaid", "flowchart TB\n"),
        ("diagram order.yaml --format dot", "digraph \"order\" {\n"),
        ("diagram order.yaml --format svg", "<svg "),
    ] {
        let said = folder.refrain(args);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args}");
        assert!(said.out.starts_with(begins), "{args}: {}", said.out);
    }
    let said = folder.refrain("diagram order.yaml --format svg -o order.svg");
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert_eq!(folder.read("order.svg"), folder.refrain("diagram order.yaml --format svg").out);
}

#[test]
fn a_saga_that_is_wrong_is_not_drawn_and_its_mistakes_are_told() {
    let folder = Folder::new(&[("order.yaml", &SAGA.replace("POST /charges", "PSOT /charges"))]);
    let said = folder.refrain("diagram order.yaml");
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("order.yaml:7:") && said.err.contains("PSOT"), "{}", said.err);
    let said = folder.refrain("diagram absent.yaml");
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("absent.yaml"), "{}", said.err);
}

#[test]
fn the_parts_of_a_saga_are_given_after_it() {
    let outer = "saga: outer\nversion: 1\ntrigger: {route: POST /o/}\nsteps: [{id: inner, saga: {name: order, input: {}}}]\n";
    let part = SAGA.replace("pivot: true, call: billing POST /charges", "call: billing GET /charges, effect: none");
    let folder = Folder::new(&[("outer.yaml", outer), ("order.yaml", &part)]);
    let said = folder.refrain("diagram outer.yaml");
    assert!(said.code == Some(2) && said.err.contains("there is no saga `order`"), "{}", said.err);
    let said = folder.refrain("diagram outer.yaml order.yaml");
    assert!(said.code == Some(0) && said.out.contains("b_inner"), "{}{}", said.out, said.err);
}

#[test]
fn a_file_that_cannot_be_written_is_told() {
    let folder = Folder::new(&[("order.yaml", SAGA)]);
    let said = folder.refrain("diagram order.yaml -o absent/order.mmd");
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("absent/order.mmd cannot be written"), "{}", said.err);
}
