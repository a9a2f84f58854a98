//! The window's pure part: which tickets are out, which rows are filled, which
//! batch can be handed out; of one epoch in `epoch.rs`, of all of them here. The
//! two know no threads, clocks or files, and are the only place where order
//! lives.
//!
//! An epoch's samples are granted by position. *Ordered*, the position decides:
//! `position / batch_size` is the batch, and `position % batch_size` the row, less the
//! failures in front of it that are known when its first pixels come. *Unordered*, a
//! sample draws the next free row when its first pixels come, so failures leave no
//! gaps.
//!
//! Several epochs can be under way at once: the one being delivered, those
//! behind it that were announced, and cancelled ones until their last ticket
//! has come back.

use std::collections::VecDeque;
use std::ops::Range;

use super::epoch::{End, Epoch, Place, Row, Settled};
use crate::error::Error;

/// What a window is like. Prefetch depth and decoders may change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) batch_size: usize,
    /// Batches in the making or waiting, at most.
    pub(crate) prefetch: usize,
    pub(crate) ordered: bool,
    /// Threads that work on tickets.
    pub(crate) decoders: usize,
    /// A failure cannot be judged before the epoch's length is known.
    pub(crate) failures_need_length: bool,
}

/// Unordered, failures make room for other samples before the consumer knows of
/// them, up to so many: else a source of which everything fails would be read to
/// its end with nobody looking.
pub(crate) const MOST_UNTOLD: usize = 1_000;

/// Tickets to wake the granter for, and the part of the window that is as good:
/// what is not granted is not being read either.
const GOOD_ROOM: u64 = 16;
const GOOD_SHARE: u64 = 8;

/// Names one opened epoch; never used twice, so a late ticket of a cancelled
/// epoch cannot be mistaken for one of its successor.
pub(crate) type EpochId = u64;

/// `M`: memory of one batch; `R`: what is known of a ready row; `F`: a failure.
#[derive(Debug)]
pub(crate) struct State<M, R, F> {
    shape: Shape,
    /// Oldest first. Cancelled epochs are in front of live ones.
    epochs: VecDeque<Epoch<M, R, F>>,
    /// Announced, not opened.
    announced: Range<u64>,
    next_id: EpochId,
    walk: Walk,
}

/// How far the source's walk is, for those who must know an epoch's length
/// before all of it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    UnderWay,
    /// Every epoch has so many positions.
    Ended {
        length: u64,
    },
    /// The length will never be known.
    Broken,
}

impl Walk {
    pub(super) fn length(self) -> Option<u64> {
        match self {
            Walk::Ended { length } => Some(length),
            Walk::UnderWay | Walk::Broken => None,
        }
    }
}

/// What there is for the consumer.
#[derive(Debug)]
pub(crate) enum Take<M, R, F> {
    /// Nothing yet.
    Pending,
    /// Unordered: a sample failed.
    Failure(F),
    /// A batch in which every key is settled.
    Batch(Settled<M, R, F>),
    /// The front epoch is over.
    EpochEnd(Totals),
    /// The source broke off, and everything before that has been delivered.
    Broken(Error),
    /// No epoch is under way or announced.
    Idle,
}

/// How an epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) epoch: u64,
    pub(crate) planned: u64,
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
}

/// The next positions to be granted: those that the window has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) id: EpochId,
    pub(crate) epoch: u64,
    /// The first of them.
    pub(crate) position: u64,
    /// How many, at least one. It can only become more, unless the epoch is cancelled
    /// or the prefetch depth lowered, which does not take back what was named.
    pub(crate) room: u64,
}

/// How full the window is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Occupancy {
    /// Complete batches that wait for the consumer.
    pub(crate) waiting: usize,
    /// Batches with at least one ticket out or row filled, complete or not.
    pub(crate) making: usize,
}

