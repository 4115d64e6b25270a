//! Writes `docs/schema/*.json` anew.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema");
    std::fs::create_dir_all(&folder)?;
    for (name, schema) in messages::schema::all() {
        std::fs::write(folder.join(format!("{name}.json")), format!("{:#}\n", schema.as_value()))?;
    }
    Ok(())
}
