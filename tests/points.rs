//! Two thousand runs that end at a point drawn at random: dropped, stopped, forgotten,
//! by an error of a sample or of the run, by a panic of the source, the decoder, the
//! walk or the consumer, with reads that hang meanwhile. Each is over in time, tells
//! all that it owes, and leaves no thread, no descriptor and no memory behind.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::allocator::{Counting, LIVE};
use common::draws::Draws;
use common::oracle::{Failed, Item, serial};
use common::scripted::{Act, Scripted, Walk};
use common::{LIMIT, Watch, eventually, within_limit};
use futures_util::StreamExt;
use infeed::{Budget, ErrorKind, LastBatch, Loader, OnError, Order};

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many runs.
const POINTS: u64 = 2_000;

/// How long one run may take.
const EACH: Duration = Duration::from_secs(20);

/// How the consumer ends, after so many items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Takes all.
    Never,
    Drop,
    Forget,
    Stop,
    Panic,
    /// Begins another epoch in the middle of one.
    Anew,
    /// Drops the loader while a batch is kept.
    KeepABatch,
}

const ENDS: [End; 7] =
    [End::Never, End::Drop, End::Forget, End::Stop, End::Panic, End::Anew, End::KeepABatch];

/// One run, as it is drawn.
#[derive(Clone, Debug)]
struct Point {
    acts: Vec<Act>,
    walk: Walk,
    jitter: u64,
    batch_size: usize,
    prefetch: usize,
    threads: usize,
    readers: usize,
    order: Order,
    policy: OnError,
    last: LastBatch,
    epochs: u64,
    end: End,
    /// Items until then.
    after: usize,
    stream: bool,
}

impl Point {
    fn draw(number: u64) -> Self {
        let mut draws = Draws::new(&[number]);
        let samples = 1 + draws.less_than(60);
        let mut acts = vec![Act::Good; samples];
        let share = draws.of(&[2, 5, 20, 1000]);
        for act in &mut acts {
            if draws.one_in(share) {
                *act = draws.of(&Act::FAILING);
            } else if draws.one_in(40) {
                *act = draws.of(&[Act::HeldTask, Act::HeldThread, Act::HeldDecode]);
            }
        }
        let walk = match draws.less_than(12) {
            0 => Walk::FailsAfter(draws.less_than(samples + 1)),
            1 => Walk::PanicsAfter(draws.less_than(samples + 1)),
            2 => Walk::HeldAfter(draws.less_than(samples)),
            _ => Walk::Whole,
        };
        let budget = draws.of(&[Budget::Unlimited, Budget::Count(3), Budget::Fraction(0.2)]);
        let policy = match draws.less_than(3) {
            0 => OnError::Fail,
            1 => OnError::Skip { max_failures: budget },
            _ => OnError::Replace { attempts: 1 + draws.less_than(8) as u32, max_failures: budget },
        };
        Point {
            acts,
            walk,
            jitter: draws.word(),
            batch_size: 1 + draws.less_than(9),
            prefetch: 1 + draws.less_than(5),
            threads: 1 + draws.less_than(6),
            readers: 1 + draws.less_than(6),
            order: draws.of(&[Order::Ordered, Order::Unordered]),
            policy,
            last: draws.of(&[LastBatch::Keep, LastBatch::Drop, LastBatch::Pad]),
            epochs: 1 + draws.less_than(3) as u64,
            end: draws.of(&ENDS),
            after: draws.less_than(25),
            stream: draws.one_in(3),
        }
    }

    fn source(&self) -> Scripted {
        Scripted::with(self.acts.clone(), self.walk, self.jitter)
    }

    fn build(&self, source: &Scripted) -> infeed::Result<Loader<u8>> {
        let builder = source.loader().batch_size(self.batch_size).prefetch(self.prefetch);
        let builder = builder.threads(self.threads).readers(self.readers).order(self.order);
        builder.on_error(self.policy).last_batch(self.last).read_timeout(None).build()
    }

    /// The walk comes to the end of the samples, however late.
    fn lists_all(&self) -> bool {
        matches!(self.walk, Walk::Whole | Walk::HeldAfter(_))
    }

    fn has(&self, held: Act) -> bool {
        self.acts.contains(&held)
    }

