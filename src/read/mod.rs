//! The read stage: tickets are granted, and reads turn them into encoded bytes.
//!
//! One task, the *granter*, asks the window for room and the plan for the next
//! samples, and begins their reads, as many at a time as there are permits. A
//! read that is done at once costs no more than that; one that has to wait goes
//! on as a task of its own. Either takes memory from the budget of encoded
//! bytes, and hands the sample to the decoders through a queue that has room for
//! every ticket there can be, so nothing ever waits inside the runtime's thread.

pub(crate) mod budget;
mod handoff;
mod job;
#[cfg(test)]
#[cfg(infeed_shuttle)]
mod models;
mod permits;
mod runtime;
mod stuck;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::cache::{Cache, Kept};
use crate::element::Element;
use crate::error::{Cause, CauseKind, Error, Stage};
use crate::fence::{Fenced, fence, fenced};
use crate::plan::{Plan, Planned, Step};
use crate::source::{Admission, AdmissionClock, Encoded, Entry, Index, Progress, Source};
use crate::stats::EpochCounters;
use crate::watch::{Activity, ReadInWork};
use crate::window::{End, EpochId, Next, Walk, Window};
use budget::ByteBudget;

pub(crate) use handoff::{Giver, Handoff, Taker, handoff};
pub(crate) use job::{Content, Job, Loaded, Retries};
pub(crate) use permits::Permits;
use permits::Permitted;
pub(crate) use runtime::runtime;
pub(crate) use stuck::StuckReads;

/// Tickets granted in one go: enough to make the window's lock cheap, few enough
/// for the decoders to have the first sample soon.
const RUN: u64 = 64;

/// Runs granted before the runtime's other tasks have their turn. With a source
/// that is always ready the window may always have room.
const RUNS: usize = 16;

/// Everything that the read tasks share.
pub(crate) struct Readers<T: Element> {
    pub(crate) window: Arc<Window<T>>,
    pub(crate) index: Arc<Index>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) cache: Option<Arc<Cache>>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) encoded: Arc<ByteBudget>,
    pub(crate) max_file_bytes: u64,
    pub(crate) permits: Arc<Permits>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stuck: Arc<StuckReads>,
    pub(crate) activity: Arc<Activity>,
    /// To the decoders.
    pub(crate) loaded: Giver<Loaded<T>>,
    pub(crate) retries: Retries<T>,
}

/// Reads of one epoch; dropping them cancels them.
struct EpochReads<T: Element> {
    id: EpochId,
    /// Samples whose read waits for a permit.
    waiting: VecDeque<Job<T>>,
    /// Reads that were not done at once.
    tasks: JoinSet<()>,
}

/// A read that has been begun.
struct Reading<T: Element> {
    job: Job<T>,
    entry: Entry,
    read: Fenced<Result<Encoded, Cause>>,
    clock: Arc<AdmissionClock>,
    started: Instant,
    /// Once it has to wait.
    in_work: Option<ReadInWork>,
}

/// The right to one read in progress; given back, it wakes the granter.
struct Permit<T: Element> {
    permits: Arc<Permits>,
    window: Arc<Window<T>>,
}

impl<T: Element> Drop for Permit<T> {
    fn drop(&mut self) {
        self.permits.give_back();
        self.window.wake_granter_for_a_permit();
    }
}

/// Why the granter does not go on granting.
enum Idle {
    /// It may go on at once.
    Not,
    /// The window is full, or no epoch is announced.
    Window,
    /// The walk has not come so far; for this epoch.
    Listing(Arc<EpochCounters>),
}

/// Grants tickets until the window is closed.
pub(crate) async fn grant<T: Element>(
    readers: Arc<Readers<T>>,
    mut retries: UnboundedReceiver<Job<T>>,
) {
    let mut epochs: Vec<EpochReads<T>> = Vec::new();
    // Samples that wait for the end of the walk, to draw their substitute.
    let mut undrawn: Vec<Job<T>> = Vec::new();
    let mut idle_since = Instant::now();
    let (mut walking, mut was_full) = (true, false);
    while !readers.window.is_closed() {
        if walking && readers.index.is_over() {
            walking = false;
            readers.plan.prepare(&readers.index);
            let walk = readers.walk();
            if let (Some(cache), Walk::Ended { length }) = (&readers.cache, &walk) {
                cache.expect((*length).min(readers.index.progress().listed));
            }
            readers.window.walked(walk);
        }
        epochs.retain(|epoch| readers.window.is_live(epoch.id));
        undrawn.retain(|job| job.ticket.is_live());
        if readers.index.progress().complete {
            for job in undrawn.drain(..) {
                readers.retry(job, &mut epochs);
            }
        }
        let idle = readers.grant_all(&mut epochs, &mut idle_since);
        // Woken for something else it has been waiting for room all the time.
        let full = matches!(idle, Idle::Window);
        if !(full && was_full) {
            idle_since = Instant::now();
        }
        was_full = full;
        if !undrawn.is_empty() && readers.index.is_over() {
            // The walk has ended in the meantime, perhaps in an error.
            if let Some(error) = readers.index.error() {
                readers.window.fail(error);
                undrawn.clear();
            }
            continue;
        }
        if let Idle::Not = idle {
            undrawn.extend(std::iter::from_fn(|| retries.try_recv().ok()));
            tokio::task::yield_now().await;
        } else {
            tokio::select! {
                () = readers.window.changed() => {}
                Some(job) = retries.recv() => undrawn.push(job),
            }
        }
        if let Idle::Listing(counters) = idle {
            let now = Instant::now();
            counters.read.input(counters.waited(idle_since, now));
            idle_since = now;
        }
        for epoch in &mut epochs {
            while epoch.tasks.try_join_next().is_some() {}
        }
    }
}