impl<M, R, F> State<M, R, F> {
    pub(crate) fn new(shape: Shape) -> Self {
        State { shape, epochs: VecDeque::new(), announced: 0..0, next_id: 0, walk: Walk::UnderWay }
    }

    /// So many batches in the making or waiting from now on.
    pub(crate) fn set_prefetch(&mut self, prefetch: usize) {
        self.shape.prefetch = prefetch;
    }

    /// So many threads work on tickets from now on.
    pub(crate) fn set_decoders(&mut self, decoders: usize) {
        self.shape.decoders = decoders;
    }

    /// Cancels what is under way and announces other epochs.
    pub(crate) fn begin(&mut self, epochs: Range<u64>) {
        self.cancel();
        self.announced = epochs;
    }

    /// Nothing more is granted; tickets that are out settle as nothing.
    pub(crate) fn cancel(&mut self) {
        self.announced = 0..0;
        for epoch in &mut self.epochs {
            epoch.cancel();
        }
        self.drain();
    }

    /// Cancels the epoch being delivered, if it is `number`, and not the ones
    /// behind it.
    pub(crate) fn skip(&mut self, number: u64) {
        match self.epochs.iter_mut().find(|epoch| epoch.live) {
            Some(front) if front.number == number => front.cancel(),
            Some(_) => {}
            None if self.announced.start == number => {
                self.announced.next();
            }
            None => {}
        }
        self.drain();
    }

    /// Forgets cancelled epochs whose tickets are all back.
    fn drain(&mut self) {
        self.epochs.retain(|epoch| epoch.live || epoch.outstanding() > 0);
    }

    /// The next positions to grant: in the newest open epoch, or the first of
    /// the next announced one. `None` while there is no room or nothing to do.
    pub(crate) fn next(&mut self) -> Option<Next> {
        let room = self.room();
        if room == 0 {
            return None;
        }
        if !self.is_growing() {
            let number = self.announced.next()?;
            self.epochs.push_back(Epoch::new(self.next_id, number));
            self.next_id += 1;
        }
        let Epoch { id, number: epoch, granted: position, .. } = *self.epochs.back()?;
        Some(Next { id, epoch, position, room })
    }

    /// Whether [`next`](Self::next) has something to grant.
    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Whether there is room enough to wake the granter for. With less it can
    /// wait until the work [runs low](Self::runs_low).
    pub(crate) fn has_good_room(&self) -> bool {
        let tickets = (self.shape.prefetch * self.shape.batch_size) as u64;
        let room = self.room();
        room > 0 && (room >= GOOD_ROOM.min(tickets / GOOD_SHARE) || self.runs_low())
    }

    /// Unordered, a sample that fails had no row to keep.
    pub(crate) fn failures_make_room(&self) -> bool {
        !self.shape.ordered
    }

    /// Whether the decoders will soon have nothing to do.
    pub(crate) fn runs_low(&self) -> bool {
        self.outstanding() < 2 * self.shape.decoders as u64
    }

    /// Whether the newest epoch can be granted more of.
    fn is_growing(&self) -> bool {
        self.epochs.back().is_some_and(|epoch| epoch.live && epoch.end.is_none())
    }

    fn room(&self) -> u64 {
        let shape = &self.shape;
        let prefetch = shape.prefetch as u64;
        let used: u64 = self.epochs.iter().map(|epoch| epoch.batches(shape)).sum();
        match self.epochs.back() {
            Some(epoch) if self.is_growing() => {
                let others = used - epoch.batches(shape);
                epoch.room(shape, prefetch.saturating_sub(others))
            }
            _ if self.announced.is_empty() => 0,
            // An epoch of no batches takes no room; a few of them do.
            _ if self.epochs.len() > shape.prefetch => 0,
            _ => prefetch.saturating_sub(used) * shape.batch_size as u64,
        }
    }

