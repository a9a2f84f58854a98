//! What a setting can deliver, given what its parts cost: a loader in miniature.
//!
//! Reads, decodes and the consumer's steps are events on a clock of its own,
//! under the loader's own rules: the window grants while there is room, readers
//! and threads are so many, memory holds so many files and pictures, a batch is
//! taken when it is whole. Times are drawn from the measured ones, the same in
//! every call, so two settings differ by what they are and not by luck.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::random::Draws;
use crate::stats::Service;

/// The time that one item takes, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    pub(crate) mean: f64,
    /// How the time is spread: those that 0, 50, 90, 99 and 100 of a hundred items
    /// do not exceed, with a mean of 1.
    spread: [f64; 5],
}

/// The shares of the items at the corners of [`Cost::spread`].
const CORNERS: [f64; 5] = [0.0, 0.5, 0.9, 0.99, 1.0];

impl Cost {
    /// Always the same.
    pub(crate) fn fixed(mean: f64) -> Self {
        Cost { mean, spread: [1.0; 5] }
    }

    /// With this mean, spread as `service`.
    pub(crate) fn new(mean: f64, service: Service) -> Self {
        let [p50, p90, p99] =
            [service.p50, service.p90, service.p99].map(|time| time.as_secs_f64());
        if p50 <= 0.0 {
            return Cost::fixed(mean);
        }
        // The ends are not known; they continue what is.
        let corners = [p50 * p50 / p90, p50, p90, p99, p99 * p99 / p90];
        let sum = (1..5).map(|at| {
            (CORNERS[at] - CORNERS[at - 1]) * f64::midpoint(corners[at], corners[at - 1])
        });
        let area: f64 = sum.sum();
        Cost { mean, spread: corners.map(|corner| corner / area) }
    }

    /// The same spread about another mean.
    pub(crate) fn scaled(self, by: f64) -> Self {
        Cost { mean: self.mean * by, ..self }
    }

    /// The time that `share` of the items do not exceed.
    fn at(&self, share: f64) -> f64 {
        let above = CORNERS.iter().position(|&corner| share < corner).unwrap_or(4).max(1);
        let (low, high) = (CORNERS[above - 1], CORNERS[above]);
        let within = (share - low) / (high - low);
        let (from, to) = (self.spread[above - 1], self.spread[above]);
        self.mean * (from + (to - from) * within)
    }
}

/// What the parts cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Costs {
    pub(crate) read: Cost,
    /// A decoder thread's time for one sample, the transform included, while it has
    /// a core to itself.
    pub(crate) decode: Cost,
    /// The part of it that needs a core.
    pub(crate) on_core: f64,
    /// What the consumer's thread does for a batch before it has it.
    pub(crate) assembly: f64,
    /// The consumer's step, for a batch.
    pub(crate) step: Cost,
    pub(crate) cores: f64,
}

/// What can be set, and what follows from the memory that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plant {
    pub(crate) threads: usize,
    pub(crate) readers: usize,
    pub(crate) prefetch: usize,
    pub(crate) batch_size: usize,
    pub(crate) ordered: bool,
    /// Files that the budget of encoded bytes holds at once.
    pub(crate) files: usize,
    /// Pictures that the budget of decoded pixels holds at once.
    pub(crate) pictures: usize,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) images_per_second: f64,
    /// The part of the consumer's time that it waits, in `0.0..=1.0`.
    pub(crate) wait: f64,
    /// Decoder threads that are busy on average.
    pub(crate) busy: f64,
}

/// Batches that are not counted: the window fills.
const WARM_UP: usize = 4;
/// Events are bounded, whatever the batch.
const MOST_IN_A_BATCH: usize = 256;
const SAMPLES: usize = 4_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Read(usize),
    Decoded(usize),
    Stepped,
}

struct Run<'a> {
    costs: &'a Costs,
    plant: &'a Plant,
    /// In nanoseconds.
    now: u64,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    granted: usize,
    reading: usize,
    files: usize,
    /// Read, and waiting for a thread.
    queue: VecDeque<usize>,
    decoding: usize,
    /// Rows filled, of each batch from the front one on.
    filled: VecDeque<usize>,
    ready: usize,
    taken: usize,
    /// Since when the consumer waits.
    waiting: Option<u64>,
    waited: u64,
    busy: u64,
}