    /// All that a run told, until it ended by itself or by `end`.
    fn run(&self, watch: &Watch) {
        let source = self.source();
        // What hangs goes on at some time, as the storage comes back; a decoder or a
        // task that hangs longer would be the test's own fault.
        let opener = std::thread::Builder::new().name("opener".into());
        let (gate, walk_gate) = (source.gate().clone(), source.walk_gate().clone());
        let yields = self.jitter % 3_000;
        let opener = opener.spawn(move || {
            (0..yields).for_each(|_| std::thread::yield_now());
            walk_gate.open();
            gate.open();
        });
        let mut loader = match self.build(&source) {
            Ok(loader) => loader,
            Err(error) => {
                assert!(!self.lists_all(), "{error}");
                opener.unwrap().join().unwrap();
                return;
            }
        };
        watch.on(&loader);
        let (items, skipped, kept) = self.consume(&mut loader);
        opener.unwrap().join().unwrap();
        self.check(&items, &skipped);
        drop(loader);
        // A batch outlives its loader.
        assert!(kept.is_none_or(|batch| !batch.is_empty()));
    }

    fn consume(
        &self,
        loader: &mut Loader<u8>,
    ) -> (Vec<Item>, Vec<Failed>, Option<infeed::Batch<u8>>) {
        let limit = if self.end == End::Never { usize::MAX } else { self.after };
        let stop = loader.stop_handle();
        let (mut items, mut skipped, mut kept) = (Vec::new(), Vec::new(), None);
        match self.end {
            End::Panic => {
                let panics = || {
                    let mut epochs = loader.epochs(0..self.epochs).unwrap();
                    items.extend(epochs.by_ref().take(limit).map(Item::from));
                    panic!("scripted panic of the consumer");
                };
                assert!(std::panic::catch_unwind(AssertUnwindSafe(panics)).is_err());
            }
            End::Forget => {
                let mut epochs = loader.epochs(0..self.epochs).unwrap();
                items.extend(epochs.by_ref().take(limit).map(Item::from));
                std::mem::forget(epochs);
            }
            End::Anew => {
                loader.epochs(0..self.epochs).unwrap().take(limit).for_each(drop);
                let mut epochs = loader.epochs(0..self.epochs).unwrap();
                items.extend(epochs.by_ref().map(Item::from));
                skipped.extend(epochs.failures().iter().map(Failed::from));
            }
            End::KeepABatch => {
                for item in loader.epochs(0..self.epochs).unwrap().take(limit) {
                    match item {
                        Ok(batch) => {
                            items.push(Item::of(&batch));
                            kept = Some(batch);
                        }
                        Err(error) => items.push(Item::from(Err(error))),
                    }
                }
            }
            End::Stop => {
                let mut epochs = loader.epochs(0..self.epochs).unwrap();
                items.extend(epochs.by_ref().take(limit).map(Item::from));
                let thread = std::thread::Builder::new().name("stopper".into());
                let thread = thread.spawn(move || stop.stop()).unwrap();
                if self.stream {
                    // Stopped by now: what is told already, and that it was stopped.
                    thread.join().unwrap();
                    let rest: Vec<Item> = epochs.map(Item::from).collect();
                    let (last, before) =
                        rest.split_last().map_or((None, &rest[..]), |(l, b)| (Some(l), b));
                    assert!(before.iter().all(|item| !matches!(item, Item::Run(_))));
                    // It may have been at its end before.
                    assert!(last.is_none_or(|last| matches!(last, Item::Run(_))), "{last:?}");
                } else {
                    epochs.for_each(drop);
                    thread.join().unwrap();
                }
                let stopped = Item::run(ErrorKind::Stopped);
                let again = loader.epoch(0).err().map(|error| Item::run(error.kind()));
                assert_eq!(again, Some(stopped));
            }
            End::Never | End::Drop => {
                let mut epochs = loader.epochs(0..self.epochs).unwrap();
                if self.stream {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let mut stream = epochs.into_stream();
                    runtime.block_on(async {
                        while items.len() < limit
                            && let Some(item) = stream.next().await
                        {
                            items.push(item.into());
                        }
                    });
                    skipped.extend(stream.failures().iter().map(Failed::from));
                } else {
                    items.extend(epochs.by_ref().take(limit).map(Item::from));
                    skipped.extend(epochs.failures().iter().map(Failed::from));
                }
            }
        }
        (items, skipped, kept)
    }

