//! What a decoder thread does: decode, then transform into the row of the
//! batch, one sample at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Decode, Opened};
use crate::batch::Row;
use crate::config::Limits;
use crate::element::Element;
use crate::error::{Cause, CauseKind, Stage};
use crate::fence::fence;
use crate::read::budget::{ByteBudget, Lease};
use crate::read::{Loaded, Retries, Taker};
use crate::stats::EpochCounters;
use crate::transform::{Scratch, Transform, Turn};
use crate::window::{Place, Ticket};

/// One of the fixed pool of decoder threads.
pub(crate) struct Worker<T: Element> {
    pub(crate) loaded: Taker<Loaded<T>>,
    pub(crate) decoder: Arc<dyn Decode>,
    pub(crate) transform: Arc<Transform<T>>,
    pub(crate) limits: Limits,
    /// Decoded pixels, and what decoders allocate beside them.
    pub(crate) pixels: Arc<ByteBudget>,
    pub(crate) retries: Retries<T>,
}

/// A sample in the hands of a thread.
struct Work<T: Element> {
    /// Whose code is running, for what fails.
    stage: Stage,
    /// Its row, from the first pixels on.
    filling: Option<(Place, Row<T>)>,
    /// The epoch was cancelled meanwhile.
    cancelled: bool,
    /// Time spent waiting for memory, and in the transform.
    waited: Duration,
    transforming: Duration,
    /// Bytes of the pixels.
    bytes: usize,
}

impl<T: Element> Worker<T> {
    /// Works until the readers' end of the queue is gone.
    pub(crate) fn run(self) {
        let mut scratch = Scratch::default();
        loop {
            // The clock is looked at only by those who have to wait.
            if let Some(loaded) = self.loaded.try_take() {
                self.process(loaded, &mut scratch);
                continue;
            }
            let idle_since = Instant::now();
            let Some(loaded) = self.loaded.take_waiting() else { return };
            let counters = &loaded.job.ticket.counters;
            counters.decode.input(counters.waited(idle_since, Instant::now()));
            self.process(loaded, &mut scratch);
        }
    }

    fn process(&self, loaded: Loaded<T>, scratch: &mut Scratch) {
        let Loaded { job, entry, encoded } = loaded;
        if !job.ticket.is_live() {
            return;
        }
        let started = Instant::now();
        let mut work = Work::new();
        let done = fence(|| self.fill(&job.ticket, &encoded, scratch, &mut work));
        let done = done.and_then(|done| done);
        // Before the sample is replaced, which asks for this memory again.
        drop(encoded);
        let Work { stage, filling, cancelled, waited, transforming, bytes } = work;
        let EpochCounters { decode, transform, .. } = &*job.ticket.counters;
        decode.output(waited);
        let decoding = started.elapsed().saturating_sub(waited + transforming);
        match (done, filling) {
            (Ok(()), Some((place, row))) => {
                decode.item(bytes, decoding);
                transform.item(size_of_val(&*row), transforming);
                let (ticket, arrived) = job.arrive(entry);
                ticket.ready(place, row, arrived);
            }
            (Ok(()), None) => debug_assert!(cancelled, "a row was filled"),
            (Err(cause), filling) => {
                decode.busy(decoding);
                transform.busy(transforming);
                if stage == Stage::Transform {
                    *scratch = Scratch::default();
                }
                let place = filling.map(|(place, _)| place);
                job.fail(entry.path, stage, cause, place, &self.retries);
            }
        }
    }

    /// Decodes and transforms into the sample's row.
    fn fill(
        &self,
        ticket: &Ticket<T>,
        encoded: &[u8],
        scratch: &mut Scratch,
        work: &mut Work<T>,
    ) -> Result<(), Cause> {
        let (decoder, grey) = (&*self.decoder, self.transform.wants_grey());
        let opened = Opened::open(decoder, encoded, &self.limits, None, grey)?;
        work.bytes = opened.form.bytes();
        let (len, working) = (opened.memory_bytes(), opened.working_bytes());
        let mut lease = self.lease(len, working, &mut work.waited)?;
        let turn = Turn { epoch: ticket.epoch, position: ticket.position };
        let wanted = work.transforming(|_| self.transform.begin(opened.form, turn, scratch));
        opened.feed(wanted, &mut lease, &mut |top, pixels| {
            work.transforming(|work| {
                if work.filling.is_none() && !work.cancelled {
                    work.filling = ticket.claim();
                    work.cancelled = work.filling.is_none();
                }
                if let Some((_, row)) = &mut work.filling {
                    self.transform.push(top as usize, pixels, scratch, row);
                }
            });
        })?;
        if work.cancelled || self.transform.is_complete(scratch) {
            return Ok(());
        }
        Err(Cause::new(CauseKind::Corrupt, "the decoder ended before the picture's last row"))
    }

    fn lease(&self, len: usize, working: u64, waited: &mut Duration) -> Result<Lease, Cause> {
        let needed = (len as u64).saturating_add(working);
        let limit = self.pixels.limit();
        if needed > limit {
            let message = format!(
                "decoding takes {needed} bytes, more than the {limit} that max_pixels and \
                 memory_limit leave for it"
            );
            return Err(Cause::new(CauseKind::Limit, message));
        }
        if let Some(lease) = self.pixels.try_take(len, working) {
            return Ok(lease);
        }
        let since = Instant::now();
        let lease = self.pixels.take_waiting(len, working);
        *waited += since.elapsed();
        Ok(lease)
    }
}

impl<T: Element> Work<T> {
    fn new() -> Self {
        let (waited, transforming) = Default::default();
        let (stage, filling) = (Stage::Decode, None);
        Work { stage, filling, cancelled: false, waited, transforming, bytes: 0 }
    }

    /// Runs a part of the transform: its time, and its failures, are not the
    /// decoder's.
    fn transforming<R>(&mut self, part: impl FnOnce(&mut Self) -> R) -> R {
        let started = Instant::now();
        self.stage = Stage::Transform;
        let result = part(self);
        self.stage = Stage::Decode;
        self.transforming += started.elapsed();
        result
    }
}
