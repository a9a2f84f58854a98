//! The reorder window: batches in the making, ordered or not, behind one lock.
//!
//! The rules are in [`state`] and [`epoch`], pure and tested by properties. Here
//! are the lock and who wakes whom:
//!
//! * the consumer sleeps on a condition variable (or leaves a waker) and is
//!   woken when there is something to take;
//! * the granter, an async task, sleeps on a [`Notify`] and is woken when there
//!   is room enough after it had found none, when epochs are announced or cancelled,
//!   and at the end.
//!
//! Everything either of them waits for changes under this one lock, and whoever
//! does not sleep is not woken: a wake-up costs as much as a few samples. Code
//! of users (sources, decoders) never runs under it.

mod assembly;
mod epoch;
#[cfg(any(test, fuzzing))]
mod model;
#[cfg(test)]
#[cfg(infeed_shuttle)]
mod models;
mod state;
#[cfg(test)]
mod state_tests;
mod ticket;

use std::mem;
use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::batch::{Pool, Rows, Sample};
use crate::element::Element;
use crate::error::{Error, Result, SampleError};
use crate::linger::Linger;
use crate::stats::{EpochCounters, Registry};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, Notify};

pub(crate) use assembly::{Assembled, Assembly};
pub(crate) use epoch::{End, Place};
#[cfg(any(test, fuzzing))]
pub(crate) use model::drive;
pub(crate) use state::{EpochId, Next, Occupancy, Shape, Totals, Walk};
use state::{State, Take};
pub(crate) use ticket::Ticket;

/// Times that the consumer lets others run before it sleeps.
const LINGERS: u32 = if cfg!(infeed_shuttle) { 1 } else { 8 };

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
    /// Epochs below are over or cancelled; changes under the lock, and is read
    /// without it by those who only save themselves work.
    first_live: AtomicU64,
    takeable: Condvar,
    /// Wakes the granter; also used by the index when the walk comes further.
    changed: Arc<Notify>,
    pool: Arc<Pool<T>>,
    row_len: usize,
    registry: Arc<Registry>,
}

/// Names a consumer of this window; each that begins takes the place of the one
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunId(u64);

type Batches<T> = State<Arc<Rows<T>>, Arrived, SampleError>;

