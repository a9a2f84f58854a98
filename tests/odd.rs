//! Odd and bad files of every format: each ends in its picture or in one error of the
//! right kind, soon, and within the memory that was charged for it.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]
#![allow(clippy::print_stderr, reason = "what is skipped says so")]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::allocator::{Counting, peak_of};
use common::odd::{self, Fate, Odd};
use common::reference::Reference;
use common::trees::tree;
use common::{lock, within_limit};
use infeed::decode::{Channels, Decode, StandardDecoder};
use infeed::{
    Budget, Cause, CauseKind, ErrorKind, Limits, Loader, LoaderBuilder, OnError, Order, Size,
};

#[global_allocator]
static COUNTING: Counting = Counting;

/// The counters are the process's, so one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A minute of a test build is a second of a release.
const LIMIT: Duration = Duration::from_secs(240);

/// The longest that a file may take in a test build, and for each of its pixels.
const EACH: Duration = Duration::from_secs(4);
const EACH_PIXEL: Duration = Duration::from_nanos(400);

/// Beside the file's own bytes: tables, and what a library takes before it tells a size.
const SLACK: usize = 512 << 10;

fn limits() -> Limits {
    Limits { max_pixels: 40_000_000, ..Limits::default() }
}

fn alone(body: impl FnOnce() + Send + 'static) {
    let _one = lock(&ONE);
    within_limit(LIMIT, |_| body());
}

/// What a part of a lossy WebP may claim, and has asked for: it is never touched.
const CLAIMED: usize = 16 << 20;

/// Decodes a file by itself; fails when that takes more than was charged for it.
fn decode(file: &Odd) -> Result<Size, Cause> {
    let decoder = StandardDecoder::default();
    let (opened, peak) = peak_of(|| decoder.open(&file.bytes, &limits()));
    assert!(peak <= SLACK + file.bytes.len(), "{}: opening takes {peak} bytes", file.name);
    let picture = opened?;
    let size = picture.orientation().apply(picture.size());
    let charged = picture.working_bytes() as usize;
    let Size { width, height } = picture.size();
    let mut pixels = vec![0; 3 * width as usize * height as usize];
    let (read, peak) = peak_of(|| picture.read(Channels::Rgb, &mut pixels));
    let Odd { name, .. } = file;
    let claims = file.bytes.windows(4).any(|four| four == b"VP8 ");
    let most = charged + SLACK + if claims { CLAIMED } else { 0 };
    assert!(peak <= most, "{name}: {peak} bytes where {charged} were charged");
    read.map(|()| size)
}

