//! Order, ranks and resuming through the whole pipeline: what a loader delivers
//! depends on nothing but the plan, and goes on exactly where it stood.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::ops::Range;

use common::cases::{Speed, check, speed};
use common::oracle::{Item, Row};
use common::scripted::{Act, Scripted, Walk};
use common::within;
use infeed::{
    Batch, Budget, Digest, Error, ErrorKind, LastBatch, Loader, LoaderBuilder, OnError, Order,
    Resume, Sampling, Shard, State, Uneven,
};
use proptest::prelude::*;

/// What decides them.
#[derive(Clone, Debug)]
struct Work {
    acts: Vec<Act>,
    batch_size: usize,
    last: LastBatch,
    uneven: Uneven,
    shuffled: bool,
    world: u32,
    policy: OnError,
}

fn work(policies: &'static [OnError]) -> impl Strategy<Value = Work> {
    let act = prop_oneof![
        9 => Just(Act::Good),
        1 => proptest::sample::select(&Act::FAILING[..]),
    ];
    let last = proptest::sample::select(&[LastBatch::Keep, LastBatch::Drop, LastBatch::Pad][..]);
    let uneven = proptest::sample::select(&[Uneven::Drop, Uneven::Pad][..]);
    let acts = proptest::collection::vec(act, 1..60);
    let policy = proptest::sample::select(policies);
    (acts, 1_usize..9, last, uneven, any::<bool>(), 1_u32..=4, policy).prop_map(
        |(acts, batch_size, last, uneven, shuffled, world, policy)| Work {
            acts,
            batch_size,
            last,
            uneven,
            shuffled,
            world,
            policy,
        },
    )
}

const SKIP: OnError = OnError::Skip { max_failures: infeed::Budget::Unlimited };
const REPLACE: OnError = OnError::Replace { attempts: 8, max_failures: infeed::Budget::Unlimited };

fn source(work: &Work, speed: Speed) -> Scripted {
    Scripted::with(work.acts.clone(), Walk::Whole, speed.jitter)
}

fn builder(source: &Scripted, work: &Work, speed: Speed, rank: u32) -> LoaderBuilder<u8> {
    let sampling = if work.shuffled { Sampling::Shuffle } else { Sampling::Sequential };
    speed
        .of(source.loader())
        .seed(11)
        .sampling(sampling)
        .shard(rank, work.world)
        .uneven(work.uneven)
        .batch_size(work.batch_size)
        .last_batch(work.last)
        .on_error(work.policy)
}

/// Everything that epochs give, each batch with the state and the digest after it.
fn run(loader: &mut Loader<u8>, epochs: Range<u64>) -> Vec<(Item, Option<(State, Digest)>)> {
    let items = loader.epochs(epochs).unwrap().map(|item| {
        let after = item.as_ref().ok().map(|batch: &Batch<u8>| (batch.state(), batch.digest()));
        (Item::from(item), after)
    });
    items.collect()
}

