//! The pure window under arbitrary interleavings, against what must hold
//! whatever happens.

use proptest::prelude::*;

use super::model::{Action, Model};
use super::state::*;

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
            1 => (0..2_u64).prop_map(Action::Skip),
            2 => (1..5_usize).prop_map(Action::Prefetch),
            1 => Just(Action::Walked),
            1 => (1..6_usize).prop_map(Action::Decoders),
            1 => (1..4_u64).prop_map(Action::Begin),
        ],
        0..400,
    )
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

pub(super) fn shape(batch_size: usize, prefetch: usize, ordered: bool) -> Shape {
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
    for (decoders, low) in [(33, true), (32, false), (2, false)] {
        model.state.set_decoders(decoders);
        assert_eq!(model.state.runs_low(), low);
    }
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
    // With less than two for each thread, that is.
    for (decoders, low) in [(1, false), (2, true), (1, false), (4, true)] {
        model.state.set_decoders(decoders);
        assert_eq!(model.state.runs_low(), low);
    }
}

#[test]
fn a_part_of_a_large_window_is_no_more_than_sixteen() {
    let mut model = Model::new(shape(4, 64, true), 1_000);
    while model.grant() {}
    for taken in 1..=4 {
        (0..4).for_each(|_| model.ready(0));
        assert!(model.take());
        assert_eq!(model.state.has_good_room(), taken == 4);
    }
}

#[test]
fn there_is_no_room_where_nothing_is_left_to_grant() {
    let mut model = Model::new(shape(2, 3, true), 2);
    model.state.begin(0..1);
    while model.grant() {}
    assert_eq!(model.out.len(), 2);
    assert!(!model.state.has_room() && !model.state.has_good_room());
    assert!(model.state.is_under_way());
    model.run_out();
    assert!(!model.state.has_room() && !model.state.is_under_way());
}

