//! The sentences, word by word.

use super::sight::Shares;
use super::*;

fn verdict(bound: Bound) -> Verdict {
    let shares = Shares {
        threads: 2,
        readers: 4,
        prefetch: 3,
        cores: 8,
        busy: 0.92,
        starved: 0.81,
        for_memory: 0.33,
        reading: 0.74,
        reads_for_memory: 0.55,
        reorder: 0.46,
        ..Shares::default()
    };
    let (wait, images_per_second) = (0.6, 1234.4);
    Verdict { bound, wait, images_per_second, capacity: 2345.6, advice: None, next: None, shares }
}

fn advised(bound: Bound, change: Change) -> Verdict {
    let advice = Some(Advice { change, wait: 0.254, images_per_second: 3456.7 });
    Verdict { advice, ..verdict(bound) }
}

#[track_caller]
fn says(verdict: Verdict, words: &str) {
    assert_eq!(verdict.to_string(), words);
}

#[test]
fn each_bound_is_a_sentence_with_its_figures() {
    says(Verdict::starting(), "starting: nothing to judge yet");
    says(
        Verdict { wait: 0.004, ..verdict(Bound::Consumer) },
        "consumer-bound: the step waits less than 1 % of the time; the loader could deliver 2346 \
         images/s",
    );
    says(
        Verdict { wait: 0.01, ..advised(Bound::Consumer, Change::Threads(1)) },
        "consumer-bound: the step waits 1 % of the time; the loader could deliver 2346 images/s, \
         and 1 thread would do",
    );
    says(
        verdict(Bound::Decode),
        "decode-bound: 2 threads busy 92 %, the step waits 60 % of the time",
    );
    says(
        verdict(Bound::Read),
        "read-bound: decoders wait 81 % of the time for files, 4 readers busy 74 %, the step \
         waits 60 % of the time",
    );
    says(
        verdict(Bound::Order),
        "order-bound: finished images wait 46 % of the time for one in front, the step waits 60 \
         % of the time",
    );
    says(
        verdict(Bound::Prefetch),
        "prefetch-bound: with 3 batches ahead there is no room to work in, the step waits 60 % \
         of the time",
    );
    let memory = verdict(Bound::Memory);
    says(
        memory,
        "memory-bound: decoders wait 33 % of the time for memory, the step waits 60 % of the time",
    );
    let at = |for_memory| Verdict { shares: Shares { for_memory, ..memory.shares }, ..memory };
    says(
        at(0.149),
        "memory-bound: reads wait 55 % of the time for memory, the step waits 60 % of the time",
    );
    says(
        at(0.15),
        "memory-bound: decoders wait 15 % of the time for memory, the step waits 60 % of the time",
    );
    says(
        verdict(Bound::Walk),
        "walk-bound: samples are not listed as fast as they are used, the step waits 60 % of the \
         time",
    );
    let mut one = verdict(Bound::Prefetch);
    one.shares.prefetch = 1;
    assert!(one.to_string().contains("with 1 batch ahead"), "{one}");
}

#[test]
fn a_change_is_told_with_what_it_brings() {
    let decode = "decode-bound: 2 threads busy 92 %, the step waits 60 % of the time; ";
    let brings = |change, words: &str| {
        let told = advised(Bound::Decode, change).to_string();
        assert_eq!(told.strip_prefix(decode), Some(words), "{told}");
    };
    brings(Change::Threads(3), "with 1 more thread it would wait about 25 %");
    brings(Change::Threads(4), "with 2 more threads it would wait about 25 %");
    let mut one = advised(Bound::Decode, Change::Threads(2));
    one.shares.threads = 1;
    assert!(one.to_string().contains("; with 1 more thread it would"), "{one}");
    brings(Change::Readers(64), "with 64 readers it would wait about 25 %");
    brings(Change::Prefetch(8), "with prefetch 8 it would wait about 25 %");
    brings(Change::Unordered, "unordered it would wait about 25 %");
    brings(Change::Memory((5 << 20) + 1), "with 6 MiB more it would wait about 25 %");

    let with = |wait, then| {
        let mut verdict = advised(Bound::Decode, Change::Threads(3));
        (verdict.wait, verdict.advice.as_mut().unwrap().wait) = (wait, then);
        verdict.to_string().split_once("; with 1 more thread ").unwrap().1.to_owned()
    };
    assert_eq!(with(0.5, 0.009), "it would hardly wait");
    assert_eq!(with(0.5, 0.01), "it would wait about 1 %");
    // A consumer that has no step of its own always waits.
    assert_eq!(with(0.9, 0.25), "it would wait about 25 %");
    assert_eq!(with(0.91, 0.25), "it would get about 3457 images/s");
}

#[test]
fn cores_that_are_all_in_use_are_named() {
    let with = |bound, threads, cores| {
        let verdict = verdict(bound);
        let shares = Shares { threads, cores, ..verdict.shares };
        let told = Verdict { shares, ..verdict }.to_string();
        told.split_once("of the time; ").map(|(_, rest)| rest.to_owned())
    };
    let words = "in use: smaller images or a cache would help";
    assert_eq!(with(Bound::Decode, 4, 4), Some(format!("all 4 cores are {words}")));
    assert_eq!(with(Bound::Decode, 2, 1), Some(format!("the one core is {words}")));
    assert_eq!(with(Bound::Decode, 3, 4), None);
    assert_eq!(with(Bound::Order, 4, 4), None);
}

#[test]
fn what_limits_next_is_told_behind_what_is_advised() {
    let beyond = |verdict: Verdict, next| {
        let told = Verdict { next: Some(next), ..verdict }.to_string();
        told.split_once("; beyond that, ").map(|(_, rest)| rest.to_owned())
    };
    let threads = || advised(Bound::Decode, Change::Threads(3));
    let reads = Some("reads limit at 900 images/s".to_owned());
    let decoding = Some("decoding limits at 900 images/s".to_owned());
    assert_eq!(beyond(threads(), (Bound::Read, 900.2)), reads);
    let readers = || advised(Bound::Read, Change::Readers(8));
    assert_eq!(beyond(readers(), (Bound::Decode, 900.2)), decoding);
    // Nothing is advised, so there is nothing to be beyond of: but where decoding is not
    // what holds the others back, it says where it would.
    assert_eq!(beyond(verdict(Bound::Decode), (Bound::Read, 900.2)), None);
    assert_eq!(beyond(verdict(Bound::Decode), (Bound::Decode, 900.2)), None);
    assert_eq!(beyond(verdict(Bound::Read), (Bound::Decode, 900.2)), decoding);
    assert_eq!(threads().to_string().split_once("; beyond"), None);
}
