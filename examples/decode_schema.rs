//! Prints the JSON Schema of `vesigate decode --json`: `cargo run --example decode_schema > docs/decode.schema.json`.

fn main() -> std::io::Result<()> {
    println!("{}", serde_json::to_string_pretty(&schemars::schema_for!(vesigate::decode::Decoded))?);
    Ok(())
}