    /// What came by itself to an end tells of each sample of each epoch once, or of what
    /// ended the run, as its last word; where the consumer has gone before, of none twice.
    /// Ordered, it is what the serial loader tells, or the beginning of that.
    fn check(&self, items: &[Item], skipped: &[Failed]) {
        let whole = matches!(self.end, End::Never | End::Anew);
        let replaces = matches!(self.policy, OnError::Replace { .. });
        if self.order == Order::Ordered && !replaces && self.lists_all() {
            let (expected, failed) =
                serial(&self.acts, self.batch_size, self.last, self.policy, 0..self.epochs);
            let told = if whole { expected.len() } else { self.after.min(expected.len()) };
            assert_eq!(items, &expected[..told]);
            assert!(!whole || *skipped == failed, "{skipped:?}");
        }
        let mut told = told(items);
        if !whole {
            assert!(told.values().all(|&times| times == 1), "{told:?}");
            return;
        }
        let ends: Vec<_> = items.iter().filter(|item| matches!(item, Item::Run(_))).collect();
        if let Some(end) = ends.first() {
            assert_eq!(ends.len(), 1);
            assert_eq!(items.last(), Some(*end));
            assert!(self.may_end_in(end), "{end:?}");
            return;
        }
        assert!(self.lists_all(), "a walk that broke off is told: {items:?}");
        // Replaced ones are told by the row that stands in their place.
        if matches!(self.policy, OnError::Skip { .. }) {
            for failed in skipped {
                *told.entry((failed.epoch, failed.position)).or_default() += 1;
            }
        }
        let length = common::oracle::length(self.acts.len(), self.batch_size, self.last) as u64;
        let all = (0..self.epochs).flat_map(|epoch| (0..length).map(move |at| (epoch, at)));
        let expected: BTreeMap<_, _> = all.map(|place| (place, 1)).collect();
        assert_eq!(told, expected);
    }

    /// What of the run as a whole may end it, as it was drawn.
    fn may_end_in(&self, end: &Item) -> bool {
        let mut kinds = match self.walk {
            Walk::FailsAfter(_) => vec![ErrorKind::Source],
            Walk::PanicsAfter(_) => vec![ErrorKind::Lost],
            _ => Vec::new(),
        };
        match self.policy {
            OnError::Skip { max_failures: Budget::Unlimited } | OnError::Fail => {}
            OnError::Skip { .. } => kinds.push(ErrorKind::FailureBudget),
            OnError::Replace { .. } => {
                kinds.extend([ErrorKind::FailureBudget, ErrorKind::NoSubstitute]);
            }
        }
        if self.acts.iter().any(|act| act.fails()) {
            kinds.push(ErrorKind::EmptyBatch);
        }
        kinds.into_iter().any(|kind| *end == Item::run(kind))
    }
}

/// How often a row or an error tells of a place of an epoch.
fn told(items: &[Item]) -> BTreeMap<(u64, u64), u32> {
    let mut told = BTreeMap::new();
    for item in items {
        for row in item.rows() {
            let Item::Batch { epoch, .. } = item else { continue };
            *told.entry((*epoch, row.position)).or_default() += 1;
        }
        if let Item::Failed(failed) = item {
            *told.entry((failed.epoch, failed.position)).or_default() += 1;
        }
    }
    told
}

/// The loader is dropped while a read hangs, which is left behind alone and ends when the
/// storage comes back.
fn drop_while_reads_hang(number: u64, watch: &Watch) {
    let mut draws = Draws::new(&[number]);
    let mut acts = vec![Act::Good; 20];
    for _ in 0..1 + draws.less_than(3) {
        acts[draws.less_than(20)] = draws.of(&[Act::HeldThread, Act::HeldTask]);
    }
    acts[draws.less_than(8)] = Act::HeldThread;
    let source = Scripted::with(acts, Walk::Whole, draws.word());
    let builder = source.loader().batch_size(4).prefetch(2).readers(8).read_timeout(None);
    let mut loader = builder.build().unwrap();
    watch.on(&loader);
    let epochs = loader.epochs(0..2).unwrap();
    // Of the first two batches all are begun.
    source.opened().wait_for(8);
    drop(epochs);
    let started = Instant::now();
    drop(loader);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    source.gate().open();
}

