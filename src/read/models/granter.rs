//! The granter itself, between a walk, decoders and a consumer. Reads are done at
//! once: others need the runtime.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::mpsc;

use crate::batch::Pool;
use crate::config::{Config, OnError, Order};
use crate::error::{Cause, CauseKind, Error, ErrorKind, Result, SampleError, Stage};
use crate::plan::Plan;
use crate::read::budget::ByteBudget;
use crate::read::{Loaded, Permits, Readers, Retries, StuckReads, Taker, grant, handoff};
use crate::source::{Admission, Index, Listing, ReadFuture, Source};
use crate::stats::Registry;
use crate::sync::{Mutex, Notify, check, thread};
use crate::watch::Activity;
use crate::window::{Shape, Taken, Window};

const DECODERS: usize = 2;
const BATCH: usize = 2;

#[derive(Clone, Copy)]
struct Rig {
    order: Order,
    samples: u64,
    epochs: u64,
    /// Each fails as often before it is decoded.
    fails: fn(u64) -> bool,
    on_error: OnError,
    walk_fails: bool,
    /// The walk goes on until a batch has been delivered.
    walks_on: bool,
}

const RIG: Rig = Rig {
    order: Order::Ordered,
    samples: 5,
    epochs: 2,
    fails: |_| false,
    on_error: OnError::Fail,
    walk_fails: false,
    walks_on: false,
};

/// A file holds its index.
struct Memory;

impl Source for Memory {
    fn root(&self) -> PathBuf {
        PathBuf::new()
    }

    fn list(&self, _: &mut Listing<'_>) -> Result<()> {
        Ok(())
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        let index = path.to_string_lossy().parse();
        Box::pin(async move {
            let mut encoded = admission.admit(1).await?;
            encoded[0] = index.unwrap();
            Ok(encoded)
        })
    }
}

impl Rig {
    fn decode(self, taker: &Taker<Loaded<u8>>, retries: &Retries<u8>) {
        while let Some((Loaded { job, entry, content }, _)) = taker.take_waiting() {
            drop(content);
            if !job.ticket.is_live() {
                continue;
            }
            if (self.fails)(job.index) {
                let cause = Cause::new(CauseKind::Corrupt, "");
                job.fail(entry.path, Stage::Decode, cause, None, retries);
                continue;
            }
            let Some((place, mut row)) = job.ticket.claim() else { continue };
            row[0] = job.index as u8;
            let (ticket, arrived) = job.arrive(entry);
            ticket.ready(place, row, arrived);
        }
    }

    fn walk(self, index: &Index, delivered: &Receiver<()>) {
        for sample in 0..self.samples {
            let path = sample.to_string();
            assert!(Listing::new(index).push(Path::new(&path), None).is_continue());
        }
        if self.walks_on {
            delivered.recv().unwrap();
        }
        index.finish(if self.walk_fails { Err(Error::lost("the walk")) } else { Ok(()) });
    }

    /// Delivered and failed samples of all epochs; an error ends it.
    fn consume(self, window: &Window<u8>, first: &Sender<()>) -> Result<(u64, u64)> {
        let run = window.begin(0..self.epochs)?;
        let (mut delivered, mut failed) = (0, 0);
        let mut seen = BTreeSet::new();
        loop {
            match window.take_waiting(run) {
                Taken::Failure(_) => failed += 1,
                Taken::Batch(assembly, _) => {
                    let batch = assembly.assemble(1)?;
                    first.send(()).unwrap();
                    let memory = batch.buffer.as_ref().map_or(&[][..], |buffer| buffer.as_slice());
                    for (sample, &row) in batch.samples.iter().zip(memory) {
                        assert_eq!(u64::from(row), sample.index);
                        assert!(seen.insert((batch.epoch, sample.key)), "delivered twice");
                    }
                    delivered += batch.samples.len() as u64;
                    let lacking = |failure: &&SampleError| failure.substitute().is_none();
                    failed += batch.failures.iter().filter(lacking).count() as u64;
                }
                Taken::EpochEnd(_) => {}
                Taken::Error(error) => return Err(error),
                Taken::Idle => return Ok((delivered, failed)),
            }
        }
    }

