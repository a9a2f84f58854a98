//! One epoch in the window: its batches in the making and the rows in them.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::state::{EpochId, MOST_UNTOLD, Shape, Walk};
use crate::error::Error;

/// A row of a batch in the making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    slot: u64,
    /// Which of the batch's samples it is for. Ordered, by position; unordered, the row.
    pub(super) key: usize,
    /// Of the batch's memory.
    pub(crate) row: usize,
}

impl Place {
    /// Ordered: where a sample belongs by its position.
    pub(super) fn by_position(shape: &Shape, position: u64) -> Self {
        let size = shape.batch_size as u64;
        let key = (position % size) as usize;
        Place { slot: position / size, key, row: key }
    }
}

/// How an epoch's plan ended.
#[derive(Debug)]
pub(crate) enum End {
    /// After so many positions.
    Length(u64),
    /// The source broke off.
    Broken(Error),
}

#[derive(Debug)]
pub(super) struct Epoch<M, R, F> {
    pub(super) id: EpochId,
    pub(super) number: u64,
    pub(super) live: bool,
    pub(super) granted: u64,
    pub(super) settled: u64,
    pub(super) failed: u64,
    pub(super) end: Option<End>,
    /// Batches handed out, and the rows in them.
    taken: u64,
    pub(super) delivered: u64,
    /// Rows that are filled and not handed out.
    pub(super) ready: u64,
    pub(super) next_slot: u64,
    slots: VecDeque<Slot<M, R, F>>,
    /// Unordered: rows given back by a failed transform, to be drawn first.
    pub(super) holes: Vec<Place>,
    /// Unordered: failures not told yet, in the order of their arrival.
    pub(super) failures: VecDeque<F>,
}

/// One batch in the making.
#[derive(Debug)]
pub(super) struct Slot<M, R, F> {
    id: u64,
    /// Bound when the first row is claimed.
    pub(super) memory: Option<M>,
    /// By key.
    pub(super) rows: Vec<Row<R, F>>,
    /// Unordered: rows drawn so far.
    drawn: usize,
    pub(super) ready: usize,
    failed: usize,
    /// Ordered: runs of keys that failed, from the last of each to its first.
    failed_runs: BTreeMap<usize, usize>,
}

impl<M, R, F> Slot<M, R, F> {
    /// Unordered, a batch whose rows have all been given back.
    fn is_empty(&self) -> bool {
        self.ready + self.failed == 0
    }

    /// Ordered: the row for a sample, right behind those before it that are filled, are
    /// being filled, or may still come. Whatever fails, in whatever order, rows lie in
    /// the order of their keys, and only what fails late leaves a gap.
    ///
    /// A batch may be large, and all of it fail: runs of failures are passed over at
    /// once. Of those that may still come there are no more before it than are being read.
    fn row_for(&self, key: usize) -> usize {
        let (mut coming, mut left) = (0, key);
        while let Some(before) = left.checked_sub(1) {
            match self.rows[before] {
                Row::Claimed(row) | Row::Ready(row, _) => return row + 1 + coming,
                Row::Empty => (coming, left) = (coming + 1, before),
                Row::Failed(_) => {
                    let run = self.failed_runs.range(before..).next();
                    left = run.map_or(before, |(_, &first)| first);
                }
            }
        }
        coming
    }

    /// Ordered: the sample failed.
    pub(super) fn fail(&mut self, key: usize, why: F) {
        self.rows[key] = Row::Failed(why);
        self.failed += 1;
        let joined = key.checked_sub(1).and_then(|before| self.failed_runs.remove(&before));
        let first = joined.unwrap_or(key);
        match self.failed_runs.range_mut(key..).next() {
            Some((_, behind)) if *behind == key + 1 => *behind = first,
            _ => drop(self.failed_runs.insert(key, first)),
        }
    }
}

/// What has become of a sample, and the row of the memory that it has.
#[derive(Debug)]
pub(super) enum Row<R, F> {
    Empty,
    Claimed(usize),
    Ready(usize, R),
    Failed(F),
}

/// A batch whose keys are all settled.
#[derive(Debug)]
pub(crate) struct Settled<M, R, F> {
    pub(crate) epoch: u64,
    /// Number of the batch in its epoch.
    pub(crate) batch: u64,
    /// `None` when every sample failed.
    pub(crate) memory: Option<M>,
    rows: Vec<Row<R, F>>,
}

impl<M, R, F> Settled<M, R, F> {
    /// Rows of the batch, filled or not.
    pub(crate) fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Tells each ready sample with its row of the memory, both ascending, to `ready`;
    /// and the failed samples, by position. Left to the consumer, since it takes
    /// its time and needs no lock.
    pub(crate) fn sort(&mut self, mut ready: impl FnMut(usize, R)) -> Vec<F> {
        let mut failures = Vec::new();
        for row in self.rows.drain(..) {
            match row {
                Row::Ready(at, row) => ready(at, row),
                Row::Failed(failure) => failures.push(failure),
                Row::Empty | Row::Claimed(_) => {}
            }
        }
        failures
    }
}

