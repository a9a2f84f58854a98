//! Figures of two looks by hand, and what is seen between them.

use std::cell::OnceCell;
use std::time::Duration;

use super::sight::{FED, Shares, Sight};
use super::*;
use crate::capacity::tests::{PLANT, costs};
use crate::capacity::{Cost, Costs, Plant};

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn ms(times: impl IntoIterator<Item = u64>) -> Histogram {
    Histogram::of(times.into_iter().map(Duration::from_millis))
}

fn near(told: f64, expected: f64) {
    assert!((told - expected).abs() <= 1e-9, "{told} for {expected}");
}

/// A loader with a past: none of what follows may count it.
fn before() -> Stats {
    let mut stats = Stats { seconds: 7.0, thread_time: s(11.0), ..Stats::default() };
    stats.setting = SETTING;
    let stages = &mut stats.stages;
    for stage in [&mut stages.read, &mut stages.decode, &mut stages.transform, &mut stages.batch] {
        *stage = StageStats {
            items: 40,
            bytes: 4_000,
            busy: s(1.5),
            waiting_for_input: s(2.5),
            waiting_for_output: s(3.5),
            waiting_for_memory: s(0.5),
            ..StageStats::default()
        };
    }
    (stages.reorder_wait, stages.first_wait) = (s(0.25), s(0.75));
    stats.decoders = Some(CoreTime { on_core: s(1.0), waiting_for_core: s(2.0) });
    let past = || ms([900; 50]);
    stats.spread = Spread { read: past(), decode: past(), transform: past(), step: past() };
    stats
}

const SETTING: Setting =
    Setting { threads: 4, readers: 5, prefetch: 6, batch_size: 8, ordered: true, cores: 16 };

/// Eight seconds of the consumer's later: eight batches, each three quarters full.
fn after() -> Stats {
    let mut stats = before();
    stats.seconds += 10.0;
    stats.thread_time += s(30.0);
    let stages = &mut stats.stages;
    stages.read.busy += s(20.0);
    stages.read.waiting_for_input += s(3.0);
    stages.read.waiting_for_output += s(6.0);
    stages.read.waiting_for_memory += s(4.0);
    stages.decode.busy += s(6.0);
    stages.decode.waiting_for_output += s(2.4);
    stages.decode.waiting_for_memory += s(1.2);
    stages.transform.busy += s(3.0);
    stages.transform.items += 60;
    stages.transform.bytes += 6_000;
    stages.batch.items += 8;
    stages.batch.bytes += 4_800;
    stages.batch.busy += s(1.0);
    stages.batch.waiting_for_input += s(3.0);
    stages.batch.waiting_for_output += s(4.0);
    stages.reorder_wait += s(1.0);
    stages.first_wait += s(2.0);
    stats.decoders = Some(CoreTime { on_core: s(5.5), waiting_for_core: s(5.0) });
    let Spread { read, decode, transform, step } = &mut stats.spread;
    read.add(&ms(1..=100));
    decode.add(&ms((1..=100).map(|at| 2 * at)));
    transform.add(&ms((1..=100).map(|at| 3 * at)));
    step.add(&ms((1..=100).map(|at| 4 * at)));
    let level = |limit_bytes, mean_bytes| Level { limit_bytes, mean_bytes, ..Level::default() };
    stats.memory =
        MemoryUse { encoded: level(1_050, 100), decode: level(50, 60), ..MemoryUse::default() };
    stats
}

fn sight(now: &Stats) -> Sight {
    Sight::new(&before(), now).unwrap()
}

#[test]
fn shares_are_of_the_consumers_time_and_of_all_threads() {
    let told = sight(&after()).shares;
    // Three of the four threads might work, on average.
    let expected = Shares {
        threads: 4,
        readers: 5,
        prefetch: 6,
        cores: 16,
        busy: 9.0 / 24.0,
        starved: 1.0 - 9.0 / 24.0 - 2.4 / 24.0,
        for_memory: 1.2 / 24.0,
        reading: 20.0 / 40.0,
        reads_for_memory: 4.0 / 40.0,
        reorder: 1.0 / 8.0,
        no_room: 2.0 / 8.0,
        listing: 3.0 / 8.0,
    };
    assert_eq!(
        (told.threads, told.readers, told.prefetch, told.cores),
        (expected.threads, expected.readers, expected.prefetch, expected.cores)
    );
    let parts = |shares: Shares| {
        let Shares { busy, starved, for_memory, reading, .. } = shares;
        let Shares { reads_for_memory, reorder, no_room, listing, .. } = shares;
        [busy, starved, for_memory, reading, reads_for_memory, reorder, no_room, listing]
    };
    std::iter::zip(parts(told), parts(expected)).for_each(|(told, part)| near(told, part));
}

