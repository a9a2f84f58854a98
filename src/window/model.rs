//! A window driven by arbitrary interleavings, beside the books that it must agree with
//! whatever happens.
#![allow(clippy::panic, clippy::unreachable, reason = "a rule that does not hold ends the test")]

use std::collections::BTreeSet;

use super::epoch::*;
use super::state::*;
use crate::error::Error;
use crate::fuzzing::Input;

/// Memory of one batch: which sample wrote each row.
type Memory = std::cell::RefCell<Vec<Option<u64>>>;

/// A ticket that is out, as a thread would hold it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    pub(super) id: EpochId,
    pub(super) epoch: u64,
    position: u64,
    pub(super) place: Option<Place>,
}

/// Numbers choose one of the tickets that are out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Grant,
    Claim(usize),
    Ready(usize),
    Fail(usize),
    Unclaim(usize),
    /// A ticket comes back unused, which ends the run.
    GiveUp(usize),
    Take,
    /// The epoch that is delivered, or by 1 the one behind it, which is left alone.
    Skip(u64),
    Cancel,
    Prefetch(usize),
    Decoders(usize),
    Walked,
    /// The source breaks off.
    Break,
    /// So many epochs.
    Begin(u64),
}

/// Drives a state and keeps the books that it must agree with.
pub(super) struct Model {
    shape: Shape,
    /// Positions of every epoch.
    length: u64,
    pub(super) state: State<Memory, u64, u64>,
    walk: Walk,
    pub(super) out: Vec<Out>,
    /// The epoch being delivered; of it, the positions seen, failures among them,
    /// batches taken.
    front: u64,
    seen: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    pub(super) batches: u64,
    pub(super) short: u64,
    pub(super) ended: Vec<u64>,
    /// Positions granted in one go, at most.
    pub(super) run: u64,
    /// The largest depth so far.
    most_prefetch: usize,
    /// A sample was lost, and the consumer does not know yet.
    lost: bool,
    first_live: EpochId,
}

impl Model {
    pub(super) fn new(shape: Shape, length: u64) -> Self {
        let mut state = State::new(shape);
        state.begin(0..3);
        Model {
            shape,
            length,
            state,
            walk: Walk::UnderWay,
            out: Vec::new(),
            front: 0,
            seen: BTreeSet::new(),
            failed: BTreeSet::new(),
            batches: 0,
            short: 0,
            ended: Vec::new(),
            run: 1,
            most_prefetch: shape.prefetch,
            lost: false,
            first_live: 0,
        }
    }

    fn is_live(&self, id: EpochId) -> bool {
        self.state.is_live(id)
    }

    pub(super) fn grant(&mut self) -> bool {
        let Some(next) = self.state.next() else { return false };
        if self.walk == Walk::Broken {
            let error = Error::source_unusable("folder", "it is gone");
            self.state.close(next.id, End::Broken(error));
            return true;
        }
        if next.position == self.length {
            self.state.close(next.id, End::Length(self.length));
            return true;
        }
        let Next { id, epoch, position, room } = next;
        // Batches that were begun under a larger depth are still there.
        let making = self.state.occupancy().making.max(self.shape.prefetch);
        assert!(room > 0 && position < self.length);
        let count = room.min(self.length - position).min(self.run);
        assert!(self.state.grant(next, count));
        let mut others = self.out.iter().filter(|other| other.id == id);
        assert!(others.all(|other| other.epoch == epoch), "an id is used twice");
        let granted = position..position + count;
        self.out.extend(granted.map(|position| Out { id, epoch, position, place: None }));
        // What was named is what there was, no less and no more.
        let left = self.state.next().filter(|next| next.id == id).map_or(0, |next| next.room);
        assert_eq!(left, room - count);
        let most = (self.most_prefetch * self.shape.batch_size) as u64;
        assert!(self.state.outstanding() <= most, "more tickets than rows");
        assert!(self.state.occupancy().making <= making);
        true
    }

    pub(super) fn claim(&mut self, at: usize) {
        let size = self.shape.batch_size;
        let Some(&Out { id, position, place: None, .. }) = self.out.get(at) else { return };
        let live = self.is_live(id);
        let claimed = self.state.claim(id, position, || Some(vec![None; size].into()));
        assert_eq!(claimed.is_some(), live);
        if let Some((place, memory)) = claimed {
            memory.borrow_mut()[place.row] = Some(position);
            let mut others = self.out.iter().filter(|other| other.id == id);
            assert!(others.all(|other| other.place != Some(place)), "a row has two owners");
            self.out[at].place = Some(place);
        }
    }

