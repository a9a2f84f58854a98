//! Settings that are left to the loader follow the consumer: the fewest threads
//! and batches that keep its wait below a target, more readers where they help.
//!
//! Pure: it is shown figures now and then, and says what to change, one thing at a
//! time. What a change would bring it asks of the miniature in
//! [`capacity`](crate::capacity); whether it did it sees in the next figures. A
//! setting that has turned out too small is not tried again for a while, and for
//! longer each time, unless the consumer has become slower: so it does not
//! oscillate.

use std::fmt;

use serde::Serialize;

use crate::capacity::Plant;
use crate::config::{Auto, Resolved};
use crate::stats::{Bound, Sight, Stats};

/// What can follow the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Knob {
    /// Decoder threads that may work.
    Threads,
    /// Reads in flight.
    Readers,
    /// Batches ahead.
    Prefetch,
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Knob::Threads => "threads",
            Knob::Readers => "readers",
            Knob::Prefetch => "prefetch",
        })
    }
}

/// A change of a running loader, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// Seconds since the loader was built.
    pub seconds: f64,
    /// What was changed.
    pub knob: Knob,
    /// What it was.
    pub from: usize,
    /// What it is from then on.
    pub to: usize,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decision { seconds, knob, from, to, reason } = self;
        write!(f, "after {seconds:.1} s {knob} {from} -> {to}: {reason}")
    }
}

/// Figures of less than this say little; while nothing changes, looks become rarer.
const LEAST_SECONDS: f64 = 0.5;
const RARELY_SECONDS: f64 = 4.0;
const LEAST_BATCHES: u64 = 6;
/// Then two batches are enough.
const LONG_SECONDS: f64 = 20.0;
/// A consumer that does something else for longer is looked at anew.
const LONGEST_SECONDS: f64 = 300.0;
/// A change for more throughput is kept if it brings at least this.
const WORTH: f64 = 1.05;
/// A consumer that is slower than this part of what it was wants something else.
const SLOWER: f64 = 0.9;
/// Figures that differ by less are the same.
const SAME: f64 = 0.1;
/// How long a setting that was too small is not tried again, the first time.
const PENALTY_SECONDS: f64 = 30.0;
/// What brought nothing is tried again after so long.
const USELESS_SECONDS: f64 = 300.0;
/// Fewer threads must do even if decoding takes so much longer, as machines and
/// pictures vary. It costs nothing: a thread that is not needed sleeps.
const RESERVE: f64 = 1.1;
/// A consumer that waits longer for decoding wants more of it, not more room.
const HOPELESS: f64 = 0.2;

#[derive(Debug)]
pub(crate) struct Pace {
    auto: Auto,
    target: f64,
    /// Where the present look began, and how long it takes.
    before: Option<Stats>,
    seconds: f64,
    threads: Floor,
    prefetch: Floor,
    /// A change that has to prove itself.
    trial: Option<Trial>,
    /// More readers, or depth, that brought nothing.
    useless: Vec<Useless>,
    /// What the miniature has refused, and at which costs.
    refused: Option<Refused>,
}

/// Levels below have turned out too small.
#[derive(Clone, Copy, Debug, Default)]
struct Floor {
    level: usize,
    /// Images a second that the consumer would have taken.
    demand: f64,
    until: f64,
    penalty: f64,
}

impl Floor {
    fn raise(&mut self, level: usize, demand: f64, now: f64) {
        let again = self.penalty > 0.0 && demand > SLOWER * self.demand;
        self.penalty = if again { self.penalty * 2.0 } else { PENALTY_SECONDS };
        *self = Floor { level, demand, until: now + self.penalty, ..*self };
    }

