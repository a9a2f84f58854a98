//! What the operating system refuses: memory, file descriptors, threads. Each is waited
//! out or told by name, and what was refused once may be had later.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]
#![allow(unsafe_code)]

mod common;

use std::fs::File;
#[cfg(feature = "cli")]
use std::path::Path;
#[cfg(feature = "cli")]
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::allocator::{Counting, REFUSED_ABOVE};
use common::trees::{ppm, tree};
use common::{eventually, lock, within};
use infeed::{Batch, Cache, CauseKind, ErrorKind, Loader, OnError, Stage};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Limits are the process's, so one test at a time.
static ONE: Mutex<()> = Mutex::new(());

fn alone(body: impl FnOnce() + Send + 'static) {
    let _one = lock(&ONE);
    within(|_| body());
}

/// Refuses blocks of more than this until it is dropped.
struct Refused;

impl Refused {
    fn above(bytes: usize) -> Self {
        REFUSED_ABOVE.store(bytes, Ordering::Relaxed);
        Refused
    }
}

impl Drop for Refused {
    fn drop(&mut self) {
        REFUSED_ABOVE.store(usize::MAX, Ordering::Relaxed);
    }
}

#[test]
fn memory_refused_for_a_batch_ends_the_run_and_the_next_may_have_it() {
    alone(|| {
        let root = tree((0..20).map(|at| (format!("{at:02}.ppm"), ppm(8, 8, at))));
        let builder = || Loader::folder(root.path()).size(256, 256).batch_size(8).threads(3);
        for policy in [OnError::Fail, OnError::skip(), OnError::replace()] {
            let mut loader = builder().on_error(policy).build().unwrap();
            for _ in 0..3 {
                let refused = Refused::above(1 << 20);
                let items: Vec<_> = loader.epoch(0).unwrap().collect();
                let error = items.last().unwrap().as_ref().unwrap_err();
                assert_eq!((items.len(), error.kind()), (1, ErrorKind::System), "{error}");
                let told = error.to_string();
                for part in ["no memory for a batch", "6291456 bytes", "memory_limit"] {
                    assert!(told.contains(part), "{part} in {told}");
                }
                drop(refused);
            }
            let images: usize = loader.epoch(0).unwrap().map(|batch| batch.unwrap().len()).sum();
            assert_eq!(images, 20);
        }
    });
}

#[test]
fn memory_refused_for_a_sample_costs_that_sample() {
    alone(|| {
        // A file of two megabytes, and one that becomes as many.
        let grey = image::GrayImage::from_pixel(1500, 1500, image::Luma([7]));
        let mut small = std::io::Cursor::new(Vec::new());
        grey.write_to(&mut small, image::ImageFormat::Png).unwrap();
        let mut files: Vec<_> = (0..6).map(|at| (format!("{at}.ppm"), ppm(8, 8, at))).collect();
        files[2].1 = ppm(900, 800, 2);
        files[4].1 = small.into_inner();
        let root = tree(files);
        let builder = Loader::folder(root.path()).dtype::<u8>().size(8, 8).batch_size(6);
        let mut loader = builder.on_error(OnError::skip()).build().unwrap();
        // Tasks and tables are there after an epoch.
        assert_eq!(loader.epoch(0).unwrap().next().unwrap().unwrap().len(), 6);
        // So are buffers; another loader has none.
        let builder = Loader::folder(root.path()).dtype::<u8>().size(8, 8).batch_size(6);
        let mut loader = builder.on_error(OnError::skip()).build().unwrap();
        let refused = Refused::above(1 << 20);
        let mut epoch = loader.epoch(0).unwrap();
        assert_eq!(epoch.next().unwrap().unwrap().len(), 4);
        let failures = epoch.failures();
        let told: Vec<_> = failures.iter().map(|f| (f.index(), f.stage())).collect();
        assert_eq!(told, [(2, Stage::Read), (4, Stage::Decode)]);
        for failure in failures {
            assert_eq!(failure.cause().kind(), CauseKind::Memory, "{failure}");
        }
        drop(epoch);
        drop(refused);
        assert_eq!(loader.epoch(0).unwrap().next().unwrap().unwrap().len(), 6);
    });
}