#[test]
fn unordered_a_failure_makes_room_and_ordered_it_does_not() {
    for (ordered, more) in [(true, 0), (false, 1)] {
        let mut model = Model::new(shape(2, 1, ordered), 10);
        while model.grant() {}
        assert_eq!(model.state.failures_make_room(), more > 0);
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
    // The last batch gives all that it has, or a part.
    for (batch_size, short) in [(2, 0), (3, 1)] {
        let mut model = Model::new(shape(batch_size, 3, false), 5);
        while model.grant() {}
        for at in 0..5 {
            model.claim(at);
        }
        // The first sample fails after it has claimed the first row.
        model.fail(0);
        while model.out.iter().any(|out| out.epoch == 0) {
            model.ready(0);
        }
        assert!(model.take(), "the failure");
        assert!(model.take() && model.take(), "two batches of the four that are left");
        assert_eq!((model.batches, model.short), (2, short));
        // With as many samples as were planned.
        assert!(model.take());
        assert_eq!(model.ended, [0]);
    }
}

#[test]
fn gaps_that_nothing_fills_end_the_last_batch() {
    let mut model = Model::new(shape(3, 3, false), 4);
    model.state.begin(0..1);
    while model.grant() {}
    (0..4).for_each(|at| model.claim(at));
    model.fail(0);
    model.fail(0);
    model.ready(0);
    model.ready(0);
    assert!(model.take() && model.take(), "two failures");
    assert!(model.take(), "two of the four in one batch");
    assert_eq!((model.batches, model.short), (1, 1));
    assert!(model.take());
    assert_eq!(model.ended, [0]);
}

#[test]
fn ordered_a_failure_that_is_known_in_time_leaves_no_gap() {
    let mut model = Model::new(shape(8, 1, true), 8);
    while model.grant() {}
    let row = |model: &mut Model, at: usize| {
        model.claim(at);
        model.out[at].place.unwrap().row
    };
    // Of samples 0 to 7, the first two fail.
    model.fail(0);
    model.fail(0);
    // Of 2 to 7: those before them may still come.
    assert_eq!(row(&mut model, 3), 3);
    assert_eq!(row(&mut model, 0), 0);
    assert_eq!(row(&mut model, 4), 4);
    assert_eq!(row(&mut model, 2), 2);
    // The one before the last fails late, the one after it comes as if it were there.
    model.fail(4);
    assert_eq!(row(&mut model, 4), 4);
    assert_eq!(row(&mut model, 1), 1);
    model.run_out();
    assert_eq!(model.ended, [0, 1, 2]);
}

/// Not once more for each that has failed before: that would be for minutes.
#[test]
fn a_batch_of_a_million_may_fail() {
    const SIZE: u64 = 1 << 20;
    let mut state: State<(), (), ()> = State::new(shape(SIZE as usize, 1, true));
    state.begin(0..1);
    let next = state.next().unwrap();
    assert!(state.grant(next, SIZE));
    for position in 1..SIZE {
        let (place, ()) = state.claim(next.id, position, || Some(())).unwrap();
        assert_eq!(place.row, 1, "the first may still come");
        state.fail(next.id, position, Some(place), ());
    }
    let (place, ()) = state.claim(next.id, 0, || Some(())).unwrap();
    state.ready(next.id, place, ());
    let Take::Batch(mut batch) = state.take(|(), _, (), _| ()) else { panic!("it is whole") };
    let mut rows = Vec::new();
    assert_eq!(batch.sort(|row, ()| rows.push(row)).len() as u64, SIZE - 1);
    assert_eq!(rows, [0]);
}

#[test]
fn where_memory_is_refused_the_row_stays_free() {
    for ordered in [true, false] {
        let mut state: State<(), u64, u64> = State::new(shape(2, 1, ordered));
        state.begin(0..1);
        let next = state.next().unwrap();
        assert!(state.grant(next, 2));
        assert!(state.claim(next.id, 0, || None).is_none());
        let (first, ()) = state.claim(next.id, 0, || Some(())).unwrap();
        let (second, ()) = state.claim(next.id, 1, || Some(())).unwrap();
        assert_eq!((first.row, second.row), (0, 1));
    }
}

#[test]
fn the_first_epoch_of_use_is_the_oldest_that_is_not_cancelled() {
    let mut model = Model::new(shape(1, 4, true), 2);
    while model.grant() {}
    assert_eq!((model.out.len(), model.state.first_live()), (4, 0));
    model.act(Action::Skip(0));
    assert_eq!(model.state.first_live(), 1, "its tickets are still out");
    model.state.cancel();
    assert_eq!(model.state.first_live(), 2, "none is left");
    assert_eq!(model.out.len(), 4);
}

#[test]
fn batches_that_wait_are_counted() {
    let waiting = |model: &Model| model.state.occupancy().waiting;
    for ordered in [true, false] {
        let mut model = Model::new(shape(2, 4, ordered), 5);
        model.state.begin(0..1);
        while model.grant() {}
        let mut counts = Vec::new();
        // From the last sample to the first.
        for at in (0..5).rev() {
            model.ready(at);
            counts.push(waiting(&model));
        }
        // In order, the short batch at the end is whole first; else it is what is left.
        assert_eq!(counts, if ordered { [1, 1, 2, 2, 3] } else { [0, 1, 1, 2, 3] });
        for left in [2, 1, 0] {
            assert!(model.take());
            assert_eq!(waiting(&model), left);
        }
    }
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
    // As many as batches there may be, and one.
    assert_eq!(opened, 3);
    assert!(model.take(), "an end");
    assert!(model.grant(), "and room for the next");
}

#[test]
fn skipping_leaves_the_epochs_behind_whole() {
    let mut model = Model::new(shape(2, 2, true), 3);
    while model.grant() {}
    assert_eq!(model.out.iter().map(|out| out.epoch).collect::<Vec<_>>(), [0, 0, 0]);
    model.act(Action::Skip(0));
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
        // Two rows are no batch, and those that were taken do not count.
        while model.take() {}
        while model.grant() {}
        (0..5).for_each(|_| model.fail(1));
        (0..2).for_each(|_| model.ready(1));
        assert!(!model.state.is_held_back());
    }
    // With nothing left to grant nobody stands still because of order: not where
    // another epoch is to come.
    for epochs in [1, 2] {
        let mut model = Model::new(shape(4, 2, true), 8);
        model.state.begin(0..epochs);
        model.state.walked(Walk::Ended { length: 8 });
        while model.grant() {}
        (0..7).for_each(|_| model.ready(1));
        assert_eq!(model.state.is_held_back(), epochs == 2);
    }
}
