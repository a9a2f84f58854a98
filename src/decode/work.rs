//! A sample in the hands of a decoder thread: whose code is running, and whose time it is.

use std::time::{Duration, Instant};

use crate::batch::Row;
use crate::element::Element;
use crate::error::{Cause, Stage};
use crate::window::{Place, Ticket};

/// A sample in work.
pub(super) struct Work<T: Element> {
    /// Whose code is running, for what fails.
    pub(super) stage: Stage,
    /// Its row, from the first pixels on.
    pub(super) filling: Option<(Place, Row<T>)>,
    /// The epoch was cancelled meanwhile.
    pub(super) cancelled: bool,
    /// Up to when the time is accounted for.
    accounted: Instant,
    /// Time spent decoding, in the transform, waiting for memory, and for the cache.
    pub(super) decoding: Duration,
    pub(super) transforming: Duration,
    pub(super) for_memory: Duration,
    pub(super) for_cache: Duration,
    /// Bytes of the pixels.
    pub(super) bytes: usize,
}

impl<T: Element> Work<T> {
    pub(super) fn new(started: Instant) -> Self {
        let (decoding, transforming, for_memory, for_cache) = Default::default();
        Work {
            stage: Stage::Decode,
            filling: None,
            cancelled: false,
            accounted: started,
            decoding,
            transforming,
            for_memory,
            for_cache,
            bytes: 0,
        }
    }

    /// The sample's row; `None` when the epoch was cancelled.
    pub(super) fn row(&mut self, ticket: &Ticket<T>) -> Option<&mut Row<T>> {
        if self.filling.is_none() && !self.cancelled {
            self.filling = ticket.claim();
            self.cancelled = self.filling.is_none();
        }
        self.filling.as_mut().map(|(_, row)| row)
    }

    /// Counts the time until now as that of whose code was running.
    pub(super) fn account(&mut self) -> Instant {
        let now = Instant::now();
        let spent = now - self.accounted;
        match self.stage {
            Stage::Transform => self.transforming += spent,
            _ => self.decoding += spent,
        }
        self.accounted = now;
        now
    }

    /// Waits for memory.
    pub(super) fn waiting<R>(&mut self, part: impl FnOnce() -> R) -> R {
        let (result, time) = self.apart(part);
        self.for_memory += time;
        result
    }

    /// Hands something to the cache.
    pub(super) fn keeping(&mut self, part: impl FnOnce()) {
        let ((), time) = self.apart(part);
        self.for_cache += time;
    }

    /// Runs what is neither decoding nor transform.
    fn apart<R>(&mut self, part: impl FnOnce() -> R) -> (R, Duration) {
        let since = self.account();
        let result = part();
        self.accounted = Instant::now();
        (result, self.accounted - since)
    }

    /// Runs a part of the transform: its time, and its failures, are not the
    /// decoder's.
    pub(super) fn transforming<R>(&mut self, part: impl FnOnce(&mut Self) -> R) -> R {
        self.account();
        self.stage = Stage::Transform;
        let result = part(self);
        self.account();
        self.stage = Stage::Decode;
        result
    }

    /// The same for a part that may fail, which is then the last one.
    pub(super) fn trying(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        self.account();
        self.stage = Stage::Transform;
        part(self)?;
        self.account();
        self.stage = Stage::Decode;
        Ok(())
    }
}
