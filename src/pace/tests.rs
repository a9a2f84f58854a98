//! The pace against a loader that is simulated, and rule by rule.

use super::*;
use crate::capacity::{Cost, Costs, simulate};
use crate::config::Config;
use crate::stats::sight_tests::bound;
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

#[test]
fn a_level_that_was_too_small_is_shunned_for_longer_each_time() {
    let mut floor = Floor::default();
    floor.raise(4, 1_000.0, 10.0);
    assert_eq!((floor.at(1_000.0, 39.9), floor.at(1_000.0, 40.0)), (4, 1));
    // A consumer that has become slower wants something else.
    assert_eq!((floor.at(900.1, 20.0), floor.at(900.0, 20.0)), (4, 1));
    floor.raise(5, 901.0, 100.0);
    assert_eq!((floor.at(901.0, 159.9), floor.at(901.0, 160.0)), (5, 1));
    floor.raise(5, 901.0, 200.0);
    assert_eq!((floor.at(901.0, 319.9), floor.at(901.0, 320.0)), (5, 1));
    floor.raise(2, 810.0, 400.0);
    assert_eq!((floor.at(810.0, 429.9), floor.at(810.0, 430.0)), (2, 1));
}

fn pace(auto: Auto) -> Pace {
    let mut config = Config::default().resolve::<f32>().unwrap();
    (config.auto, config.wait_target) = (auto, 0.01);
    Pace::new(&config)
}

fn all() -> Auto {
    Auto { threads: Some(8), readers: Some(64), prefetch: Some(4) }
}

/// What is changed, and why.
fn told(decision: Option<Decision>) -> Option<(Knob, usize, usize, String)> {
    decision.map(|Decision { knob, from, to, reason, .. }| (knob, from, to, reason))
}

fn changed(decision: Option<Decision>) -> Option<(Knob, usize, usize)> {
    decision.map(|Decision { knob, from, to, .. }| (knob, from, to))
}

#[test]
fn a_decision_is_told_in_a_line() {
    let decision = |knob, to| {
        let reason = "the step waited 1.5 %".to_owned();
        Decision { seconds: 2.06, knob, from: 4, to, reason }.to_string()
    };
    assert_eq!(decision(Knob::Threads, 2), "after 2.1 s threads 4 -> 2: the step waited 1.5 %");
    assert_eq!(decision(Knob::Readers, 8), "after 2.1 s readers 4 -> 8: the step waited 1.5 %");
    assert_eq!(decision(Knob::Prefetch, 5), "after 2.1 s prefetch 4 -> 5: the step waited 1.5 %");
}

#[test]
fn looks_are_long_enough_and_become_rarer() {
    let at = |seconds, batches| {
        let mut stats = Stats { seconds, ..Stats::default() };
        stats.stages.batch.items = batches;
        stats
    };
    let looked = |pace: &Pace| pace.before.as_ref().unwrap().seconds;
    let mut pace = pace(all());
    assert_eq!(pace.look(at(1.0, 10)), None);
    for (seconds, batches, since, next) in [
        (1.4, 100, 1.0, 0.5),
        (1.5, 15, 1.0, 0.5),
        (1.5, 16, 1.5, 1.0),
        (2.4, 99, 1.5, 1.0),
        (2.5, 22, 2.5, 2.0),
        (4.5, 28, 4.5, 4.0),
        (8.5, 34, 8.5, 4.0),
        // Long steps: two are enough after twenty seconds.
        (28.5, 36, 8.5, 4.0),
        (28.6, 35, 8.5, 4.0),
        (28.6, 36, 28.6, 4.0),
        // It did something else for five minutes.
        (328.6, 37, 28.6, 4.0),
        (328.7, 37, 328.7, 4.0),
    ] {
        assert_eq!(pace.look(at(seconds, batches)), None);
        assert_eq!((looked(&pace), pace.seconds), (since, next), "{seconds} {batches}");
    }
}

