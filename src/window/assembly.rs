//! From a batch whose rows are settled to one whose rows are together: the
//! consumer's work, without the lock.

use std::sync::Arc;
use std::time::Instant;

use super::Arrived;
use super::epoch::Settled;
use crate::batch::{Buffer, Rows, Sample};
use crate::element::Element;
use crate::error::{Error, Result, SampleError};

/// A batch whose rows are all settled, not yet moved together.
#[derive(Debug)]
pub(crate) struct Assembly<T: Element> {
    pub(super) settled: Settled<Arc<Rows<T>>, Arrived, SampleError>,
    /// Since when it was order alone that kept decoders from working.
    pub(crate) held_back: Option<Instant>,
}

/// A batch whose rows are together.
#[derive(Debug)]
pub(crate) struct Assembled<T: Element> {
    pub(crate) epoch: u64,
    pub(crate) batch: u64,
    /// `None` when every sample failed.
    pub(crate) buffer: Option<Buffer<T>>,
    /// What each row holds.
    pub(crate) samples: Vec<Sample>,
    /// Samples that are missing in it, and those that were replaced, by
    /// position.
    pub(crate) failures: Vec<SampleError>,
}

impl<T: Element> Assembly<T> {
    /// The buffer with its rows moved together, and what each row holds.
    pub(crate) fn assemble(mut self, row_len: usize) -> Result<Assembled<T>> {
        let Settled { epoch, batch, .. } = self.settled;
        let whole = self.settled.memory.take().map(Rows::into_inner).transpose();
        let mut buffer =
            whole.map_err(|_| Error::lost("a row of a delivered batch is still being written"))?;
        let mut samples: Vec<Sample> = Vec::with_capacity(self.settled.row_count());
        let mut replaced = Vec::new();
        let mut failures = self.settled.sort(|place, arrived| {
            let row = samples.len();
            if let Some(buffer) = buffer.as_mut().filter(|_| row != place) {
                let from = place * row_len..(place + 1) * row_len;
                buffer.as_mut_slice().copy_within(from, row * row_len);
            }
            samples.push(arrived.sample);
            replaced.extend(arrived.failures);
        });
        failures.extend(replaced);
        failures.sort_by_key(SampleError::position);
        let buffer = buffer.filter(|_| !samples.is_empty());
        Ok(Assembled { epoch, batch, buffer, samples, failures })
    }
}
