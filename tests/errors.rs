//! Failures: who is named, what happens to the batch, what ends a run.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::scripted::{Act, Scripted, Walk};
use common::trees::{jpeg, ppm, tree};
use common::within;
use futures_util::StreamExt;
use infeed::{Budget, CauseKind, Error, ErrorKind, Loader, LoaderBuilder, OnError, Order, Stage};
use tempfile::TempDir;

fn small(root: &TempDir) -> LoaderBuilder<u8> {
    Loader::folder(root.path()).dtype::<u8>().size(4, 4).batch_size(4).threads(2)
}

/// Samples of which those at `failing` cannot be read.
fn failing(samples: usize, failing: &[usize]) -> Scripted {
    let mut acts = vec![Act::Good; samples];
    for &at in failing {
        acts[at] = Act::ReadError;
    }
    Scripted::new(acts)
}

/// What an epoch yields, in short: a batch's indices, or an error's kind.
fn items(mut builder: LoaderBuilder<u8>, threads: usize) -> Vec<Result<Vec<u64>, ErrorKind>> {
    builder = builder.threads(threads);
    let mut loader = builder.build().unwrap();
    let epoch = loader.epoch(0).unwrap();
    epoch
        .map(|item| match item {
            Ok(batch) => Ok(batch.samples().iter().map(infeed::Sample::index).collect()),
            Err(error) => Err(error.kind()),
        })
        .collect()
}

#[test]
fn an_error_comes_before_the_batch_that_lacks_the_sample() {
    within(|_| {
        for threads in [1, 2, 8] {
            let found = items(failing(10, &[5, 6]).loader().batch_size(4), threads);
            let sample = Err(ErrorKind::Sample);
            let expected =
                [Ok(vec![0, 1, 2, 3]), sample.clone(), sample, Ok(vec![4, 7]), Ok(vec![8, 9])];
            assert_eq!(found, expected);
        }
    });
}

#[test]
fn a_sample_error_says_which_where_and_why() {
    let root = tree([("a/1.ppm", ppm(4, 4, 1)), ("a/2.jpg", b"hello, world".to_vec())]);
    within(move |_| {
        let mut loader = small(&root).build().unwrap();
        let mut epochs = loader.epochs(0..2).unwrap();
        let mut second = None;
        while let Some(epoch) = epochs.next_epoch() {
            second = epoch.filter_map(Result::err).next();
        }
        let error = second.unwrap();
        assert_eq!(error.path(), Some(Path::new("a/2.jpg")));
        let sample = error.sample().unwrap();
        assert_eq!((sample.index(), sample.epoch(), sample.position()), (1, 1, 1));
        assert_eq!(sample.stage(), Stage::Decode);
        assert_eq!(sample.cause().kind(), CauseKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("sample 1 (a/2.jpg), decode: unsupported: "), "{text}");
    });
}

#[test]
fn skipped_samples_are_counted_and_named() {
    within(|_| {
        let source = failing(10, &[1, 9]);
        let mut loader = source.loader().batch_size(4).on_error(OnError::skip()).build().unwrap();
        let mut epoch = loader.epoch(0).unwrap();
        let sizes: Vec<usize> = epoch.by_ref().map(|batch| batch.unwrap().len()).collect();
        assert_eq!(sizes, [3, 4, 1]);
        let indices: Vec<u64> = epoch.failures().iter().map(infeed::SampleError::index).collect();
        assert_eq!(indices, [1, 9]);
        let stats = epoch.stats();
        assert_eq!((stats.images, stats.failed, stats.replaced), (8, 2, 0));
        drop(epoch);

        // A stream tells the same.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut stream = loader.epoch(1).unwrap().into_stream();
        assert_eq!(runtime.block_on(stream.by_ref().count()), 3);
        assert_eq!(stream.failures().len(), 2);
        assert_eq!((stream.stats().images, stream.stats().failed), (8, 2));
        drop(stream);
        let mut stream = loader.epochs(2..4).unwrap().into_stream();
        assert_eq!(runtime.block_on(stream.by_ref().count()), 6);
        assert_eq!(stream.failures().len(), 4);
    });
}

#[test]
fn a_budget_ends_the_run_at_the_same_place_whatever_the_threads() {
    within(|_| {
        for budget in [Budget::Count(2), Budget::Fraction(0.1)] {
            for threads in [1, 2, 8] {
                let source = failing(20, &[0, 5, 9, 13]);
                let policy = OnError::Skip { max_failures: budget };
                let found = items(source.loader().batch_size(4).on_error(policy), threads);
                let expected =
                    [Ok(vec![1, 2, 3]), Ok(vec![4, 6, 7]), Err(ErrorKind::FailureBudget)];
                assert_eq!(found, expected);
            }
        }
    });
}