#[test]
fn each_file_is_a_picture_or_an_error_of_its_kind_in_time_and_memory() {
    alone(|| {
        let files = odd::all();
        assert!(files.len() > 500, "{} files", files.len());
        let mut wrong = Vec::new();
        let mut kinds = BTreeMap::<String, usize>::new();
        for file in &files {
            let started = Instant::now();
            let outcome = std::panic::catch_unwind(|| decode(file));
            let Ok(outcome) = outcome else {
                wrong.push(format!("{} panics", file.name));
                continue;
            };
            let taken = started.elapsed();
            let pixels = outcome.as_ref().map_or(0, |size| size.width * size.height);
            if taken > EACH + pixels * EACH_PIXEL {
                wrong.push(format!("{} takes {taken:?}", file.name));
            }
            let kind = match &outcome {
                Ok(_) => "a picture".to_owned(),
                Err(cause) => cause.kind().to_string(),
            };
            *kinds.entry(kind).or_default() += 1;
            let as_expected = match (&file.fate, &outcome) {
                (Fate::Open, Err(cause)) => cause.kind() != CauseKind::Panicked,
                (Fate::Open, Ok(_)) => true,
                (Fate::Picture(width, height), Ok(size)) => {
                    (size.width, size.height) == (*width, *height)
                }
                (Fate::Refused(kinds), Err(cause)) => kinds.contains(&cause.kind()),
                _ => false,
            };
            if !as_expected {
                wrong.push(format!("{}: {:?}, and {outcome:?}", file.name, file.fate));
            }
        }
        println!("{} files: {kinds:?}", files.len());
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// What made a fuzzer stop once, measured here as it is there.
#[test]
fn what_a_fuzzer_found_is_within_its_memory() {
    alone(|| {
        let found = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/regressions/pixels");
        let files = std::fs::read_dir(found).unwrap().map(|entry| entry.unwrap().path());
        let mut count = 0;
        for path in files {
            // Choices of the fuzzer's stand before the file.
            let bytes = std::fs::read(&path).unwrap()[13..].to_vec();
            let name = path.display().to_string();
            drop(decode(&Odd { name, bytes, fate: Fate::Open }));
            count += 1;
        }
        assert!(count >= 3, "{count} files");
    });
}

/// More of the largest pictures at once than the limit has room for.
#[test]
fn large_pictures_take_turns_within_the_limit() {
    alone(|| {
        let nothing = odd::all().into_iter().find(|file| file.name == "png/nothing.png").unwrap();
        let mut photo = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut photo, 50);
        encoder.set_progressive(true);
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_1_1);
        let (width, height) = (3_000, 2_000);
        let levels = vec![99; 3 * usize::from(width) * usize::from(height)];
        encoder.encode(&levels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
        drop(levels);
        let root = tree((0..24).map(|number| match number % 2 {
            0 => (format!("{number:02}.png"), nothing.bytes.clone()),
            _ => (format!("{number:02}.jpg"), photo.clone()),
        }));
        let builder = || {
            let builder = Loader::folder(root.path()).dtype::<u8>().size(SIDE, SIDE).batch_size(8);
            builder.threads(8).max_file_bytes(1 << 20)
        };
        let peak = |builder: LoaderBuilder<u8>| {
            let mut loader = builder.build().unwrap();
            let bound = loader.config().memory.total_bytes;
            let epoch = || loader.epoch(0).unwrap().map(|batch| batch.unwrap().len()).sum();
            let (images, peak): (usize, usize) = peak_of(epoch);
            assert_eq!(images, 24);
            (peak as u64, bound)
        };
        let limit = 350 << 20;
        let largest = 4_900 * 4_900;
        let (held, bound) = peak(builder().max_pixels(largest).memory_limit(limit));
        assert!(held <= bound && bound <= limit, "{held} of {bound}");
        // Without the limit they need more, in the first epoch in which enough of the threads
        // happen to be in the midst of a picture at once.
        let more = (0..30).any(|_| peak(builder()).0 > limit);
        assert!(more, "no more than {limit} without a limit");
        resident(root.path(), limit, largest);
    });
}

/// The command's own peak, which the system counts: what the allocator keeps and what the
/// program takes for itself come on top.
#[cfg(all(feature = "cli", target_os = "linux"))]
fn resident(root: &std::path::Path, limit: u64, largest: u64) {
    let mut command = Command::new(common::command::INFEED);
    command.arg("run").arg(root).args(["--json", "--size", "24", "--threads", "8"]);
    command.args(["--max-file-bytes", "1MiB", "--max-pixels", &largest.to_string()]);
    let output = command.args(["--memory-limit", &limit.to_string()]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let peak = report["peak_rss_bytes"].as_u64().unwrap();
    assert_eq!(report["images"], 24);
    assert!(peak <= limit + (32 << 20), "{peak} bytes resident at the peak, {limit} allowed");
}

#[cfg(not(all(feature = "cli", target_os = "linux")))]
fn resident(_: &std::path::Path, _: u64, _: u64) {}

const SIDE: u32 = 24;

fn loader(root: &std::path::Path) -> LoaderBuilder<u8> {
    let builder = Loader::folder(root).dtype::<u8>().size(SIDE, SIDE).batch_size(16).threads(2);
    builder.max_pixels(40_000_000).memory_limit(550 << 20)
}

/// What becomes of each sample, by its path: its row, or the kind of its error.
type Fates = BTreeMap<PathBuf, Result<Vec<u8>, CauseKind>>;

/// By the plain function, one after the other.
fn expected(files: &[Odd]) -> Fates {
    let mut plain = loader("unused".as_ref()).preprocessor().unwrap();
    let mut row = vec![0; plain.row_len()];
    let fate = |file: &Odd| {
        let done = plain.preprocess(&file.bytes, &mut row).map_err(|(_, cause)| cause.kind());
        (PathBuf::from(&file.name), done.map(|()| row.clone()))
    };
    files.iter().map(fate).collect()
}

#[test]
fn a_folder_of_them_comes_to_the_same_in_every_policy_and_order() {
    alone(|| {
        let files = odd::all();
        let mut expected = expected(&files);
        let root = tree(files.iter().map(|file| (&file.name, file.bytes.clone())));
        #[cfg(unix)]
        {
            let good = files.iter().find(|file| file.name == "pnm/colour.ppm").unwrap();
            let row = expected[&PathBuf::from(&good.name)].clone();
            for (path, fate) in common::entries::make(root.path(), &good.bytes) {
                expected.insert(path, fate.map_or_else(|| row.clone(), Err));
            }
        }
        let bad = expected.values().filter(|fate| fate.is_err()).count();
        println!("{} samples, {bad} of them bad", expected.len());
        let skip = OnError::Skip { max_failures: Budget::Count(bad as u64) };
        let replace = OnError::Replace { attempts: 60, max_failures: Budget::Unlimited };
        for policy in [OnError::Fail, skip, replace] {
            for order in [Order::Ordered, Order::Unordered] {
                let builder = loader(root.path()).on_error(policy).order(order);
                let mut loader = builder.failures_kept(100_000).build().unwrap();
                let bound = loader.config().memory.total_bytes as usize;
                let (found, peak) = peak_of(|| fates(&mut loader, policy));
                assert!(peak <= bound, "{policy:?}, {order:?}: {peak} bytes, {bound} allowed");
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
                for (path, fate) in &found {
                    let wanted = &expected[path];
                    let kinds = (fate.as_ref().err(), wanted.as_ref().err());
                    assert!(fate == wanted, "{path:?}, {policy:?}, {order:?}: {kinds:?}");
                }
            }
        }
        // One more than the budget allows.
        let less = OnError::Skip { max_failures: Budget::Count(bad as u64 - 1) };
        let mut loader = loader(root.path()).on_error(less).build().unwrap();
        let last = loader.epoch(0).unwrap().last().unwrap().unwrap_err();
        assert_eq!(last.kind(), ErrorKind::FailureBudget);
    });
}

/// What an epoch makes of each sample. Substitutes are checked, and left out.
fn fates(loader: &mut Loader<u8>, policy: OnError) -> Fates {
    let mut fates = Fates::new();
    let mut epoch = loader.epoch(0).unwrap();
    let mut rows = 0;
    for item in &mut epoch {
        let batch = match item {
            Ok(batch) => batch,
            Err(error) => {
                let sample = error.sample().unwrap_or_else(|| panic!("{error}"));
                fates.insert(sample.path().to_owned(), Err(sample.cause().kind()));
                continue;
            }
        };
        let len = batch.as_slice().len() / batch.len();
        for (sample, row) in batch.samples().iter().zip(batch.as_slice().chunks(len)) {
            rows += 1;
            let before = fates.insert(sample.path().to_owned(), Ok(row.to_vec()));
            let same = before.is_none_or(|before| before.as_ref() == Ok(&row.to_vec()));
            assert!(same, "a substitute is the sample that it is");
        }
    }
    let failures = epoch.failures();
    match policy {
        OnError::Fail => assert!(failures.is_empty()),
        _ => assert!(failures.len() as u64 == epoch.stats().failed && epoch.stats().images == rows),
    }
    for failure in failures {
        assert_eq!(failure.substitute().is_some(), matches!(policy, OnError::Replace { .. }));
        fates.insert(failure.path().to_owned(), Err(failure.cause().kind()));
    }
    fates
}

/// Skipped where the two are missing, unless `INFEED_REQUIRE_PILLOW` is set.
#[test]
fn pictures_are_those_of_opencv_and_pillow() {
    alone(|| {
        let files = odd::all();
        let root = tree(files.iter().map(|file| (&file.name, file.bytes.clone())));
        let out = tempfile::tempdir().unwrap();
        let mut reference = Reference::new(out.path()).unwrap();
        let mut plain = loader("unused".as_ref()).preprocessor().unwrap();
        for file in &files {
            let outcome = plain.decode_rgb8(&file.bytes);
            reference.tell(&root.path().join(&file.name), outcome.as_ref().copied()).unwrap();
        }
        reference.finish().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference.py");
        let output = Command::new("python3").arg(script).arg(out.path()).output();
        let there = output.as_ref().is_ok_and(|output| output.stdout.starts_with(b"OpenCV"));
        if !there {
            assert!(std::env::var_os("INFEED_REQUIRE_PILLOW").is_none(), "{output:?}");
            eprintln!("skipped: python3 with OpenCV and Pillow is missing: {output:?}");
            return;
        }
        println!("{}", String::from_utf8_lossy(&output.unwrap().stdout));
        let verdicts = std::fs::read_to_string(out.path().join("verdicts.jsonl")).unwrap();
        let mut others = Vec::new();
        let mut agreed = 0;
        for line in verdicts.lines() {
            let verdict: serde_json::Value = serde_json::from_str(line).unwrap();
            let path = PathBuf::from(verdict["path"].as_str().unwrap());
            let name = path.strip_prefix(root.path()).unwrap().to_string_lossy().into_owned();
            if verdict["agree"] != true {
                continue;
            }
            agreed += 1;
            // What may be refused is an error by name, and no other picture.
            let file = files.iter().find(|file| file.name == name).unwrap();
            let refused = verdict["kind"].is_string() && !matches!(file.fate, Fate::Picture(..));
            if verdict["same"] != true && !refused {
                others.push(format!("{name}: {verdict}"));
            }
        }
        assert!(agreed > 250, "{agreed}");
        assert!(others.is_empty(), "{}", others.join("\n"));
    });
}
