//! What `guided` may begin with: small files that no encoder makes.
//!
//! ```sh
//! cargo run --release -p infeed-oracle --bin seeds -- FOLDER COUNT BYTES
//! ```

use std::path::PathBuf;

use infeed_oracle::Draws;
use infeed_oracle::synthetic::{self, Kind};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("where, and what? seeds FOLDER COUNT BYTES");
    let (folder, count, bytes) = (PathBuf::from(next()?), next()?, next()?);
    let (count, bytes): (usize, usize) = (count.parse()?, bytes.parse()?);
    std::fs::create_dir_all(&folder)?;
    let kinds = [Kind::Usual, Kind::Odd, Kind::Mild, Kind::Wild];
    let files =
        (0..1 << 20).map(|seed: u64| synthetic::file(&mut Draws(seed), kinds[seed as usize % 4]));
    let mut written = 0;
    for file in files.filter(|file| file.len() <= bytes).take(count) {
        std::fs::write(folder.join(format!("{written}.jpg")), file)?;
        written += 1;
    }
    match written == count {
        true => Ok(()),
        false => Err(format!("{written} files only are of {bytes} bytes or fewer").into()),
    }
}