#[test]
fn a_budget_that_is_not_used_up_changes_nothing() {
    within(|_| {
        for order in [Order::Ordered, Order::Unordered] {
            let policy = OnError::Skip { max_failures: Budget::Fraction(0.2) };
            let builder = failing(20, &[0, 5, 9, 13]).loader().on_error(policy).order(order);
            let found = items(builder.batch_size(4).prefetch(1), 2);
            let images: usize = found.iter().map(|batch| batch.as_ref().unwrap().len()).sum();
            assert_eq!(images, 16);
        }
    });
}

#[test]
fn substitutes_keep_batches_full_and_are_named() {
    within(|_| {
        let source = failing(10, &[3, 4]);
        let builder = source.loader().batch_size(4).on_error(OnError::replace()).seed(5);
        let mut loader = builder.build().unwrap();
        let mut epoch = loader.epoch(0).unwrap();
        let batches: Vec<_> = epoch.by_ref().map(Result::unwrap).collect();
        let sizes: Vec<usize> = batches.iter().map(infeed::Batch::len).collect();
        assert_eq!(sizes, [4, 4, 2]);
        let substitute = &batches[0].samples()[3];
        assert_eq!((substitute.replaces(), substitute.position()), (Some(3), 3));
        assert!(![3, 4].contains(&substitute.index()));
        let failure = &epoch.failures()[0];
        assert_eq!((failure.index(), failure.substitute()), (3, Some(substitute.path())));
        assert!(epoch.stats().replaced >= 2);
    });
}

#[test]
fn substitutes_run_out() {
    within(|_| {
        for threads in [1, 4] {
            let acts = vec![Act::PixelsError; 12];
            let builder = Scripted::new(acts).loader().batch_size(4).on_error(OnError::replace());
            assert_eq!(items(builder, threads), [Err(ErrorKind::NoSubstitute)]);
        }
    });
}

#[test]
fn a_batch_without_a_sample_does_not_come_and_the_others_keep_their_numbers() {
    within(|_| {
        let source = failing(14, &[4, 5, 6, 7, 12, 13]);
        for policy in [OnError::skip(), OnError::Fail] {
            let mut loader = source.loader().batch_size(4).on_error(policy).build().unwrap();
            let mut epochs = loader.epochs(0..2).unwrap();
            let mut numbers = Vec::new();
            for item in &mut epochs {
                match item {
                    Ok(batch) => numbers.push((batch.epoch(), batch.index())),
                    Err(error) => assert!(error.sample().is_some(), "{error}"),
                }
            }
            assert_eq!(numbers, [(0, 0), (0, 2), (1, 0), (1, 2)]);
        }
        // One sample a batch, as for inference.
        let single = failing(5, &[0, 2, 4]).loader().batch_size(1).on_error(OnError::skip());
        assert_eq!(items(single, 2), [Ok(vec![1]), Ok(vec![3])]);
    });
}

#[test]
fn an_epoch_without_a_sample_ends_the_run() {
    within(|_| {
        for order in [Order::Ordered, Order::Unordered] {
            let builder = || Scripted::new(vec![Act::ReadError; 6]).loader().batch_size(4);
            let skip = builder().order(order).on_error(OnError::skip());
            assert_eq!(items(skip, 2), [Err(ErrorKind::EmptyBatch)]);
            let told = items(builder().order(order), 2);
            assert_eq!(told.len(), 7);
            assert_eq!(told[6], Err(ErrorKind::EmptyBatch));
        }
    });
}

/// Ranks take one step a batch together, so none may be a batch short.
#[test]
fn a_batch_without_a_sample_ends_the_run_of_a_rank() {
    within(|_| {
        let source = failing(16, &[8, 10, 12, 14]);
        let builder = || source.loader().batch_size(4).shard(0, 2).on_error(OnError::skip());
        assert_eq!(items(builder(), 2), [Ok(vec![0, 2, 4, 6]), Err(ErrorKind::EmptyBatch)]);
    });
}

#[test]
fn a_read_that_does_not_come_back_fails_and_many_end_the_run() {
    within(|_| {
        let mut acts = vec![Act::Good; 8];
        acts[2] = Act::HeldThread;
        let source = Scripted::new(acts);
        let timeout = Some(Duration::from_millis(50));
        let builder = || source.loader().batch_size(4).read_timeout(timeout);
        let mut loader = builder().readers(8).build().unwrap();
        let mut epoch = loader.epoch(0).unwrap();
        let error = epoch.next().unwrap().unwrap_err();
        assert_eq!(error.sample().unwrap().cause().kind(), CauseKind::TimedOut);
        assert_eq!(epoch.map(|batch| batch.unwrap().len()).sum::<usize>(), 7);
        assert_eq!(loader.stats().stuck_reads, 1);

        // Of two readers one is half.
        let mut loader = builder().readers(2).build().unwrap();
        let last = loader.epoch(0).unwrap().last().unwrap().unwrap_err();
        assert_eq!(last.kind(), ErrorKind::ReadsStuck);
        assert_eq!(last.path(), Some(&*Scripted::path(2)));
        assert_eq!(loader.epoch(1).unwrap_err().kind(), ErrorKind::ReadsStuck);
        source.gate().open();
    });
}

