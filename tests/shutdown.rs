//! Ends: dropped, stopped, forgotten, failed, inside and outside of runtimes,
//! with every thread accounted for.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::oracle::{self, Item};
use common::scripted::{Act, Scripted, Walk};
use common::{Watch, eventually, lock, within};
use futures_util::StreamExt;
use futures_util::future::join;
use infeed::{ErrorKind, LastBatch, OnError};

/// Names of the loader's threads that run now.
#[cfg(target_os = "linux")]
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        // A thread may end between the listing and this.
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    let names = tasks.filter_map(name).map(|name| name.trim().to_owned());
    names.filter(|name| name.starts_with("infeed-")).collect()
}

#[cfg(not(target_os = "linux"))]
fn threads() -> Vec<String> {
    Vec::new()
}

/// The kernel takes a joined thread off its list a moment later.
fn assert_threads(count: usize) {
    eventually(&format!("{count} threads"), Duration::from_secs(5), || {
        threads().len() == count || cfg!(not(target_os = "linux"))
    });
}

/// One test of this file at a time, with no thread left before and after it.
fn alone(body: impl FnOnce(&Watch) + Send + 'static) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = lock(&ALONE);
    assert_threads(0);
    within(body);
    assert_threads(0);
}

fn items(acts: &[Act], batch_size: usize, epochs: std::ops::Range<u64>) -> Vec<Item> {
    oracle::serial(acts, batch_size, LastBatch::Keep, OnError::Fail, epochs).0
}

#[test]
fn dropping_ends_every_thread_whenever_it_comes() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 40];
        acts[9] = Act::ReadPanic;
        acts[22] = Act::PixelsError;
        for taken in [0, 1, 2, 3, 4, 12, 13] {
            let source = Scripted::new(acts.clone());
            let mut loader = source.loader().batch_size(4).threads(3).build().unwrap();
            watch.on(&loader);
            // A thread has its name a moment after it was started.
            #[cfg(target_os = "linux")]
            eventually("four threads", common::LIMIT, || threads().len() >= 4);
            let some: Vec<Item> = loader.epoch(0).unwrap().take(taken).map(Item::from).collect();
            assert_eq!(some, items(&acts, 4, 0..1)[..taken.min(12)]);
            drop(loader);
            assert_threads(0);
        }
        // Without an epoch, and with a forgotten one.
        drop(Scripted::good(5).loader().build().unwrap());
        let mut loader = Scripted::good(50).loader().batch_size(4).build().unwrap();
        std::mem::forget(loader.epoch(0).unwrap());
        drop(loader);
    });
}

#[test]
fn many_loaders_leave_nothing_behind() {
    alone(|_| {
        let files = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let before = files();
        for number in 0..200 {
            let source = Scripted::good(30);
            let mut loader = source.loader().batch_size(4).threads(2).build().unwrap();
            loader.epoch(0).unwrap().take(number % 9).for_each(|batch| drop(batch.unwrap()));
        }
        assert_threads(0);
        assert_eq!(files(), before, "open files");
    });
}

#[test]
fn loaders_of_folders_close_their_files() {
    let picture = |at| common::trees::ppm(8, 8, at);
    let root = common::trees::tree((0..30).map(|at| (format!("{at:02}.ppm"), picture(at))));
    let cached = tempfile::tempdir().unwrap();
    alone(move |_| {
        let files = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let before = files();
        for number in 0..60 {
            let builder = infeed::Loader::folder(root.path()).size(8, 8).batch_size(4).threads(2);
            let cache = match number % 3 {
                0 => infeed::Cache::None,
                _ => infeed::Cache::disk(cached.path(), 1 << 20),
            };
            let mut loader = builder.cache(cache).build().unwrap();
            loader.epoch(0).unwrap().take(number % 9).for_each(|batch| drop(batch.unwrap()));
        }
        assert_threads(0);
        assert_eq!(files(), before, "open files");
    });
}

/// Hears what the loader tells of its work, as a program's own log does, and panics on one
/// of its threads when told to.
struct Deaf;

/// The beginning of that thread's name.
static PANICS_ON: Mutex<&str> = Mutex::new("nobody");

impl Deaf {
    fn hear() {
        let on = *lock(&PANICS_ON);
        let thread = std::thread::current();
        assert!(!thread.name().is_some_and(|name| name.starts_with(on)), "a log that panics");
    }
}

