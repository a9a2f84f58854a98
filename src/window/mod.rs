//! The reorder window: batches in the making, ordered or not, behind one lock.
//!
//! The rules are in [`state`], pure and tested by properties. Here are the
//! lock, the tickets, and who wakes whom:
//!
//! * the consumer sleeps on a condition variable (or leaves a waker) and is
//!   woken when there is something to take;
//! * the granter, an async task, sleeps on a [`Notify`] and is woken when there
//!   may be room, when epochs are announced or cancelled, and at the end.
//!
//! Everything either of them waits for changes under this one lock. Code of
//! users (sources, decoders) never runs under it.

mod state;
#[cfg(test)]
mod state_tests;

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use crate::batch::{Buffer, Pool, Row, Rows, Sample};
use crate::element::Element;
use crate::error::{Error, Result, SampleError};
use crate::stats::{EpochCounters, Registry};

pub(crate) use state::{End, EpochId, Next, Occupancy, Place, Shape, Totals, Walk};
use state::{Settled, State, Take};

/// A row that is filled: what it holds, and which samples failed before it did
/// (with `Replace`).
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) sample: Sample,
    pub(crate) failures: Vec<SampleError>,
}

#[derive(Debug)]
pub(crate) struct Window<T: Element> {
    inner: Mutex<Inner<T>>,
    takeable: Condvar,
    /// Wakes the granter; also used by the index when the walk comes further.
    changed: Arc<Notify>,
    pool: Arc<Pool<T>>,
    row_len: usize,
    registry: Arc<Registry>,
}

#[derive(Debug)]
struct Inner<T: Element> {
    state: State<Arc<Rows<T>>, Arrived, SampleError>,
    /// Counters of the epochs that `state` holds.
    counters: Vec<(EpochId, Arc<EpochCounters>)>,
    waker: Option<Waker>,
    /// Ends the run; told once.
    error: Option<Error>,
    /// A thread is gone: no run is possible any more.
    lost: Option<String>,
    stopped: bool,
    closed: bool,
}

/// What the consumer gets.
#[derive(Debug)]
pub(crate) enum Taken<T: Element> {
    Failure { failure: SampleError, length: Option<u64> },
    Batch(Assembly<T>, Arc<EpochCounters>),
    EpochEnd(Totals),
    Error(Error),
    Idle,
}

/// A batch whose rows are all settled, not yet moved together.
#[derive(Debug)]
pub(crate) struct Assembly<T: Element> {
    pub(crate) epoch: u64,
    pub(crate) batch: u64,
    memory: Option<Arc<Rows<T>>>,
    rows: Vec<(usize, Arrived)>,
    /// Samples that are missing in it, by position.
    pub(crate) failures: Vec<SampleError>,
    pub(crate) length: Option<u64>,
}

impl<T: Element> Window<T> {
    pub(crate) fn new(
        shape: Shape,
        pool: Arc<Pool<T>>,
        row_len: usize,
        registry: Arc<Registry>,
        changed: Arc<Notify>,
    ) -> Arc<Self> {
        let inner = Inner {
            state: State::new(shape),
            counters: Vec::new(),
            waker: None,
            error: None,
            lost: None,
            stopped: false,
            closed: false,
        };
        let (inner, takeable) = (Mutex::new(inner), Condvar::new());
        Arc::new(Window { inner, takeable, changed, pool, row_len, registry })
    }

    /// The state is consistent between any two statements that can panic, so
    /// a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the consumer's side