impl<M, R, F> Epoch<M, R, F> {
    pub(super) fn new(id: EpochId, number: u64) -> Self {
        Epoch {
            id,
            number,
            live: true,
            granted: 0,
            settled: 0,
            failed: 0,
            end: None,
            taken: 0,
            delivered: 0,
            ready: 0,
            next_slot: 0,
            slots: VecDeque::new(),
            holes: Vec::new(),
            failures: VecDeque::new(),
        }
    }

    /// A cancelled epoch keeps its batches until its last ticket is back, so
    /// that they still count: a thread may be writing into one.
    pub(super) fn cancel(&mut self) {
        self.live = false;
        self.failures.clear();
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.granted - self.settled
    }

    /// Batches that this epoch occupies.
    pub(super) fn batches(&self, shape: &Shape) -> u64 {
        // A gap that a failed transform left keeps its batch open although the
        // rows would fit into fewer.
        let batches = self.rows(shape).div_ceil(shape.batch_size as u64);
        (batches - self.taken).max(self.slots.len() as u64)
    }

    /// Tickets that can be granted before the epoch occupies more than `batches`, or
    /// than it does already: since the prefetch depth was lowered, it may, and a batch
    /// that was begun has to be filled.
    pub(super) fn room(&self, shape: &Shape, batches: u64) -> u64 {
        let batches = batches.max(self.slots.len() as u64);
        ((self.taken + batches) * shape.batch_size as u64).saturating_sub(self.rows(shape))
    }

    /// Rows that the granted samples take, in batches handed out and others.
    fn rows(&self, shape: &Shape) -> u64 {
        // Ordered, a failed sample keeps its row; unordered, it never had one.
        let excess = self.failures.len().saturating_sub(MOST_UNTOLD) as u64;
        let failed = if shape.ordered { 0 } else { self.failed - excess };
        self.granted - failed
    }

    pub(super) fn push_slot(&mut self, shape: &Shape) {
        let mut rows = Vec::with_capacity(shape.batch_size);
        rows.resize_with(shape.batch_size, || Row::Empty);
        let id = self.next_slot;
        self.next_slot += 1;
        let failed_runs = BTreeMap::new();
        let (drawn, ready, failed) = (0, 0, 0);
        self.slots.push_back(Slot { id, memory: None, rows, drawn, ready, failed, failed_runs });
    }

    /// The place of a sample: by its position, or the next free one.
    pub(super) fn draw(&mut self, shape: &Shape, position: u64) -> Place {
        if shape.ordered {
            let mut place = Place::by_position(shape, position);
            if let Some(slot) = self.slot(place) {
                place.row = slot.row_for(place.key);
            }
            return place;
        }
        if let Some(hole) = self.holes.pop() {
            return hole;
        }
        if self.slots.back().is_none_or(|slot| slot.drawn == shape.batch_size) {
            self.push_slot(shape);
        }
        let last = self.slots.len() - 1;
        let slot = &mut self.slots[last];
        let row = slot.drawn;
        slot.drawn += 1;
        Place { slot: slot.id, key: row, row }
    }

    pub(super) fn slot(&mut self, place: Place) -> Option<&mut Slot<M, R, F>> {
        let at = self.slots.binary_search_by_key(&place.slot, |slot| slot.id).ok()?;
        self.slots.get_mut(at)
    }

    pub(super) fn length(&self) -> Option<u64> {
        match self.end {
            Some(End::Length(length)) => Some(length),
            _ => None,
        }
    }

    /// Every granted ticket is back and there will be no more.
    fn all_settled(&self) -> bool {
        self.end.is_some() && self.settled == self.granted
    }

    /// Nothing is left to deliver. What a broken source leaves unfilled is not
    /// delivered.
    pub(super) fn is_finished(&self) -> bool {
        let broken = matches!(self.end, Some(End::Broken(_)));
        self.all_settled() && (broken || self.slots.iter().all(Slot::is_empty))
    }

    /// Whether a failure can be judged now. The walk's end is enough: waiting
    /// until all is granted would be waiting for the consumer, who waits here.
    pub(super) fn can_judge(&self, shape: &Shape, walk: Walk) -> bool {
        !shape.failures_need_length || walk != Walk::UnderWay || self.end.is_some()
    }