impl tracing::Subscriber for Deaf {
    fn register_callsite(&self, _: &tracing::Metadata<'_>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        *lock(&PANICS_ON) != "nobody"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        Deaf::hear();
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, _: &tracing::Event<'_>) {
        Deaf::hear();
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_thread_of_ours_that_panics_ends_the_run() {
    alone(|watch| {
        tracing::subscriber::set_global_default(Deaf).unwrap();
        for on in ["infeed-decode", "infeed-read"] {
            let mut acts = vec![Act::Good; 40];
            acts[9] = Act::ReadError;
            let source = Scripted::new(acts);
            let builder = source.loader().batch_size(4).threads(2).on_error(OnError::skip());
            let mut loader = builder.build().unwrap();
            watch.on(&loader);
            *lock(&PANICS_ON) = on;
            let items: Vec<Item> = loader.epoch(0).unwrap().map(Item::from).collect();
            *lock(&PANICS_ON) = "nobody";
            let lost = Item::run(ErrorKind::Lost);
            assert_eq!(items.last(), Some(&lost), "{on}: {items:?}");
            let again = loader.epoch(1).and_then(|epoch| epoch.last().unwrap());
            let again = again.map(drop).map_err(|error| error.kind());
            assert_eq!(again.err(), Some(ErrorKind::Lost), "{on}");
            drop(loader);
            assert_threads(0);
        }
    });
}

#[test]
fn a_read_stuck_for_ever_is_left_behind_alone() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 40];
        acts[6] = Act::HeldThread;
        let source = Scripted::new(acts);
        let builder = source.loader().batch_size(4).threads(4).read_timeout(None);
        let mut loader = builder.build().unwrap();
        watch.on(&loader);
        let mut epoch = loader.epoch(0).unwrap();
        assert_eq!(epoch.next().unwrap().unwrap().len(), 4);
        source.opened().wait_for(7);
        drop(epoch);
        let started = Instant::now();
        drop(loader);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_threads(cfg!(target_os = "linux").into());
        source.gate().open();
    });
}

#[test]
fn a_held_future_is_dropped() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 40];
        (4..8).for_each(|index| acts[index] = Act::HeldTask);
        let source = Scripted::new(acts);
        let mut loader = source.loader().batch_size(4).read_timeout(None).build().unwrap();
        watch.on(&loader);
        // By the end of an epoch,
        let mut epoch = loader.epoch(0).unwrap();
        epoch.next().unwrap().unwrap();
        source.opened().wait_for(12);
        drop(epoch);
        source.dropped().wait_for(4);
        // and by the end of the loader.
        let mut epoch = loader.epoch(1).unwrap();
        epoch.next().unwrap().unwrap();
        source.opened().wait_for(24);
        drop(epoch);
        let started = Instant::now();
        drop(loader);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        source.dropped().wait_for(8);
    });
}

#[test]
fn a_listing_stuck_for_ever_does_not_hold_the_drop() {
    alone(|watch| {
        let source = Scripted::with(vec![Act::Good; 40], Walk::HeldAfter(10), 0);
        let mut loader = source.loader().batch_size(4).build().unwrap();
        watch.on(&loader);
        let mut epoch = loader.epoch(0).unwrap();
        assert_eq!(epoch.by_ref().take(2).filter(Result::is_ok).count(), 2);
        drop(epoch);
        assert_eq!(loader.samples(), None);
        let started = Instant::now();
        drop(loader);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_threads(cfg!(target_os = "linux").into());
        source.walk_gate().open();
    });
}

#[test]
fn dropping_waits_for_the_sample_in_hand() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 40];
        acts[0] = Act::HeldDecode;
        let source = Scripted::new(acts);
        let mut loader = source.loader().batch_size(4).threads(2).build().unwrap();
        watch.on(&loader);
        std::mem::forget(loader.epoch(0).unwrap());
        source.decoded().wait_for(1);
        std::thread::scope(|scope| {
            let dropping = scope.spawn(move || drop(loader));
            source.gate().open();
            dropping.join().unwrap();
        });
    });
}