#[test]
fn a_look_that_changes_something_begins_anew() {
    let mut world = World::new(0.002, 0.04, 8);
    let mut pace = world.pace();
    pace.seconds = RARELY_SECONDS;
    assert_eq!(pace.look(world.stats.clone()), None);
    world.pass(4.0);
    let decision = pace.look(world.stats.clone()).unwrap();
    assert_eq!(decision.seconds, 4.0);
    assert!(pace.before.is_none());
    assert_eq!(pace.seconds, LEAST_SECONDS);
}

#[test]
fn what_brought_nothing_is_taken_back_and_not_tried_for_a_while() {
    let sight = |wait, images_per_second| {
        let mut sight = bound(Bound::Read);
        (sight.wait, sight.images_per_second, sight.plant.readers) = (wait, images_per_second, 32);
        sight
    };
    let tried = |knob| Trial { knob, from: 16, images_per_second: 800.0, wait: 0.5 };
    let decide = |sight: &Sight, trial| {
        let mut pace = pace(Auto { readers: Some(32), ..Auto::default() });
        pace.trial = Some(trial);
        let decision = told(pace.decide(sight, 7.0));
        (decision, pace)
    };
    let back = (Knob::Readers, 32, 16, "32 brought 840 images/s, no more than 16".to_owned());
    let (decision, pace) = decide(&sight(0.495, 840.0), tried(Knob::Readers));
    assert_eq!(decision, Some(back.clone()));
    // Demanded are 3,360: until then, and for a consumer that is not much faster.
    assert!(pace.is_useless(Knob::Readers, 3_360.0 / SLOWER, 306.9));
    assert!(!pace.is_useless(Knob::Readers, 3_735.0, 306.9));
    assert!(!pace.is_useless(Knob::Readers, 3_360.0, 307.0));
    assert!(!pace.is_useless(Knob::Prefetch, 3_360.0, 100.0));
    // More images by a twentieth, or less waiting by the target.
    for better in [sight(0.5, 840.1), sight(0.489, 800.0)] {
        let (decision, pace) = decide(&better, tried(Knob::Readers));
        assert_eq!(decision, None);
        assert!(pace.useless.is_empty() && pace.trial.is_none());
    }
    assert!(decide(&sight(0.49, 800.0), tried(Knob::Readers)).0.is_some());
    // It had not changed at all.
    let trial = Trial { from: 32, ..tried(Knob::Readers) };
    assert_eq!(decide(&sight(0.5, 800.0), trial).0, None);
    // A depth that helped is kept, one that did not is taken back.
    let deeper = Trial { knob: Knob::Prefetch, from: 1, ..tried(Knob::Prefetch) };
    let (decision, pace) = decide(&sight(0.5, 900.0), deeper);
    assert_eq!(decision, None);
    assert_eq!((pace.prefetch.level, pace.threads.level), (2, 0));
    let back = (Knob::Prefetch, 2, 1, "2 brought 800 images/s, no more than 1".to_owned());
    assert_eq!(decide(&sight(0.5, 800.0), deeper).0, Some(back));
    // One note of each knob.
    let (_, mut pace) = decide(&sight(0.5, 800.0), deeper);
    for _ in 0..3 {
        pace.trial = Some(tried(Knob::Readers));
        pace.decide(&sight(0.5, 800.0), 9.0);
    }
    assert_eq!(pace.useless.len(), 2);
}

