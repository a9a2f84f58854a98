//! What a decoder thread does: decode, then transform into the row of the
//! batch, one sample at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::work::Work;
use super::{Channels, Decode, Opened};
use crate::augment::{Augment, Origin};
use crate::cache::{Cache, Kept};
use crate::config::{Limits, Size};
use crate::element::Element;
use crate::error::{Cause, CauseKind, Stage};
use crate::fence::fence;
use crate::memory::reserved;
use crate::read::budget::{ByteBudget, Lease};
use crate::read::{Content, Loaded, Retries, Taker};
use crate::source::Encoded;
use crate::stats::EpochCounters;
use crate::transform::{Form, Region, Scaler, Scratch, Transform, Turn};
use crate::watch::DecoderInWork;
use crate::window::Ticket;

/// One of the fixed pool of decoder threads.
pub(crate) struct Worker<T: Element> {
    pub(crate) loaded: Taker<Loaded<T>>,
    pub(crate) decoder: Arc<dyn Decode>,
    pub(crate) transform: Arc<Transform<T>>,
    pub(crate) augment: Arc<Augment<T>>,
    pub(crate) cache: Option<Arc<Cache>>,
    /// Where random crops are cut from scaled pictures.
    pub(crate) scaler: Option<Scaler>,
    pub(crate) limits: Limits,
    /// Decoded pixels, and what decoders allocate beside them.
    pub(crate) pixels: Arc<ByteBudget>,
    pub(crate) retries: Retries<T>,
    pub(crate) in_work: DecoderInWork,
}

/// What a thread keeps from sample to sample.
#[derive(Default)]
struct ThreadMemory {
    scratch: Scratch,
    /// A row of levels, for the cache and for changes of colour.
    levels: Vec<u8>,
}

/// A sample that has been read.
struct Sample<'a, T: Element> {
    ticket: &'a Ticket<T>,
    turn: Turn,
    index: u64,
    path: &'a Path,
    encoded: &'a Encoded,
}

impl<T: Element> Sample<'_, T> {
    /// Has the cache keep its pixels.
    fn keep(&self, cache: &Cache, size: Size, pixels: &[u8]) {
        cache.store(self.index, self.path, self.encoded.fingerprint, size, pixels);
    }
}

impl<T: Element> Worker<T> {
    /// Works until the readers' end of the queue is gone.
    pub(crate) fn run(self) {
        self.in_work.begin_thread();
        let (mut memory, mut now) = (ThreadMemory::default(), Instant::now());
        loop {
            // The clock is looked at only by those who have to wait.
            let loaded = match self.loaded.try_take() {
                Some(loaded) => loaded,
                None => {
                    let Some((loaded, rested)) = self.loaded.take_waiting() else { return };
                    let counters = &loaded.job.ticket.counters;
                    // A thread that may not work waits for nothing.
                    let idle_since = rested.map_or(now, |rested| rested.max(now));
                    now = Instant::now();
                    counters.decode.input(counters.waited(idle_since, now));
                    loaded
                }
            };
            self.in_work.begin(loaded.job.index, now);
            now = self.process(loaded, now, &mut memory);
            self.in_work.end();
        }
    }

    /// From `started` to the time returned.
    fn process(&self, loaded: Loaded<T>, started: Instant, memory: &mut ThreadMemory) -> Instant {
        let Loaded { job, entry, content } = loaded;
        if !job.ticket.is_live() {
            return started;
        }
        let mut work = Work::new(started);
        let (index, ticket) = (job.index, &job.ticket);
        let (epoch, position) = (ticket.epoch, job.position);
        let _span = tracing::trace_span!("sample", index, epoch, position).entered();
        let turn = Turn { epoch: ticket.epoch, position: job.position };
        let done = fence(|| {
            if self.cache.is_some() || self.augment.changes_levels() {
                reserved(&mut memory.levels, self.transform.row_len())?;
            }
            match &content {
                Content::Encoded(encoded) => {
                    let sample = Sample { ticket, turn, index, path: &entry.path, encoded };
                    self.fill(&sample, memory, &mut work)?;
                }
                Content::Kept(kept) => self.fill_from(kept, ticket, turn, memory, &mut work),
            }
            self.finish(&Origin::new(Some(&entry.path), turn), &mut work)
        });
        let done = done.and_then(|done| done);
        let decoded = matches!(content, Content::Encoded(_));
        // Before the sample is replaced, which asks for this memory again.
        drop(content);
        let ended = work.account();
        let Work { stage, filling, cancelled, decoding, transforming, bytes, .. } = work;
        let Work { for_memory, for_cache, .. } = work;
        let EpochCounters { decode, transform, .. } = &*job.ticket.counters;
        decode.memory(for_memory);
        decode.output(for_cache);
        match (done, filling) {
            (Ok(()), Some((place, row))) => {
                if decoded {
                    decode.item(bytes, decoding);
                }
                transform.item(size_of_val(&*row), transforming);
                let (ticket, arrived) = job.arrive(entry);
                ticket.ready(place, row, arrived);
            }
            (Ok(()), None) => debug_assert!(cancelled, "a row was filled"),
            (Err(cause), filling) => {
                decode.busy(decoding);
                transform.busy(transforming);
                if stage == Stage::Transform {
                    *memory = ThreadMemory::default();
                }
                let place = filling.map(|(place, _)| place);
                job.fail(entry.path, stage, cause, place, &self.retries);
            }
        }
        match &self.cache {
            Some(cache) => {
                cache.passed(index);
                // It may have finished a file, which is nobody's decoding.
                Instant::now()
            }
            None => ended,
        }
    }

