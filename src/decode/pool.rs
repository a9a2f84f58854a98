//! What a decoder thread does: decode, then transform into the row of the
//! batch, one sample at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Decode, Orientation, check_size};
use crate::config::{Limits, Size};
use crate::element::Element;
use crate::error::{Cause, CauseKind, Stage};
use crate::fence::fence;
use crate::read::budget::{ByteBudget, Lease};
use crate::read::{Job, Loaded, Retries, Taker};
use crate::source::Entry;
use crate::transform::{Scratch, Transform};

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

/// A decoded picture, upright.
struct Pixels {
    lease: Lease,
    /// Where in the lease the upright pixels begin.
    start: usize,
    size: Size,
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
        let mut waited = Duration::ZERO;
        let decoded = fence(|| self.decode(&encoded, &mut waited)).and_then(|decoded| decoded);
        // Before the sample is replaced, which asks for this memory again.
        drop(encoded);
        let counters = &job.ticket.counters.decode;
        counters.output(waited);
        let busy = started.elapsed().saturating_sub(waited);
        match decoded {
            Ok(pixels) => {
                counters.item(pixels.size.rgb8_bytes(), busy);
                self.transform(job, entry, pixels, scratch);
            }
            Err(cause) => {
                counters.busy(busy);
                job.fail(entry.path, Stage::Decode, cause, None, &self.retries);
            }
        }
    }

    /// The upright pixels; adds to `waited` how long their memory had to be
    /// waited for.
    fn decode(&self, encoded: &[u8], waited: &mut Duration) -> Result<Pixels, Cause> {
        let picture = self.decoder.open(encoded, &self.limits)?;
        let (stored, orientation) = (picture.size(), picture.orientation());
        // A decoder that was plugged in may not have looked.
        check_size(stored, &self.limits)?;
        let bytes = stored.rgb8_bytes();
        let start = if orientation == Orientation::Upright { 0 } else { bytes };
        let mut lease = self.lease(start + bytes, picture.working_bytes(), waited)?;
        picture.read_rgb8(&mut lease[..bytes])?;
        if start > 0 {
            let (pixels, upright) = lease.split_at_mut(start);
            orientation.turn(pixels, stored, upright);
        }
        Ok(Pixels { lease, start, size: orientation.apply(stored) })
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

    fn transform(&self, job: Job<T>, entry: Entry, pixels: Pixels, scratch: &mut Scratch) {
        let started = Instant::now();
        // None: the epoch was cancelled meanwhile.
        let Some((place, mut row)) = job.ticket.claim() else { return };
        let Pixels { lease, start, size } = pixels;
        let written = fence(|| {
            let upright = &lease[start..start + size.rgb8_bytes()];
            self.transform.apply(upright, size, scratch, &mut row);
        });
        drop(lease);
        let counters = &job.ticket.counters.transform;
        match written {
            Ok(()) => {
                counters.item(size_of_val(&*row), started.elapsed());
                let (ticket, arrived) = job.arrive(entry);
                ticket.ready(place, row, arrived);
            }
            Err(cause) => {
                counters.busy(started.elapsed());
                *scratch = Scratch::default();
                drop(row);
                job.fail(entry.path, Stage::Transform, cause, Some(place), &self.retries);
            }
        }
    }
}