#[test]
fn who_waits_for_decoding_gets_threads_and_then_room() {
    let sight = |step: f64| {
        let mut sight = bound(Bound::Decode);
        sight.costs.step = Cost::fixed(step);
        sight.images_per_second = 1_000.0;
        sight
    };
    // 32 in 16.2 ms are 1,975 a second: four threads.
    let mut follows = pace(all());
    let decision = told(follows.decide(&sight(0.016_2), 5.0));
    let reason = "the step waited 50.0 %, decoding".to_owned();
    assert_eq!(decision, Some((Knob::Threads, 2, 4, reason)));
    assert_eq!(follows.threads.level, 4);
    assert!(follows.trial.is_none());
    // All that there are, where they do not do.
    assert_eq!(changed(pace(all()).decide(&sight(0.0), 5.0)), Some((Knob::Threads, 2, 8)));
    // None is left; a consumer that waits half its time is not helped by room.
    let fixed = Auto { threads: None, ..all() };
    assert_eq!(pace(fixed).decide(&sight(0.016_2), 5.0), None);
    // One that waits now and then is, if the miniature says so.
    let ms = Duration::from_millis;
    let spread = crate::stats::Service { p50: ms(1), p90: ms(2), p99: ms(60) };
    let mut starts = sight(0.06);
    starts.costs.decode = Cost::new(0.003_2, spread);
    starts.images_per_second = 500.0;
    starts.wait = 0.19;
    let wait = |prefetch| starts.outcome(&Plant { prefetch, ..starts.plant }).wait;
    assert!(wait(3) < 0.02 && wait(2) > 0.06, "{} {}", wait(2), wait(3));
    let mut follows = pace(fixed);
    let decision = told(follows.decide(&starts, 5.0));
    let reason = "the step waited 19.0 %, by fits and starts".to_owned();
    assert_eq!(decision, Some((Knob::Prefetch, 2, 3, reason)));
    let trial = follows.trial.unwrap();
    assert_eq!((trial.knob, trial.from, trial.wait), (Knob::Prefetch, 2, 0.19));
    assert_eq!(trial.images_per_second, 500.0);
    // It is the room that helps, not what the miniature says of the setting as it is.
    starts.wait = 0.06;
    assert_eq!(changed(pace(fixed).decide(&starts, 5.0)), Some((Knob::Prefetch, 2, 3)));
    starts.wait = 0.21;
    assert_eq!(pace(fixed).decide(&starts, 5.0), None);
    let mut even = sight(0.03);
    even.wait = 1.0 - 0.03 * 1_000.0 / 32.0;
    assert_eq!(pace(fixed).decide(&even, 5.0), None);
}

#[test]
fn who_waits_for_files_gets_readers_and_who_waits_for_others_room() {
    let decide = |which, auto| told(pace(auto).decide(&bound(which), 5.0));
    let waited = |why: &str| format!("the step waited 50.0 %, {why}");
    let more = Some((Knob::Readers, 16, 32, waited("decoders waited for files")));
    assert_eq!(decide(Bound::Read, all()), more);
    let to = |readers| changed(pace(Auto { readers, ..all() }).decide(&bound(Bound::Read), 5.0));
    assert_eq!(to(Some(20)), Some((Knob::Readers, 16, 20)));
    assert_eq!(to(Some(16)), None);
    assert_eq!(to(None), None);
    let deeper = |why| Some((Knob::Prefetch, 2, 3, waited(why)));
    assert_eq!(decide(Bound::Order, all()), deeper("one sample held back others"));
    assert_eq!(decide(Bound::Prefetch, all()), deeper("there was no room to work in"));
    for prefetch in [Some(2), None] {
        assert_eq!(decide(Bound::Order, Auto { prefetch, ..all() }), None);
    }
    assert_eq!(decide(Bound::Walk, all()), None);
    assert_eq!(decide(Bound::Memory, all()), None);
    // What brought nothing a moment ago is left alone.
    for (which, knob) in [(Bound::Read, Knob::Readers), (Bound::Prefetch, Knob::Prefetch)] {
        let mut pace = pace(all());
        let demand = bound(which).demand();
        pace.useless.push(Useless { knob, demand, until: 6.0 });
        assert_eq!(pace.decide(&bound(which), 5.0), None);
        assert!(pace.decide(&bound(which), 6.0).is_some());
    }
}