/// Through JSON, as a user would keep it.
fn kept(state: &State) -> State {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

fn rows(items: &[(Item, Option<(State, Digest)>)]) -> Vec<Row> {
    items.iter().flat_map(|(item, _)| item.rows().to_vec()).collect()
}

#[test]
fn batches_of_a_rank_do_not_depend_on_speed() {
    let works = work(&[OnError::Fail, SKIP, REPLACE]);
    check(128, (works, speed(), speed(), 0_u32..4), |watch, (work, one, other, rank)| {
        let rank = rank % work.world;
        let results = [one, other].map(|speed| {
            let mut loader = builder(&source(&work, speed), &work, speed, rank).build().unwrap();
            watch.on(&loader);
            run(&mut loader, 0..2)
                .into_iter()
                .map(|(item, after)| {
                    // Whether the walk had ended is all that may differ in a state.
                    (item, after.map(|(state, digest)| (state.position(), digest)))
                })
                .collect::<Vec<_>>()
        });
        assert_eq!(results[0], results[1]);
    });
}

/// Stopped after any batch and resumed with another speed: item by item what the
/// run would have given, and the same digests.
#[test]
fn a_resumed_run_is_the_rest_of_the_run() {
    let works = work(&[OnError::Fail, SKIP, REPLACE]);
    let cases = (works, speed(), speed(), 0_u32..4, any::<proptest::sample::Index>());
    check(256, cases, |watch, (work, one, other, rank, stop)| {
        let rank = rank % work.world;
        let mut loader = builder(&source(&work, one), &work, one, rank).build().unwrap();
        watch.on(&loader);
        let whole = run(&mut loader, 0..3);
        drop(loader);
        let batches: Vec<usize> = (0..whole.len()).filter(|&at| whole[at].1.is_some()).collect();
        if batches.is_empty() {
            return;
        }
        let stop = *stop.get(&batches);
        let state = kept(&whole[stop].1.as_ref().unwrap().0);
        let again = source(&work, other);
        let mut loader = builder(&again, &work, other, rank).resume(state).build().unwrap();
        watch.on(&loader);
        let first = loader.first_epoch();
        let rest = run(&mut loader, first..3);
        assert_eq!(rest.len(), whole.len() - stop - 1);
        for (rest, whole) in rest.iter().zip(&whole[stop + 1..]) {
            assert_eq!(rest.0, whole.0);
            let after = |item: &(Item, Option<(State, Digest)>)| {
                item.1.as_ref().map(|(state, digest)| (state.position(), state.batches(), *digest))
            };
            assert_eq!(after(rest), after(whole));
        }
        // Nothing that was consumed has been read.
        if work.acts.iter().all(|act| *act == Act::Good) {
            assert_eq!(again.opened().get() as usize, rows(&rest).len());
        }
    });
}

/// Ordered, any other batch size goes on with the very next sample.
#[test]
fn a_resumed_run_may_have_another_batch_size() {
    let cases = (work(&[REPLACE]), speed(), 1_usize..9, 0_u32..4, any::<proptest::sample::Index>());
    check(128, cases, |watch, (mut work, speed, size, rank, stop)| {
        work.last = LastBatch::Keep;
        let rank = rank % work.world;
        let mut loader = builder(&source(&work, speed), &work, speed, rank).build().unwrap();
        watch.on(&loader);
        let whole = run(&mut loader, 0..1);
        drop(loader);
        if whole.is_empty() || whole.iter().any(|(_, after)| after.is_none()) {
            return;
        }
        let stop = stop.index(whole.len());
        let state = kept(&whole[stop].1.as_ref().unwrap().0);
        let other = Work { batch_size: size, ..work.clone() };
        let mut loader =
            builder(&source(&other, speed), &other, speed, rank).resume(state).build().unwrap();
        watch.on(&loader);
        let rest = run(&mut loader, 0..1);
        assert_eq!(rows(&rest), rows(&whole[stop + 1..]));
    });
}

/// How often each position of the epoch came, padding not counted.
fn times(rows: &[Row]) -> BTreeMap<u64, u32> {
    let mut times = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.padding) {
        *times.entry(row.position).or_default() += 1;
    }
    times
}