#[test]
fn costs_are_for_each_sample_and_for_a_full_batch() {
    let Sight { costs, fill, plant, read, images_per_second, wait, .. } = sight(&after());
    near(fill, 0.75);
    near(images_per_second, 48.0 / 8.0);
    near(wait, 3.0 / 8.0);
    near(costs.read.mean, 20.0 / 60.0);
    // Without the three seconds of nine in which threads waited for a core.
    near(costs.decode.mean, 6.0 / 60.0);
    near(costs.on_core, 4.5 / 6.0);
    near(costs.assembly, 1.0 / 6.0);
    near(costs.step.mean, 4.0 / 6.0);
    near(costs.cores, 16.0);
    let spread_as = |cost: Cost, times: Histogram| {
        assert_eq!(cost, Cost::new(cost.mean, times.service()));
    };
    spread_as(costs.read, ms(1..=100));
    spread_as(costs.decode, ms((1..=100).map(|at| 2 * at)));
    spread_as(costs.step, ms((1..=100).map(|at| 4 * at)));
    assert_eq!(read, ms(1..=100).service());
    // Ten files fit; a picture that is larger than all there is for pictures has it alone.
    let expected = Plant {
        threads: 4,
        readers: 5,
        prefetch: 6,
        batch_size: 8,
        ordered: true,
        files: 10,
        pictures: 1,
    };
    assert_eq!(plant, expected);
}

#[test]
fn what_is_not_known_is_taken_as_it_must_be() {
    // No time on cores: all of it is work.
    let unknown = Stats { decoders: None, ..after() };
    let costs = sight(&unknown).costs;
    near(costs.decode.mean, 9.0 / 60.0);
    near(costs.on_core, 1.0);
    // Hardly any of it was work.
    let mut crowded = after();
    crowded.decoders = Some(CoreTime { on_core: s(1.09), waiting_for_core: s(10.9) });
    let costs = sight(&crowded).costs;
    near(costs.decode.mean, 0.9 / 60.0);
    near(costs.on_core, 0.1);
    // All pixels came from a cache.
    let mut cached = after();
    cached.spread.decode = before().spread.decode;
    let decode = sight(&cached).costs.decode;
    assert_eq!(decode, Cost::new(decode.mean, ms((1..=100).map(|at| 3 * at)).service()));
    // Nothing was counted of how long threads might have worked, or for how long.
    for now in [
        Stats { thread_time: before().thread_time, ..after() },
        Stats { seconds: before().seconds, ..after() },
    ] {
        near(sight(&now).shares.busy, 9.0 / 32.0);
    }
    // One thread that was let in late.
    near(sight(&Stats { thread_time: s(12.0), ..after() }).shares.busy, 1.0);
    // Nothing was in memory yet.
    let plant = sight(&Stats { memory: MemoryUse::default(), ..after() }).plant;
    assert_eq!((plant.files, plant.pictures), (usize::MAX, usize::MAX));
    // No reader, no core, as in a default.
    let mut none = after();
    (none.setting.readers, none.setting.cores) = (0, 0);
    let Sight { shares, costs, .. } = sight(&none);
    near(shares.reads_for_memory, 4.0 / 8.0);
    near(costs.cores, 1.0);
}

#[test]
fn too_little_is_not_judged() {
    let with = |rows: u64, batches: u64| {
        let mut now = after();
        now.stages.transform.items = before().stages.transform.items + rows;
        now.stages.batch.items = before().stages.batch.items + batches;
        Sight::new(&before(), &now)
    };
    assert!(with(8, 2).is_some());
    assert!(with(7, 2).is_none());
    assert!(with(8, 1).is_none());
    assert_eq!(Stats::default().bound_since(&Stats::default()), Bound::Starting);
    assert_eq!(after().bound_since(&before()), Bound::Walk);
    assert_eq!(after().verdict_since(&before()).bound, Bound::Walk);
    near(after().verdict_since(&before()).images_per_second, 6.0);
    // Since the beginning: 88 images of 8,800 bytes in 15.5 seconds.
    near(after().verdict().images_per_second, 88.0 / 15.5);
}

#[test]
fn the_first_wait_of_a_run_is_left_out_of_a_steady_one() {
    let Sight { wait, images_per_second, .. } = Sight::steady(&before(), &after()).unwrap();
    near(wait, 1.0 / 6.0);
    near(images_per_second, 48.0 / 6.0);
}

/// A sight of these shares, by a consumer that waits half its time.
fn shared(shares: Shares) -> Sight {
    Sight { shares, wait: 0.5, ..sight(&after()) }
}