    /// Grants the first `count` of the positions that [`next`](Self::next)
    /// named. False when their epoch has been cancelled since.
    pub(crate) fn grant(&mut self, next: Next, count: u64) -> bool {
        let shape = self.shape;
        let Some(epoch) = self.live(next.id) else { return false };
        debug_assert!(epoch.granted == next.position && count <= next.room);
        epoch.granted += count;
        while shape.ordered && epoch.next_slot * (shape.batch_size as u64) < epoch.granted {
            epoch.push_slot(&shape);
        }
        true
    }

    /// The walk is over.
    pub(crate) fn walked(&mut self, walk: Walk) {
        self.walk = walk;
    }

    /// The plan of the epoch has ended at what is granted, or its source broke.
    pub(crate) fn close(&mut self, id: EpochId, end: End) {
        if let Some(epoch) = self.live(id) {
            epoch.end = Some(end);
        }
    }

    /// Every epoch with a lower id is over or cancelled; those from it on, if
    /// any, are live.
    pub(crate) fn first_live(&self) -> EpochId {
        self.epochs.iter().find(|epoch| epoch.live).map_or(self.next_id, |epoch| epoch.id)
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_live(&self, id: EpochId) -> bool {
        self.epochs.iter().any(|epoch| epoch.id == id && epoch.live)
    }

    /// Draws the row of a decoded sample; `bind` makes the batch's memory if it
    /// has none yet. `None` when the epoch has been cancelled, or there is no memory.
    pub(crate) fn claim(
        &mut self,
        id: EpochId,
        position: u64,
        bind: impl FnOnce() -> Option<M>,
    ) -> Option<(Place, &M)> {
        let shape = self.shape;
        let epoch = self.live(id)?;
        let place = epoch.draw(&shape, position);
        let slot = epoch.slot(place)?;
        debug_assert!(matches!(slot.rows[place.key], Row::Empty));
        if slot.memory.is_none() {
            slot.memory = bind();
        }
        if slot.memory.is_none() {
            // Another sample may have the row.
            if !shape.ordered {
                epoch.holes.push(place);
            }
            return None;
        }
        let slot = epoch.slot(place)?;
        slot.rows[place.key] = Row::Claimed(place.row);
        Some((place, slot.memory.as_ref()?))
    }

    /// The sample's row is filled.
    pub(crate) fn ready(&mut self, id: EpochId, place: Place, row: R) {
        let Some(epoch) = self.settle(id) else { return };
        if let Some(slot) = epoch.slot(place) {
            slot.rows[place.key] = Row::Ready(place.row, row);
            slot.ready += 1;
            epoch.ready += 1;
        }
    }

    /// The sample failed; `claimed` is its row, if it had drawn one.
    pub(crate) fn fail(&mut self, id: EpochId, position: u64, claimed: Option<Place>, why: F) {
        let shape = self.shape;
        let Some(epoch) = self.settle(id) else { return };
        epoch.failed += 1;
        if shape.ordered {
            let place = Place::by_position(&shape, position);
            if let Some(slot) = epoch.slot(place) {
                slot.fail(place.key, why);
            }
            return;
        }
        if let Some(place) = claimed {
            if let Some(slot) = epoch.slot(place) {
                slot.rows[place.key] = Row::Empty;
            }
            epoch.holes.push(place);
        }
        epoch.failures.push_back(why);
    }

    /// The sample gives its row back and will draw one again.
    pub(crate) fn unclaim(&mut self, id: EpochId, place: Place) {
        let ordered = self.shape.ordered;
        let Some(epoch) = self.live(id) else { return };
        if let Some(slot) = epoch.slot(place) {
            slot.rows[place.key] = Row::Empty;
        }
        if !ordered {
            epoch.holes.push(place);
        }
    }

    /// The ticket came back unused. True when its epoch is live, so that a
    /// sample has been lost.
    pub(crate) fn give_up(&mut self, id: EpochId) -> bool {
        self.settle(id).is_some()
    }

    /// Takes a ticket back; the epoch, if it is live.
    fn settle(&mut self, id: EpochId) -> Option<&mut Epoch<M, R, F>> {
        let at = self.epochs.iter().position(|epoch| epoch.id == id)?;
        self.epochs[at].settled += 1;
        if !self.epochs[at].live {
            self.drain();
            return None;
        }
        Some(&mut self.epochs[at])
    }

    fn live(&mut self, id: EpochId) -> Option<&mut Epoch<M, R, F>> {
        self.epochs.iter_mut().find(|epoch| epoch.id == id && epoch.live)
    }

    /// Whether [`take`](Self::take) has something for the consumer.
    pub(crate) fn is_takeable(&self) -> bool {
        match self.epochs.iter().find(|epoch| epoch.live) {
            Some(front) => {
                !front.failures.is_empty() && front.can_judge(&self.shape, self.walk)
                    || front.complete(&self.shape, self.walk).is_some()
                    || front.is_finished()
            }
            None => self.announced.is_empty(),
        }
    }

    /// Whether order alone keeps decoders from working: rows enough for a batch
    /// are ready, one in front of them is not, and the window has no other work
    /// until that batch is taken.
    pub(crate) fn is_held_back(&self) -> bool {
        if !self.shape.ordered {
            return false;
        }
        let front = self.epochs.iter().find(|epoch| epoch.live);
        let enough = |front: &Epoch<M, R, F>| front.ready >= self.shape.batch_size as u64;
        let growing = self.epochs.back().filter(|_| self.is_growing());
        let unfinished = |epoch: &Epoch<M, R, F>| Some(epoch.granted) != self.walk.length();
        front.is_some_and(enough)
            && (growing.is_some_and(unfinished) || !self.announced.is_empty())
            && self.outstanding() < self.shape.decoders as u64
            && !self.has_room()
            && !self.is_takeable()
    }

    /// Takes what there is for the consumer. `copy(from, row, to, row)` moves a
    /// row between two batches; it is called only where a failed transform left
    /// a gap near the end of an unordered epoch.
    pub(crate) fn take(&mut self, copy: impl FnMut(&M, usize, &M, usize)) -> Take<M, R, F> {
        let (shape, walk) = (self.shape, self.walk);
        let Some(at) = self.epochs.iter().position(|epoch| epoch.live) else {
            return if self.announced.is_empty() { Take::Idle } else { Take::Pending };
        };
        let front = &mut self.epochs[at];
        if front.can_judge(&shape, walk)
            && let Some(failure) = front.failures.pop_front()
        {
            return Take::Failure(failure);
        }
        if let Some(slot) = front.complete(&shape, walk) {
            return Take::Batch(front.take(&shape, slot, copy));
        }
        if !front.is_finished() || !front.failures.is_empty() {
            return Take::Pending;
        }
        let Some(epoch) = self.epochs.remove(at) else { return Take::Pending };
        match epoch.end {
            Some(End::Broken(error)) => {
                self.announced = 0..0;
                Take::Broken(error)
            }
            Some(End::Length(planned)) => Take::EpochEnd(Totals {
                epoch: epoch.number,
                planned,
                delivered: epoch.delivered,
                failed: epoch.failed,
            }),
            None => Take::Pending,
        }
    }

    pub(crate) fn is_under_way(&self) -> bool {
        !self.announced.is_empty() || self.epochs.iter().any(|epoch| epoch.live)
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        let live = self.epochs.iter().filter(|epoch| epoch.live);
        live.fold(Occupancy::default(), |sum, epoch| Occupancy {
            waiting: sum.waiting + epoch.waiting(&self.shape),
            making: sum.making + epoch.batches(&self.shape) as usize,
        })
    }

    /// Tickets that are out, cancelled epochs included.
    pub(crate) fn outstanding(&self) -> u64 {
        self.epochs.iter().map(Epoch::outstanding).sum()
    }
}
