//! The window's pure part: which tickets are out, which rows are filled, which
//! batch can be handed out. It knows no threads, clocks or files, and it is the
//! only place where order lives.
//!
//! An epoch's samples are granted by position. *Ordered*, the position decides
//! the row: `position / batch_size` is the batch, `position % batch_size` the
//! row. *Unordered*, a sample draws the next free row when its decode has
//! succeeded, so failures leave no gaps.
//!
//! Several epochs can be under way at once: the one being delivered, those
//! behind it that were announced, and cancelled ones until their last ticket
//! has come back.

use std::collections::VecDeque;
use std::ops::Range;

use crate::error::Error;

/// What never changes in a window.
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

/// A row of a batch in the making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    slot: u64,
    pub(crate) row: usize,
}

/// How an epoch's plan ended.
#[derive(Debug)]
pub(crate) enum End {
    /// After so many positions.
    Length(u64),
    /// The source broke off.
    Broken(Error),
}

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

#[derive(Debug)]
struct Epoch<M, R, F> {
    id: EpochId,
    number: u64,
    live: bool,
    granted: u64,
    settled: u64,
    failed: u64,
    end: Option<End>,
    /// Batches handed out, and the rows in them.
    taken: u64,
    delivered: u64,
    /// Rows that are filled and not handed out.
    ready: u64,
    next_slot: u64,
    slots: VecDeque<Slot<M, R, F>>,
    /// Unordered: rows given back by a failed transform, to be drawn first.
    holes: Vec<Place>,
    /// Unordered: failures not told yet, in the order of their arrival.
    failures: VecDeque<F>,
}

/// One batch in the making.
#[derive(Debug)]
struct Slot<M, R, F> {
    id: u64,
    /// Bound when the first row is claimed.
    memory: Option<M>,
    rows: Vec<Row<R, F>>,
    /// Unordered: rows drawn so far.
    drawn: usize,
    ready: usize,
    failed: usize,
}

impl Walk {
    fn length(self) -> Option<u64> {
        match self {
            Walk::Ended { length } => Some(length),
            Walk::UnderWay | Walk::Broken => None,
        }
    }
}

impl<M, R, F> Slot<M, R, F> {
    /// Unordered, a batch whose rows have all been given back.
    fn is_empty(&self) -> bool {
        self.ready + self.failed == 0
    }
}

#[derive(Debug)]
enum Row<R, F> {
    Empty,
    Claimed,
    Ready(R),
    Failed(F),
}

/// What there is for the consumer.
#[derive(Debug)]
pub(crate) enum Take<M, R, F> {
    /// Nothing yet.
    Pending,
    /// Unordered: a sample failed. The epoch's length, when known.
    Failure { failure: F, length: Option<u64> },
    /// A batch in which every key is settled.
    Batch(Settled<M, R, F>),
    /// The front epoch is over.
    EpochEnd(Totals),
    /// The source broke off, and everything before that has been delivered.
    Broken(Error),
    /// No epoch is under way or announced.
    Idle,
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
    /// Positions of the epoch, when known.
    pub(crate) length: Option<u64>,
}

impl<M, R, F> Settled<M, R, F> {
    /// Rows of the batch, filled or not.
    pub(crate) fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Tells each ready row with its place in the memory, ascending, to `ready`;
    /// and the failed samples, by position. Left to the consumer, since it takes
    /// its time and needs no lock.
    pub(crate) fn sort(&mut self, mut ready: impl FnMut(usize, R)) -> Vec<F> {
        let mut failures = Vec::new();
        for (place, row) in self.rows.drain(..).enumerate() {
            match row {
                Row::Ready(row) => ready(place, row),
                Row::Failed(failure) => failures.push(failure),
                Row::Empty | Row::Claimed => {}
            }
        }
        failures
    }
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
    /// How many, at least one. More can only become more, unless the epoch is
    /// cancelled.
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

    #[cfg(test)]
    pub(crate) fn is_live(&self, id: EpochId) -> bool {
        self.epochs.iter().any(|epoch| epoch.id == id && epoch.live)
    }

    /// Draws the row of a decoded sample; `bind` makes the batch's memory if it
    /// has none yet. `None` when the epoch has been cancelled.
    pub(crate) fn claim(
        &mut self,
        id: EpochId,
        position: u64,
        bind: impl FnOnce() -> M,
    ) -> Option<(Place, &M)> {
        let shape = self.shape;
        let epoch = self.live(id)?;
        let place = epoch.draw(&shape, position);
        let slot = epoch.slot(place.slot)?;
        debug_assert!(matches!(slot.rows[place.row], Row::Empty));
        slot.rows[place.row] = Row::Claimed;
        Some((place, slot.memory.get_or_insert_with(bind)))
    }

    /// The sample's row is filled.
    pub(crate) fn ready(&mut self, id: EpochId, place: Place, row: R) {
        let Some(epoch) = self.settle(id) else { return };
        if let Some(slot) = epoch.slot(place.slot) {
            slot.rows[place.row] = Row::Ready(row);
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
            let place = epoch.draw(&shape, position);
            if let Some(slot) = epoch.slot(place.slot) {
                slot.rows[place.row] = Row::Failed(why);
                slot.failed += 1;
            }
            return;
        }
        if let Some(place) = claimed {
            if let Some(slot) = epoch.slot(place.slot) {
                slot.rows[place.row] = Row::Empty;
            }
            epoch.holes.push(place);
        }
        epoch.failures.push_back(why);
    }