/// Reads that do not return while the run lasts are errors of their samples, or of the run
/// where they are half of the readers; and all else is told as ever.
fn reads_never_return(number: u64, watch: &Watch) {
    const HELD: [Act; 3] = [Act::HeldTask, Act::HeldThread, Act::HeldFilling];
    let mut draws = Draws::new(&[number]);
    let samples = 8 + draws.less_than(40);
    let act = |_| if draws.one_in(8) { draws.of(&Act::FAILING) } else { Act::Good };
    let mut acts: Vec<Act> = (0..samples).map(act).collect();
    for _ in 0..1 + draws.less_than(4) {
        acts[draws.less_than(samples)] = draws.of(&HELD);
    }
    let policy = draws.of(&[
        OnError::Fail,
        OnError::skip(),
        OnError::Replace { attempts: 8, max_failures: Budget::Unlimited },
    ]);
    let source = Scripted::with(acts.clone(), Walk::Whole, draws.word());
    let builder = source.loader().batch_size(1 + draws.less_than(9)).on_error(policy);
    let builder = builder.prefetch(1 + draws.less_than(5)).readers(1 + draws.less_than(12));
    let builder = builder.order(draws.of(&[Order::Ordered, Order::Unordered]));
    let mut loader = builder.read_timeout(Some(Duration::from_millis(100))).build().unwrap();
    watch.on(&loader);
    let mut epochs = loader.epochs(0..1).unwrap();
    let items: Vec<Item> = epochs.by_ref().map(Item::from).collect();
    let skipped: Vec<Failed> = epochs.failures().iter().map(Failed::from).collect();
    drop(epochs);
    // A loader is dropped while reads hang in the runs above.
    source.gate().open();
    drop(loader);
    if let Some(end @ Item::Run(_)) = items.last() {
        let kinds = [ErrorKind::ReadsStuck, ErrorKind::EmptyBatch, ErrorKind::NoSubstitute];
        assert!(kinds.into_iter().any(|kind| *end == Item::run(kind)), "{end:?}");
        return;
    }
    let mut rows: Vec<u64> =
        items.iter().flat_map(|item| item.rows()).map(|row| row.position).collect();
    let mut failed: Vec<u64> = skipped.iter().map(|failed| failed.position).collect();
    failed.extend(items.iter().filter_map(|item| match item {
        Item::Failed(failed) => Some(failed.position),
        _ => None,
    }));
    if let OnError::Replace { .. } = policy {
        // Told by the row that stands in their place.
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..samples as u64));
        return;
    }
    for (position, act) in (0..).zip(&acts) {
        // One that may come can be late, too.
        let fails = act.fails() || HELD.contains(act);
        let times = |told: &[u64]| told.iter().filter(|told| **told == position).count();
        let told = (times(&rows), times(&failed));
        assert!(told == (0, 1) || told == (1, 0) && !fails, "{position}, {act:?}: {told:?}");
    }
}

type Run = Box<dyn FnOnce(&Watch) + Send>;

fn hanging(number: u64, run: fn(u64, &Watch)) -> (String, Run) {
    (format!("run {number}"), Box::new(move |watch| run(number, watch)))
}

#[cfg(target_os = "linux")]
fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[cfg(not(target_os = "linux"))]
fn count(_: &str) -> usize {
    0
}

#[test]
fn two_thousand_ends_leave_nothing_behind() {
    let (threads, files) = ("/proc/self/task", "/proc/self/fd");
    let limit = LIMIT + Duration::from_millis(200) * POINTS as u32;
    // What is printed stays in memory until the test's end, and so do a backtrace's symbols.
    std::panic::set_hook(Box::new(|panic| {
        let told = panic.to_string();
        let scripted = told.contains("scripted panic");
        _ = (!scripted).then(|| writeln!(std::io::stderr(), "{told}"));
    }));
    within_limit(limit, move |_| {
        let (threads_before, files_before) = (count(threads), count(files));
        let mut seen = BTreeMap::<String, u32>::new();
        for number in 0..POINTS {
            let mut forgets = false;
            let (told, run): (String, Run) = match number % 100 {
                99 => hanging(number, drop_while_reads_hang),
                33 | 66 => hanging(number, reads_never_return),
                _ => {
                    let point = Point::draw(number);
                    forgets = point.end == End::Forget;
                    *seen.entry(format!("{:?}", point.end)).or_default() += 1;
                    for held in [Act::HeldTask, Act::HeldThread, Act::HeldDecode] {
                        *seen.entry(format!("{held:?}")).or_default() += u32::from(point.has(held));
                    }
                    let held = matches!(point.walk, Walk::HeldAfter(_));
                    *seen.entry("HeldWalk".to_owned()).or_default() += u32::from(held);
                    (format!("point {number}: {point:?}"), Box::new(move |watch| point.run(watch)))
                }
            };
            let bytes_before = LIVE.load(Ordering::Relaxed);
            let run = move || within_limit(EACH, move |watch| run(watch));
            let run = std::panic::catch_unwind(AssertUnwindSafe(run));
            assert!(run.is_ok(), "{told}");
            // The kernel takes a joined thread off its list a moment later; and one that
            // hung in a read is left behind until the storage comes back, which it has.
            eventually(&told, EACH, || count(threads) <= threads_before);
            assert!(count(files) <= files_before, "descriptors: {told}");
            // An iterator that is forgotten is memory that is forgotten. The first run makes
            // what the process has once.
            let once = if number == 0 { 1024 } else { 0 };
            if !forgets {
                let left = || LIVE.load(Ordering::Relaxed).saturating_sub(bytes_before);
                eventually(&told, EACH, || left() <= once);
            }
        }
        println!("{seen:?}");
        assert!(seen.len() == ENDS.len() + 4 && seen.values().all(|runs| *runs > 100), "{seen:?}");
    });
}