#[test]
fn a_cache_that_is_refused_memory_goes_without() {
    alone(|| {
        let root = tree((0..20).map(|at| (format!("{at:02}.ppm"), ppm(8, 8, at))));
        let builder = || {
            let builder = Loader::folder(root.path()).dtype::<u8>().size(256, 256).batch_size(1);
            builder.threads(1).readers(1).prefetch(1)
        };
        // No copies, which would be refused as well.
        let sum = |batch: infeed::Result<Batch<u8>>| {
            let mix =
                |sum: u64, &level: &u8| (sum ^ u64::from(level)).wrapping_mul(0x100_0000_01b3);
            batch.unwrap().as_slice().iter().fold(7, mix)
        };
        let mut plain = builder().build().unwrap();
        let expected: Vec<_> = plain.epoch(0).unwrap().map(sum).collect();
        let mut loader = builder().cache(Cache::memory(64 << 20)).build().unwrap();
        let monitor = loader.monitor();
        let mut epoch = loader.epoch(0).unwrap();
        let first = epoch.next().unwrap();
        // One is held and one is ready: there are as many as there will ever be, each of as
        // much memory as the cache wants for a sample.
        eventually("the next", common::LIMIT, || monitor.stats().queue.waiting == 1);
        let mut sums = vec![sum(first)];
        let refused = Refused::above(100 << 10);
        sums.extend(epoch.map(sum));
        drop(refused);
        assert_eq!(sums, expected);
        let kept = loader.stats().cache.unwrap().samples;
        assert!((1..10).contains(&kept), "{kept} kept");
        assert_eq!(loader.epoch(1).unwrap().count(), 20);
        assert_eq!(loader.stats().cache.unwrap().samples, 20);
    });
}

/// No file can be opened until it is dropped.
struct NoDescriptors {
    held: Vec<File>,
    limits: libc::rlimit,
}

impl NoDescriptors {
    fn new() -> Self {
        let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the place is there and of this type.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits) }, 0);
        let fewer = libc::rlimit { rlim_cur: 200, ..limits };
        // SAFETY: it is read alone.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &fewer) }, 0);
        let held = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        NoDescriptors { held, limits }
    }
}

impl Drop for NoDescriptors {
    fn drop(&mut self) {
        self.held.clear();
        // SAFETY: it is read alone.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &self.limits) }, 0);
    }
}

#[test]
fn an_exhausted_table_of_files_is_waited_out() {
    alone(|| {
        let root = tree((0..40).map(|at| (format!("{at:02}.ppm"), ppm(8, 8, at))));
        let builder = Loader::folder(root.path()).dtype::<u8>().size(8, 8).batch_size(10);
        let mut loader = builder.readers(8).build().unwrap();
        eventually("the walk's end", common::LIMIT, || loader.samples().is_some());
        let none = NoDescriptors::new();
        assert!(File::open("/dev/null").is_err());
        let (waits, waited) = channel();
        let freed = std::thread::Builder::new().name("freed".into()).spawn(move || {
            waited.recv().unwrap();
            drop(none);
        });
        let monitor = loader.monitor();
        let watch = std::thread::Builder::new().name("watch".into()).spawn(move || {
            // All readers are at it, and none has come further.
            eventually("waiting reads", common::LIMIT, || monitor.stats().queue.reading == 8);
            waits.send(()).unwrap();
        });
        let images: usize = loader.epoch(0).unwrap().map(|batch| batch.unwrap().len()).sum();
        assert_eq!(images, 40, "no sample fails");
        freed.unwrap().join().unwrap();
        watch.unwrap().join().unwrap();
    });
}

