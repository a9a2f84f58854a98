//! A loader without files: granter, decoders and what a consumer checks.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use shuttle::future::block_on;

use crate::batch::{Buffer, Pool, Sample};
use crate::error::{Cause, CauseKind, Result, SampleError, Stage};
use crate::read::{Giver, Taker, handoff};
use crate::stats::Registry;
use crate::sync::{Notify, thread};
use crate::window::{Arrived, End, RunId, Shape, Taken, Ticket, Totals, Window};

/// Elements of a row.
pub(super) const ROW: usize = 2;

/// A loader without files.
#[derive(Clone, Copy)]
pub(super) struct Rig {
    pub(super) batch_size: usize,
    pub(super) prefetch: usize,
    pub(super) ordered: bool,
    pub(super) decoders: usize,
    /// Samples of an epoch.
    pub(super) length: u64,
    pub(super) failures_need_length: bool,
    pub(super) fate: fn(u64) -> Fate,
    pub(super) end: fn(u64) -> End,
    /// How the consumer waits.
    pub(super) wakes: bool,
}

/// What becomes of a sample.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Fill,
    /// Before it has a row.
    Fail,
    /// With its row.
    FailLate,
    /// It gives its row back and claims another.
    Again,
    /// Its ticket is dropped.
    Lose,
}

fn all_well(_: u64) -> Fate {
    Fate::Fill
}

pub(super) fn some_fail(key: u64) -> Fate {
    [Fate::Fill, Fate::FailLate, Fate::Fail, Fate::Again][key as usize % 4]
}

pub(super) fn one_is_lost(key: u64) -> Fate {
    if key == 1 { Fate::Lose } else { Fate::Fill }
}

pub(super) const RIG: Rig = Rig {
    batch_size: 2,
    prefetch: 2,
    ordered: true,
    decoders: 2,
    length: 5,
    failures_need_length: false,
    fate: all_well,
    end: End::Length,
    wakes: false,
};

/// What a row of this sample is filled with.
fn content(epoch: u64, key: u64) -> u8 {
    (epoch * 50 + key + 1) as u8
}

fn decode(rig: Rig, ticket: Ticket<u8>) {
    let (epoch, key) = (ticket.epoch, ticket.key);
    let cause = Cause::new(CauseKind::Corrupt, "");
    let error =
        SampleError::new("".into(), key, epoch, key, Stage::Decode, cause).at_key(ticket.key);
    let sample = Sample {
        path: "".into(),
        index: key,
        position: key,
        label: None,
        target: Box::default(),
        padding: false,
        replaces: None,
        key,
    };
    if !ticket.is_live() {
        return;
    }
    let fate = (rig.fate)(key);
    match fate {
        Fate::Fail => return ticket.fail(None, error),
        Fate::Lose => return,
        _ => {}
    }
    let Some((mut place, mut row)) = ticket.claim() else { return };
    if fate == Fate::Again {
        drop(row);
        ticket.unclaim(place);
        let Some(again) = ticket.claim() else { return };
        (place, row) = again;
    }
    row[0] = content(epoch, key);
    if fate == Fate::FailLate {
        drop(row);
        return ticket.fail(Some(place), error);
    }
    row[1] = content(epoch, key);
    ticket.ready(place, row, Arrived { sample, failures: Vec::new() });
}

/// As the granter of the readers does, with reads that are done at once.
async fn grant(rig: Rig, window: Arc<Window<u8>>, giver: Giver<Ticket<u8>>) {
    while !window.is_closed() {
        while let Some((next, counters)) = window.next() {
            let count = (rig.length - next.position).min(next.room);
            match count {
                0 => window.close_epoch(next.id, (rig.end)(rig.length)),
                _ => window.grant(next, count, &counters).for_each(|ticket| giver.give(ticket)),
            }
        }
        window.changed().await;
    }
}

/// A waker before which others may run.
fn late(waker: &Waker) -> Waker {
    struct Late(Waker);

    impl Wake for Late {
        fn wake(self: Arc<Self>) {
            thread::sleep(Duration::ZERO);
            self.0.wake_by_ref();
        }
    }

    Waker::from(Arc::new(Late(waker.clone())))
}

impl Rig {
    pub(super) fn window(self) -> Arc<Window<u8>> {
        let Rig { batch_size, prefetch, ordered, decoders, failures_need_length, .. } = self;
        let shape = Shape { batch_size, prefetch, ordered, decoders, failures_need_length };
        let pool = Pool::new(batch_size * ROW, prefetch + 1);
        Window::new(shape, pool, ROW, Registry::new(), Arc::new(Notify::new()))
    }

