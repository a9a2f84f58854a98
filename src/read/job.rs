//! A sample on its way from its ticket to its row.

use std::path::PathBuf;

use tokio::sync::mpsc::UnboundedSender;

use crate::batch::Sample;
use crate::cache::Kept;
use crate::element::Element;
use crate::error::{Cause, SampleError, Stage};
use crate::plan::Planned;
use crate::source::{Encoded, Entry};
use crate::window::{Arrived, Place, Ticket};

/// A ticket and the sample that is to settle it.
#[derive(Debug)]
pub(crate) struct Job<T: Element> {
    pub(crate) ticket: Ticket<T>,
    /// In the source's order; a substitute's, after a failure.
    pub(crate) index: u64,
    /// In the epoch, the same for all ranks.
    pub(crate) position: u64,
    padding: bool,
    /// The index that the plan named, when a substitute stands in for it.
    replaces: Option<u64>,
    /// What failed for this ticket so far.
    failures: Vec<SampleError>,
}

/// A sample whose bytes have been read, or whose pixels were in the cache.
#[derive(Debug)]
pub(crate) struct Loaded<T: Element> {
    pub(crate) job: Job<T>,
    pub(crate) entry: Entry,
    pub(crate) content: Content,
}

/// What there is of a sample.
#[derive(Debug)]
pub(crate) enum Content {
    Encoded(Encoded),
    Kept(Kept),
}

/// What becomes of samples that fail.
#[derive(Clone, Debug)]
pub(crate) struct Retries<T: Element> {
    /// Substitutes tried for one ticket; 0 without `Replace`.
    pub(crate) attempts: u32,
    /// To the granter, which reads a substitute.
    pub(crate) sender: UnboundedSender<Job<T>>,
}

impl<T: Element> Job<T> {
    pub(crate) fn new(ticket: Ticket<T>, planned: Planned) -> Self {
        let Planned { index, position, padding } = planned;
        Job { ticket, index, position, padding, replaces: None, failures: Vec::new() }
    }

    /// How many samples have failed for this ticket.
    pub(crate) fn attempt(&self) -> u32 {
        self.failures.len() as u32
    }

    /// The index that the plan named.
    pub(crate) fn planned(&self) -> u64 {
        self.replaces.unwrap_or(self.index)
    }

    /// Another sample for the same ticket.
    pub(crate) fn substitute(&mut self, index: u64) {
        self.replaces.get_or_insert(self.index);
        self.index = index;
    }

    /// Settles the ticket as failed, or hands it to the granter for a
    /// substitute. The sample's memory has been given back by now.
    pub(crate) fn fail(
        mut self,
        path: PathBuf,
        stage: Stage,
        cause: Cause,
        place: Option<Place>,
        retries: &Retries<T>,
    ) {
        let (epoch, position) = (self.ticket.epoch, self.position);
        let error = SampleError::new(path, self.index, epoch, position, stage, cause)
            .at_key(self.ticket.key);
        tracing::debug!(%error, epoch, position, "sample failed");
        if self.attempt() >= retries.attempts {
            self.ticket.fail(place, error);
            return;
        }
        if let Some(place) = place {
            self.ticket.unclaim(place);
        }
        self.failures.push(error);
        // With the granter gone the loader is being dropped, and the ticket,
        // coming back in the error, counts for nothing.
        drop(retries.sender.send(self));
    }

    /// Splits into the ticket and what is to be said of its row.
    pub(crate) fn arrive(self, entry: Entry) -> (Ticket<T>, Arrived) {
        let Job { ticket, index, position, padding, replaces, failures } = self;
        let replaced = |error: SampleError| error.replaced_by(entry.path.clone());
        let failures = failures.into_iter().map(replaced).collect();
        let Entry { path, label, target } = entry;
        let key = ticket.key;
        let sample = Sample { path, index, position, label, target, padding, replaces, key };
        (ticket, Arrived { sample, failures })
    }
}
