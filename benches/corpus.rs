//! Every file below some folders, decoded: what each comes to, how long it takes, and
//! how much memory, beside what was charged for it.
//!
//! ```sh
//! cargo bench --bench corpus -- OUT FOLDER...
//! python3 tests/reference.py OUT      # the pictures beside OpenCV's and Pillow's
//! ```
//!
//! All files are taken, whatever they are called. Ends with 1 where one panics, takes
//! more memory than was charged for it, or longer than ten seconds.
#![allow(clippy::unwrap_used, reason = "a measurement says no more than that it failed")]
#![allow(clippy::print_stdout, reason = "its report")]

#[path = "../tests/common/allocator.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod allocator;
#[path = "../tests/common/reference.rs"]
mod reference;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use infeed::decode::{Channels, Decode, StandardDecoder};
use infeed::{Cause, Limits, Loader, Size};

use allocator::{Counting, peak_of};
use reference::Reference;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Beside the file's own bytes: tables, and what a library takes before it tells a size.
const SLACK: usize = 512 << 10;

const LONGEST: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut arguments: Vec<PathBuf> =
        std::env::args_os().skip(1).filter(|text| text != "--bench").map(PathBuf::from).collect();
    let scratch = tempfile::tempdir().unwrap();
    if arguments.is_empty() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoded");
        arguments = vec![scratch.path().join("out"), fixtures];
    }
    let (out, folders) = arguments.split_first().unwrap();
    let mut reference = Reference::new(out).unwrap();
    let mut kinds = BTreeMap::<String, usize>::new();
    let (mut wrong, mut slowest, mut largest) = (Vec::new(), Vec::new(), 0);
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| below(folder)).collect();
    for file in &files {
        let encoded = std::fs::read(file).unwrap();
        let name = file.display();
        let started = Instant::now();
        let Ok(measured) = std::panic::catch_unwind(|| measure(&encoded)) else {
            wrong.push(format!("{name} panics"));
            continue;
        };
        let taken = started.elapsed();
        if let Some(over) = &measured.over {
            wrong.push(format!("{name}: {over}"));
        }
        if taken > LONGEST {
            wrong.push(format!("{name} takes {taken:?}"));
        }
        largest = largest.max(measured.peak);
        slowest.push((taken, file));
        let kind = match &measured.outcome {
            Ok(_) => "a picture".to_owned(),
            Err(cause) => cause.kind().to_string(),
        };
        *kinds.entry(kind).or_default() += 1;
        let outcome = measured.outcome.as_ref().map(|(size, pixels)| (*size, &**pixels));
        reference.tell(file, outcome).unwrap();
    }
    reference.finish().unwrap();
    println!("{} files below {} folders", files.len(), folders.len());
    for (kind, count) in &kinds {
        println!("{count:6}  {kind}");
    }
    slowest.sort_unstable_by(|one, other| other.cmp(one));
    for (taken, file) in slowest.iter().take(3) {
        println!("{:9.1} ms  {}", 1e3 * taken.as_secs_f64(), file.display());
    }
    println!("at most {largest} bytes taken for one file beside its own and its pixels");
    for what in &wrong {
        println!("WRONG: {what}");
    }
    ExitCode::from(u8::from(!wrong.is_empty()))
}

struct Measured {
    outcome: Result<(Size, Vec<u8>), Cause>,
    /// Beside the file and its pixels.
    peak: usize,
    /// Where it takes more than was charged.
    over: Option<String>,
}

/// Decodes a file alone, then upright as the library's users have it.
fn measure(encoded: &[u8]) -> Measured {
    let (decoder, limits) = (StandardDecoder::default(), Limits::default());
    let (opened, opening) = peak_of(|| decoder.open(encoded, &limits));
    let mut over = (opening > SLACK + encoded.len())
        .then(|| format!("opening takes {opening} bytes, the file has {}", encoded.len()));
    let picture = match opened {
        Ok(picture) => picture,
        Err(cause) => return Measured { outcome: Err(cause), peak: opening, over },
    };
    let charged = picture.working_bytes() as usize;
    let Size { width, height } = picture.size();
    let mut pixels = vec![0; 3 * width as usize * height as usize];
    let (read, reading) = peak_of(|| picture.read(Channels::Rgb, &mut pixels));
    drop(pixels);
    if reading > charged + SLACK {
        over = Some(format!("decoding takes {reading} bytes, {charged} were charged"));
    }
    let peak = opening.max(reading);
    if let Err(cause) = read {
        return Measured { outcome: Err(cause), peak, over };
    }
    let mut upright = Loader::folder("unused").preprocessor().unwrap();
    let outcome = upright.decode_rgb8(encoded).map(|(size, pixels)| (size, pixels.to_vec()));
    Measured { outcome, peak, over }
}

/// All files below a folder, by name.
fn below(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name();
    let files = walk.into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    files.map(walkdir::DirEntry::into_path).collect()
}
