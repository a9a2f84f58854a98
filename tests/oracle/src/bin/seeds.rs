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
    let files = (0..).map(|seed| synthetic::file(&mut Draws(seed), kinds[seed as usize % 4]));
    for (number, file) in files.filter(|file| file.len() <= bytes).take(count).enumerate() {
        std::fs::write(folder.join(format!("{number}.jpg")), file)?;
    }
    Ok(())
}