    /// Decodes and transforms into the sample's row, and has the cache keep what
    /// it wants.
    fn fill(
        &self,
        sample: &Sample<'_, T>,
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) -> Result<(), Cause> {
        let Sample { index, path, encoded, .. } = *sample;
        let (decoder, grey) = (&*self.decoder, self.transform.wants_grey());
        // Transforms of the user's are promised colour.
        let changed = self.augment.changes_pixels();
        let channels = (changed && !grey).then_some(Channels::Rgb);
        let mut opened = Opened::open(decoder, encoded, &self.limits, channels, grey)?;
        if !changed {
            let scaler = self.scaler.as_ref();
            opened.reduce(self.transform.reduction(opened.form, sample.turn, scaler))?;
        }
        work.bytes = opened.form.bytes();
        if changed {
            return self.fill_changed(sample, opened, memory, work);
        }
        let cache = self.cache.as_deref();
        let cache = cache.filter(|cache| cache.wants(index, path, encoded.fingerprint));
        match (self.scaler, cache) {
            (Some(scaler), cache) => self.fill_scaled(scaler, sample, opened, cache, memory, work),
            (None, Some(cache)) => self.fill_kept(sample, opened, cache, memory, work),
            (None, None) => self.fill_at_once(sample, opened, memory, work),
        }
    }

    /// In one pass from pixels to elements, or to levels where they are changed.
    fn fill_at_once(
        &self,
        sample: &Sample<'_, T>,
        opened: Opened<'_>,
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) -> Result<(), Cause> {
        let (len, working) = (opened.memory_bytes(), opened.working_bytes());
        let mut lease = self.lease(len, working, work)?;
        let Sample { ticket, turn, .. } = *sample;
        let wanted = work.transforming(|_| self.begin(opened.form, turn, memory));
        opened.feed(wanted, &mut lease, &mut |top, pixels| {
            work.transforming(|work| self.push(top as usize, pixels, ticket, memory, work));
        })?;
        if self.augment.changes_levels() {
            work.transforming(|work| self.change_levels(ticket, turn, memory, work));
        }
        Ok(())
    }

    /// By way of the whole picture, which the user's transforms change.
    fn fill_changed(
        &self,
        sample: &Sample<'_, T>,
        opened: Opened<'_>,
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) -> Result<(), Cause> {
        let Sample { ticket, turn, path, .. } = *sample;
        let mut form = opened.form;
        if self.transform.wants_grey() {
            form.channels = 1;
        }
        let scaled = self.scaler.map(|scaler| (scaler, scaler.scaled(form)));
        let scaled_bytes = scaled.map_or(0, |(_, scaled)| scaled.bytes());
        let (len, working) = (opened.memory_bytes(), opened.working_bytes());
        let mut lease = self.lease(form.bytes() + scaled_bytes + len, working, work)?;
        let (pixels, rest) = lease.split_at_mut(form.bytes());
        let (out, rest) = rest.split_at_mut(scaled_bytes);
        opened.read_whole(rest, pixels)?;
        let origin = Origin::new(Some(path), turn);
        self.in_work.transforming();
        work.trying(|_| self.augment.pixels(pixels, form, &origin))?;
        work.transforming(|work| match scaled {
            None => self.crop(form, pixels, (ticket, turn), memory, work),
            Some((scaler, scaled)) => {
                scaler.begin(form, &mut memory.scratch);
                scaler.push(0, pixels, &mut memory.scratch, out);
                self.crop(scaled, out, (ticket, turn), memory, work);
            }
        });
        Ok(())
    }

    /// By way of the levels that the cache keeps.
    fn fill_kept(
        &self,
        sample: &Sample<'_, T>,
        opened: Opened<'_>,
        cache: &Cache,
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) -> Result<(), Cause> {
        let ThreadMemory { scratch, levels } = memory;
        levels.resize(self.transform.row_len(), 0);
        let turn = sample.turn;
        let (len, working) = (opened.memory_bytes(), opened.working_bytes());
        let mut lease = self.lease(len, working, work)?;
        let size = opened.form.size;
        let wanted = work.transforming(|_| self.transform.begin_levels(opened.form, scratch));
        opened.feed(wanted, &mut lease, &mut |top, pixels| {
            work.transforming(|_| {
                self.transform.push_levels(top as usize, pixels, scratch, levels);
            });
        })?;
        drop(lease);
        work.keeping(|| sample.keep(cache, size, levels));
        work.transforming(|work| {
            self.augment.levels(levels, self.transform.places(), turn);
            if let Some(row) = work.row(sample.ticket) {
                self.transform.convert(levels, turn, scratch, row);
            }
        });
        Ok(())
    }