#[test]
fn who_is_fed_is_left_with_what_will_do() {
    // 32 in 32 ms are 1,000 a second: two threads, and a third in reserve.
    let fed = |threads, prefetch| {
        let mut sight = bound(Bound::Consumer);
        sight.costs.step = Cost::fixed(0.032);
        (sight.plant.threads, sight.plant.prefetch) = (threads, prefetch);
        (sight.images_per_second, sight.wait) = (1_000.0, 0.01);
        sight
    };
    let decision = told(pace(all()).decide(&fed(8, 2), 5.0));
    let reason = "the step waited 1.0 %, and would wait 0.0 %".to_owned();
    assert_eq!(decision, Some((Knob::Threads, 8, 3, reason)));
    // Not below what has turned out to be needed.
    let mut careful = pace(all());
    careful.threads.raise(5, 1_000.0, 0.0);
    assert_eq!(changed(careful.decide(&fed(8, 2), 5.0)), Some((Knob::Threads, 8, 5)));
    assert_eq!(changed(careful.decide(&fed(5, 2), 5.0)), Some((Knob::Prefetch, 2, 1)));
    careful.prefetch.raise(2, 1_000.0, 0.0);
    assert_eq!(careful.decide(&fed(5, 2), 5.0), None);
    // Nothing has changed: it is not asked again.
    let refused = careful.refused.unwrap();
    assert_eq!(refused.floors, (5, 2));
    assert_eq!((refused.demand, refused.decode), (1_000.0, 0.002));
    careful.refused.as_mut().unwrap().floors = (1, 2);
    assert_eq!(careful.decide(&fed(5, 2), 5.0), None);
    assert_eq!(careful.refused.unwrap().floors, (5, 2));
    assert_eq!(changed(careful.decide(&fed(5, 3), 5.0)), Some((Knob::Prefetch, 3, 2)));
    // Penalties over, it is.
    assert_eq!(changed(careful.decide(&fed(5, 2), 31.0)), Some((Knob::Threads, 5, 3)));
    // What was set stays.
    let readers = Auto { readers: Some(64), ..Auto::default() };
    assert_eq!(pace(readers).decide(&fed(8, 2), 5.0), None);
    let threads = Auto { prefetch: None, ..all() };
    assert_eq!(pace(threads).decide(&fed(3, 2), 5.0), None);
    // A depth of one that would not do is not proposed.
    let mut late = fed(3, 2);
    (late.costs.read, late.plant.readers) = (Cost::fixed(0.04), 64);
    assert_eq!(pace(all()).decide(&late, 5.0), None);
}

#[test]
fn a_refusal_holds_while_costs_are_about_the_same() {
    let fed = |step: f64, decode: f64| {
        let mut sight = bound(Bound::Consumer);
        (sight.costs.step, sight.costs.decode) = (Cost::fixed(step), Cost::fixed(decode));
        (sight.plant.threads, sight.plant.prefetch) = (3, 1);
        sight.images_per_second = 32.0 / step;
        sight
    };
    let mut pace = pace(all());
    assert_eq!(pace.decide(&fed(0.032, 0.002), 5.0), None);
    let kept = |pace: &Pace| {
        let refused = pace.refused.unwrap();
        (refused.demand, refused.decode)
    };
    assert_eq!(kept(&pace), (1_000.0, 0.002));
    assert_eq!(pace.decide(&fed(0.032 / 1.09, 0.001_81), 5.0), None);
    assert_eq!(kept(&pace), (1_000.0, 0.002), "the same");
    assert_eq!(pace.decide(&fed(0.032, 0.002_21), 5.0), None);
    assert_eq!(kept(&pace), (1_000.0, 0.002_21), "decoding takes longer");
    assert_eq!(pace.decide(&fed(0.028, 0.002_21), 5.0), None);
    assert_eq!(kept(&pace).0, 32.0 / 0.028, "the consumer is faster");
    // It becomes slower: two would do, however little it asks.
    assert_eq!(changed(pace.decide(&fed(0.07, 0.002_21), 5.0)), Some((Knob::Threads, 3, 2)));
}
