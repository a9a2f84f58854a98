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
        let mut failures = self.settled.sort(|at, arrived| {
            let row = samples.len();
            // Few: a failure that is known in time leaves no gap.
            if let Some(buffer) = buffer.as_mut().filter(|_| row != at) {
                let from = at * row_len..(at + 1) * row_len;
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::batch::Pool;
    use crate::error::{Cause, CauseKind, Stage};
    use crate::window::state::{State, Take};
    use crate::window::state_tests::shape;

    type Batches = State<Arc<Rows<u8>>, Arrived, SampleError>;

    const ROW: usize = 3;

    fn failure(position: u64) -> SampleError {
        let cause = Cause::new(CauseKind::Corrupt, "it is no picture");
        SampleError::new(PathBuf::new(), position, 0, position, Stage::Decode, cause)
    }

    fn arrived(position: u64, failures: Vec<SampleError>) -> Arrived {
        let (path, target) = Default::default();
        let (label, replaces) = Default::default();
        let (index, key, padding) = (position, position, false);
        let sample = Sample { path, index, position, label, target, padding, replaces, key };
        Arrived { sample, failures }
    }

    /// A batch of four, of which those of `good` arrive, each row full of its position.
    /// The last of them came in the stead of another. All are begun before any fails.
    fn assembly(good: &[u64]) -> Assembly<u8> {
        let mut state: Batches = State::new(shape(4, 1, true));
        state.begin(0..1);
        let next = state.next().unwrap();
        assert!(state.grant(next, 4));
        let pool = Pool::new(4 * ROW, 1);
        let bind = || Some(Arc::new(Rows::new(pool.take().unwrap(), ROW)));
        let mut places = Vec::new();
        for position in 0..4 {
            let (place, rows) = state.claim(next.id, position, bind).unwrap();
            rows.claim(place.row).unwrap().fill(position as u8);
            places.push(place);
        }
        for (position, place) in (0..4).zip(places) {
            if good.contains(&position) {
                let is_last = good.last() == Some(&position);
                let failures = if is_last { vec![failure(position)] } else { Vec::new() };
                state.ready(next.id, place, arrived(position, failures));
            } else {
                state.fail(next.id, position, Some(place), failure(position));
            }
        }
        match state.take(|_, _, _, _| ()) {
            Take::Batch(settled) => Assembly { settled, held_back: None },
            other => panic!("no batch but {other:?}"),
        }
    }

    #[test]
    fn rows_close_up_over_those_that_failed_late() {
        for good in [&[0, 1, 2, 3][..], &[1, 2, 3], &[0, 3], &[2], &[1, 3], &[0, 1]] {
            let batch = assembly(good).assemble(ROW).unwrap();
            assert_eq!((batch.epoch, batch.batch), (0, 0));
            let positions: Vec<u64> = batch.samples.iter().map(Sample::position).collect();
            assert_eq!(positions, good);
            let buffer = batch.buffer.unwrap();
            let rows = buffer.as_slice().chunks(ROW).take(good.len());
            for (row, &position) in rows.zip(good) {
                assert_eq!(row, [position as u8; ROW]);
            }
            // What failed, and what was replaced, by position.
            let failures: Vec<u64> = batch.failures.iter().map(SampleError::position).collect();
            let mut failed: Vec<u64> = (0..4).filter(|at| !good.contains(at)).collect();
            failed.extend(good.last());
            failed.sort_unstable();
            assert_eq!(failures, failed);
        }
    }

    #[test]
    fn a_batch_of_failures_has_no_memory() {
        let batch = assembly(&[]).assemble(ROW).unwrap();
        assert!(batch.buffer.is_none() && batch.samples.is_empty());
        assert_eq!(batch.failures.len(), 4);
    }

    #[test]
    fn a_row_that_is_still_being_written_is_an_error() {
        let assembly = assembly(&[0]);
        let row = assembly.settled.memory.as_ref().and_then(|rows| rows.claim(1));
        assert!(row.is_some());
        let error = assembly.assemble(ROW).unwrap_err();
        assert!(error.to_string().contains("still being written"), "{error}");
    }
}
