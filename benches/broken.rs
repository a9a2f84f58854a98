//! What broken files cost: a folder of which 1, 10 or 90 of a hundred are broken beside
//! the good ones alone and the bad ones alone.
//!
//! ```sh
//! cargo bench --bench broken -- FOLDER [ROUNDS [PREFETCH [SHARE ...]]]
//! ```
//!
//! The bad ones are the good ones' own files, cut, changed, empty, or text. For each
//! share, policy and order: the median time of an epoch over all, and what it may be,
//! `good + bad`, where a sample that is delivered costs what one of the good alone
//! does, and one that fails what one of the bad alone does. They take turns; the ratio
//! is the median of those of the rounds.
#![allow(clippy::unwrap_used, reason = "a measurement says no more than that it failed")]
#![allow(clippy::print_stdout, reason = "its report")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use infeed::{Loader, OnError, Order};

/// Of each hundred.
const SHARES: [usize; 3] = [1, 10, 90];

/// More than any share of bad files can take in a row.
const REPLACE: OnError =
    OnError::Replace { attempts: 1_000, max_failures: infeed::Budget::Unlimited };

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|text| text != "--bench");
    let Some(folder) = arguments.next() else {
        println!("cargo bench --bench broken -- FOLDER [ROUNDS [PREFETCH [SHARE ...]]]");
        return;
    };
    let mut numbers = arguments.map(|text| text.parse().unwrap());
    let (rounds, prefetch) = (numbers.next().unwrap_or(5), numbers.next().unwrap_or(8));
    let shares: Vec<usize> = numbers.collect();
    let shares = if shares.is_empty() { SHARES.to_vec() } else { shares };
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    let files: Vec<PathBuf> = walk
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    println!("{} files, {rounds} rounds, prefetch {prefetch}, medians of an epoch", files.len());
    println!("broken  policy   order       seconds   good + bad    ratio  delivered  failed");
    for share in shares {
        let trees = Trees::new(&files, share);
        for policy in [OnError::Fail, OnError::skip(), REPLACE] {
            for order in [Order::Ordered, Order::Unordered] {
                compare(&trees, share, (policy, order, prefetch), rounds);
            }
        }
    }
}

/// The same files thrice.
struct Trees {
    all: tempfile::TempDir,
    good: tempfile::TempDir,
    bad: tempfile::TempDir,
}

impl Trees {
    fn new(files: &[PathBuf], share: usize) -> Self {
        let new = || tempfile::tempdir().unwrap();
        let trees = Trees { all: new(), good: new(), bad: new() };
        for (number, file) in files.iter().enumerate() {
            let name = format!("{number:05}.jpg");
            let content = std::fs::read(file).unwrap();
            let is_bad = (number * 37 + number / 100) % 100 < share;
            let content = if is_bad { broken(number, content) } else { content };
            let own = if is_bad { &trees.bad } else { &trees.good };
            std::fs::write(own.path().join(&name), &content).unwrap();
            std::fs::hard_link(own.path().join(&name), trees.all.path().join(&name)).unwrap();
        }
        // Else the first rows of the table are measured while all this is written.
        rustix::fs::sync();
        trees
    }
}

fn broken(number: usize, mut content: Vec<u8>) -> Vec<u8> {
    let len = content.len();
    match number % 5 {
        0 => content.truncate(len / 3),
        1 => content.truncate(len - 2),
        2 => content.clear(),
        3 => content = b"not a picture at all".to_vec(),
        // A hole of zeros, as a crash of a file system leaves it, and the end gone.
        _ => {
            content[len / 2..].fill(0);
        }
    }
    content
}

/// Seconds of an epoch, the samples that it delivered, and those that failed.
fn epoch(root: &Path, (policy, order, prefetch): Settings) -> (f64, u64, u64) {
    let builder = Loader::folder(root).size(224, 224).batch_size(32).order(order);
    let mut loader = builder.on_error(policy).threads(2).prefetch(prefetch).build().unwrap();
    let started = Instant::now();
    let mut epoch = loader.epoch(0).unwrap();
    let mut failed = 0;
    for item in &mut epoch {
        // Bad ones alone leave an epoch without a sample.
        failed += u64::from(item.is_err_and(|error| error.sample().is_some()));
    }
    let stats = epoch.stats();
    (started.elapsed().as_secs_f64(), stats.images, failed.max(stats.failed))
}

/// Policy, order and prefetch depth.
type Settings = (OnError, Order, usize);

fn compare(trees: &Trees, share: usize, settings: Settings, rounds: usize) {
    let (policy, order, prefetch) = settings;
    let [mut all, mut good, mut bad, mut ratio] = [const { Vec::new() }; 4];
    let mut counts = (0, 0);
    for _ in 0..rounds {
        let (seconds, delivered, failed) = epoch(trees.all.path(), settings);
        let (of_good, good_ones, _) = epoch(trees.good.path(), settings);
        // Where all are bad, nothing stands in for them.
        let own = if policy == REPLACE { OnError::skip() } else { policy };
        let (of_bad, _, bad_ones) = epoch(trees.bad.path(), (own, order, prefetch));
        let of_good = of_good / good_ones.max(1) as f64 * delivered as f64;
        let of_bad = of_bad / bad_ones.max(1) as f64 * failed as f64;
        all.push(seconds);
        good.push(of_good);
        bad.push(of_bad);
        ratio.push(seconds / (of_good + of_bad));
        counts = (delivered, failed);
    }
    let [all, good, bad, ratio] = [all, good, bad, ratio].map(median);
    let (delivered, failed) = counts;
    let policy = match policy {
        OnError::Fail => "fail",
        OnError::Skip { .. } => "skip",
        OnError::Replace { .. } => "replace",
    };
    let order = if order == Order::Ordered { "ordered" } else { "unordered" };
    println!(
        "{share:4} %  {policy:7}  {order:9}  {all:8.3}  {good:5.3} + {bad:5.3}  {ratio:5.2}  \
         {delivered:9}  {failed:6}"
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