/// Ranks that stop where they like, in either order, and go on as many or as
/// others: together every good sample comes exactly once, and the digests of all
/// add up to that of one process.
#[test]
fn ranks_go_on_as_other_ranks() {
    let cases = (
        work(&[SKIP]),
        speed(),
        1_u32..=4,
        proptest::collection::vec(0_usize..6, 4),
        any::<bool>(),
    );
    check(192, cases, |watch, (mut work, speed, world, stops, unordered)| {
        // Skipping would end ranks apart, unordered; failures are told, and passed over.
        if unordered {
            work.policy = OnError::Fail;
        }
        (work.last, work.uneven) = (LastBatch::Keep, Uneven::Pad);
        let order = if unordered { Order::Unordered } else { Order::Ordered };
        let (mut states, mut delivered) = (Vec::new(), Vec::new());
        let told = |item: &Result<Batch<u8>, Error>| {
            !item.as_ref().is_err_and(|error| error.kind() == ErrorKind::Sample)
        };
        for rank in 0..work.world {
            let mut loader =
                builder(&source(&work, speed), &work, speed, rank).order(order).build().unwrap();
            watch.on(&loader);
            let mut last = None;
            let items = loader.epoch(2).unwrap();
            for item in items.filter(told).take(stops[rank as usize] + 1) {
                // A batch of which every sample failed ends the run.
                let Ok(batch) = item else { return };
                last = Some(batch.state());
                delivered.extend(Item::from(Ok(batch)).rows().to_vec());
            }
            let Some(state) = last else { return };
            states.push(kept(&state));
        }
        let next = Work { world, ..work.clone() };
        let mut finals = Vec::new();
        for rank in 0..world {
            let resume = Resume::from_all(states.clone());
            let mut loader = builder(&source(&next, speed), &next, speed, rank)
                .order(order)
                .resume(resume)
                .build()
                .unwrap();
            watch.on(&loader);
            let mut epoch = loader.epoch(2).unwrap();
            for item in epoch.by_ref().filter(told) {
                let Ok(batch) = item else { return };
                delivered.extend(Item::from(Ok(batch)).rows().to_vec());
            }
            // Also of a rank that had nothing left.
            finals.push(epoch.stats().digest);
        }
        let good = |at: &u64| !work.acts[*at as usize].fails();
        let expected: BTreeMap<u64, u32> =
            (0..work.acts.len() as u64).filter(good).map(|at| (at, 1)).collect();
        if work.shuffled {
            // The positions of failing samples are those that are missing.
            let count = work.acts.iter().filter(|act| !act.fails()).count();
            assert_eq!(times(&delivered).len(), count);
            assert!(times(&delivered).values().all(|&times| times == 1));
        } else {
            assert_eq!(times(&delivered), expected);
        }
        let whole = Work { world: 1, ..work.clone() };
        let mut loader = builder(&source(&whole, speed), &whole, speed, 0).build().unwrap();
        watch.on(&loader);
        let mut single = Digest::default();
        for item in loader.epoch(2).unwrap().filter(told) {
            let Ok(batch) = item else { return };
            single = batch.digest();
        }
        let together = Digest::combined(finals);
        assert_eq!((together.set(), together.samples()), (single.set(), single.samples()));
    });
}

/// How often each position came, padding told apart; and what ended the run before its
/// end.
type Came = (BTreeMap<(u64, bool), u32>, Option<String>);

/// Adds what comes of an epoch, of at most so many batches, and gives the last state.
fn come(loader: &mut Loader<u8>, batches: usize, came: &mut Came) -> Option<State> {
    let mut state = None;
    let mut items = loader.epoch(1).unwrap();
    for _ in 0..batches {
        let batch = loop {
            match items.next() {
                Some(Err(error)) if error.kind() == ErrorKind::Sample => {}
                Some(Err(error)) => {
                    came.1 = Some(error.to_string());
                    return state;
                }
                Some(Ok(batch)) => break batch,
                None => return state,
            }
        };
        state = Some(batch.state());
        for row in Item::from(Ok(batch)).rows() {
            *came.0.entry((row.position, row.padding)).or_default() += 1;
        }
    }
    state
}

/// Unordered, the state has a mark and the few that are missing below it: with what
/// came before, the rest is what an uninterrupted run delivers, whatever failed. Before,
/// some of the epoch may have come in order, in batches of another size.
#[test]
fn unordered_runs_resume_exactly() {
    let ordered = proptest::option::of((1_usize..4, 1_usize..9));
    let stops = (1_usize..8, ordered);
    let cases = (work(&[SKIP, OnError::Fail, REPLACE]), speed(), speed(), 0_u32..4, stops);
    check(384, cases, |watch, (mut work, one, other, rank, (stop, ordered))| {
        if work.policy == SKIP {
            // Skipping would end ranks apart.
            work.world = 1;
        }
        let rank = rank % work.world;
        let build = |speed, order, batch_size, state: Option<&State>| {
            let source = source(&work, speed);
            let builder = builder(&source, &work, speed, rank).order(order).batch_size(batch_size);
            let builder = match state {
                Some(state) => builder.resume(kept(state)),
                None => builder,
            };
            let loader = builder.build().unwrap();
            watch.on(&loader);
            loader
        };
        let mut before = Came::default();
        let begun = ordered.and_then(|(batches, size)| {
            come(&mut build(other, Order::Ordered, size, None), batches, &mut before)
        });
        if before.1.is_some() {
            return;
        }
        let build = |speed, state| build(speed, Order::Unordered, work.batch_size, state);
        let mut whole = before.clone();
        come(&mut build(other, begun.as_ref()), usize::MAX, &mut whole);
        let mut came = before;
        let last = come(&mut build(one, begun.as_ref()), stop, &mut came);
        let Some(state) = last else { return };
        let json = serde_json::to_string(&state).unwrap();
        assert!(json.len() < 1_000 + 25 * one.prefetch * work.batch_size, "{json}");
        let mut loader = build(other, Some(&state));
        let after = come(&mut loader, usize::MAX, &mut came);
        if whole.1.is_some() {
            // Every sample failed, or no substitute was found: in both runs.
            return;
        }
        assert_eq!(came, whole);
        let digest = after.as_ref().unwrap_or(&state).digest();
        let delivered = came.0.keys().filter(|(_, padding)| !padding).count();
        assert_eq!(digest.samples() as usize, delivered);
    });
}