    pub(super) fn ready(&mut self, at: usize) {
        self.claim(at);
        if at >= self.out.len() {
            return;
        }
        let out = self.out.remove(at);
        match out.place {
            Some(place) => self.state.ready(out.id, place, out.position),
            None => assert!(!self.state.give_up(out.id), "only a cancelled epoch has no row"),
        }
    }

    pub(super) fn fail(&mut self, at: usize) {
        if at >= self.out.len() {
            return;
        }
        let out = self.out.remove(at);
        self.state.fail(out.id, out.position, out.place, out.position);
    }

    fn unclaim(&mut self, at: usize) {
        if let Some(out) = self.out.get_mut(at)
            && let Some(place) = out.place.take()
        {
            self.state.unclaim(out.id, place);
        }
    }

    fn give_up(&mut self, at: usize) {
        if at >= self.out.len() {
            return;
        }
        let out = self.out.remove(at);
        let live = self.is_live(out.id);
        assert_eq!(self.state.give_up(out.id), live);
        self.lost |= live;
    }

    /// What the consumer sees; false when there was nothing.
    pub(super) fn take(&mut self) -> bool {
        if std::mem::take(&mut self.lost) {
            // The window tells it first, and cancels.
            self.cancel();
            return true;
        }
        let promised = self.state.is_takeable();
        let copy = |from: &Memory, row: usize, to: &Memory, gap: usize| {
            to.borrow_mut()[gap] = from.borrow()[row];
        };
        let taken = self.state.take(copy);
        assert_eq!(promised, !matches!(taken, Take::Pending), "a lost or a needless wake-up");
        match taken {
            Take::Pending | Take::Idle => return false,
            Take::Failure(failure) => assert!(self.failed.insert(failure)),
            Take::Batch(batch) => self.check(batch),
            Take::EpochEnd(totals) => {
                let (delivered, failed) = (self.seen.len() as u64, self.failed.len() as u64);
                assert_eq!((totals.epoch, totals.planned), (self.front, self.length));
                assert_eq!((totals.delivered, totals.failed), (delivered, failed));
                assert_eq!(delivered + failed, self.length);
                self.ended.push(totals.epoch);
                self.forget();
                self.front += 1;
            }
            Take::Broken(_) => {
                assert_eq!(self.walk, Walk::Broken);
                // It is an error of the run, which the consumer ends.
                self.cancel();
            }
        }
        true
    }

    fn cancel(&mut self) {
        self.lost = false;
        self.state.cancel();
        self.forget();
        assert!(!self.state.is_under_way());
    }

    fn check(&mut self, mut batch: Settled<Memory, u64, u64>) {
        assert_eq!((batch.epoch, batch.batch), (self.front, self.batches));
        self.batches += 1;
        let mut ready = Vec::new();
        let failures = batch.sort(|place, position| ready.push((place, position)));
        let rows = ready.len();
        for &(place, position) in &ready {
            let memory = batch.memory.as_ref().map(|memory| memory.borrow()[place]);
            assert_eq!(memory, Some(Some(position)), "a row holds another sample");
            assert!(self.seen.insert(position), "delivered twice");
        }
        for failure in &failures {
            assert!(self.failed.insert(*failure));
        }
        let size = self.shape.batch_size as u64;
        if self.shape.ordered {
            let first = batch.batch * size;
            let keys = first..(first + size).min(self.length);
            let mut all: Vec<u64> = ready.iter().map(|(_, position)| *position).collect();
            assert!(all.is_sorted());
            // Rows move towards the front, past none that is still to be moved.
            assert!(ready.is_sorted_by(|before, after| before.0 < after.0));
            let keys_of_ready = all.iter().map(|position| position % size);
            for (row, (&(place, _), key)) in ready.iter().zip(keys_of_ready).enumerate() {
                assert!((row..=key as usize).contains(&place), "row {row} lies at {place}");
            }
            all.extend(&failures);
            all.sort_unstable();
            assert_eq!(all, keys.collect::<Vec<_>>());
        } else {
            assert!(rows > 0 && failures.is_empty());
            assert_eq!(self.short, 0, "only the last batch of an epoch is short");
            self.short += u64::from(rows < self.shape.batch_size);
        }
    }

    fn forget(&mut self) {
        self.seen.clear();
        self.failed.clear();
        self.batches = 0;
        self.short = 0;
    }