    fn run(self, consumer: impl FnOnce(&Window<u8>, &Sender<()>)) {
        let config = Config {
            order: self.order,
            batch_size: BATCH,
            prefetch: 2,
            on_error: self.on_error,
            ..Config::default()
        };
        let config = config.resolve::<u8>().unwrap();
        let plan = Arc::new(Plan::new(&config));
        let changed = Arc::new(Notify::new());
        let index = Index::new(Arc::clone(&changed));
        let shape = Shape {
            batch_size: BATCH,
            prefetch: 2,
            ordered: matches!(self.order, Order::Ordered),
            decoders: DECODERS,
            failures_need_length: false,
        };
        let window = Window::new(shape, Pool::new(BATCH, 3), 1, Registry::new(), changed);
        let (giver, handoff) = handoff();
        let (sender, receiver) = mpsc::unbounded_channel();
        let retries = Retries { attempts: config.replace_attempts, sender };
        let readers = Readers {
            window: Arc::clone(&window),
            index: Arc::clone(&index),
            source: Arc::new(Memory),
            cache: None,
            plan,
            encoded: ByteBudget::new(1 << 20),
            max_file_bytes: 1 << 10,
            permits: Arc::new(Permits::new(2)),
            timeout: None,
            stuck: StuckReads::new(2),
            activity: Activity::new(DECODERS),
            loaded: giver,
            retries: retries.clone(),
        };
        let granter = thread::spawn(move || block_on(grant(Arc::new(readers), receiver)));
        let (first, delivered) = channel();
        let delivered = Arc::new(Mutex::new(delivered));
        let walk = {
            let delivered = Arc::clone(&delivered);
            thread::spawn(move || self.walk(&index, &delivered.lock().unwrap()))
        };
        let mut threads = vec![walk, granter];
        for number in 0..DECODERS {
            let (taker, retries) = (handoff.taker(number), retries.clone());
            threads.push(thread::spawn(move || self.decode(&taker, &retries)));
        }
        consumer(&window, &first);
        window.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(window.pool().level().bytes, 0);
    }
}

fn in_both_orders(schedules: usize, rig: impl Fn(Order) -> Rig + Copy + Send + Sync + 'static) {
    for order in [Order::Ordered, Order::Unordered] {
        check(schedules, move || {
            let rig = rig(order);
            rig.run(|window, first| {
                let (delivered, failed) = rig.consume(window, first).unwrap();
                assert_eq!(delivered + failed, rig.epochs * rig.samples);
                let fails = (0..rig.samples).filter(|&index| (rig.fails)(index)).count() as u64;
                let replaced = matches!(rig.on_error, OnError::Replace { .. });
                assert!(replaced || failed == rig.epochs * fails);
            });
        });
    }
}

#[test]
fn what_is_listed_meanwhile_is_delivered() {
    in_both_orders(400, |order| Rig { order, ..RIG });
    in_both_orders(400, |order| Rig { order, walks_on: true, ..RIG });
}

#[test]
fn failures_are_replaced_when_the_walk_has_ended() {
    let on_error = OnError::replace();
    let fails = |index| index % 3 == 1;
    in_both_orders(400, move |order| Rig { order, fails, on_error, ..RIG });
}

#[test]
fn failures_are_left_out() {
    let fails = |index| index % 2 == 1;
    in_both_orders(400, move |order| Rig { order, fails, ..RIG });
}

#[test]
fn a_walk_that_fails_ends_the_run() {
    check(400, || {
        let rig = Rig { walk_fails: true, ..RIG };
        rig.run(|window, first| {
            let end = rig.consume(window, first).map_err(|error| error.kind());
            assert_eq!(end, Err(ErrorKind::Lost));
        });
    });
}

#[test]
fn a_walk_that_fails_leaves_nothing_to_be_replaced() {
    let on_error = OnError::replace();
    check(400, move || {
        let rig = Rig { walk_fails: true, fails: |index| index == 2, on_error, ..RIG };
        rig.run(|window, first| {
            let end = rig.consume(window, first).map_err(|error| error.kind());
            assert_eq!(end, Err(ErrorKind::Lost));
        });
    });
}