impl<T: Element> Readers<T> {
    /// Grants while there is room and the walk is ahead, and begins the reads.
    fn grant_all(
        self: &Arc<Self>,
        epochs: &mut Vec<EpochReads<T>>,
        idle_since: &mut Instant,
    ) -> Idle {
        for _ in 0..RUNS {
            for epoch in &mut *epochs {
                self.begin_reads(epoch);
            }
            let Some((next, counters)) = self.window.next() else { return Idle::Window };
            let progress = self.index.progress();
            let (run, stop, wanted) = self.run(next, progress);
            if !run.is_empty() {
                let now = Instant::now();
                counters.read.output(counters.waited(*idle_since, now));
                *idle_since = now;
                let waiting = &mut self.reads(epochs, next.id).waiting;
                let tickets = self.window.grant(next, run.len() as u64, &counters);
                waiting.extend(tickets.zip(run).map(|(ticket, planned)| Job::new(ticket, planned)));
                continue;
            }
            match stop {
                Step::End { length } => self.window.close_epoch(next.id, End::Length(length)),
                _ => {
                    if let Some(error) = self.index.error().or_else(|| self.plan.error()) {
                        self.window.close_epoch(next.id, End::Broken(error));
                    } else if !self.index.want(wanted) {
                        return Idle::Listing(counters);
                    }
                }
            }
        }
        Idle::Not
    }

    /// The samples at the next keys; the step behind them, and how many samples
    /// must be listed for the first of them to be known.
    fn run(&self, next: Next, progress: Progress) -> (Vec<Planned>, Step, u64) {
        let mut run = Vec::with_capacity(RUN.min(next.room) as usize);
        let epoch = self.plan.epoch(next.epoch, progress);
        let mut key = next.position;
        loop {
            match epoch.step(key) {
                Step::Sample(planned) if (run.len() as u64) < RUN.min(next.room) => {
                    run.push(planned);
                    key += 1;
                }
                stop => return (run, stop, epoch.wanted(next.position)),
            }
        }
    }