    /// The sample gives its row back and will draw one again.
    pub(crate) fn unclaim(&mut self, id: EpochId, place: Place) {
        let ordered = self.shape.ordered;
        let Some(epoch) = self.live(id) else { return };
        if let Some(slot) = epoch.slot(place.slot) {
            slot.rows[place.row] = Row::Empty;
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
            return Take::Failure { failure, length: front.length().or(walk.length()) };
        }
        if let Some(slot) = front.complete(&shape, walk) {
            let mut settled = front.take(&shape, slot, copy);
            settled.length = settled.length.or(walk.length());
            return Take::Batch(settled);
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

impl<M, R, F> Epoch<M, R, F> {
    fn new(id: EpochId, number: u64) -> Self {
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
    fn cancel(&mut self) {
        self.live = false;
        self.failures.clear();
    }

    fn outstanding(&self) -> u64 {
        self.granted - self.settled
    }

    /// Batches that this epoch occupies.
    fn batches(&self, shape: &Shape) -> u64 {
        // A gap that a failed transform left keeps its batch open although the
        // rows would fit into fewer.
        let batches = self.rows(shape).div_ceil(shape.batch_size as u64);
        (batches - self.taken).max(self.slots.len() as u64)
    }

    /// Tickets that can be granted before the epoch occupies more than `batches`.
    fn room(&self, shape: &Shape, batches: u64) -> u64 {
        if self.slots.len() as u64 > batches {
            return 0;
        }
        ((self.taken + batches) * shape.batch_size as u64).saturating_sub(self.rows(shape))
    }

    /// Rows that the granted samples take, in batches handed out and others.
    fn rows(&self, shape: &Shape) -> u64 {
        // Ordered, a failed sample keeps its row; unordered, it never had one.
        let excess = self.failures.len().saturating_sub(MOST_UNTOLD) as u64;
        let failed = if shape.ordered { 0 } else { self.failed - excess };
        self.granted - failed
    }

    fn push_slot(&mut self, shape: &Shape) {
        let mut rows = Vec::with_capacity(shape.batch_size);
        rows.resize_with(shape.batch_size, || Row::Empty);
        let id = self.next_slot;
        self.next_slot += 1;
        self.slots.push_back(Slot { id, memory: None, rows, drawn: 0, ready: 0, failed: 0 });
    }

    /// The place of a sample: by its position, or the next free one.
    fn draw(&mut self, shape: &Shape, position: u64) -> Place {
        if shape.ordered {
            let size = shape.batch_size as u64;
            return Place { slot: position / size, row: (position % size) as usize };
        }
        if let Some(hole) = self.holes.pop() {
            return hole;
        }
        if self.slots.back().is_none_or(|slot| slot.drawn == shape.batch_size) {
            self.push_slot(shape);
        }
        let last = self.slots.len() - 1;
        let slot = &mut self.slots[last];
        slot.drawn += 1;
        Place { slot: slot.id, row: slot.drawn - 1 }
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot<M, R, F>> {
        let at = self.slots.binary_search_by_key(&id, |slot| slot.id).ok()?;
        self.slots.get_mut(at)
    }

    fn length(&self) -> Option<u64> {
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
    fn is_finished(&self) -> bool {
        let broken = matches!(self.end, Some(End::Broken(_)));
        self.all_settled() && (broken || self.slots.iter().all(Slot::is_empty))
    }

    /// Whether a failure can be judged now. The walk's end is enough: waiting
    /// until all is granted would be waiting for the consumer, who waits here.
    fn can_judge(&self, shape: &Shape, walk: Walk) -> bool {
        !shape.failures_need_length || walk != Walk::UnderWay || self.end.is_some()
    }

    /// The position among `slots` of the batch to hand out next, if one can be.
    fn complete(&self, shape: &Shape, walk: Walk) -> Option<usize> {
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

    fn waiting(&self, shape: &Shape) -> usize {
        let is_waiting = |slot: &&Slot<M, R, F>| match shape.ordered {
            true => self.is_settled(slot, shape),
            false => slot.ready == shape.batch_size || (self.all_settled() && !slot.is_empty()),
        };
        self.slots.iter().filter(is_waiting).count()
    }

    fn take(
        &mut self,
        shape: &Shape,
        at: usize,
        copy: impl FnMut(&M, usize, &M, usize),
    ) -> Settled<M, R, F> {
        if !shape.ordered {
            self.fill_gaps(at, shape, copy);
        }
        let (epoch, batch, length) = (self.number, self.taken, self.length());
        let mut settled = Settled { epoch, batch, memory: None, rows: Vec::new(), length };
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
                given.filter(|&row| matches!(donor.rows[row], Row::Ready(_))).collect();
            for (&to, &from) in gaps.iter().zip(&given) {
                if let (Some(source), Some(target)) = (&donor.memory, &slot.memory) {
                    copy(source, from, target, to);
                }
                slot.rows[to] = std::mem::replace(&mut donor.rows[from], Row::Empty);
                slot.ready += 1;
                donor.ready -= 1;
            }
            if donor.ready > 0 {
                self.slots.push_back(donor);
            }
        }
    }
}
