//! Advice by hand: sights of loaders whose parts cost so much, and what is advised.

use std::cell::OnceCell;

use super::advice::{MOST_PREFETCH, MOST_READERS, MOST_THREADS};
use super::sight::{FED, Shares, Sight};
use super::sight_tests::{about, bound, plain};
use super::*;
use crate::capacity::{Cost, simulate};

fn change(sight: &Sight) -> Option<Change> {
    sight.judge().advice.map(|advice| advice.change)
}

#[test]
fn a_fed_consumer_is_told_how_few_threads_would_do() {
    let mut sight = bound(Bound::Consumer);
    // 1,280 images a second: two threads and a half.
    sight.costs.step = Cost::fixed(0.025);
    (sight.plant.threads, sight.images_per_second) = (8, 1_280.0);
    let verdict = sight.judge();
    let Advice { change, wait, images_per_second } = verdict.advice.unwrap();
    assert_eq!(change, Change::Threads(3));
    assert!(wait <= FED, "{wait}");
    about(images_per_second, 1_280.0);
    about(verdict.capacity, 4_000.0);
    assert_eq!(verdict.wait, 0.0);
    sight.plant.threads = 3;
    assert_eq!(self::change(&again(&sight)), None);
}

/// The same, without what the miniature has said of another.
fn again(sight: &Sight) -> Sight {
    Sight { simulated: OnceCell::new(), ..sight.clone() }
}

#[test]
fn threads_are_proposed_up_to_what_the_cores_can_do() {
    let mut sight = bound(Bound::Decode);
    sight.costs.cores = 4.0;
    let verdict = sight.judge();
    let advice = verdict.advice.unwrap();
    assert_eq!(advice.change, Change::Threads(4));
    about(advice.images_per_second, 1_800.0);
    // Half of the work needs no core.
    sight.costs.on_core = 0.5;
    assert_eq!(change(&again(&sight)), Some(Change::Threads(8)));
    // A quarter: the sixth thread would bring seven of a hundred.
    sight.costs.on_core = 0.75;
    assert_eq!(change(&again(&sight)), Some(Change::Threads(5)));
    // A fifth: three cores are busy with three threads and three quarters.
    (sight.costs.on_core, sight.costs.cores) = (0.8, 3.0);
    assert_eq!(change(&again(&sight)), Some(Change::Threads(4)));
    sight.costs.on_core = 1.0;
    // No more than keep the consumer fed: 32 in 16 ms, by the miniature four threads.
    sight.costs.cores = 64.0;
    sight.costs.step = Cost::fixed(0.016_2);
    assert_eq!(change(&again(&sight)), Some(Change::Threads(4)));
    // All cores are in use.
    sight.costs = plain().costs;
    sight.costs.cores = 2.0;
    assert_eq!(change(&again(&sight)), None);
    // However many cores there are.
    (sight.costs.cores, sight.plant.threads) = (1e6, MOST_THREADS);
    assert_eq!(change(&again(&sight)), None);
}

#[test]
fn readers_are_doubled_as_long_as_it_is_worth_a_tenth() {
    let mut sight = bound(Bound::Read);
    // Reads of 20 ms: 50 images a second each. Nine of the readers feed a consumer
    // that takes 450.
    sight.costs.read = Cost::fixed(0.02);
    sight.costs.step = Cost::fixed(32.0 / 450.0);
    (sight.plant.readers, sight.plant.prefetch, sight.images_per_second) = (2, 8, 100.0);
    assert_eq!(change(&again(&sight)), Some(Change::Readers(16)));
    // One that takes all: as many as the decoders can use, 1,000 images a second.
    sight.costs.step = Cost::fixed(0.0);
    assert_eq!(change(&again(&sight)), Some(Change::Readers(32)));
    // Decoding is the limit.
    sight.plant.readers = 64;
    assert_eq!(change(&again(&sight)), None);
    // More are not proposed.
    sight.costs.read = Cost::fixed(100.0);
    sight.plant.readers = MOST_READERS / 2 + 1;
    assert_eq!(change(&again(&sight)), None);
}

#[test]
fn a_window_without_room_is_made_deeper() {
    let mut sight = bound(Bound::Prefetch);
    // One sample in twelve takes 60 ms, the batches are small.
    let ms = std::time::Duration::from_millis;
    let slow = crate::stats::Service { p50: ms(1), p90: ms(2), p99: ms(60) };
    sight.costs.decode = Cost::new(0.004, slow);
    (sight.plant.batch_size, sight.plant.threads, sight.plant.prefetch) = (2, 8, 1);
    sight.images_per_second = 300.0;
    let Some(Change::Prefetch(prefetch)) = change(&again(&sight)) else { panic!() };
    assert!(prefetch.is_power_of_two() && (4..=MOST_PREFETCH).contains(&prefetch), "{prefetch}");
    sight.plant.prefetch = MOST_PREFETCH;
    assert_eq!(change(&again(&sight)), None);
    // Held back by order: the same helps; without room to grow, no order.
    sight.shares = bound(Bound::Order).shares;
    assert_eq!(change(&again(&sight)), Some(Change::Unordered));
    // A consumer with a step of its own, whom a deeper window feeds as well as no order.
    sight.costs.step = Cost::fixed(0.016);
    sight.plant.prefetch = 1;
    sight.images_per_second = 60.0;
    let Some(Change::Prefetch(prefetch)) = change(&again(&sight)) else { panic!() };
    assert!(prefetch.is_power_of_two() && prefetch <= MOST_PREFETCH, "{prefetch}");
}

