//! Files with changed bytes, cut and whole, in regions and reduced, beside libjpeg-turbo,
//! for as long as is asked; on all cores. What differs is written to the folder for
//! temporary files, and named.
//!
//! ```sh
//! RUSTFLAGS="-Coverflow-checks=on -Cdebug-assertions=on" \
//!     cargo run --release -p infeed-oracle --bin fuzz -- SECONDS [FIRST_SEED [PHOTOS]]
//! ```
//!
//! Without a folder of photographs the files are those that no encoder makes. `guided` goes
//! where no draw does.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use infeed_oracle::Draws;
use infeed_oracle::compare::{self, Outcome};
use infeed_oracle::synthetic::{self, Kind};

/// What became of the files.
#[derive(Default)]
struct Counts {
    alike: AtomicU64,
    refused: AtomicU64,
    warned: AtomicU64,
    cut: AtomicU64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().ok_or("how long? fuzz SECONDS [FIRST_SEED [PHOTOS]]")?;
    let until = Instant::now() + Duration::from_secs(seconds.parse()?);
    let first = arguments.next().map_or(Ok(1 << 32), |seed| seed.parse())?;
    let mut photos = Vec::new();
    if let Some(folder) = arguments.next() {
        for entry in std::fs::read_dir(folder)? {
            let file = std::fs::read(entry?.path())?;
            if file.starts_with(&[0xff, 0xd8]) && file.len() < 80_000 {
                photos.push(file);
            }
        }
    }
    let (next, counts, failed) = (AtomicU64::new(first), Counts::default(), AtomicBool::new(false));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while Instant::now() < until && !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let (file, whole) = file(seed, &photos);
                    let done = catch_unwind(|| compare(seed, &file, whole, &counts));
                    let done = done.unwrap_or_else(|_| Err("a panic".to_owned()));
                    if let Err(what) = done {
                        let path: PathBuf = std::env::temp_dir().join(format!("{seed}.jpg"));
                        std::fs::write(&path, &file).unwrap();
                        println!("seed {seed}: {what}: {}", path.display());
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    println!(
        "seeds {first} to {}: {} alike, {} refused that libjpeg-turbo takes, {} of which it warns, \
         {} cut ones alike",
        count(&next) - 1,
        count(&counts.alike),
        count(&counts.refused),
        count(&counts.warned),
        count(&counts.cut)
    );
    if count(&counts.alike) == 0 || failed.into_inner() {
        return Err("libjpeg-turbo decodes otherwise, or nothing was compared".into());
    }
    Ok(())
}

/// Of a few changes, or none; and whether it is as a file should be.
fn file(seed: u64, photos: &[Vec<u8>]) -> (Vec<u8>, bool) {
    let mut draws = Draws(seed);
    let kind = draws.of(&[Kind::Usual, Kind::Odd, Kind::Mild, Kind::Wild]);
    let mut file = match photos.len() {
        count if count > 0 && draws.below(4) == 0 => photos[draws.below(count)].clone(),
        _ => synthetic::file(&mut draws, kind),
    };
    let changes = draws.below(4);
    for _ in 0..changes {
        let at = draws.below(file.len());
        match draws.below(4) {
            0 => file[at] ^= 1 << draws.below(8),
            1 => file[at] = draws.of(&[0, 0xff, 0xd0, 0xd9, 1, 0x80]),
            2 => {
                // A piece once more, or left out.
                let len = 1 + draws.below(40.min(file.len() - at));
                let piece = file[at..at + len].to_vec();
                match draws.below(2) {
                    0 => drop(file.splice(at..at, piece)),
                    _ => drop(file.drain(at..at + len)),
                }
            }
            _ => file[at] = draws.bits() as u8,
        }
    }
    (file, changes == 0 && kind != Kind::Wild)
}

fn compare(seed: u64, file: &[u8], whole: bool, counts: &Counts) -> Result<(), String> {
    let became = match compare::file(file)? {
        Outcome::Alike => &counts.alike,
        Outcome::Refused => &counts.refused,
        Outcome::Warned => &counts.warned,
        Outcome::Passed => return Ok(()),
    };
    became.fetch_add(1, Ordering::Relaxed);
    if whole {
        let len = file.len() - (seed as usize).wrapping_mul(7_919) % (file.len() / 2 + 1);
        if compare::cut(&file[..len])? == Outcome::Alike {
            counts.cut.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}