/// Lets a loader of this kind run for some batches.
pub(crate) fn simulate(costs: &Costs, plant: &Plant) -> Outcome {
    // A batch of thousands is as many small ones, and a step is parted with it.
    let parts = plant.batch_size.div_ceil(MOST_IN_A_BATCH);
    if parts > 1 {
        let part = 1.0 / parts as f64;
        let batch_size = plant.batch_size / parts;
        let (assembly, step) = (costs.assembly * part, costs.step.scaled(part));
        return simulate(&Costs { assembly, step, ..*costs }, &Plant { batch_size, ..*plant });
    }
    let batches = (SAMPLES / plant.batch_size.max(1)).clamp(12, 200);
    let mut run = Run {
        costs,
        plant,
        now: 0,
        events: BinaryHeap::new(),
        granted: 0,
        reading: 0,
        files: 0,
        queue: VecDeque::new(),
        decoding: 0,
        filled: VecDeque::new(),
        ready: 0,
        taken: 0,
        waiting: Some(0),
        waited: 0,
        busy: 0,
    };
    let warm_up = WARM_UP + plant.prefetch;
    let mut counted = None;
    run.turn();
    while run.taken < warm_up + batches {
        let Some(Reverse((now, event))) = run.events.pop() else { break };
        run.now = now;
        run.happen(event);
        run.turn();
        if counted.is_none() && run.taken >= warm_up {
            (run.waited, run.busy, counted) = (0, 0, Some(run.now));
        }
    }
    let seconds = (run.now - counted.unwrap_or(0)) as f64 / 1e9;
    let images = (run.taken.saturating_sub(warm_up) * plant.batch_size) as f64;
    if seconds <= 0.0 {
        return Outcome::default();
    }
    Outcome {
        images_per_second: images / seconds,
        wait: run.waited as f64 / 1e9 / seconds,
        busy: run.busy as f64 / 1e9 / seconds,
    }
}