    /// By way of a scaled picture, whether it is kept or not.
    fn fill_scaled(
        &self,
        scaler: Scaler,
        sample: &Sample<'_, T>,
        opened: Opened<'_>,
        cache: Option<&Cache>,
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) -> Result<(), Cause> {
        let (form, scaled) = (opened.form, scaler.scaled(opened.form));
        let (len, working) = (opened.memory_bytes(), opened.working_bytes());
        let mut lease = self.lease(scaled.bytes() + len, working, work)?;
        let (out, rest) = lease.split_at_mut(scaled.bytes());
        let scratch = &mut memory.scratch;
        work.transforming(|_| scaler.begin(form, scratch));
        opened.feed(Region::whole(form.coming()), rest, &mut |top, pixels| {
            work.transforming(|_| scaler.push(top as usize, pixels, scratch, out));
        })?;
        if let Some(cache) = cache {
            work.keeping(|| sample.keep(cache, scaled.size, out));
        }
        work.transforming(|work| {
            self.crop(scaled, out, (sample.ticket, sample.turn), memory, work)
        });
        Ok(())
    }

    /// From pixels that were in the cache.
    fn fill_from(
        &self,
        kept: &Kept,
        ticket: &Ticket<T>,
        turn: Turn,
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) {
        work.transforming(|work| match self.scaler {
            Some(_) => {
                let form = Form::of(kept.size, kept.len());
                self.crop(form, kept, (ticket, turn), memory, work);
            }
            None => {
                let ThreadMemory { scratch, levels } = memory;
                // What is kept stays as it is for the next epoch.
                let kept = if self.augment.changes_levels() {
                    levels.clear();
                    levels.extend_from_slice(kept);
                    self.augment.levels(levels, self.transform.places(), turn);
                    levels
                } else {
                    &**kept
                };
                if let Some(row) = work.row(ticket) {
                    self.transform.convert(kept, turn, scratch, row);
                }
            }
        });
    }

    /// Cuts the sample's row from a picture that is there.
    fn crop(
        &self,
        form: Form,
        pixels: &[u8],
        (ticket, turn): (&Ticket<T>, Turn),
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) {
        self.begin(form, turn, memory);
        self.push(0, pixels, ticket, memory, work);
        if self.augment.changes_levels() {
            self.change_levels(ticket, turn, memory, work);
        }
    }

    /// Makes ready for a picture that comes in this form.
    fn begin(&self, form: Form, turn: Turn, memory: &mut ThreadMemory) -> Region {
        if self.augment.changes_levels() {
            memory.levels.resize(self.transform.row_len(), 0);
        }
        self.transform.begin(form, turn, &mut memory.scratch)
    }

    /// Takes a picture's next rows, into levels where they are changed later and
    /// else into the sample's row.
    fn push(
        &self,
        top: usize,
        pixels: &[u8],
        ticket: &Ticket<T>,
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) {
        let ThreadMemory { scratch, levels } = memory;
        if self.augment.changes_levels() {
            self.transform.push_levels(top, pixels, scratch, levels);
        } else if let Some(row) = work.row(ticket) {
            self.transform.push(top, pixels, scratch, row);
        }
    }

    /// Changes the levels that [`push`](Self::push) made, and makes the row of them.
    fn change_levels(
        &self,
        ticket: &Ticket<T>,
        turn: Turn,
        memory: &mut ThreadMemory,
        work: &mut Work<T>,
    ) {
        self.augment.levels(&mut memory.levels, self.transform.places(), turn);
        if let Some(row) = work.row(ticket) {
            self.transform.convert_as_it_is(&memory.levels, row);
        }
    }

    /// What is done to the row when all else is.
    fn finish(&self, origin: &Origin<'_>, work: &mut Work<T>) -> Result<(), Cause> {
        if !self.augment.changes_rows() {
            return Ok(());
        }
        self.in_work.transforming();
        work.trying(|work| match &mut work.filling {
            Some((_, row)) => self.augment.row(row, self.transform.places(), origin),
            None => Ok(()),
        })
    }

    fn lease(&self, len: usize, working: u64, work: &mut Work<T>) -> Result<Lease, Cause> {
        let needed = (len as u64).saturating_add(working);
        let limit = self.pixels.limit();
        if needed > limit {
            let message = format!(
                "decoding takes {needed} bytes, more than the {limit} that max_pixels and \
                 memory_limit leave for it"
            );
            return Err(Cause::new(CauseKind::Limit, message));
        }
        if let Some(lease) = self.pixels.try_take(len, working)? {
            return Ok(lease);
        }
        let wait = || self.in_work.waiting(|| self.pixels.take_waiting(len, working));
        Ok(work.waiting(wait)?)
    }
}