#[test]
fn what_lists_too_slowly_cannot_be_set_otherwise() {
    assert_eq!(change(&bound(Bound::Walk)), None);
}

#[test]
fn memory_is_asked_for_as_all_threads_or_all_reads_want_it() {
    let level = |limit_bytes, mean_bytes| Level { limit_bytes, mean_bytes, ..Level::default() };
    let mut sight = bound(Bound::Memory);
    // Eight pictures of 3,000 bytes and a quarter more are 30,000; of what is added,
    // pictures get three quarters.
    (sight.plant.threads, sight.plant.pictures) = (8, 2);
    sight.decode = level(6_000, 3_000);
    let verdict = sight.judge();
    let advice = verdict.advice.unwrap();
    assert_eq!(advice.change, Change::Memory(24_000 / 3 * 4));
    // All eight threads work then, where two did.
    about(advice.images_per_second, 4.0 * 900.0);
    // Less than four bytes are parted evenly.
    sight.decode = level(29_999, 3_000);
    assert_eq!(change(&again(&sight)), Some(Change::Memory(4)));
    sight.decode = level(30_000, 3_000);
    assert_eq!(change(&again(&sight)), None);

    let mut sight = bound(Bound::Memory);
    sight.shares = Shares { starved: 1.0, reads_for_memory: 0.5, ..Shares::default() };
    // Files of sixteen reads, and two for each of four threads.
    (sight.plant.threads, sight.plant.readers, sight.plant.files) = (4, 16, 1);
    sight.costs.read = Cost::fixed(0.02);
    sight.encoded = level(1_000, 1_000);
    let advice = sight.judge().advice.unwrap();
    assert_eq!(advice.change, Change::Memory((24 * 1_250 - 1_000) * 4));
    assert!(advice.images_per_second > 8.0 * 900.0, "{}", advice.images_per_second);
}

#[test]
fn what_limits_next_is_the_slower_of_reads_and_decoding() {
    let mut sight = bound(Bound::Decode);
    sight.costs.cores = 4.0;
    sight.costs.read = Cost::fixed(0.01);
    assert_eq!(sight.judge().next, Some((Bound::Read, 1_600.0)));
    let next = |sight: &Sight, bound| sight.next(bound, &sight.plant);
    // Of another bound, the slower one: two threads.
    assert_eq!(next(&sight, Bound::Order), Some((Bound::Decode, 1_000.0)));
    assert_eq!(next(&sight, Bound::Read), Some((Bound::Decode, 1_000.0)));
    // Pictures that there is memory for, cores that there are.
    sight.plant.threads = 8;
    assert_eq!(next(&sight, Bound::Read), Some((Bound::Decode, 2_000.0)));
    sight.costs.on_core = 0.8;
    assert_eq!(next(&sight, Bound::Read), Some((Bound::Decode, 2_500.0)));
    sight.plant.pictures = 3;
    assert_eq!(next(&sight, Bound::Read), Some((Bound::Decode, 1_500.0)));
    assert_eq!(next(&sight, Bound::Order), Some((Bound::Decode, 1_500.0)));
    sight.costs.decode = Cost::fixed(0.001);
    assert_eq!(next(&sight, Bound::Order), Some((Bound::Read, 1_600.0)));
    // What costs nothing, or hardly anything, limits nothing.
    sight.costs.read = Cost::fixed(0.0);
    assert_eq!(next(&sight, Bound::Decode), None);
    sight.costs.read = Cost::fixed(16.0 / 1e6);
    assert_eq!(next(&sight, Bound::Decode), None);
}

#[test]
fn order_is_kept_where_a_deeper_window_does_as_well() {
    let ms = std::time::Duration::from_millis;
    let slow = crate::stats::Service { p50: ms(1), p90: ms(2), p99: ms(60) };
    let mut sight = bound(Bound::Order);
    sight.costs.decode = Cost::new(0.004, slow);
    (sight.plant.batch_size, sight.plant.threads) = (4, 8);
    let mut advised = |step| {
        sight.costs.step = Cost::fixed(step);
        sight.images_per_second = simulate(&sight.costs, &sight.plant).images_per_second;
        again(&sight).judge().advice.unwrap()
    };
    // Sixteen batches ahead leave a wait of half a hundredth, no order none.
    let Advice { change, wait, .. } = advised(0.03);
    assert!(change == Change::Prefetch(16) && (0.001..=FED).contains(&wait), "{change:?} {wait}");
    // And here of fifteen hundredths.
    let Advice { change, wait, images_per_second } = advised(0.016);
    assert!(change == Change::Unordered && wait < 0.001, "{change:?} {wait}");
    about(images_per_second, 4.0 / 0.016);
}