/// Samples of which the first is read for ever, with memory for the file, and all others
/// wait for their turn, so that they meet.
fn first_is_stuck(samples: usize) -> (Scripted, LoaderBuilder<u8>) {
    let mut acts = vec![Act::Good; samples];
    acts[0] = Act::HeldFilling;
    let source = Scripted::with(acts, Walk::Whole, 1);
    let builder = source.loader().readers(3).on_error(OnError::skip());
    (source, builder.read_timeout(Some(Duration::from_millis(50))))
}

#[test]
fn a_read_that_does_not_come_back_keeps_its_permit_and_its_buffer() {
    within(|watch| {
        let (source, builder) = first_is_stuck(60);
        let mut loader = builder.batch_size(8).max_file_bytes(4_096).build().unwrap();
        watch.on(&loader);
        let images: usize = loader.epoch(0).unwrap().map(|batch| batch.unwrap().len()).sum();
        assert_eq!(images, 59);
        let stats = loader.stats();
        assert_eq!(stats.stuck_reads, 1);
        assert!(stats.memory.encoded.bytes >= 9, "{:?}", stats.memory.encoded);
        assert_eq!(source.most_reading(), 3, "the one that is stuck among them");
        source.gate().open();
        common::eventually("the read's end", common::LIMIT, || {
            let stats = loader.stats();
            (stats.stuck_reads, stats.memory.encoded.bytes) == (0, 0)
        });
    });
}

#[test]
fn memory_that_a_stuck_read_keeps_is_not_waited_for() {
    within(|watch| {
        let (source, builder) = first_is_stuck(20);
        // A file takes all there is for files.
        let mut loader = builder.batch_size(4).build().unwrap();
        watch.on(&loader);
        let mut epoch = loader.epoch(0).unwrap();
        epoch.by_ref().for_each(drop);
        let (failures, images) = (epoch.failures(), epoch.stats().images);
        assert_eq!(failures.len() as u64 + images, 20);
        assert!(failures.iter().all(|failure| failure.cause().kind() == CauseKind::TimedOut));
        let told = failures.last().unwrap().to_string();
        for part in ["no memory for 9 bytes", "read_timeout = 50ms", "class0/0 the first"] {
            assert!(told.contains(part), "{told}");
        }
        drop(epoch);
        source.gate().open();
        common::eventually("the read's end", common::LIMIT, || loader.stats().stuck_reads == 0);
        assert_eq!(loader.epoch(1).unwrap().map(|batch| batch.unwrap().len()).sum::<usize>(), 20);
    });
}

#[test]
fn limits_hold_and_generous_ones_do_not() {
    let root = tree([("1.ppm", ppm(30, 20, 1))]);
    within(move |_| {
        let fails = |builder: LoaderBuilder<u8>, named: &str| {
            let mut loader = builder.build().unwrap();
            let error = loader.epoch(0).unwrap().next().unwrap().unwrap_err();
            assert_eq!(error.sample().unwrap().cause().kind(), CauseKind::Limit);
            assert!(error.to_string().contains(named), "{error}");
        };
        let bytes = ppm(30, 20, 1).len() as u64;
        fails(small(&root).max_file_bytes(bytes - 1), "max_file_bytes");
        fails(small(&root).max_pixels(599), "max_pixels");
        fails(small(&root).max_side(29), "max_side");
        let exact = small(&root).max_file_bytes(bytes).max_pixels(600).max_side(30);
        assert_eq!(items(exact, 1), [Ok(vec![0])]);
    });
}