    /// Cancels what is under way and announces `epochs`.
    pub(crate) fn begin(&self, epochs: Range<u64>) -> Result<()> {
        let mut inner = self.lock();
        if inner.stopped {
            return Err(Error::stopped());
        }
        if let Some(what) = &inner.lost {
            return Err(Error::lost(what.clone()));
        }
        inner.error = None;
        inner.state.begin(epochs);
        inner.forget_counters();
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// Cancels everything; harmless when nothing is under way.
    pub(crate) fn cancel(&self) {
        let mut inner = self.lock();
        inner.state.cancel();
        inner.error = None;
        inner.forget_counters();
        drop(inner);
        self.changed.notify_one();
    }

    /// Cancels epoch `number` alone, if it is the one being delivered.
    pub(crate) fn skip(&self, number: u64) {
        self.lock().state.skip(number);
        self.changed.notify_one();
    }

    /// Ends every run from now on with [`Error::stopped`].
    pub(crate) fn stop(&self) {
        self.end(|inner| inner.stopped = true);
    }

    /// No consumer is left: the granter and the decoders finish.
    pub(crate) fn close(&self) {
        self.end(|inner| inner.closed = true);
        self.pool.close();
    }

    fn end(&self, mark: impl FnOnce(&mut Inner<T>)) {
        let mut inner = self.lock();
        mark(&mut inner);
        inner.state.cancel();
        self.wake(inner);
        self.changed.notify_one();
    }

    /// Waits until there is something for the consumer.
    pub(crate) fn take_waiting(&self) -> Taken<T> {
        let mut inner = self.lock();
        loop {
            if let Some(taken) = self.take(&mut inner) {
                return taken;
            }
            inner = self.takeable.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What there is for the consumer now; else `waker` is woken later.
    pub(crate) fn take_or_wake(&self, waker: &Waker) -> Option<Taken<T>> {
        let mut inner = self.lock();
        let taken = self.take(&mut inner);
        if taken.is_none() {
            inner.waker = Some(waker.clone());
        }
        taken
    }

    fn take(&self, inner: &mut Inner<T>) -> Option<Taken<T>> {
        if inner.stopped {
            return Some(Taken::Error(Error::stopped()));
        }
        if let Some(error) = inner.error.take() {
            inner.state.cancel();
            self.changed.notify_one();
            return Some(Taken::Error(error));
        }
        let copy = |from: &Arc<Rows<T>>, row, to: &Arc<Rows<T>>, gap| {
            let copied = to.copy_row(gap, from, row);
            debug_assert!(copied, "all tickets of the epoch are settled");
        };
        let taken = match inner.state.take(copy) {
            Take::Pending => return None,
            Take::Failure { failure, length } => Taken::Failure { failure, length },
            Take::Batch(settled) => {
                let Settled { epoch, batch, memory, rows, failures, length } = settled;
                let counters = inner.counters.iter().rev().find(|(_, of)| of.number == epoch);
                let counters = counters.map(|(_, counters)| Arc::clone(counters));
                let counters = counters.unwrap_or_else(|| self.registry.open(epoch));
                let assembly = Assembly { epoch, batch, memory, rows, failures, length };
                Taken::Batch(assembly, counters)
            }
            Take::EpochEnd(totals) if totals.delivered + totals.failed != totals.planned => {
                Taken::Error(Error::lost(format!(
                    "epoch {} planned {} samples, but delivered {} and failed {}",
                    totals.epoch, totals.planned, totals.delivered, totals.failed
                )))
            }
            Take::EpochEnd(totals) => Taken::EpochEnd(totals),
            Take::Broken(error) => Taken::Error(error),
            Take::Idle => Taken::Idle,
        };
        inner.forget_counters();
        self.changed.notify_one();
        Some(taken)
    }

    /// Wakes the consumer, after the lock is free: a waker is a stranger's code.
    fn wake(&self, mut inner: MutexGuard<'_, Inner<T>>) {
        let waker = inner.waker.take();
        drop(inner);
        self.takeable.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes the consumer if there is something for it.
    fn wake_if_takeable(&self, inner: MutexGuard<'_, Inner<T>>) {
        if inner.state.is_takeable() {
            self.wake(inner);
        }
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        self.lock().state.occupancy()
    }

    // ---- the granter's side

    /// Resolves when there may be something to grant, or nothing any more.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(crate) fn is_live(&self, id: EpochId) -> bool {
        self.lock().state.is_live(id)
    }

    /// The next position to grant, if there is room, with its epoch's counters.
    pub(crate) fn next(&self) -> Option<(Next, Arc<EpochCounters>)> {
        let mut inner = self.lock();
        let next = inner.state.next()?;
        let known = inner.counters.iter().find(|(id, _)| *id == next.id);
        let counters = match known {
            Some((_, counters)) => Arc::clone(counters),
            None => {
                let counters = self.registry.open(next.epoch);
                inner.counters.push((next.id, Arc::clone(&counters)));
                counters
            }
        };
        Some((next, counters))
    }

    /// The ticket for `next`; `None` when its epoch has been cancelled since.
    pub(crate) fn grant(
        self: &Arc<Self>,
        next: Next,
        counters: &Arc<EpochCounters>,
    ) -> Option<Ticket<T>> {
        let granted = self.lock().state.grant(next);
        granted.then(|| Ticket {
            window: Arc::clone(self),
            id: next.id,
            epoch: next.epoch,
            position: next.position,
            counters: Arc::clone(counters),
            settled: false,
        })
    }

    /// The walk is over.
    pub(crate) fn walked(&self, walk: Walk) {
        let mut inner = self.lock();
        inner.state.walked(walk);
        self.wake_if_takeable(inner);
    }

    /// The epoch's plan has ended, or its source broke off.
    pub(crate) fn close_epoch(&self, id: EpochId, end: End) {
        let mut inner = self.lock();
        inner.state.close(id, end);
        self.wake_if_takeable(inner);
    }

    // ---- failures of the run

    /// Ends the run that is under way with `error`.
    pub(crate) fn fail(&self, error: Error) {
        let mut inner = self.lock();
        inner.error.get_or_insert(error);
        self.wake(inner);
    }

    /// Ends this run and every later one: a thread of ours is gone.
    pub(crate) fn fail_for_good(&self, what: &str) {
        let mut inner = self.lock();
        inner.lost.get_or_insert_with(|| what.to_owned());
        inner.error.get_or_insert_with(|| Error::lost(what));
        self.wake(inner);
    }
}

impl<T: Element> Inner<T> {
    /// Drops the counters of epochs that are over.
    fn forget_counters(&mut self) {
        let state = &self.state;
        self.counters.retain(|(id, _)| state.is_live(*id));
    }
}

impl<T: Element> Assembly<T> {
    /// The buffer with its rows moved together, and what each row holds. `None`
    /// when every sample failed.
    pub(crate) fn assemble(self, row_len: usize) -> Result<Option<(Buffer<T>, Vec<Arrived>)>> {
        let Some(memory) = self.memory.filter(|_| !self.rows.is_empty()) else {
            return Ok(None);
        };
        let Ok(mut buffer) = memory.into_inner() else {
            return Err(Error::lost("a row of a delivered batch is still being written"));
        };
        let values = buffer.as_mut_slice();
        let mut arrived = Vec::with_capacity(self.rows.len());
        for (to, (from, row)) in self.rows.into_iter().enumerate() {
            if to != from {
                values.copy_within(from * row_len..(from + 1) * row_len, to * row_len);
            }
            arrived.push(row);
        }
        Ok(Some((buffer, arrived)))
    }
}

/// The right to settle one position of an epoch exactly once. Dropped
/// unsettled, it ends the run, since a sample has been lost; in a cancelled
/// epoch it counts for nothing.
#[derive(Debug)]
pub(crate) struct Ticket<T: Element> {
    window: Arc<Window<T>>,
    id: EpochId,
    pub(crate) epoch: u64,
    pub(crate) position: u64,
    pub(crate) counters: Arc<EpochCounters>,
    settled: bool,
}

impl<T: Element> Ticket<T> {
    pub(crate) fn epoch_id(&self) -> EpochId {
        self.id
    }

    pub(crate) fn is_live(&self) -> bool {
        self.window.is_live(self.id)
    }

    /// The row for this sample; `None` when the epoch has been cancelled. Never
    /// waits.
    pub(crate) fn claim(&self) -> Option<(Place, Row<T>)> {
        let Window { pool, row_len, .. } = &*self.window;
        let mut inner = self.window.lock();
        let bind = || Arc::new(Rows::new(pool.take(), *row_len));
        let (place, rows) = inner.state.claim(self.id, self.position, bind)?;
        let row = rows.claim(place.row)?;
        Some((place, row))
    }

    /// Gives a claimed row back; the sample goes on, as a substitute.
    pub(crate) fn unclaim(&self, place: Place) {
        self.window.lock().state.unclaim(self.id, place);
    }

    /// The row is filled.
    pub(crate) fn ready(mut self, place: Place, row: Row<T>, arrived: Arrived) {
        // Before the batch can be taken, which needs its memory back.
        drop(row);
        self.settled = true;
        let mut inner = self.window.lock();
        inner.state.ready(self.id, place, arrived);
        self.after_settling(inner);
    }

    /// The sample failed; `place` is its row, if it had claimed one.
    pub(crate) fn fail(mut self, place: Option<Place>, error: SampleError) {
        self.settled = true;
        let mut inner = self.window.lock();
        inner.state.fail(self.id, self.position, place, error);
        self.after_settling(inner);
        // Unordered, a failure makes room for another sample.
        self.window.changed.notify_one();
    }

    fn after_settling(&self, inner: MutexGuard<'_, Inner<T>>) {
        let live = inner.state.is_live(self.id);
        self.window.wake_if_takeable(inner);
        if !live {
            // The last ticket of a cancelled epoch makes room for the next.
            self.window.changed.notify_one();
        }
    }
}

impl<T: Element> Drop for Ticket<T> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut inner = self.window.lock();
        if inner.state.give_up(self.id) {
            let what = format!("sample {} of epoch {} was lost", self.position, self.epoch);
            inner.error.get_or_insert_with(|| Error::lost(what));
            self.window.wake(inner);
        } else {
            self.after_settling(inner);
        }
    }
}
