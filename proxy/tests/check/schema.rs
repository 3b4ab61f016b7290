//! `refrain schema`.

use serde_json::Value;

use crate::support::Folder;

#[test]
fn a_schema_names_its_dialect_and_itself() {
    for (of, title) in [("config", "refrain.yaml"), ("saga", "A saga of Refrain")] {
        let said = Folder::new(&[]).refrain(&format!("schema {of}"));
        assert_eq!(said.code, Some(0));
        let schema: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["title"], title);
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{of}");
    }
}