#[test]
fn bad_files_of_every_kind_are_errors_of_their_own() {
    let photo = jpeg(64, 48, 1);
    let mut files = vec![
        ("empty.jpg".to_owned(), Vec::new()),
        ("good.png".to_owned(), photo.clone()),
        ("text.jpg".to_owned(), b"not a picture at all".to_vec()),
    ];
    for cut in [3, photo.len() / 3, photo.len() / 2, photo.len() - 3] {
        files.push((format!("cut-{cut}.jpg"), photo[..cut].to_vec()));
    }
    let bad = files.len() - 1;
    let root = tree(files);
    std::fs::create_dir(root.path().join("folder.jpg")).unwrap();
    #[cfg(unix)]
    let bad = bad + odd_entries(root.path());
    within(move |_| {
        let mut loader = small(&root).on_error(OnError::skip()).batch_size(64).build().unwrap();
        let mut epoch = loader.epoch(0).unwrap();
        let batch = epoch.next().unwrap().unwrap();
        assert_eq!(batch.samples()[0].path(), Path::new("good.png"), "content decides");
        assert_eq!(batch.len(), 1);
        let failures = epoch.failures();
        assert_eq!(failures.len(), bad, "{failures:#?}");
        let kind = |name: &str| {
            let found = failures.iter().find(|failure| failure.path() == Path::new(name));
            found.unwrap_or_else(|| panic!("{name} in {failures:#?}")).cause().kind()
        };
        assert_eq!(kind("empty.jpg"), CauseKind::Corrupt);
        assert_eq!(kind("text.jpg"), CauseKind::Unsupported);
        assert_eq!(kind(&format!("cut-{}.jpg", photo.len() / 2)), CauseKind::Truncated);
        #[cfg(unix)]
        {
            assert_eq!(kind("pipe.jpg"), CauseKind::Unsupported);
            assert_eq!(kind("dangling.jpg"), CauseKind::NotFound);
        }
    });
}

/// A FIFO, a link that leads nowhere, and one that leads in a circle; how many of
/// them are samples.
#[cfg(unix)]
fn odd_entries(root: &Path) -> usize {
    use std::os::unix::fs::symlink;
    common::trees::pipe(&root.join("pipe.jpg"));
    symlink(root.join("nowhere"), root.join("dangling.jpg")).unwrap();
    std::fs::create_dir(root.join("loop")).unwrap();
    symlink(root, root.join("loop/back")).unwrap();
    2
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf8_is_a_name() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.ppm");
    let root = tree([(Path::new(name), ppm(4, 4, 1))]);
    within(move |_| {
        let mut loader = small(&root).build().unwrap();
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        assert_eq!(batch.samples()[0].path(), Path::new(name));
    });
}

#[test]
fn files_that_vanish_or_change_after_the_walk_are_what_they_are_when_they_are_read() {
    let policies = [OnError::Fail, OnError::skip(), OnError::replace()];
    let cases = policies
        .into_iter()
        .flat_map(|policy| [Order::Ordered, Order::Unordered].map(|order| (policy, order)));
    for (policy, order) in cases {
        let root = tree((1..7).map(|at| (format!("{at}.ppm"), ppm(4, 4, at))));
        within(move |_| {
            let builder = small(&root).on_error(policy).order(order);
            let mut loader = builder.build().unwrap();
            common::eventually("the walk's end", common::LIMIT, || loader.samples().is_some());
            let resize = |name: &str, bytes| {
                let file = std::fs::File::options().write(true).open(root.path().join(name));
                file.unwrap().set_len(bytes).unwrap();
            };
            resize("2.ppm", 30);
            resize("3.ppm", 0);
            // What stands behind a picture is none of it.
            resize("4.ppm", 10_000);
            std::fs::remove_file(root.path().join("5.ppm")).unwrap();
            let mut epoch = loader.epoch(0).unwrap();
            let (mut images, mut told) = (0, Vec::new());
            let fate = |sample: &infeed::SampleError| {
                (sample.index(), (sample.stage(), sample.cause().kind()))
            };
            for item in epoch.by_ref() {
                match item {
                    Ok(batch) => images += batch.len(),
                    Err(error) => told.push(fate(error.sample().unwrap())),
                }
            }
            told.extend(epoch.failures().iter().map(fate));
            told.sort_by_key(|(index, _)| *index);
            let replaced = matches!(policy, OnError::Replace { .. });
            if replaced {
                // It may be drawn as a substitute too.
                told.dedup();
            }
            let expected = [
                (1, (Stage::Decode, CauseKind::Truncated)),
                (2, (Stage::Decode, CauseKind::Corrupt)),
                (4, (Stage::Read, CauseKind::NotFound)),
            ];
            assert_eq!(told, expected, "{policy:?}, {order:?}");
            assert_eq!(images, if replaced { 6 } else { 3 }, "{policy:?}, {order:?}");
        });
    }
}

#[test]
fn a_source_that_cannot_be_used_is_an_error_at_build_time_that_says_so() {
    let empty = tempfile::tempdir().unwrap();
    let none = tree([("notes.txt", b"no picture".to_vec())]);
    let file = tree([("1.ppm", ppm(4, 4, 1))]);
    within(move |_| {
        let refused = |root: &Path, told: &str| {
            let error: Error = Loader::folder(root).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Source);
            assert_eq!(error.path(), Some(root));
            let text = error.to_string();
            assert!(text.contains(&*root.to_string_lossy()) && text.contains(told), "{text}");
        };
        refused(empty.path(), "no image was found");
        refused(none.path(), "no image was found");
        refused(&empty.path().join("missing"), "cannot be read");
        refused(&file.path().join("1.ppm"), "cannot be read");
    });
}
