//! The read stage: tickets are granted, and tasks turn them into encoded bytes.
//!
//! One task, the *granter*, asks the window for room and the plan for the next
//! sample, and starts a task for each ticket. A read task takes one of the read
//! permits, then memory from the budget of encoded bytes, reads, and hands the
//! sample to the decoders through a channel that has room for every ticket
//! there can be, so no task ever waits inside the runtime's thread.

pub(crate) mod budget;
mod job;
mod stuck;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::element::Element;
use crate::error::{Cause, CauseKind, Error, Stage};
use crate::fence::{fence, fenced};
use crate::plan::{Plan, Step};
use crate::source::{Admission, Encoded, Entry, Index, Progress, Source};
use crate::stats::EpochCounters;
use crate::window::{End, EpochId, Walk, Window};
use budget::ByteBudget;

pub(crate) use job::{Job, Loaded, Retries};
pub(crate) use stuck::StuckReads;

/// Everything that the read tasks share.
pub(crate) struct Readers<T: Element> {
    pub(crate) window: Arc<Window<T>>,
    pub(crate) index: Arc<Index>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) plan: Plan,
    pub(crate) encoded: Arc<ByteBudget>,
    pub(crate) max_file_bytes: u64,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stuck: Arc<StuckReads>,
    /// To the decoders.
    pub(crate) loaded: Sender<Loaded<T>>,
    pub(crate) retries: Retries<T>,
}

/// Read tasks of one epoch; dropping them cancels its reads.
struct EpochTasks {
    id: EpochId,
    tasks: JoinSet<()>,
}

/// Why the granter has nothing to grant.
enum Idle {
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
    let mut epochs: Vec<EpochTasks> = Vec::new();
    // Samples that wait for the end of the walk, to draw their substitute.
    let mut undrawn: Vec<Job<T>> = Vec::new();
    let mut idle_since = Instant::now();
    let mut walking = true;
    while !readers.window.is_closed() {
        if walking && readers.index.is_over() {
            walking = false;
            readers.window.walked(readers.walk());
        }
        epochs.retain(|epoch| readers.window.is_live(epoch.id));
        undrawn.retain(|job| job.ticket.is_live());
        if readers.index.progress().complete {
            for job in undrawn.drain(..) {
                readers.retry(job, &mut epochs);
            }
        }
        let idle = readers.grant_all(&mut epochs, &mut idle_since);
        idle_since = Instant::now();
        if !undrawn.is_empty() && readers.index.is_over() {
            // The walk has ended in the meantime, perhaps in an error.
            if let Some(error) = readers.index.error() {
                readers.window.fail(error);
                undrawn.clear();
            }
            continue;
        }
        tokio::select! {
            () = readers.window.changed() => {}
            Some(job) = retries.recv() => undrawn.push(job),
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
    /// Grants while there is room and the walk is ahead.
    fn grant_all(self: &Arc<Self>, epochs: &mut Vec<EpochTasks>, idle_since: &mut Instant) -> Idle {
        loop {
            let Some((next, counters)) = self.window.next() else { return Idle::Window };
            let progress = self.index.progress();
            match self.plan.step(next.position, progress.listed, progress.complete) {
                Step::Sample { index, padding } => {
                    let now = Instant::now();
                    counters.read.output(counters.waited(*idle_since, now));
                    *idle_since = now;
                    let Some(ticket) = self.window.grant(next, &counters) else { continue };
                    self.start(Job::new(ticket, index, padding), epochs);
                }
                Step::End { length } => self.window.close_epoch(next.id, End::Length(length)),
                Step::NotListed => {
                    if let Some(error) = self.index.error() {
                        self.window.close_epoch(next.id, End::Broken(error));
                    } else if !self.index.want(self.plan.wanted(next.position)) {
                        return Idle::Listing(counters);
                    }
                }
            }
        }
    }

    /// How the walk ended.
    fn walk(&self) -> Walk {
        match self.index.progress() {
            Progress { listed, complete: true } => Walk::Ended { length: self.plan.length(listed) },
            _ => Walk::Broken,
        }
    }

    /// Draws the substitute of a failed sample and reads it.
    fn retry(self: &Arc<Self>, mut job: Job<T>, epochs: &mut Vec<EpochTasks>) {
        let samples = self.index.progress().listed;
        let (epoch, position) = (job.ticket.epoch, job.ticket.position);
        let (planned, attempt) = (job.planned(), job.attempt());
        job.substitute(self.plan.substitute(epoch, position, attempt, planned, samples));
        self.start(job, epochs);
    }

    fn start(self: &Arc<Self>, job: Job<T>, epochs: &mut Vec<EpochTasks>) {
        let id = job.ticket.epoch_id();
        let at = epochs.iter().position(|epoch| epoch.id == id).unwrap_or_else(|| {
            epochs.push(EpochTasks { id, tasks: JoinSet::new() });
            epochs.len() - 1
        });
        epochs[at].tasks.spawn(Arc::clone(self).read(job));
    }

    /// Reads one sample and hands it on.
    async fn read(self: Arc<Self>, job: Job<T>) {
        let Some(entry) = self.index.entry(job.index) else {
            // The plan speaks only of what is listed; the lost ticket says so.
            return;
        };
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
        let started = Instant::now();
        let admission = Admission::new(Arc::clone(&self.encoded), self.max_file_bytes);
        let clock = Arc::clone(&admission.clock);
        let outcome = self.read_fenced(&entry, admission, permit).await;
        let (elapsed, waited) = (started.elapsed(), clock.waited());
        job.ticket.counters.read.output(waited);
        match outcome {
            Ok(encoded) => {
                let busy = elapsed.saturating_sub(waited);
                job.ticket.counters.read.item(encoded.len(), busy);
                // Never waits: the channel has no bound but the tickets that are
                // out. If its other end is gone, so is the loader.
                drop(self.loaded.send(Loaded { job, entry, encoded }));
            }
            Err(cause) => {
                job.ticket.counters.read.busy(elapsed.saturating_sub(waited));
                job.fail(entry.path, Stage::Read, cause, None, &self.retries);
            }
        }
    }

    /// The source's read, fenced against panics and limited in time. A read
    /// that does not come back keeps its permit and its memory, and nothing
    /// else.
    async fn read_fenced(
        &self,
        entry: &Entry,
        admission: Admission,
        permit: OwnedSemaphorePermit,
    ) -> Result<Encoded, Cause> {
        let clock = Arc::clone(&admission.clock);
        let source = Arc::clone(&self.source);
        let path = entry.path.clone();
        let read = async move { fenced(fence(|| source.read(&path, admission))?).await? };
        let mut read = Box::pin(read);
        let Some(timeout) = self.timeout else {
            let result = read.await;
            drop(permit);
            return result;
        };
        let mut since = Instant::now();
        loop {
            let deadline = tokio::time::Instant::from_std(since + timeout);
            if let Ok(result) = tokio::time::timeout_at(deadline, &mut read).await {
                drop(permit);
                return result;
            }
            // Time spent waiting for memory is ours, not the storage's.
            match clock.running_since() {
                None => since = Instant::now(),
                Some(running) if running > since => since = running,
                Some(_) => break,
            }
        }
        let stuck = self.stuck.add(entry.path.clone());
        tokio::spawn(async move {
            drop(read.await);
            drop((stuck, permit));
        });
        if let Some((stuck, readers, path)) = self.stuck.too_many() {
            self.window.fail(Error::stuck(stuck, readers, path));
        }
        let message = format!("no answer within read_timeout = {timeout:?}");
        Err(Cause::new(CauseKind::TimedOut, message))
    }
}