#[test]
fn an_exhausted_table_of_files_that_stays_is_named() {
    alone(|| {
        let root = tree((0..6).map(|at| (format!("{at:02}.ppm"), ppm(8, 8, at))));
        let builder = Loader::folder(root.path()).dtype::<u8>().size(8, 8).batch_size(3);
        let mut loader = builder.build().unwrap();
        eventually("the walk's end", common::LIMIT, || loader.samples().is_some());
        let none = NoDescriptors::new();
        let started = Instant::now();
        let errors: Vec<_> = loader.epoch(0).unwrap().filter_map(Result::err).collect();
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
        assert_eq!(errors.len(), 7, "each sample, and that none is left");
        let told = errors[0].to_string();
        for part in ["read: I/O error: ", "open files", "for 5s", "ulimit -n"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        drop(none);
        assert_eq!(loader.epoch(0).unwrap().count(), 2, "what was refused can be had again");
        // And for the walk.
        let none = NoDescriptors::new();
        let error = Loader::folder(root.path()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source);
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        drop(none);
    });
}

/// The command under a limit on its address space: threads and memory are refused at
/// whatever point. It ends by itself, and what it cannot do is said in a line or two.
#[cfg(feature = "cli")]
#[test]
fn threads_that_cannot_be_started_are_an_error() {
    alone(|| {
        let root = tree((0..40).map(|at| (format!("{at:02}.ppm"), ppm(64, 64, at))));
        let (mut seen, mut named) = ([0, 0, 0], 0);
        // From less than the program itself needs, to more than all of it.
        let limits = (0..20).map(|step: i32| (15_000.0 * 1.35_f64.powi(step)) as u64);
        for kilobytes in limits {
            let output = limited(root.path(), kilobytes);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            match output.status.code() {
                Some(0) => seen[0] += 1,
                Some(code) => {
                    assert!(code == 1 || code == 2 || code == 127, "{code}: {told}");
                    assert!(panicked(&told).is_empty(), "{kilobytes}: {told}");
                    named += u32::from(told.contains("lower threads"));
                    seen[1] += 1;
                }
                // Where the C or the standard library, or a decoder, finds no memory of its own.
                None => {
                    assert!(panicked(&told).is_empty(), "{kilobytes}: {told}");
                    let of_its_own = [
                        "memory allocation of",
                        "failed to allocate an alternative stack",
                        "Fatal glibc error",
                    ];
                    assert!(
                        of_its_own.iter().any(|part| told.contains(part)),
                        "{kilobytes}: {told}"
                    );
                    seen[2] += 1;
                }
            }
        }
        println!("done {}, told {}, out of memory {}", seen[0], seen[1], seen[2]);
        assert!(seen[0] > 0 && named > 3, "{seen:?}, {named}");
    });
}

/// The lines that tell a panic, but for the one panic that the standard library has before
/// a new thread comes to any code of ours: no memory for the thread's second stack.
#[cfg(feature = "cli")]
fn panicked(told: &str) -> Vec<&str> {
    let panicked = told.lines().filter(|line| line.contains("panicked at"));
    panicked.filter(|line| !line.contains("/std/src/sys/pal/unix/stack_overflow.rs:")).collect()
}

#[cfg(feature = "cli")]
fn limited(root: &Path, kilobytes: u64) -> std::process::Output {
    let script =
        format!("ulimit -v {kilobytes}; exec \"$0\" run \"$1\" --threads 200 --size 32x32");
    let mut command = Command::new("timeout");
    command.args(["20", "sh", "-c", &script, common::command::INFEED]).arg(root);
    let output = command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).output().unwrap();
    assert_ne!(output.status.code(), Some(124), "{kilobytes} kB: not done after 20 s");
    output
}

/// The command as a user who may start only so many threads; the superuser may start any.
#[cfg(feature = "cli")]
#[test]
fn a_user_without_threads_is_told() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    // SAFETY: it only tells.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only the superuser may be another user");
        return;
    }
    // Nobody else's threads count.
    let user = 61_000 + std::process::id() % 1_000;
    if let Err(error) = Command::new("true").uid(user).status() {
        println!("skipped: this superuser may be no other user: {error}");
        return;
    }
    alone(move || {
        let files = (0..40).map(|at| (format!("{at:02}.ppm"), ppm(64, 64, at)));
        let root = tree(files.map(|(name, file)| (format!("photos/{name}"), file)));
        let locked = root.path().join("photos/unreadable.ppm");
        std::fs::copy(root.path().join("photos/00.ppm"), &locked).unwrap();
        std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).unwrap();
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        // Where the build is need not be open to all.
        let infeed = root.path().join("infeed");
        std::fs::copy(common::command::INFEED, &infeed).unwrap();
        let run = |threads: u64, folder: &str| {
            let mut command = Command::new("timeout");
            command.arg("60").arg(&infeed).args(["run", folder, "--size", "32x32"]);
            command.args(["--threads", "3", "--readers", "3", "--on-error", "skip"]);
            command.current_dir(root.path()).uid(user).stdin(Stdio::null());
            let limits = libc::rlimit { rlim_cur: threads, rlim_max: threads };
            let limit = move || {
                // SAFETY: it is read alone.
                match unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limits) } {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            };
            // SAFETY: the limit is set by one call, which allocates nothing.
            unsafe { command.pre_exec(limit) };
            let output = command.env("RUST_BACKTRACE", "0").output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_ne!(output.status.code(), Some(124), "{threads}: {told}");
            (output.status.code(), told, String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let (mut refused, mut done) = (0, 0);
        // `timeout` is a process, too.
        for threads in 2..14 {
            let (code, told, _) = run(threads, "photos");
            assert!(!told.contains("panicked"), "{threads}: {told}");
            match code {
                Some(0) => done += 1,
                _ => {
                    assert!(told.contains("cannot be started"), "{threads}: {code:?} {told}");
                    refused += 1;
                }
            }
        }
        // With fewer threads than readers, reads take turns.
        assert!(refused > 3 && done > 3, "{refused}, {done}");
        let (code, told, done) = run(1_000, "photos");
        assert_eq!(code, Some(0), "{told}");
        assert!(done.contains("unreadable.ppm") && done.contains("ermission denied"), "{done}");
        // And a folder that nobody may look into.
        std::fs::create_dir(root.path().join("photos/closed")).unwrap();
        let closed = root.path().join("photos/closed");
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
        let (code, told, _) = run(1_000, "photos");
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("closed") && told.contains("ermission denied"), "{told}");
    });
}