#[derive(Debug)]
struct Inner<T: Element> {
    state: Batches<T>,
    /// Who may take: the consumer that began last.
    run: RunId,
    /// Counters of the epochs that `state` holds.
    counters: Vec<(EpochId, Arc<EpochCounters>)>,
    /// The consumer sleeps on the condition variable.
    consumer_sleeps: bool,
    waker: Option<Waker>,
    /// The granter has found no room since it was last told of some.
    granter_waits: bool,
    /// Since when order alone keeps decoders from working.
    held_back: Option<Instant>,
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
    Failure(SampleError),
    Batch(Assembly<T>, Arc<EpochCounters>),
    EpochEnd(Totals),
    Error(Error),
    Idle,
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
            run: RunId(0),
            counters: Vec::new(),
            consumer_sleeps: false,
            waker: None,
            granter_waits: false,
            held_back: None,
            error: None,
            lost: None,
            stopped: false,
            closed: false,
        };
        let (inner, takeable) = (Mutex::new(inner), Condvar::new());
        let first_live = AtomicU64::new(0);
        Arc::new(Window { inner, first_live, takeable, changed, pool, row_len, registry })
    }

    /// The state is consistent between any two statements that can panic, so
    /// a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the consumer's side

    /// Cancels what is under way and announces `epochs`. A consumer that began
    /// before gets [`Error::superseded`], also if it sleeps just now.
    pub(crate) fn begin(&self, epochs: Range<u64>) -> Result<RunId> {
        let mut inner = self.lock();
        if inner.stopped {
            return Err(Error::stopped());
        }
        if let Some(what) = &inner.lost {
            return Err(Error::lost(what.clone()));
        }
        inner.error = None;
        inner.run.0 += 1;
        let run = inner.run;
        inner.state.begin(epochs);
        self.forget_epochs(&mut inner);
        self.wake(inner);
        self.changed.notify_one();
        Ok(run)
    }

    /// Cancels everything that `run` has under way; harmless when there is nothing.
    pub(crate) fn cancel(&self, run: RunId) {
        let mut inner = self.lock();
        if inner.run != run {
            return;
        }
        inner.state.cancel();
        inner.error = None;
        self.forget_epochs(&mut inner);
        drop(inner);
        self.changed.notify_one();
    }

    /// Cancels epoch `number` alone, if it is the one that `run` is delivered.
    pub(crate) fn skip(&self, run: RunId, number: u64) {
        let mut inner = self.lock();
        if inner.run != run {
            return;
        }
        inner.state.skip(number);
        self.forget_epochs(&mut inner);
        drop(inner);
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
        self.forget_epochs(&mut inner);
        self.wake(inner);
        self.changed.notify_one();
    }

    /// Waits until there is something for the consumer `run`.
    pub(crate) fn take_waiting(&self, run: RunId) -> Taken<T> {
        let mut inner = self.lock();
        let mut linger = Linger::new(LINGERS);
        loop {
            if let Some(taken) = self.take(&mut inner, run) {
                self.wake_granter(inner);
                return taken;
            }
            inner = linger.wait(inner, || self.lock(), |inner| self.sleep(inner, run));
        }
    }

    /// Until the consumer is woken, or for no reason. One that was superseded
    /// meanwhile leaves its successor's mark alone.
    fn sleep<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner<T>>,
        run: RunId,
    ) -> MutexGuard<'a, Inner<T>> {
        inner.consumer_sleeps = true;
        inner = self.takeable.wait(inner).unwrap_or_else(PoisonError::into_inner);
        inner.consumer_sleeps &= inner.run != run;
        inner
    }

    /// What there is for the consumer `run` now; else `waker` is woken later.
    pub(crate) fn take_or_wake(&self, waker: &Waker, run: RunId) -> Option<Taken<T>> {
        let mut inner = self.lock();
        let taken = self.take(&mut inner, run);
        if taken.is_none() {
            inner.waker = Some(waker.clone());
        } else {
            self.wake_granter(inner);
        }
        taken
    }

    fn take(&self, inner: &mut Inner<T>, run: RunId) -> Option<Taken<T>> {
        if inner.stopped {
            return Some(Taken::Error(Error::stopped()));
        }
        if inner.run != run {
            return Some(Taken::Error(Error::superseded()));
        }
        if let Some(error) = inner.error.take() {
            inner.state.cancel();
            self.forget_epochs(inner);
            self.changed.notify_one();
            return Some(Taken::Error(error));
        }
        let copy = |from: &Arc<Rows<T>>, row, to: &Arc<Rows<T>>, gap| {
            let copied = to.copy_row(gap, from, row);
            debug_assert!(copied, "all tickets of the epoch are settled");
        };
        let taken = match inner.state.take(copy) {
            Take::Pending => return None,
            Take::Failure(failure) => Taken::Failure(failure),
            Take::Batch(settled) => {
                let epoch = settled.epoch;
                let counters = inner.counters.iter().rev().find(|(_, of)| of.number == epoch);
                let counters = counters.map(|(_, counters)| Arc::clone(counters));
                let counters = counters.unwrap_or_else(|| self.registry.open(epoch));
                let held_back = inner.held_back.take();
                Taken::Batch(Assembly { settled, held_back }, counters)
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
        self.forget_epochs(inner);
        inner.look_for_held_back();
        Some(taken)
    }

    /// Wakes the granter if it waits for room and there is enough.
    fn wake_granter(&self, mut inner: MutexGuard<'_, Inner<T>>) {
        let room = inner.calls_granter(|state| state.has_good_room());
        drop(inner);
        if room {
            self.changed.notify_one();
        }
    }

    /// Drops the counters of epochs that are over, and tells those who hold
    /// tickets of theirs.
    fn forget_epochs(&self, inner: &mut Inner<T>) {
        let first_live = inner.state.first_live();
        if self.first_live.swap(first_live, Ordering::Relaxed) != first_live {
            inner.counters.retain(|(id, _)| *id >= first_live);
            inner.held_back = None;
        }
    }

    /// Wakes the consumer, after the lock is free: a waker is a stranger's code.
    /// One at most waits to be woken: who begins wakes the one before. Once is enough,
    /// however long it takes to come. But whoever sleeps by then is woken: one that was
    /// superseded meanwhile may sleep beside its successor, and of two a condition
    /// variable wakes either.
    fn wake(&self, mut inner: MutexGuard<'_, Inner<T>>) {
        let (sleeps, waker) = (mem::take(&mut inner.consumer_sleeps), inner.waker.take());
        drop(inner);
        if sleeps {
            self.takeable.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes the consumer if it waits and there is something for it.
    fn wake_if_takeable(&self, inner: MutexGuard<'_, Inner<T>>) {
        if inner.has_sleeper() && inner.state.is_takeable() {
            self.wake(inner);
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn pool(&self) -> &Pool<T> {
        &self.pool
    }

    /// So many threads work on tickets from now on.
    pub(crate) fn set_decoders(&self, decoders: usize) {
        self.lock().state.set_decoders(decoders);
    }

    /// So many batches in the making or waiting from now on, and `buffers` kept.
    pub(crate) fn set_prefetch(&self, prefetch: usize, buffers: usize) {
        self.lock().state.set_prefetch(prefetch);
        self.pool.keep(buffers);
        self.changed.notify_one();
    }

    /// Whether an epoch is open or announced.
    pub(crate) fn is_under_way(&self) -> bool {
        self.lock().state.is_under_way()
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        self.lock().state.occupancy()
    }

    // ---- the granter's side

    /// Resolves when there may be something to grant, or nothing any more.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A read is over and another can begin.
    pub(crate) fn wake_granter_for_a_permit(&self) {
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whether tickets of this epoch are still of use to somebody.
    pub(crate) fn is_live(&self, id: EpochId) -> bool {
        id >= self.first_live.load(Ordering::Relaxed)
    }

    /// The next positions to grant, if there is room, with their epoch's
    /// counters.
    pub(crate) fn next(&self) -> Option<(Next, Arc<EpochCounters>)> {
        let mut inner = self.lock();
        let Some(next) = inner.state.next() else {
            inner.granter_waits = true;
            return None;
        };
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

    /// Tickets for the first `count` of the positions that `next` names; none
    /// when their epoch has been cancelled since.
    pub(crate) fn grant(
        self: &Arc<Self>,
        next: Next,
        count: u64,
        counters: &Arc<EpochCounters>,
    ) -> impl Iterator<Item = Ticket<T>> {
        let granted = self.lock().state.grant(next, count);
        let count = if granted { count } else { 0 };
        (next.position..next.position + count).map(move |position| {
            Ticket::new(Arc::clone(self), next.id, position, Arc::clone(counters))
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
    /// Whether the granter, waiting for room, is to be woken, since it is `worth`
    /// it; then it waits no longer.
    fn calls_granter(&mut self, worth: impl FnOnce(&Batches<T>) -> bool) -> bool {
        let called = self.granter_waits && worth(&self.state);
        self.granter_waits &= !called;
        called
    }

    /// Whether a consumer waits that nobody has woken yet.
    fn has_sleeper(&self) -> bool {
        self.consumer_sleeps || self.waker.is_some()
    }

    /// Notes when order begins to be what keeps decoders from working.
    fn look_for_held_back(&mut self) {
        if self.held_back.is_none() && self.state.is_held_back() {
            self.held_back = Some(Instant::now());
        }
    }
}