/// One run of an epoch by all ranks, each until it has had so many batches or has none
/// left.
#[derive(Clone, Debug)]
struct Leg {
    order: Order,
    batch_size: usize,
    world: u32,
    batches: [usize; 4],
}

fn leg() -> impl Strategy<Value = Leg> {
    let batches = proptest::array::uniform4(1_usize..4);
    (any::<bool>(), 1_usize..5, 1_u32..=4, batches).prop_map(
        |(unordered, batch_size, world, batches)| {
            let order = if unordered { Order::Unordered } else { Order::Ordered };
            Leg { order, batch_size, world, batches }
        },
    )
}

/// Interrupted again and again, and each time gone on with in another order, in other
/// batches and as other ranks: each sample comes once, and every state says how far its
/// rank has come since the ranks became as many.
#[test]
fn a_run_may_change_at_each_of_many_interruptions() {
    const EPOCH: u64 = 3;
    let cases = (1_usize..90, speed(), proptest::collection::vec(leg(), 2..6));
    check(192, cases, |watch, (samples, speed, mut legs)| {
        let source = Scripted::good(samples);
        // At last to the end, as the ranks that there are.
        let Leg { order, batch_size, world, .. } = legs[legs.len() - 1];
        legs.push(Leg { order, batch_size, world, batches: [usize::MAX; 4] });
        let (mut states, mut came) = (Vec::<State>::new(), BTreeMap::new());
        // What had come when the ranks became as many, and of each since.
        let (mut base, mut own) = (0, Vec::new());
        for Leg { order, batch_size, world, batches } in legs {
            if world as usize != own.len() {
                (base, own) = (came.len() as u64, vec![(0, 0); world as usize]);
            }
            let mut stopped = Vec::new();
            for (rank, (turns, had)) in (0..world).zip(&mut own) {
                let builder = speed.of(source.loader()).shuffle(5).shard(rank, world);
                let builder = builder.order(order).batch_size(batch_size);
                let built = match &states[..] {
                    [] => builder.build(),
                    states => builder.resume(states.to_vec()).build(),
                };
                let mut loader = match built {
                    Err(error) if error.to_string().contains("fills up the last one") => return,
                    built => built.unwrap(),
                };
                watch.on(&loader);
                let over = u64::from(loader.batches_of(EPOCH) == Some(0));
                let first = if states.is_empty() { 0 } else { EPOCH + over };
                assert_eq!(loader.first_epoch(), first);
                let of_rank = |state: &State| state.shard() == Shard { rank, world };
                let mut state = states.iter().find(|state| of_rank(state)).cloned();
                for batch in loader.epoch(EPOCH).unwrap().take(batches[rank as usize]) {
                    let batch = batch.unwrap();
                    *turns += batch.len() as u64;
                    *had += 1;
                    for sample in batch.samples().iter().filter(|sample| !sample.is_padding()) {
                        *came.entry(sample.position()).or_insert(0) += 1;
                    }
                    let now = kept(&batch.state());
                    let position = base + *turns * u64::from(world);
                    assert_eq!((now.epoch(), now.position()), (EPOCH, position));
                    assert!(now.batches() == *had && of_rank(&now), "{now:?}");
                    state = Some(now);
                }
                stopped.extend(state);
            }
            if stopped.is_empty() {
                // Nothing is left, of which as many ranks could tell.
                break;
            }
            assert_eq!(stopped.len(), world as usize);
            states = stopped;
        }
        assert!(came.into_iter().eq((0..samples as u64).map(|position| (position, 1))));
    });
}