#[test]
fn a_stop_handle_wakes_a_blocked_consumer() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 40];
        acts[5] = Act::HeldTask;
        let source = Scripted::new(acts);
        let mut loader = source.loader().batch_size(4).read_timeout(None).build().unwrap();
        watch.on(&loader);
        let handle = loader.stop_handle();
        let monitor = loader.monitor();
        std::thread::scope(|scope| {
            let stopping = scope.spawn(|| {
                // The window is full but for the batch that is held.
                source.opened().wait_for(12);
                eventually("one batch waiting", common::LIMIT, || {
                    monitor.stats().queue.waiting == 1
                });
                handle.stop();
                handle.clone().stop();
            });
            let mut epoch = loader.epochs(0..9).unwrap();
            assert_eq!(epoch.next().unwrap().unwrap().len(), 4);
            assert_eq!(epoch.next().unwrap().unwrap_err().kind(), ErrorKind::Stopped);
            assert!(epoch.next().is_none());
            assert!(epoch.next().is_none());
            assert!(epoch.next_epoch().is_none());
            stopping.join().unwrap();
        });
        assert_eq!(loader.epoch(1).unwrap_err().kind(), ErrorKind::Stopped);
        drop(loader);
        handle.stop();
        assert_eq!(monitor.stats().queue.making, 0);
    });
}

#[test]
fn a_stop_handle_wakes_a_waiting_stream() {
    alone(|watch| {
        let source = Scripted::new(vec![Act::HeldTask; 40]);
        let mut loader = source.loader().batch_size(4).read_timeout(None).build().unwrap();
        watch.on(&loader);
        let handle = loader.stop_handle();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut stream = loader.epoch(0).unwrap().into_stream();
            let (item, ()) = join(stream.next(), async { handle.stop() }).await;
            assert_eq!(item.unwrap().unwrap_err().kind(), ErrorKind::Stopped);
            assert!(stream.next().await.is_none());
        });
    });
}

#[test]
fn a_forgotten_iterator_is_cancelled_by_the_next() {
    alone(|watch| {
        let acts = [Act::Good; 40];
        let mut loader = Scripted::good(40).loader().batch_size(4).build().unwrap();
        watch.on(&loader);
        for epoch in 0..5 {
            let mut begun = loader.epoch(epoch).unwrap();
            begun.by_ref().take(epoch as usize).for_each(drop);
            std::mem::forget(begun);
        }
        std::mem::forget(loader.epochs(5..9).unwrap());
        let whole: Vec<Item> = loader.epoch(9).unwrap().map(Item::from).collect();
        assert_eq!(whole, items(&acts, 4, 9..10));
    });
}

#[test]
fn an_epoch_dropped_early_is_skipped_and_the_next_is_whole() {
    alone(|watch| {
        let acts = [Act::Good; 21];
        let mut loader = Scripted::good(21).loader().batch_size(4).prefetch(3).build().unwrap();
        watch.on(&loader);
        for taken in 0..=6 {
            let mut epochs = loader.epochs(0..4).unwrap();
            let mut numbers = Vec::new();
            while let Some(mut epoch) = epochs.next_epoch() {
                numbers.push(epoch.number());
                let number = epoch.number();
                let count = if number % 2 == 0 { taken } else { usize::MAX };
                let some: Vec<Item> = epoch.by_ref().take(count).map(Item::from).collect();
                assert_eq!(some, items(&acts, 4, number..number + 1)[..count.min(6)]);
                assert_eq!(epoch.stats().batches, count.min(6) as u64);
            }
            assert_eq!(numbers, [0, 1, 2, 3], "{taken} taken");
        }
    });
}

#[test]
fn what_would_have_ended_a_skipped_epoch_ends_no_other() {
    alone(|watch| {
        // Batch 0 comes to nothing, which would end the run once it is told.
        let acts = [Act::ReadError, Act::OpenError, Act::Good, Act::Good];
        let mut loader = Scripted::new(acts.to_vec()).loader().batch_size(2).build().unwrap();
        watch.on(&loader);
        let mut epochs = loader.epochs(0..3).unwrap();
        let mut told = Vec::new();
        while let Some(mut epoch) = epochs.next_epoch() {
            told.push((epoch.number(), epoch.next().unwrap().unwrap_err().kind()));
        }
        let one = |epoch| (epoch, ErrorKind::Sample);
        assert_eq!(told, [one(0), one(1), one(2)]);
        drop(epochs);
        let whole: Vec<Item> = loader.epochs(0..3).unwrap().map(Item::from).collect();
        assert_eq!(whole, items(&acts, 2, 0..3));
    });
}

