//! The schema that is kept is the schema of the types.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::PathBuf;

#[test]
fn the_kept_schema_is_that_of_the_types() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema");
    let advice = "regenerate with: cargo run -p messages --example schema";
    let mut expected = BTreeSet::new();
    for (name, schema) in messages::schema::all() {
        let file = format!("{name}.json");
        let kept = std::fs::read_to_string(folder.join(&file)).unwrap_or_default();
        assert_eq!(kept, format!("{:#}\n", schema.as_value()), "docs/schema/{file} is out of date; {advice}");
        expected.insert(file);
    }
    let found: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected, "docs/schema has files that belong to no type; {advice}");
}
