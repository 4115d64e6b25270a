//! Writes the first inputs of each fuzz target, `fuzz/seeds/<target>/`, from the telegrams in `tests/vectors`.

use std::path::Path;
use std::{fs, io};

use wmbus::{Cipher, Frame, Policy, Sealed};

fn main() -> io::Result<()> {
    let mut count = 0;
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"))? {
        let text = fs::read_to_string(file?.path())?;
        for vector in text.split("[[vector]]").skip(1) {
            let Some(frame) = field(vector, "hex").map(|hex| unhex(&hex)) else { continue };
            write("frame", count, &frame)?;
            if let Some(body) = body(&frame, field(vector, "key")) {
                write("records", count, &body)?;
                // Kind, shape, counter, no damage, a meter, then the records.
                let kind = u8::try_from(count % 6).unwrap_or(0);
                let meter = frame.get(2..10).unwrap_or_default();
                write("open", count, &[&[kind, kind & 1, 7, 0, 0], meter, &body].concat())?;
            }
            count += 1;
        }
    }
    println!("seeds of {count} telegrams");
    Ok(())
}

fn field(vector: &str, name: &str) -> Option<String> {
    let start = format!("{name} = \"");
    vector.lines().find_map(|line| Some(line.strip_prefix(&start)?.strip_suffix('"')?.to_owned()))
}

fn body(bytes: &[u8], key: Option<String>) -> Option<Vec<u8>> {
    let cipher = key.and_then(|key| key.parse().ok()).map(Cipher::new);
    let mut frame = Frame::detect(bytes).ok()?;
    let telegram = Sealed::read(&mut frame).ok()?.open(cipher.as_ref(), Policy::AlsoOpened).ok()?;
    Some(telegram.body.to_vec())
}

fn write(target: &str, number: usize, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{number:03}")), bytes)
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).filter_map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}