    pub(super) fn act(&mut self, action: Action) {
        let pick = |at: usize, out: &[Out]| at % out.len().max(1);
        match action {
            Action::Grant => {
                self.grant();
            }
            Action::Claim(at) => self.claim(pick(at, &self.out)),
            Action::Ready(at) => self.ready(pick(at, &self.out)),
            Action::Fail(at) => self.fail(pick(at, &self.out)),
            Action::Unclaim(at) => self.unclaim(pick(at, &self.out)),
            Action::GiveUp(at) => self.give_up(pick(at, &self.out)),
            Action::Take => {
                self.take();
            }
            Action::Skip(behind) => {
                let under_way = self.state.is_under_way();
                self.state.skip(self.front + behind);
                if under_way && behind == 0 {
                    self.front += 1;
                    self.forget();
                }
            }
            Action::Cancel => self.cancel(),
            Action::Prefetch(depth) => {
                self.state.set_prefetch(depth);
                self.shape.prefetch = depth;
                self.most_prefetch = self.most_prefetch.max(depth);
            }
            Action::Decoders(decoders) => {
                self.state.set_decoders(decoders);
                self.shape.decoders = decoders;
            }
            Action::Walked => self.walked(Walk::Ended { length: self.length }),
            Action::Break => self.walked(Walk::Broken),
            Action::Begin(epochs) => {
                let first = self.front % 5;
                self.state.begin(first..first + epochs);
                self.lost = false;
                self.front = first;
                self.forget();
                self.ended.clear();
            }
        }
        let (state, first_live) = (&self.state, self.state.first_live());
        assert!(first_live >= self.first_live, "an epoch came back");
        self.first_live = first_live;
        assert!(state.has_room() || !state.has_good_room());
        assert!(!(state.is_held_back() && (state.has_room() || state.is_takeable())));
        assert_eq!(state.outstanding(), self.out.len() as u64);
    }

    /// A walk ends once.
    fn walked(&mut self, walk: Walk) {
        if self.walk == Walk::UnderWay {
            self.walk = walk;
            self.state.walked(walk);
        }
    }

    /// From any state, granting, finishing and taking comes to an end, though
    /// the granter sleeps once it found no room until it is woken.
    pub(super) fn run_out(&mut self) {
        self.walked(Walk::Ended { length: self.length });
        let mut awake = true;
        for _ in 0..100_000 {
            let granted = awake && self.grant();
            let first = self.out.first().copied();
            self.ready(0);
            let cancelled = first.is_some_and(|out| !self.state.is_live(out.id));
            let low = self.state.runs_low() && self.state.has_room();
            let taken = self.take();
            awake = granted || cancelled || low || taken && self.state.has_good_room();
            if !granted && first.is_none() && !taken {
                assert_eq!(self.state.outstanding(), 0);
                assert!(matches!(self.state.take(|_, _, _, _| ()), Take::Idle));
                return;
            }
        }
        panic!("it goes on for ever: {:?}", self.state.occupancy());
    }
}

/// Reads an input as a shape and what happens to it.
pub(crate) fn drive(data: &[u8]) {
    let mut input = Input(data);
    let bits = input.byte();
    let shape = Shape {
        batch_size: 1 + usize::from(bits & 7),
        prefetch: 1 + input.below(if bits & 64 == 0 { 5 } else { 40 }),
        ordered: bits & 8 != 0,
        decoders: 1 + usize::from(bits >> 4 & 1) * 3,
        failures_need_length: bits & 32 != 0,
    };
    let length = input.below(if bits & 128 == 0 { 24 } else { 120 }) as u64;
    let mut model = Model::new(shape, length);
    model.run = 1 + input.below(64) as u64;
    while !input.is_empty() {
        let kind = input.byte();
        // Of the tickets that are out, the high bits choose an early one.
        let near = usize::from(kind >> 4);
        model.act(match kind & 15 {
            0..=2 => Action::Grant,
            3 => Action::Claim(near),
            4 => Action::Claim(input.byte().into()),
            5 | 6 => Action::Ready(near),
            7 => Action::Ready(input.byte().into()),
            8 => Action::Fail(near),
            9 => Action::Unclaim(near),
            10..=12 => Action::Take,
            13 => Action::Prefetch(1 + near),
            14 => Action::Begin(near as u64 % 4),
            _ => match near {
                0..=4 => Action::Skip(0),
                5 => Action::Skip(1),
                6 | 7 => Action::Walked,
                8 => Action::Break,
                9 => Action::Cancel,
                10 => Action::Decoders(1 + input.below(9)),
                _ => Action::GiveUp(input.byte().into()),
            },
        });
    }
    model.run_out();
}