impl Run<'_> {
    fn after(&mut self, seconds: f64, event: Event) {
        let time = self.now + (seconds * 1e9) as u64;
        self.events.push(Reverse((time, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Read(sample) => {
                self.reading -= 1;
                self.queue.push_back(sample);
            }
            Event::Decoded(sample) => {
                self.decoding -= 1;
                self.files -= 1;
                self.ready += 1;
                if self.plant.ordered {
                    let batch = sample / self.plant.batch_size - self.taken;
                    self.filled.resize(self.filled.len().max(batch + 1), 0);
                    self.filled[batch] += 1;
                }
            }
            Event::Stepped => self.waiting = Some(self.now),
        }
    }

    /// Does whatever can be done at this moment.
    fn turn(&mut self) {
        self.take();
        self.grant();
        self.decode();
    }

    fn take(&mut self) {
        let Plant { batch_size, ordered, .. } = *self.plant;
        let whole = match ordered {
            true => self.filled.front() == Some(&batch_size),
            false => self.ready >= batch_size,
        };
        let (true, Some(since)) = (whole, self.waiting) else { return };
        if ordered {
            self.filled.pop_front();
        }
        self.ready -= batch_size;
        self.waiting = None;
        self.waited += self.now - since;
        self.taken += 1;
        let step = self.costs.assembly + self.costs.step.at(draw(self.taken, 3));
        self.after(step, Event::Stepped);
    }

    fn grant(&mut self) {
        let Plant { batch_size, prefetch, readers, files, .. } = *self.plant;
        while self.granted < (self.taken + prefetch) * batch_size
            && self.reading < readers
            && self.files < files.max(1)
        {
            let sample = self.granted;
            self.granted += 1;
            self.reading += 1;
            self.files += 1;
            self.after(self.costs.read.at(draw(sample, 1)), Event::Read(sample));
        }
    }

    fn decode(&mut self) {
        let most = self.plant.threads.min(self.plant.pictures.max(1));
        while self.decoding < most {
            let Some(sample) = self.queue.pop_front() else { return };
            self.decoding += 1;
            // More threads than cores share them.
            let needed = self.decoding as f64 * self.costs.on_core;
            let slower = (needed / self.costs.cores).max(1.0);
            let time = self.costs.decode.at(draw(sample, 2)) * slower;
            self.busy += (time * 1e9) as u64;
            self.after(time, Event::Decoded(sample));
        }
    }
}

fn draw(number: usize, purpose: u64) -> f64 {
    Draws::new(&[number as u64, purpose]).unit()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    pub(crate) fn costs() -> Costs {
        Costs {
            read: Cost::fixed(0.0001),
            decode: Cost::fixed(0.002),
            on_core: 1.0,
            assembly: 0.0,
            step: Cost::fixed(0.0),
            cores: 64.0,
        }
    }

    pub(crate) const PLANT: Plant = Plant {
        threads: 2,
        readers: 16,
        prefetch: 2,
        batch_size: 32,
        ordered: true,
        files: 1000,
        pictures: 1000,
    };

    /// Within two of a hundred.
    fn near(told: f64, expected: f64) {
        assert!((told - expected).abs() <= 0.02 * expected, "{told} for {expected}");
    }

    #[test]
    fn each_part_alone_sets_the_pace() {
        near(simulate(&costs(), &PLANT).images_per_second, 1000.0);
        let slow_reads = Costs { read: Cost::fixed(0.1), ..costs() };
        near(simulate(&slow_reads, &Plant { prefetch: 8, ..PLANT }).images_per_second, 160.0);
        let few_cores = Costs { cores: 3.0, ..costs() };
        near(simulate(&few_cores, &Plant { threads: 12, ..PLANT }).images_per_second, 1500.0);
        let idle = Costs { on_core: 0.25, ..few_cores };
        near(simulate(&idle, &Plant { threads: 12, ..PLANT }).images_per_second, 6000.0);
        near(
            simulate(&costs(), &Plant { threads: 9, pictures: 3, ..PLANT }).images_per_second,
            1500.0,
        );
        let slow_step = Costs { step: Cost::fixed(0.1), ..costs() };
        let outcome = simulate(&slow_step, &PLANT);
        near(outcome.images_per_second, 320.0);
        assert!(outcome.wait < 0.001);
        near(outcome.busy, 320.0 * 0.002);
    }

    #[test]
    fn a_consumer_that_is_half_as_slow_waits_half_its_time() {
        let costs = Costs { step: Cost::fixed(0.016), ..costs() };
        let outcome = simulate(&costs, &Plant { threads: 1, ..PLANT });
        near(outcome.wait, 0.75);
        near(outcome.images_per_second, 500.0);
    }

    #[test]
    fn slow_samples_hold_back_what_is_ordered() {
        let ms = Duration::from_millis;
        let spread = Service { p50: ms(1), p90: ms(2), p99: ms(80) };
        let costs = Costs { decode: Cost::new(0.003, spread), ..costs() };
        let plant = Plant { threads: 8, batch_size: 8, ..PLANT };
        let ordered = simulate(&costs, &plant);
        let unordered = simulate(&costs, &Plant { ordered: false, ..plant });
        let deep = simulate(&costs, &Plant { prefetch: 16, ..plant });
        assert!(ordered.images_per_second < 0.8 * unordered.images_per_second);
        assert!(deep.images_per_second > 1.2 * ordered.images_per_second);
    }

    /// So exactly that one sample, batch or place more shows.
    fn exactly(told: f64, expected: f64) {
        assert!((told - expected).abs() <= 1e-6 * expected, "{told} for {expected}");
    }

    /// Reads of a tenth of a second, and whatever else takes no time.
    fn reading() -> Costs {
        Costs { read: Cost::fixed(0.1), decode: Cost::fixed(0.0), ..costs() }
    }

    const WIDE: Plant = Plant { threads: 64, readers: 64, prefetch: 4, batch_size: 2, ..PLANT };

    #[test]
    fn each_limit_holds_to_the_last_place() {
        for ordered in [true, false] {
            let plant = Plant { ordered, ..WIDE };
            let rate = |plant| simulate(&reading(), &plant).images_per_second;
            exactly(rate(plant), 80.0);
            exactly(rate(Plant { prefetch: 1, ..plant }), 20.0);
            exactly(rate(Plant { prefetch: 1, batch_size: 1, ..plant }), 10.0);
            exactly(rate(Plant { readers: 4, ..plant }), 40.0);
            exactly(rate(Plant { files: 2, ..plant }), 20.0);
            exactly(rate(Plant { files: 0, batch_size: 1, ..plant }), 10.0);
            let decoding = Costs { read: Cost::fixed(0.0), decode: Cost::fixed(0.1), ..costs() };
            let rate = |costs, plant| simulate(&costs, &plant).images_per_second;
            exactly(rate(decoding, plant), 80.0);
            exactly(rate(decoding, Plant { threads: 4, ..plant }), 40.0);
            exactly(rate(decoding, Plant { pictures: 2, ..plant }), 20.0);
            exactly(rate(decoding, Plant { pictures: 0, batch_size: 1, ..plant }), 10.0);
            let crowded = Costs { on_core: 0.5, cores: 2.0, ..decoding };
            exactly(rate(crowded, Plant { threads: 4, ..plant }), 40.0);
        }
    }

    #[test]
    fn a_file_is_held_until_it_is_decoded() {
        // One file: it is read, and decoded three times as long, before the next is read.
        let costs = Costs { decode: Cost::fixed(0.3), ..reading() };
        let plant = Plant { files: 1, threads: 1, batch_size: 1, ..WIDE };
        exactly(simulate(&costs, &plant).images_per_second, 1.0 / 0.4);
        // With two the next is read meanwhile, and with two threads both at once.
        let outcome = simulate(&costs, &Plant { files: 2, ..plant });
        exactly(outcome.images_per_second, 1.0 / 0.3);
        exactly(outcome.busy, 1.0);
        let outcome = simulate(&costs, &Plant { files: 2, threads: 2, ..plant });
        exactly(outcome.images_per_second, 2.0 / 0.4);
        exactly(outcome.busy, 1.5);
    }

    #[test]
    fn waits_and_work_are_parts_of_the_time() {
        // Each batch is asked for as the one before is taken, and is there after 120 ms.
        let costs = Costs {
            decode: Cost::fixed(0.02),
            assembly: 0.01,
            step: Cost::fixed(0.05),
            ..reading()
        };
        let Outcome { images_per_second, wait, busy } =
            simulate(&costs, &Plant { prefetch: 1, ..WIDE });
        exactly(images_per_second, 2.0 / 0.12);
        exactly(wait, 0.5);
        exactly(busy, 2.0 * 0.02 / 0.12);
    }

    #[test]
    fn what_is_there_in_the_beginning_does_not_count() {
        // Steps of a tenth of the read's time: in the beginning there is nothing for ten of
        // them, and then one batch for each.
        let costs = Costs { step: Cost::fixed(0.01), ..reading() };
        let plant = Plant { readers: 9_000, files: 9_000, prefetch: 11, batch_size: 256, ..WIDE };
        let Outcome { images_per_second, wait, .. } = simulate(&costs, &plant);
        exactly(images_per_second, 25_600.0);
        assert!(wait < 1e-9, "{wait}");
    }

    #[test]
    fn a_batch_of_thousands_is_told_as_many_small_ones() {
        for batch_size in [256_usize, 257, 512, 5_000] {
            let parts = batch_size.div_ceil(256);
            let taken = (batch_size / parts * parts) as f64;
            let costs = Costs { assembly: 0.5, step: Cost::fixed(1.5), ..costs() };
            let plant = Plant { batch_size, threads: 64, ..PLANT };
            let Outcome { images_per_second, wait, busy } = simulate(&costs, &plant);
            exactly(images_per_second, taken / 2.0);
            assert!(wait < 1e-9, "{wait}");
            exactly(busy, taken / 2.0 * 0.002);
        }
    }

    #[test]
    fn times_between_the_known_ones_lie_on_a_line() {
        let ms = Duration::from_millis;
        let cost = Cost::new(13.05, Service { p50: ms(10), p90: ms(20), p99: ms(40) });
        // At 0 and 100 of a hundred: 5 and 80, as the known ones go on.
        let corners = [(0.0, 5.0), (0.25, 7.5), (0.5, 10.0), (0.7, 15.0), (0.9, 20.0)];
        let slow = [(0.945, 30.0), (0.99, 40.0), (0.995, 60.0), (1.0, 80.0)];
        corners.into_iter().chain(slow).for_each(|(share, time)| exactly(cost.at(share), time));
        exactly(cost.scaled(2.0).at(0.5), 20.0);
        assert_eq!(Cost::new(3.0, Service::default()), Cost::fixed(3.0));
    }

    proptest! {
        #[test]
        fn drawn_times_have_the_mean(mean in 1e-6_f64..1.0, p50 in 1_u64..100, more in 0_u64..100, most in 0_u64..500) {
            let us = Duration::from_micros;
            let service = Service { p50: us(p50), p90: us(p50 + more), p99: us(p50 + more + most) };
            let cost = Cost::new(mean, service);
            let drawn: f64 = (0..2000).map(|at| cost.at((f64::from(at) + 0.5) / 2000.0)).sum();
            prop_assert!((drawn / 2000.0 - mean).abs() < 0.02 * mean);
        }

        #[test]
        fn more_of_anything_is_never_much_slower(
            threads in 1_usize..8, readers in 1_usize..8, prefetch in 1_usize..4,
            batch_size in 1_usize..40, step in 0.0_f64..0.05,
        ) {
            let ms = Duration::from_millis;
            let service = Service { p50: ms(1), p90: ms(3), p99: ms(9) };
            let costs = Costs {
                read: Cost::new(0.004, service),
                decode: Cost::new(0.002, service),
                step: Cost::fixed(step),
                ..costs()
            };
            let plant = Plant { threads, readers, prefetch, batch_size, ..PLANT };
            let now = simulate(&costs, &plant);
            for more in [
                Plant { threads: threads + 1, ..plant },
                Plant { readers: readers * 2, ..plant },
                Plant { prefetch: prefetch + 1, ..plant },
                Plant { ordered: false, ..plant },
            ] {
                let then = simulate(&costs, &more);
                prop_assert!(then.images_per_second > 0.95 * now.images_per_second);
            }
            prop_assert!((0.0..=1.0).contains(&now.wait) && now.busy <= threads as f64 + 0.1);
        }
    }
}