#[test]
fn inside_a_runtime_as_outside() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 30];
        acts[7] = Act::OpenPanic;
        let expected = items(&acts, 4, 0..3);
        let current = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let multi = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        for runtime in [current, multi] {
            let (acts, watch) = (acts.clone(), watch.clone());
            let items: Vec<Item> = runtime.block_on(async move {
                // Made, polled and dropped on a worker of the runtime.
                let work = async move {
                    let mut loader = Scripted::new(acts).loader().batch_size(4).build().unwrap();
                    watch.on(&loader);
                    let stream = loader.epochs(0..2).unwrap().into_stream();
                    let mut items: Vec<Item> = stream.map(Item::from).collect().await;
                    let stream = loader.epoch(2).unwrap().into_stream();
                    items.extend(stream.map(Item::from).collect::<Vec<_>>().await);
                    // Another one given up half-way.
                    let half = loader.epoch(3).unwrap().into_stream().take(2).count().await;
                    assert_eq!(half, 2);
                    items
                };
                tokio::spawn(work).await.unwrap()
            });
            assert_eq!(items, expected);
        }
    });
}

#[test]
fn a_stream_that_waits_leaves_its_executor_free() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 12];
        acts[0] = Act::HeldTask;
        let source = Scripted::new(acts);
        let mut loader = source.loader().batch_size(4).build().unwrap();
        watch.on(&loader);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut stream = loader.epoch(0).unwrap().into_stream();
            let other = async {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                source.gate().open();
            };
            // Polled first, the stream would hold a blocked executor for ever.
            let (first, ()) = join(stream.next(), other).await;
            assert_eq!(first.unwrap().unwrap().len(), 4);
            assert_eq!(stream.count().await, 2);
        });
    });
}

#[test]
fn an_error_of_the_listing_comes_behind_what_was_listed() {
    alone(|watch| {
        for walk in [Walk::FailsAfter(0), Walk::PanicsAfter(0)] {
            let error = Scripted::with(vec![Act::Good; 9], walk, 0).loader().build().unwrap_err();
            let panics = walk == Walk::PanicsAfter(0);
            assert_eq!(error.kind(), if panics { ErrorKind::Lost } else { ErrorKind::Source });
            assert!(error.to_string().contains("scripted"), "{error}");
        }
        for (walk, kind) in
            [(Walk::FailsAfter(8), ErrorKind::Source), (Walk::PanicsAfter(8), ErrorKind::Lost)]
        {
            let source = Scripted::with(vec![Act::Good; 20], walk, 0);
            let mut loader = source.loader().batch_size(4).prefetch(1).build().unwrap();
            watch.on(&loader);
            let mut expected = items(&[Act::Good; 8], 4, 0..1);
            expected.push(Item::run(kind));
            let told: Vec<Item> = loader.epochs(0..3).unwrap().map(Item::from).collect();
            assert_eq!(told, expected);
            assert_eq!(loader.samples(), None);
            // What was told once is told again.
            let again: Vec<Item> = loader.epoch(0).unwrap().map(Item::from).collect();
            assert_eq!(again, expected);
        }
    });
}

#[test]
fn of_two_errors_of_the_run_one_is_told() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 12];
        acts[1] = Act::HeldThread;
        acts[2] = Act::HeldThread;
        let source = Scripted::with(acts, Walk::FailsAfter(12), 0);
        let builder = source.loader().batch_size(4).readers(4).prefetch(4);
        let mut loader = builder.read_timeout(Some(Duration::from_millis(30))).build().unwrap();
        watch.on(&loader);
        let told: Vec<Item> = loader.epoch(0).unwrap().map(Item::from).collect();
        assert_eq!(told.iter().filter(|item| matches!(item, Item::Run(_))).count(), 1, "{told:?}");
        assert!(matches!(told.last(), Some(Item::Run(_))));
        loader.stop_handle().stop();
        assert!(loader.epoch(1).is_err());
        source.gate().open();
    });
}

#[test]
fn panics_of_plugged_in_code_cost_their_samples_alone() {
    alone(|watch| {
        let mut acts = vec![Act::Good; 40];
        let panics = [Act::ReadPanic, Act::ReadPanicAtOnce, Act::OpenPanic, Act::PixelsPanic];
        (0..40).step_by(4).for_each(|index| acts[index] = panics[index / 4 % 4]);
        let mut loader = Scripted::new(acts.clone()).loader().batch_size(4).build().unwrap();
        watch.on(&loader);
        let told: Vec<Item> = loader.epochs(0..3).unwrap().map(Item::from).collect();
        assert_eq!(told, items(&acts, 4, 0..3));
    });
}