/// A state of the first, streaming epoch, while the walk is still under way.
#[test]
fn a_state_can_be_taken_during_the_walk() {
    within(|watch| {
        let acts = vec![Act::Good; 40];
        let held = Scripted::with(acts.clone(), Walk::HeldAfter(12), 0);
        let mut loader = held.loader().batch_size(4).build().unwrap();
        watch.on(&loader);
        let state = loader.epoch(0).unwrap().nth(1).unwrap().unwrap().state();
        held.walk_gate().open();
        drop(loader);
        let whole = Scripted::with(acts, Walk::Whole, 0);
        let mut loader = whole.loader().batch_size(4).resume(kept(&state)).build().unwrap();
        let indices: Vec<u64> = loader
            .epoch(0)
            .unwrap()
            .flat_map(|batch| {
                batch.unwrap().samples().iter().map(|s| s.index()).collect::<Vec<_>>()
            })
            .collect();
        assert!(indices.into_iter().eq(8..40));
        // A source with fewer samples than that is another.
        let shorter = Scripted::good(7).loader().batch_size(4).resume(state).build();
        assert_eq!(shorter.unwrap_err().kind(), ErrorKind::Resume);
    });
}

/// The last batch of an epoch leads to the next.
#[test]
fn a_state_at_the_end_of_an_epoch_begins_the_next() {
    within(|watch| {
        let source = Scripted::good(10);
        let mut loader = source.loader().shuffle(3).batch_size(4).build().unwrap();
        watch.on(&loader);
        let state = loader.epoch(6).unwrap().last().unwrap().unwrap().state();
        let next: Vec<Item> = loader.epoch(7).unwrap().map(Item::from).collect();
        let mut resumed = source.loader().shuffle(3).batch_size(4).resume(state).build().unwrap();
        assert_eq!((resumed.first_epoch(), resumed.batches_of(7)), (7, Some(3)));
        let again: Vec<Item> = resumed.epoch(7).unwrap().map(Item::from).collect();
        assert_eq!(again, next);
        // Whole epochs can be had as always.
        assert_eq!(resumed.epoch(2).unwrap().count(), 3);
    });
}

/// An epoch of which every sample fails is an error; the rest of one is not, once some
/// of it has come.
#[test]
fn all_that_is_left_of_an_epoch_may_fail() {
    within(|watch| {
        let failing = Act::FAILING[0];
        let begin = |source: &Scripted, order| {
            source.loader().batch_size(4).order(order).threads(1).readers(1).on_error(SKIP)
        };
        for order in [Order::Ordered, Order::Unordered] {
            // Unordered, the first four have failed when the batch comes. The last four are
            // held until then.
            let first = if order == Order::Ordered { Act::Good } else { failing };
            let acts = |last| Scripted::new([[first; 4], [Act::Good; 4], [last; 4]].concat());
            let source = acts(Act::HeldTask);
            let mut loader = begin(&source, order).build().unwrap();
            watch.on(&loader);
            let of_first = if order == Order::Ordered { 2 } else { 1 };
            let batches = loader.epoch(0).unwrap().map(Result::unwrap);
            let state = kept(&batches.take(of_first).last().unwrap().state());
            source.gate().open();
            assert_eq!(state.failed(), if order == Order::Ordered { 0 } else { 4 });
            assert_eq!(state.position(), 8);
            let mut rest = begin(&acts(failing), order).resume(state).build().unwrap();
            watch.on(&rest);
            let mut epoch = rest.epoch(0).unwrap();
            assert!(epoch.next().is_none());
            // Each fails once.
            assert_eq!(epoch.stats().failed, 4);
            let mut none = begin(&Scripted::new(vec![failing; 4]), order).build().unwrap();
            watch.on(&none);
            let error = none.epoch(0).unwrap().next().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::EmptyBatch, "{error}");
        }
    });
}