#[test]
fn the_one_to_blame_is_busy_while_the_others_wait() {
    let none = Shares { starved: 1.0, ..Shares::default() };
    let bound = |shares| shared(shares).bound(FED);
    assert_eq!(Sight { wait: 0.01, ..shared(none) }.bound(FED), Bound::Consumer);
    assert_eq!(Sight { wait: 0.011, ..shared(none) }.bound(FED), Bound::Read);
    assert_eq!(Sight { wait: 0.1, ..shared(none) }.bound(0.1), Bound::Consumer);

    assert_eq!(bound(Shares { reorder: 0.25, ..none }), Bound::Read);
    assert_eq!(bound(Shares { reorder: 0.26, busy: 1.0, ..none }), Bound::Order);

    let waits = |for_memory, starved, busy| bound(Shares { for_memory, starved, busy, ..none });
    assert_eq!(waits(0.15, 0.15, 0.7), Bound::Memory);
    assert_eq!(waits(0.14, 0.1, 0.7), Bound::Decode);
    assert_eq!(waits(0.2, 0.25, 0.05), Bound::Decode);
    assert_eq!(waits(0.2, 0.25, 0.04), Bound::Read);
    assert_eq!(waits(0.0, 0.5, 0.5), Bound::Decode);
    assert_eq!(waits(0.0, 0.5, 0.49), Bound::Read);

    let reads = |reads_for_memory, reading, no_room, listing| {
        bound(Shares { reads_for_memory, reading, no_room, listing, ..none })
    };
    assert_eq!(reads(0.15, 0.15, 1.0, 1.0), Bound::Memory);
    assert_eq!(reads(0.15, 0.16, 0.6, 0.0), Bound::Prefetch);
    assert_eq!(reads(0.14, 0.1, 0.6, 0.0), Bound::Prefetch);
    assert_eq!(reads(0.0, 0.7, 1.0, 1.0), Bound::Read);
    assert_eq!(reads(0.0, 0.69, 0.51, 1.0), Bound::Prefetch);
    assert_eq!(reads(0.0, 0.69, 0.5, 0.31), Bound::Walk);
    assert_eq!(reads(0.0, 0.69, 0.5, 0.3), Bound::Read);
}

/// A loader whose threads do 500 images a second each, and that delivers a tenth less than
/// the miniature says of it.
pub(crate) fn plain() -> Sight {
    Sight {
        shares: Shares::default(),
        costs: costs(),
        plant: PLANT,
        images_per_second: 900.0,
        wait: 0.5,
        simulated: OnceCell::new(),
        ..sight(&after())
    }
}

/// A sight whose bound is this one, of a consumer that waits half its time.
pub(crate) fn bound(bound: Bound) -> Sight {
    let mut sight = plain();
    let shares = &mut sight.shares;
    match bound {
        Bound::Starting => unreachable!("there is a sight"),
        Bound::Consumer => sight.wait = 0.0,
        Bound::Decode => shares.busy = 1.0,
        Bound::Read => (shares.starved, shares.reading) = (1.0, 1.0),
        Bound::Order => shares.reorder = 0.5,
        Bound::Prefetch => (shares.starved, shares.no_room) = (1.0, 1.0),
        Bound::Memory => shares.for_memory = 0.5,
        Bound::Walk => (shares.starved, shares.listing) = (1.0, 1.0),
    }
    assert_eq!(sight.bound(FED), bound);
    sight
}

/// Within three of a hundred: the miniature's rounding.
pub(super) fn about(told: f64, expected: f64) {
    assert!((told - expected).abs() <= 0.03 * expected, "{told} for {expected}");
}

/// A step of 8 ms after 2 ms for the batch: 3,200 images a second at most.
fn stepping(images_per_second: f64) -> Sight {
    let plain = plain();
    let costs = Costs { assembly: 0.002, step: Cost::fixed(0.008), ..plain.costs };
    Sight { costs, images_per_second, ..plain }
}

#[test]
fn another_setting_is_told_as_a_ratio_to_this_one() {
    let with = |sight: &Sight, threads| sight.outcome(&Plant { threads, ..sight.plant });
    let free = with(&plain(), 4);
    about(free.images_per_second, 1_800.0);
    near(free.wait, 1.0);
    about(free.busy, 4.0);
    let twice = with(&stepping(900.0), 4);
    about(twice.images_per_second, 1_800.0);
    about(twice.wait, 1.0 - 0.01 * 1_800.0 / 32.0);
    // The consumer is the limit: in the miniature it hardly waits.
    let enough = with(&stepping(900.0), 16);
    about(enough.images_per_second, 0.9 * 3_200.0);
    assert!(enough.wait <= FED, "{}", enough.wait);
    // Measured to be better than the miniature says, but not than the consumer takes.
    let more = with(&stepping(1_200.0), 16);
    near(more.images_per_second, 3_200.0);
    near(more.wait, 0.0);
}

#[test]
fn a_consumer_that_does_nothing_wants_four_times_what_it_gets() {
    near(stepping(900.0).demand(), 3_200.0);
    near(stepping(700.0).demand(), 2_800.0);
    near(plain().demand(), 3_600.0);
}

#[test]
fn the_capacity_is_what_a_consumer_would_get_that_never_waits() {
    let sight = stepping(900.0);
    about(sight.capacity(&sight.plant), 900.0);
    let plant = Plant { threads: 16, ..sight.plant };
    // Its assembly stays: 32 images in at least 2 ms.
    let sight = Sight { plant, images_per_second: 2_900.0, ..stepping(0.0) };
    about(sight.capacity(&plant), 8_000.0 * 2_900.0 / 3_200.0);
}
