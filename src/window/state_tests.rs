//! The pure window under arbitrary interleavings, against what must hold
//! whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::epoch::*;
use super::state::*;

/// Memory of one batch: which sample wrote each row.
type Memory = std::cell::RefCell<Vec<Option<u64>>>;

/// A ticket that is out, as a thread would hold it.
#[derive(Clone, Copy, Debug)]
struct Out {
    id: EpochId,
    epoch: u64,
    position: u64,
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Grant,
    Claim(usize),
    Ready(usize),
    Fail(usize),
    Unclaim(usize),
    Take,
    Skip,
    Prefetch(usize),
    Walked,
    Begin(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let which = 0..64_usize;
    proptest::collection::vec(
        prop_oneof![
            12 => Just(Action::Grant),
            10 => which.clone().prop_map(Action::Claim),
            14 => which.clone().prop_map(Action::Ready),
            2 => which.clone().prop_map(Action::Fail),
            1 => which.prop_map(Action::Unclaim),
            6 => Just(Action::Take),
            1 => Just(Action::Skip),
            2 => (1..5_usize).prop_map(Action::Prefetch),
            1 => Just(Action::Walked),
            1 => (1..4_u64).prop_map(Action::Begin),
        ],
        0..400,
    )
}

/// Drives a state and keeps the books that it must agree with.
struct Model {
    shape: Shape,
    /// Positions of every epoch.
    length: u64,
    state: State<Memory, u64, u64>,
    out: Vec<Out>,
    /// Of the epoch being delivered: positions seen, failures among them,
    /// batches taken.
    seen: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    batches: u64,
    short: u64,
    /// Failures by epoch id that the state was told.
    told: BTreeMap<EpochId, u64>,
    ended: Vec<u64>,
    /// Positions granted in one go, at most.
    run: u64,
    /// The largest depth so far.
    most_prefetch: usize,
}

impl Model {
    fn new(shape: Shape, length: u64) -> Self {
        let mut state = State::new(shape);
        state.begin(0..3);
        Model {
            shape,
            length,
            state,
            out: Vec::new(),
            seen: BTreeSet::new(),
            failed: BTreeSet::new(),
            batches: 0,
            short: 0,
            told: BTreeMap::new(),
            ended: Vec::new(),
            run: 1,
            most_prefetch: shape.prefetch,
        }
    }

    fn grant(&mut self) -> bool {
        let Some(next) = self.state.next() else { return false };
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

    fn claim(&mut self, at: usize) {
        let size = self.shape.batch_size;
        let Some(out) = self.out.get_mut(at).filter(|out| out.place.is_none()) else { return };
        let live = self.state.is_live(out.id);
        let claimed = self.state.claim(out.id, out.position, || Some(vec![None; size].into()));
        assert_eq!(claimed.is_some(), live);
        if let Some((place, memory)) = claimed {
            out.place = Some(place);
            memory.borrow_mut()[place.row] = Some(out.position);
        }
    }

    fn ready(&mut self, at: usize) {
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

    fn fail(&mut self, at: usize) {
        if at >= self.out.len() {
            return;
        }
        let out = self.out.remove(at);
        if self.state.is_live(out.id) {
            *self.told.entry(out.id).or_default() += 1;
        }
        self.state.fail(out.id, out.position, out.place, out.position);
    }

    fn unclaim(&mut self, at: usize) {
        if let Some(out) = self.out.get_mut(at)
            && let Some(place) = out.place.take()
        {
            self.state.unclaim(out.id, place);
        }
    }

    /// What the consumer sees; false when there was nothing.
    fn take(&mut self) -> bool {
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
                let delivered = self.seen.len() as u64;
                assert_eq!(totals.planned, self.length);
                assert_eq!(
                    (totals.delivered, totals.failed),
                    (delivered, self.failed.len() as u64)
                );
                assert_eq!(delivered + totals.failed, self.length);
                self.ended.push(totals.epoch);
                self.forget();
            }
            Take::Broken(error) => panic!("no source broke: {error}"),
        }
        true
    }