    /// The position among `slots` of the batch to hand out next, if one can be.
    pub(super) fn complete(&self, shape: &Shape, walk: Walk) -> Option<usize> {
        if !shape.ordered {
            let full = self.slots.iter().position(|slot| slot.ready == shape.batch_size);
            let at_the_end = self.all_settled() && self.length().is_some();
            let rest = || self.slots.iter().position(|slot| !slot.is_empty());
            return full.or_else(|| at_the_end.then(rest).flatten());
        }
        let front = self.slots.front()?;
        let done = self.is_settled(front, shape);
        (done && (front.failed == 0 || self.can_judge(shape, walk))).then_some(0)
    }

    /// Ordered: whether every key of the slot is settled.
    fn is_settled(&self, slot: &Slot<M, R, F>, shape: &Shape) -> bool {
        let size = shape.batch_size as u64;
        let keys = match self.length() {
            Some(length) => size.min(length.saturating_sub(slot.id * size)),
            None => size,
        };
        (slot.ready + slot.failed) as u64 == keys
    }

    pub(super) fn waiting(&self, shape: &Shape) -> usize {
        let is_waiting = |slot: &&Slot<M, R, F>| match shape.ordered {
            true => self.is_settled(slot, shape),
            false => slot.ready == shape.batch_size || (self.all_settled() && !slot.is_empty()),
        };
        self.slots.iter().filter(is_waiting).count()
    }

    pub(super) fn take(
        &mut self,
        shape: &Shape,
        at: usize,
        copy: impl FnMut(&M, usize, &M, usize),
    ) -> Settled<M, R, F> {
        if !shape.ordered {
            self.fill_gaps(at, shape, copy);
        }
        let (epoch, batch) = (self.number, self.taken);
        let mut settled = Settled { epoch, batch, memory: None, rows: Vec::new() };
        if let Some(slot) = self.slots.remove(at) {
            let ready = slot.ready as u64;
            (settled.memory, settled.rows) = (slot.memory, slot.rows);
            self.ready -= ready;
            self.delivered += ready;
        }
        self.taken += 1;
        settled
    }

    /// Unordered, at the end: rows of the last batch move into the gaps of the
    /// one handed out, so that only the last is short.
    fn fill_gaps(&mut self, at: usize, shape: &Shape, mut copy: impl FnMut(&M, usize, &M, usize)) {
        while self.slots[at].ready < shape.batch_size && at + 1 < self.slots.len() {
            let Some(mut donor) = self.slots.pop_back() else { return };
            let slot = &mut self.slots[at];
            let gaps = (0..slot.rows.len()).filter(|&row| matches!(slot.rows[row], Row::Empty));
            let gaps: Vec<usize> = gaps.collect();
            let given = (0..donor.rows.len()).rev();
            let given: Vec<usize> =
                given.filter(|&row| matches!(donor.rows[row], Row::Ready(..))).collect();
            for (&to, &from) in gaps.iter().zip(&given) {
                if let (Some(source), Some(target)) = (&donor.memory, &slot.memory) {
                    copy(source, from, target, to);
                }
                if let Row::Ready(_, row) = mem::replace(&mut donor.rows[from], Row::Empty) {
                    slot.rows[to] = Row::Ready(to, row);
                }
                slot.ready += 1;
                donor.ready -= 1;
            }
            if donor.ready > 0 {
                self.slots.push_back(donor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state_tests::shape;
    use super::*;

    /// The row by its definition.
    fn plain<M, R, F>(slot: &Slot<M, R, F>, key: usize) -> usize {
        let mut coming = 0;
        for row in slot.rows[..key].iter().rev() {
            match row {
                Row::Claimed(at) | Row::Ready(at, _) => return at + 1 + coming,
                Row::Empty => coming += 1,
                Row::Failed(_) => {}
            }
        }
        coming
    }

    proptest! {
        /// Samples begin, or fail, in any order.
        #[test]
        fn failures_are_passed_over_at_once(
            events in proptest::collection::vec((0..40_usize, prop::bool::weighted(0.7)), 0..80),
        ) {
            let shape = shape(40, 1, true);
            let mut epoch: Epoch<(), (), ()> = Epoch::new(0, 0);
            epoch.push_slot(&shape);
            let slot = &mut epoch.slots[0];
            for (key, fails) in events {
                let row = slot.row_for(key);
                prop_assert_eq!(row, plain(slot, key));
                match (&slot.rows[key], fails) {
                    (Row::Failed(()), _) => {}
                    (_, true) => slot.fail(key, ()),
                    (Row::Empty, false) => slot.rows[key] = Row::Claimed(row),
                    (_, false) => {}
                }
                // As few runs as there are.
                let failed = |at: usize| matches!(slot.rows.get(at), Some(Row::Failed(())));
                let ends = (0..40).filter(|&at| failed(at) && !failed(at + 1));
                prop_assert!(ends.eq(slot.failed_runs.keys().copied()));
            }
        }
    }
}