    /// Granter and decoders run beside `consumer`; when it returns they end.
    pub(super) fn run(self, consumer: impl FnOnce(&Arc<Window<u8>>)) {
        let window = self.window();
        let (giver, handoff) = handoff();
        let granter = {
            let window = Arc::clone(&window);
            thread::spawn(move || block_on(grant(self, window, giver)))
        };
        let work = |taker: Taker<Ticket<u8>>| {
            let window = Arc::clone(&window);
            thread::spawn(move || {
                while let Some((ticket, _)) = taker.take_waiting() {
                    assert!(window.occupancy().making <= self.prefetch);
                    decode(self, ticket);
                }
            })
        };
        let decoders: Vec<_> =
            (0..self.decoders).map(|number| work(handoff.taker(number))).collect();
        consumer(&window);
        window.close();
        granter.join().unwrap();
        decoders.into_iter().for_each(|decoder| decoder.join().unwrap());
        // One more than the window holds is the consumer's.
        let (level, most) = (window.pool.level(), (self.prefetch + 1) * self.batch_size * ROW);
        assert!(level.peak_bytes <= most as u64);
        assert_eq!(level.bytes, 0, "memory comes back");
    }

    pub(super) fn take(self, window: &Window<u8>, run: RunId) -> Taken<u8> {
        if !self.wakes {
            return window.take_waiting(run);
        }
        block_on(poll_fn(|context| match window.take_or_wake(&late(context.waker()), run) {
            Some(taken) => Poll::Ready(taken),
            None => Poll::Pending,
        }))
    }

    /// Takes epoch `number` up to its end, or so many items, if as many come.
    pub(super) fn consume(
        self,
        window: &Window<u8>,
        run: RunId,
        number: u64,
        items: usize,
    ) -> Result<()> {
        let Rig { batch_size, length, ordered, .. } = self;
        let (mut seen, mut failed, mut batches) = (BTreeSet::new(), BTreeSet::new(), 0);
        let mut short = false;
        for _ in 0..items {
            match self.take(window, run) {
                Taken::Failure(failure) => {
                    assert!(!ordered && failure.epoch() == number && failed.insert(failure.key()));
                }
                Taken::Batch(assembly, counters) => {
                    assert_eq!(counters.number, number);
                    let batch = assembly.assemble(ROW)?;
                    assert_eq!((batch.epoch, batch.batch), (number, batches));
                    let rows = batch.samples.len();
                    if ordered {
                        let mut keys: BTreeSet<u64> = BTreeSet::new();
                        assert!(batch.samples.is_sorted_by_key(|sample| sample.key));
                        keys.extend(batch.samples.iter().map(|sample| sample.key));
                        keys.extend(batch.failures.iter().map(SampleError::key));
                        let first = batches * batch_size as u64;
                        assert!(
                            keys.into_iter().eq(first..(first + batch_size as u64).min(length))
                        );
                    } else {
                        assert!(batch.failures.is_empty() && rows > 0 && !short);
                        short = rows < batch_size;
                    }
                    let memory = batch.buffer.as_ref().map_or(&[][..], Buffer::as_slice);
                    for (sample, row) in batch.samples.iter().zip(memory.chunks(ROW)) {
                        assert_eq!(row, [content(number, sample.key); ROW]);
                        assert!(seen.insert(sample.key), "delivered twice");
                    }
                    assert!(batch.failures.iter().all(|failure| failed.insert(failure.key())));
                    batches += 1;
                }
                Taken::EpochEnd(totals) => {
                    let (delivered, failed) = (seen.len() as u64, failed.len() as u64);
                    let expected = Totals { epoch: number, planned: length, delivered, failed };
                    assert_eq!(totals, expected);
                    assert_eq!(delivered + failed, length);
                    return Ok(());
                }
                Taken::Error(error) => return Err(error),
                Taken::Idle => panic!("the epoch is under way"),
            }
        }
        Ok(())
    }

    /// All of `epochs`, and that nothing comes behind them.
    pub(super) fn consume_all(
        self,
        window: &Window<u8>,
        run: RunId,
        epochs: Range<u64>,
    ) -> Result<()> {
        for number in epochs {
            self.consume(window, run, number, usize::MAX)?;
        }
        match self.take(window, run) {
            Taken::Idle => Ok(()),
            Taken::Error(error) => Err(error),
            taken => panic!("{taken:?} behind the end"),
        }
    }
}