/// What failed before counts, and a share is that of the whole epoch.
#[test]
fn a_budget_is_that_of_the_whole_epoch() {
    within(|watch| {
        let failing = Act::FAILING[0];
        // Of twelve samples, one in four fails.
        let acts: Vec<Act> =
            (0..12).map(|at| if at % 4 == 1 { failing } else { Act::Good }).collect();
        for (budget, enough) in [
            (Budget::Count(3), true),
            (Budget::Count(2), false),
            (Budget::Fraction(0.25), true),
            (Budget::Fraction(0.24), false),
        ] {
            let source = Scripted::new(acts.clone());
            let policy = OnError::Skip { max_failures: budget };
            let begin = || source.loader().batch_size(4).on_error(policy);
            let mut loader = begin().build().unwrap();
            watch.on(&loader);
            let second = loader.epoch(0).unwrap().map(Result::unwrap).nth(1).unwrap().state();
            assert_eq!((second.position(), second.batches(), second.failed()), (8, 2, 2));
            let mut rest = begin().resume(kept(&second)).build().unwrap();
            watch.on(&rest);
            let items: Vec<_> = rest.epoch(0).unwrap().collect();
            match (&items[..], enough) {
                ([Ok(last)], true) => {
                    let state = last.state();
                    assert_eq!((state.position(), state.batches(), state.failed()), (12, 3, 3));
                }
                ([Err(error)], false) => assert_eq!(error.kind(), ErrorKind::FailureBudget),
                other => panic!("{budget:?}: {other:?}"),
            }
        }
    });
}

/// Drawn by weights, the rest of an epoch is what it would have been, however soon the
/// loader is asked after the walk.
#[test]
fn a_weighted_epoch_resumes() {
    within(|watch| {
        let source = Scripted::good(3_000);
        let weights: Vec<f64> = (0..3_000).map(|at| f64::from(at % 7)).collect();
        let weights = infeed::Weights::samples(weights);
        let sampling = Sampling::Weighted { weights, samples: Some(40) };
        let builder = || source.loader().sampling(sampling.clone()).batch_size(8);
        let mut loader = builder().build().unwrap();
        watch.on(&loader);
        let whole = run(&mut loader, 2..4);
        for stop in 0..5 {
            let state = kept(&whole[stop].1.as_ref().unwrap().0);
            let mut resumed = builder().resume(state).build().unwrap();
            watch.on(&resumed);
            let first = resumed.first_epoch();
            assert_eq!(rows(&run(&mut resumed, first..4)), rows(&whole[stop + 1..]));
        }
    });
}

/// A rank without samples has an epoch of no batches.
#[test]
fn an_empty_rank_ends_at_once() {
    within(|watch| {
        let source = Scripted::good(2);
        let mut loader =
            source.loader().shard(2, 5).uneven(Uneven::Drop).batch_size(4).build().unwrap();
        watch.on(&loader);
        assert_eq!(loader.epochs(0..3).unwrap().count(), 0);
        assert_eq!((loader.batches(), source.opened().get()), (Some(0), 0));
    });
}

#[test]
fn weights_that_do_not_fit_end_the_run_by_name() {
    within(|watch| {
        let source = Scripted::good(12);
        let weighted = |weights| Sampling::Weighted { weights, samples: None };
        let refusal = |weights| {
            let built = source.loader().sampling(weighted(weights)).build();
            built.and_then(|mut loader| {
                watch.on(&loader);
                loader.epoch(0)?.next().unwrap().map(drop)
            })
        };
        for (weights, said) in [
            (infeed::Weights::samples(vec![1.0; 11]), "the source has 12 samples"),
            (infeed::Weights::samples(vec![0.0; 12]), "the weight 0"),
            (infeed::Weights::samples(vec![f64::NAN; 12]), "finite"),
            (infeed::Weights::Balanced, "has no class"),
        ] {
            let error = refusal(weights).unwrap_err();
            assert_eq!(error.field(), Some("sampling"));
            assert!(error.to_string().contains(said), "{error}");
        }
        // Only one sample has a weight: it comes twelve times.
        let mut one = vec![0.0; 12];
        one[5] = 2.0;
        let weights = weighted(infeed::Weights::samples(one));
        let mut loader = source.loader().sampling(weights).build().unwrap();
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        assert!(batch.len() == 12 && batch.samples().iter().all(|sample| sample.index() == 5));
    });
}

#[test]
fn ranks_that_would_end_apart_are_refused() {
    let builder = Scripted::good(4).loader().order(Order::Unordered).on_error(SKIP).shard(0, 2);
    let error = builder.resolve().unwrap_err();
    assert_eq!(error.field(), Some("on_error"));
    let error = Scripted::good(4).loader().shard(2, 2).resolve().unwrap_err();
    assert_eq!(error.to_string(), "shard = 2/2: expected a rank from 0 to 1");
}