    fn check(&mut self, mut batch: Settled<Memory, u64, u64>) {
        assert_eq!(batch.batch, self.batches);
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

    fn act(&mut self, action: Action) {
        let pick = |at: usize, out: &[Out]| at % out.len().max(1);
        match action {
            Action::Grant => {
                self.grant();
            }
            Action::Claim(at) => self.claim(pick(at, &self.out)),
            Action::Ready(at) => self.ready(pick(at, &self.out)),
            Action::Fail(at) => self.fail(pick(at, &self.out)),
            Action::Unclaim(at) => self.unclaim(pick(at, &self.out)),
            Action::Take => {
                self.take();
            }
            Action::Skip => {
                let front = self.out.iter().filter(|out| self.state.is_live(out.id));
                if let Some(number) = front.map(|out| out.epoch).min() {
                    // The front may be a later one that has nothing out.
                    let before = self.state.occupancy();
                    self.state.skip(number);
                    if self.state.occupancy() != before {
                        self.forget();
                    }
                }
            }
            Action::Prefetch(depth) => {
                self.state.set_prefetch(depth);
                self.shape.prefetch = depth;
                self.most_prefetch = self.most_prefetch.max(depth);
            }
            Action::Walked => self.state.walked(Walk::Ended { length: self.length }),
            Action::Begin(epochs) => {
                self.state.begin(0..epochs);
                self.forget();
                self.ended.clear();
            }
        }
    }

    /// From any state, granting, finishing and taking comes to an end, though
    /// the granter sleeps once it found no room until it is woken.
    fn run_out(&mut self) {
        self.state.walked(Walk::Ended { length: self.length });
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_and_nothing_overlaps(
        batch_size in 1..6_usize,
        prefetch in prop_oneof![3 => 1..4_usize, 1 => 10..40_usize],
        ordered: bool,
        failures_need_length: bool,
        length in prop_oneof![3 => 0..23_u64, 1 => 23..90_u64],
        run in 1..9_u64,
        actions in actions(),
    ) {
        let shape = Shape { batch_size, prefetch, ordered, decoders: 2, failures_need_length };
        let mut model = Model::new(shape, length);
        model.run = run;
        for action in actions {
            model.act(action);
        }
        model.run_out();
    }
}

fn shape(batch_size: usize, prefetch: usize, ordered: bool) -> Shape {
    Shape { batch_size, prefetch, ordered, decoders: 2, failures_need_length: false }
}

#[test]
fn the_grant_is_a_predicate_over_the_window() {
    for ordered in [true, false] {
        let mut model = Model::new(shape(4, 3, ordered), 100);
        while model.grant() {}
        assert_eq!(model.out.len(), 12);
        // Taking one batch makes room for one.
        for _ in 0..4 {
            model.ready(0);
        }
        assert!(model.take());
        while model.grant() {}
        assert_eq!(model.out.len(), 12);
    }
}

#[test]
fn the_granter_is_woken_for_a_part_of_the_window_or_when_little_is_out() {
    let mut model = Model::new(shape(1, 64, true), 1_000);
    while model.grant() {}
    for taken in 1..=8 {
        model.ready(0);
        assert!(model.take());
        assert_eq!(model.state.has_good_room(), taken == 8);
    }
    // With less room than that, the rest is granted before the work is done.
    while model.grant() {}
    model.ready(0);
    assert!(model.take() && !model.state.runs_low());
    while !model.state.runs_low() {
        model.ready(0);
    }
    assert_eq!((model.out.len(), model.state.has_room()), (3, true));
}

#[test]
fn unordered_a_failure_makes_room_and_ordered_it_does_not() {
    for (ordered, more) in [(true, 0), (false, 1)] {
        let mut model = Model::new(shape(2, 1, ordered), 10);
        while model.grant() {}
        model.fail(0);
        let before = model.out.len();
        while model.grant() {}
        assert_eq!(model.out.len() - before, more);
    }
}

#[test]
fn failures_that_nobody_asks_for_stop_the_granting() {
    let mut model = Model::new(shape(2, 2, false), 1_000_000);
    let mut failed = 0;
    while model.grant() || !model.out.is_empty() {
        model.fail(0);
        failed += 1;
        assert!(failed < 2 * MOST_UNTOLD);
    }
    assert!(failed >= MOST_UNTOLD);
    assert!(model.take() && model.grant(), "one told, room for one");
}

#[test]
fn a_failure_is_judged_when_the_walk_has_ended_and_not_when_all_is_granted() {
    for ordered in [true, false] {
        let shape = Shape { failures_need_length: true, ..shape(2, 1, ordered) };
        let mut model = Model::new(shape, 100);
        while model.grant() {}
        model.fail(0);
        model.ready(0);
        assert!(!model.take());
        model.state.walked(Walk::Ended { length: 100 });
        assert!(model.take());
    }
}

#[test]
fn a_gap_at_the_end_is_filled_from_the_last_batch() {
    let mut model = Model::new(shape(2, 3, false), 5);
    while model.grant() {}
    for at in 0..5 {
        model.claim(at);
    }
    // The first sample fails after it has claimed the first row.
    model.fail(0);
    while !model.out.is_empty() {
        model.ready(0);
    }
    assert!(model.take(), "the failure");
    assert!(model.take() && model.take(), "two full batches of the four that are left");
    assert_eq!((model.batches, model.short), (2, 0));
}

#[test]
fn a_cancelled_epoch_counts_until_its_last_ticket_is_back() {
    let mut model = Model::new(shape(2, 1, true), 10);
    while model.grant() {}
    model.claim(0);
    model.state.begin(7..8);
    assert!(model.state.next().is_none(), "its memory may still be written");
    model.ready(0);
    assert!(model.state.next().is_none());
    model.ready(0);
    assert_eq!(model.state.next().map(|next| (next.epoch, next.position)), Some((7, 0)));
}

#[test]
fn epochs_of_no_batches_are_not_all_opened_at_once() {
    let mut model = Model::new(shape(4, 2, true), 0);
    model.state.begin(0..1_000_000);
    let mut opened = 0;
    while model.grant() {
        opened += 1;
        assert!(opened < 10);
    }
    assert!(model.take(), "an end");
    assert!(model.grant(), "and room for the next");
}

#[test]
fn skipping_leaves_the_epochs_behind_whole() {
    let mut model = Model::new(shape(2, 2, true), 3);
    while model.grant() {}
    assert_eq!(model.out.iter().map(|out| out.epoch).collect::<Vec<_>>(), [0, 0, 0]);
    model.state.skip(0);
    model.run_out();
    assert_eq!(model.ended, [1, 2]);
}

#[test]
fn what_order_holds_back_is_seen() {
    for ordered in [true, false] {
        let mut model = Model::new(shape(4, 2, ordered), 100);
        while model.grant() {}
        // All but the first sample, one after the other.
        for left in (1..8).rev() {
            assert!(!model.state.is_held_back(), "{left} are still out besides the first");
            model.ready(1);
            while !ordered && model.take() {}
        }
        assert_eq!(model.state.is_held_back(), ordered);
        model.ready(0);
        assert!(!model.state.is_held_back());
        assert!(model.take());
        while model.grant() {}
        assert!(!model.state.is_held_back(), "there is work again");
    }
    // With nothing left to grant nobody stands still because of order.
    let mut model = Model::new(shape(4, 2, true), 8);
    model.state.begin(0..1);
    model.state.walked(Walk::Ended { length: 8 });
    while model.grant() {}
    (0..7).for_each(|_| model.ready(1));
    assert!(!model.state.is_held_back());
}
