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
mod tests;