    fn at(&self, demand: f64, now: f64) -> usize {
        match now < self.until && demand > SLOWER * self.demand {
            true => self.level,
            false => 1,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    knob: Knob,
    from: usize,
    images_per_second: f64,
    wait: f64,
}

/// A knob that brought nothing at some demand; not tried again for a while, as the
/// storage may become another.
#[derive(Clone, Copy, Debug)]
struct Useless {
    knob: Knob,
    demand: f64,
    until: f64,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    plant: Plant,
    demand: f64,
    decode: f64,
    floors: (usize, usize),
}

impl Pace {
    pub(crate) fn new(config: &Resolved) -> Self {
        Pace {
            auto: config.auto,
            target: config.wait_target,
            before: None,
            seconds: LEAST_SECONDS,
            threads: Floor::default(),
            prefetch: Floor::default(),
            trial: None,
            useless: Vec::new(),
            refused: None,
        }
    }

    pub(crate) fn is_auto(&self) -> bool {
        self.auto != Auto::default()
    }

    /// Shows the figures of the moment; what is to be changed, if anything.
    pub(crate) fn look(&mut self, now: Stats) -> Option<Decision> {
        let Some(before) = &self.before else {
            self.before = Some(now);
            return None;
        };
        let seconds = now.seconds - before.seconds;
        let batches = now.stages.batch.items.saturating_sub(before.stages.batch.items);
        // A step can be long.
        let enough = batches >= if seconds > LONG_SECONDS { 2 } else { LEAST_BATCHES };
        if seconds < self.seconds || !enough {
            if seconds > LONGEST_SECONDS {
                self.before = Some(now);
            }
            return None;
        }
        let sight = Sight::steady(before, &now);
        let decided = sight.and_then(|sight| self.decide(&sight, now.seconds));
        // What is still under way when something changes says nothing about it.
        self.before = decided.is_none().then_some(now);
        self.seconds = match decided {
            Some(_) => LEAST_SECONDS,
            None => (self.seconds * 2.0).min(RARELY_SECONDS),
        };
        decided
    }

    fn decide(&mut self, sight: &Sight, now: f64) -> Option<Decision> {
        let demand = sight.demand();
        let decide = |knob, from, to, reason| Decision { seconds: now, knob, from, to, reason };
        if let Some(Trial { knob, from, images_per_second, wait }) = self.trial.take() {
            let better = sight.images_per_second > WORTH * images_per_second
                || sight.wait < wait - self.target;
            if !better {
                self.useless.retain(|useless| useless.knob != knob);
                self.useless.push(Useless { knob, demand, until: now + USELESS_SECONDS });
                let to = level(&sight.plant, knob);
                let rate = sight.images_per_second;
                let reason = format!("{to} brought {rate:.0} images/s, no more than {from}");
                return (to != from).then(|| decide(knob, to, from, reason));
            }
            if knob == Knob::Prefetch {
                self.prefetch.raise(sight.plant.prefetch, demand, now);
            }
        }
        match sight.wait > self.target {
            true => self.more(sight, demand, now).map(|(knob, from, to, why)| {
                let reason = format!("the step waited {:.1} %, {why}", 100.0 * sight.wait);
                decide(knob, from, to, reason)
            }),
            false => self.fewer(sight, demand, now).map(|(knob, from, to, wait)| {
                let (waited, wait) = (100.0 * sight.wait, 100.0 * wait);
                let reason = format!("the step waited {waited:.1} %, and would wait {wait:.1} %");
                decide(knob, from, to, reason)
            }),
        }
    }

    /// The consumer waits too long.
    fn more(
        &mut self,
        sight: &Sight,
        demand: f64,
        now: f64,
    ) -> Option<(Knob, usize, usize, &'static str)> {
        let plant = sight.plant;
        match sight.bound(self.target) {
            Bound::Decode => {
                let most = self.auto.threads.unwrap_or(plant.threads);
                let mut more = (plant.threads + 1..=most).map(|threads| Plant { threads, ..plant });
                // As many as keep it fed, or all that there are.
                let wait = |plant: &Plant| sight.outcome(plant).wait;
                let enough = more.clone().find(|plant| wait(plant) <= self.target);
                if let Some(to) = enough.or(more.next_back()) {
                    self.threads.raise(to.threads, demand, now);
                    return Some((Knob::Threads, plant.threads, to.threads, "decoding"));
                }
                self.deeper(sight, demand, now, "by fits and starts")
            }
            Bound::Read => {
                let to = (plant.readers * 2).min(self.auto.readers?);
                if to <= plant.readers || self.is_useless(Knob::Readers, demand, now) {
                    return None;
                }
                self.try_out(sight, Knob::Readers, plant.readers);
                Some((Knob::Readers, plant.readers, to, "decoders waited for files"))
            }
            Bound::Order => self.deeper(sight, demand, now, "one sample held back others"),
            Bound::Prefetch => self.deeper(sight, demand, now, "there was no room to work in"),
            _ => None,
        }
    }

    fn deeper(
        &mut self,
        sight: &Sight,
        demand: f64,
        now: f64,
        why: &'static str,
    ) -> Option<(Knob, usize, usize, &'static str)> {
        let prefetch = sight.plant.prefetch;
        let to = (prefetch + 1).min(self.auto.prefetch?);
        if to <= prefetch || self.is_useless(Knob::Prefetch, demand, now) {
            return None;
        }
        // A consumer that decoding cannot keep up with is not helped by room.
        if sight.bound(self.target) == Bound::Decode {
            let deeper = Plant { prefetch: to, ..sight.plant };
            let helps = |wait: f64| sight.outcome(&deeper).wait < wait - self.target;
            if sight.wait > HOPELESS || !helps(sight.wait) {
                return None;
            }
        }
        self.try_out(sight, Knob::Prefetch, prefetch);
        Some((Knob::Prefetch, prefetch, to, why))
    }

    fn try_out(&mut self, sight: &Sight, knob: Knob, from: usize) {
        let Sight { images_per_second, wait, .. } = *sight;
        self.trial = Some(Trial { knob, from, images_per_second, wait });
    }

    fn is_useless(&self, knob: Knob, demand: f64, now: f64) -> bool {
        self.useless.iter().any(|useless| {
            useless.knob == knob && now < useless.until && demand <= useless.demand / SLOWER
        })
    }

    /// The consumer is fed: less may do.
    fn fewer(&mut self, sight: &Sight, demand: f64, now: f64) -> Option<(Knob, usize, usize, f64)> {
        let plant = sight.plant;
        let decode = sight.costs.decode.mean;
        let near = |a: f64, b: f64| (a - b).abs() <= SAME * b;
        let floors = (self.threads.at(demand, now), self.prefetch.at(demand, now));
        if self.refused.is_some_and(|refused| {
            (refused.plant, refused.floors) == (plant, floors)
                && near(demand, refused.demand)
                && near(decode, refused.decode)
        }) {
            return None;
        }
        let wait = |plant: &Plant| sight.outcome(plant).wait;
        if self.auto.threads.is_some() {
            let mut slower = sight.clone();
            slower.costs.decode = slower.costs.decode.scaled(RESERVE);
            let mut fewer = (floors.0..plant.threads).map(|threads| Plant { threads, ..plant });
            if let Some(to) = fewer.find(|plant| slower.outcome(plant).wait <= self.target) {
                return Some((Knob::Threads, plant.threads, to.threads, wait(&to)));
            }
        }
        if self.auto.prefetch.is_some() && plant.prefetch > floors.1 {
            let to = Plant { prefetch: plant.prefetch - 1, ..plant };
            let wait = wait(&to);
            if wait <= self.target {
                return Some((Knob::Prefetch, plant.prefetch, to.prefetch, wait));
            }
        }
        self.refused = Some(Refused { plant, demand, decode, floors });
        None
    }
}

fn level(plant: &Plant, knob: Knob) -> usize {
    match knob {
        Knob::Threads => plant.threads,
        Knob::Readers => plant.readers,
        Knob::Prefetch => plant.prefetch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Cost, Costs, simulate};
    use crate::config::Config;
    use std::time::Duration;

    /// A loader that is simulated, and its consumer.
    struct World {
        costs: Costs,
        stats: Stats,
        files_per_second: f64,
    }

    fn plant(stats: &Stats) -> Plant {
        let crate::stats::Setting { threads, readers, prefetch, batch_size, ordered, .. } =
            stats.setting;
        let (files, pictures) = (usize::MAX, usize::MAX);
        Plant { threads, readers, prefetch, batch_size, ordered, files, pictures }
    }

    impl World {
        fn new(decode: f64, step: f64, cores: usize) -> Self {
            let costs = Costs {
                read: Cost::fixed(0.0005),
                decode: Cost::fixed(decode),
                on_core: 1.0,
                assembly: 0.0,
                step: Cost::fixed(step),
                cores: cores as f64,
            };
            let mut stats = Stats::default();
            stats.setting.threads = cores;
            (stats.setting.readers, stats.setting.prefetch) = (16, 2);
            (stats.setting.batch_size, stats.setting.cores) = (32, cores);
            stats.setting.ordered = true;
            World { costs, stats, files_per_second: f64::MAX }
        }

        fn pace(&self) -> Pace {
            let mut config = Config::default().resolve::<f32>().unwrap();
            config.auto.threads = Some(self.stats.setting.cores);
            Pace::new(&config)
        }

        /// Some seconds go by.
        fn pass(&mut self, seconds: f64) {
            let plant = plant(&self.stats);
            let mut outcome = simulate(&self.costs, &plant);
            // The storage gives no more, however many ask.
            let most = self.files_per_second.min(plant.readers as f64 / self.costs.read.mean);
            if outcome.images_per_second > most {
                let step = self.costs.step.mean / 32.0;
                outcome.images_per_second = most;
                outcome.wait = 1.0 - step * most;
                outcome.busy = most * self.costs.decode.mean;
            }
            let images = outcome.images_per_second * seconds;
            let time = Duration::from_secs_f64;
            let stats = &mut self.stats;
            stats.seconds += seconds;
            let stages = &mut stats.stages;
            for stage in [&mut stages.read, &mut stages.decode, &mut stages.transform] {
                stage.items += images as u64;
            }
            stages.batch.items += (images / 32.0) as u64;
            stages.transform.bytes += images as u64 * 1000;
            stages.batch.bytes += (images * 1000.0) as u64;
            stages.batch.waiting_for_input += time(outcome.wait * seconds);
            stages.batch.waiting_for_output += time((1.0 - outcome.wait) * seconds);
            stages.decode.busy += time(outcome.busy * seconds);
            let idle = plant.threads as f64 - outcome.busy;
            stages.decode.waiting_for_input += time(idle.max(0.0) * seconds);
            let reading = match self.files_per_second < most * 1.01 && outcome.wait > 0.01 {
                true => plant.readers as f64,
                false => outcome.images_per_second * self.costs.read.mean,
            };
            stages.read.busy += time(reading * seconds);
        }

        /// Lets the pace follow for so many seconds; its decisions.
        fn follow(&mut self, pace: &mut Pace, seconds: f64) -> Vec<Decision> {
            let mut decisions = Vec::new();
            for _ in 0..(seconds / 0.25) as usize {
                self.pass(0.25);
                if let Some(decision) = pace.look(self.stats.clone()) {
                    let setting = &mut self.stats.setting;
                    match decision.knob {
                        Knob::Threads => setting.threads = decision.to,
                        Knob::Readers => setting.readers = decision.to,
                        Knob::Prefetch => setting.prefetch = decision.to,
                    }
                    decisions.push(decision);
                }
            }
            decisions
        }
    }

    #[test]
    fn a_slow_consumer_leaves_the_cores_to_itself_and_it_stays_so() {
        // 8 cores give 4,000 images/s, and 800 are wanted: 1.6 threads' work.
        let mut world = World::new(0.002, 0.04, 8);
        let mut pace = world.pace();
        let decisions = world.follow(&mut pace, 60.0);
        assert_eq!(world.stats.setting.threads, 2, "{decisions:#?}");
        assert_eq!(world.stats.setting.prefetch, 1, "{decisions:#?}");
        assert!(simulate(&world.costs, &plant(&world.stats)).wait <= 0.01);
        assert!(decisions.len() <= 4, "{decisions:#?}");
        let later = world.follow(&mut pace, 600.0);
        assert_eq!(later, [], "it does not oscillate");
    }

    #[test]
    fn a_consumer_that_becomes_faster_or_slower_is_followed() {
        let mut world = World::new(0.002, 0.2, 8);
        let mut pace = world.pace();
        world.follow(&mut pace, 60.0);
        assert_eq!(world.stats.setting.threads, 1);
        for (step, threads) in [(0.02, 4), (0.2, 1), (0.01, 8), (0.04, 2)] {
            world.costs.step = Cost::fixed(step);
            let decisions = world.follow(&mut pace, 120.0);
            let told = world.stats.setting.threads;
            assert!((threads..=threads + 1).contains(&told), "{step}: {decisions:#?}");
            let wait = simulate(&world.costs, &plant(&world.stats)).wait;
            assert!(wait <= 0.02, "{step}: {wait} {decisions:#?}");
        }
    }

    #[test]
    fn more_readers_are_kept_where_they_help_and_given_up_where_not() {
        for (files_per_second, readers) in [(f64::MAX, 64), (165.0, 16)] {
            let mut world = World::new(0.0005, 0.0, 4);
            world.costs.read = Cost::fixed(0.1);
            world.files_per_second = files_per_second;
            world.stats.setting.prefetch = 4;
            let mut pace = world.pace();
            let decisions = world.follow(&mut pace, 120.0);
            assert_eq!(world.stats.setting.readers, readers, "{decisions:#?}");
            assert!(decisions.len() <= 4, "{decisions:#?}");
        }
    }

    #[test]
    fn what_has_failed_is_tried_again_ever_more_rarely() {
        // The miniature thinks that one thread would do, and is wrong.
        let mut world = World::new(0.002, 0.08, 4);
        let mut pace = world.pace();
        let mut raised = Vec::new();
        for _ in 0..4_000 {
            let wrong = world.stats.setting.threads == 1;
            world.costs.decode = Cost::fixed(if wrong { 0.004 } else { 0.001 });
            let decisions = world.follow(&mut pace, 0.5);
            raised.extend(decisions.into_iter().filter(|decision| decision.to > decision.from));
        }
        let threads = raised.iter().filter(|decision| decision.knob == Knob::Threads).count();
        assert!((1..=8).contains(&threads), "{threads} times in 2,000 s");
    }

    #[test]
    fn nothing_is_touched_that_was_set() {
        let mut world = World::new(0.002, 0.5, 8);
        let mut pace = world.pace();
        pace.auto = Auto { prefetch: Some(4), ..Auto::default() };
        world.follow(&mut pace, 60.0);
        assert_eq!(world.stats.setting.threads, 8);
        pace.auto = Auto::default();
        assert!(!pace.is_auto());
    }
}