    fn reads<'a>(&self, epochs: &'a mut Vec<EpochReads<T>>, id: EpochId) -> &'a mut EpochReads<T> {
        let at = epochs.iter().position(|epoch| epoch.id == id).unwrap_or_else(|| {
            epochs.push(EpochReads { id, waiting: VecDeque::new(), tasks: JoinSet::new() });
            epochs.len() - 1
        });
        &mut epochs[at]
    }

    /// How the walk ended.
    fn walk(&self) -> Walk {
        match self.index.progress() {
            Progress { listed, complete: true } => Walk::Ended { length: self.plan.length(listed) },
            _ => Walk::Broken,
        }
    }

    /// Draws the substitute of a failed sample and reads it.
    fn retry(&self, mut job: Job<T>, epochs: &mut Vec<EpochReads<T>>) {
        let samples = self.index.progress().listed;
        let (epoch, position) = (job.ticket.epoch, job.position);
        let (planned, attempt) = (job.planned(), job.attempt());
        job.substitute(self.plan.substitute(epoch, position, attempt, planned, samples));
        let id = job.ticket.epoch_id();
        self.reads(epochs, id).waiting.push_back(job);
    }

    /// Hands on what is in memory already, and begins reads while there are
    /// permits.
    fn begin_reads(self: &Arc<Self>, epoch: &mut EpochReads<T>) {
        while let Some(job) = epoch.waiting.pop_front() {
            let kept = self.cache.as_ref().and_then(|cache| cache.at_hand(job.index));
            // The plan speaks only of what is listed; else the lost ticket says so.
            let entry = |index| self.index.entry(index);
            if let Some(kept) = kept {
                if let Some(entry) = entry(job.index) {
                    self.hand_on(job, entry, Content::Kept(kept));
                }
                continue;
            }
            let Some(permit) = self.permits.take() else {
                epoch.waiting.push_front(job);
                return;
            };
            if let Some(entry) = entry(job.index) {
                self.begin(job, entry, permit, &mut epoch.tasks);
            }
        }
    }

    /// Begins a read. One that is done at once gives its permit back at once.
    fn begin(
        self: &Arc<Self>,
        job: Job<T>,
        entry: Entry,
        permit: Permitted<'_>,
        tasks: &mut JoinSet<()>,
    ) {
        let started = Instant::now();
        let admission = Admission::new(Arc::clone(&self.encoded), self.max_file_bytes, started);
        let clock = Arc::clone(&admission.clock);
        let read = match fence(|| match &self.cache {
            Some(cache) => cache.read(job.index, &entry.path, &self.source, admission),
            None => self.source.read(&entry.path, admission),
        }) {
            Ok(read) => fenced(read),
            Err(cause) => return self.settle(job, entry, Err(cause), started.elapsed(), &clock),
        };
        let mut reading = Reading { job, entry, read, clock, started, in_work: None };
        // Whom it wakes does not matter: a task asks again before it sleeps.
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => self.settle_reading(reading, outcome),
            Poll::Pending => {
                // From here on it belongs to the task.
                permit.keep();
                let (permits, window) = (Arc::clone(&self.permits), Arc::clone(&self.window));
                let permit = Permit { permits, window };
                reading.in_work =
                    Some(self.activity.reading(reading.job.index, started, &reading.clock));
                tasks.spawn(Arc::clone(self).wait(reading, permit));
            }
        }
    }

    /// What becomes of a read that was not done at once.
    async fn wait(self: Arc<Self>, mut reading: Reading<T>, permit: Permit<T>) {
        let Some(timeout) = self.timeout else {
            let outcome = std::future::poll_fn(|context| reading.poll(context)).await;
            self.settle_reading(reading, outcome);
            return;
        };
        let mut since = reading.started;
        loop {
            let deadline = tokio::time::Instant::from_std(since + timeout);
            let read = std::future::poll_fn(|context| reading.poll(context));
            if let Ok(outcome) = tokio::time::timeout_at(deadline, read).await {
                self.settle_reading(reading, outcome);
                return;
            }
            if let Some(cause) = self.never_admitted(&reading.clock, timeout) {
                self.settle_reading(reading, Err(cause));
                return;
            }
            // Time spent waiting for memory is ours, not the storage's.
            match reading.clock.running_since() {
                None => since = Instant::now(),
                Some(running) if running > since => since = running,
                Some(_) => break,
            }
        }
        self.give_up(reading, permit, timeout);
    }

    /// Why a read gets no memory however long it waits, if it does not: others that do not
    /// come back have it.
    fn never_admitted(&self, clock: &AdmissionClock, timeout: Duration) -> Option<Cause> {
        let wanted = clock.wanted()?;
        let ((held, first), limit) = (self.stuck.held()?, self.encoded.limit());
        let message = || {
            format!(
                "no memory for {wanted} bytes within read_timeout = {timeout:?}: reads that do not \
                 come back hold {held} of {limit}, {} the first. A higher memory_limit leaves more",
                first.display()
            )
        };
        (held + wanted > limit).then(|| Cause::new(CauseKind::TimedOut, message()))
    }

    /// Fails the sample of a read that does not come back. The read keeps its
    /// permit and its memory, and nothing else.
    fn give_up(&self, reading: Reading<T>, permit: Permit<T>, timeout: Duration) {
        let Reading { job, entry, read, clock, started, .. } = reading;
        let stuck = self.stuck.add(entry.path.clone(), clock.held());
        tokio::spawn(async move {
            drop(read.await);
            drop((stuck, permit));
        });
        if let Some((stuck, readers, path)) = self.stuck.too_many() {
            self.window.fail(Error::stuck(stuck, readers, path));
        }
        let message = format!("no answer within read_timeout = {timeout:?}");
        let cause = Cause::new(CauseKind::TimedOut, message);
        self.settle(job, entry, Err(cause), started.elapsed(), &clock);
    }

    fn settle_reading(&self, reading: Reading<T>, outcome: Result<Encoded, Cause>) {
        let Reading { job, entry, clock, started, .. } = reading;
        self.settle(job, entry, outcome, started.elapsed(), &clock);
    }

    /// Hands a sample on, or fails it.
    fn settle(
        &self,
        job: Job<T>,
        entry: Entry,
        outcome: Result<Encoded, Cause>,
        elapsed: Duration,
        clock: &AdmissionClock,
    ) {
        let waited = clock.waited();
        let (counters, busy) = (&job.ticket.counters.read, elapsed.saturating_sub(waited));
        counters.memory(waited);
        match outcome {
            Ok(encoded) => {
                counters.item(encoded.len(), busy);
                let content = Kept::of(encoded).map_or_else(Content::Encoded, Content::Kept);
                self.hand_on(job, entry, content);
            }
            Err(cause) => {
                if let Some(cache) = &self.cache {
                    cache.count(&job.ticket.counters, false);
                    cache.note(job.index);
                }
                counters.busy(busy);
                job.fail(entry.path, Stage::Read, cause, None, &self.retries);
            }
        }
    }

    fn hand_on(&self, job: Job<T>, entry: Entry, content: Content) {
        if let Some(cache) = &self.cache {
            cache.count(&job.ticket.counters, matches!(content, Content::Kept(_)));
        }
        self.loaded.give(Loaded { job, entry, content });
    }
}

impl<T: Element> Reading<T> {
    /// A panic of the source's future is one of its causes.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Encoded, Cause>> {
        Pin::new(&mut self.read).poll(context).map(|outcome| outcome.and_then(|outcome| outcome))
    }
}
