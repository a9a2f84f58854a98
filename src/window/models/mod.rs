//! The window under many schedules, ordered and not, with a consumer that blocks
//! and one that leaves a waker.

mod rig;

use std::sync::Arc;

use shuttle::sync::mpsc::channel;

use super::epoch::End;
use super::{Taken, Walk, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{check, thread};
use rig::{RIG, ROW, Rig, one_is_lost, some_fail};

/// Ordered and not, with a consumer that blocks and one that leaves a waker.
macro_rules! in_every_way {
    ($($name:ident: $schedules:expr, $model:expr;)*) => { $(mod $name {
        use super::*;

        fn checked(ordered: bool, wakes: bool) {
            let model: fn(Rig) = $model;
            check($schedules, move || model(Rig { ordered, wakes, ..RIG }));
        }

        #[test]
        fn ordered_blocking() {
            checked(true, false);
        }

        #[test]
        fn ordered_woken() {
            checked(true, true);
        }

        #[test]
        fn unordered_blocking() {
            checked(false, false);
        }

        #[test]
        fn unordered_woken() {
            checked(false, true);
        }
    })* };
}

/// Runs `act` at any time while `consumer` takes.
fn meanwhile(
    window: &Arc<Window<u8>>,
    act: impl FnOnce(&Window<u8>) + Send + 'static,
    consumer: impl FnOnce(),
) {
    let acting = Arc::clone(window);
    let acting = thread::spawn(move || act(&acting));
    consumer();
    acting.join().unwrap();
}

fn kind<R>(result: Result<R>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

in_every_way! {
    everything_is_delivered: 600, |rig| rig.run(|window| {
        let run = window.begin(0..2).unwrap();
        rig.consume_all(window, run, 0..2).unwrap();
    });

    failures_are_delivered: 600, |rig| {
        let rig = Rig { fate: some_fail, length: 7, ..rig };
        rig.run(|window| {
            let run = window.begin(0..2).unwrap();
            rig.consume_all(window, run, 0..2).unwrap();
        });
    };

    failures_are_judged_when_the_walk_has_ended: 600, |rig| {
        let rig = Rig { fate: some_fail, failures_need_length: true, ..rig };
        rig.run(|window| {
            let run = window.begin(0..1).unwrap();
            let walked = |window: &Window<u8>| window.walked(Walk::Ended { length: 5 });
            meanwhile(window, walked, || rig.consume_all(window, run, 0..1).unwrap());
        });
    };

    a_wide_window_is_granted_in_parts: 200, |rig| {
        let rig = Rig { batch_size: 1, prefetch: 20, decoders: 1, length: 40, ..rig };
        rig.run(|window| {
            let run = window.begin(0..1).unwrap();
            rig.consume_all(window, run, 0..1).unwrap();
        });
    };

    a_consumer_cancels_and_begins_again: 600, |rig| {
        let rig = Rig { fate: some_fail, prefetch: 1, ..rig };
        rig.run(|window| {
            let run = window.begin(0..2).unwrap();
            rig.consume(window, run, 0, 1).unwrap();
            window.cancel(run);
            assert!(matches!(rig.take(window, run), Taken::Idle));
            let run = window.begin(2..4).unwrap();
            rig.consume(window, run, 2, 1).unwrap();
            let run = window.begin(1..2).unwrap();
            rig.consume_all(window, run, 1..2).unwrap();
        });
    };

    an_epoch_is_skipped: 600, |rig| {
        let rig = Rig { length: 3, prefetch: 1, ..rig };
        rig.run(|window| {
            let run = window.begin(0..4).unwrap();
            window.skip(run, 0);
            rig.consume(window, run, 1, 1).unwrap();
            window.skip(run, 1);
            rig.consume_all(window, run, 2..4).unwrap();
        });
    };

    a_sleeping_consumer_is_superseded: 600, |rig| {
        let rig = Rig { length: 1, batch_size: 1, decoders: 1, prefetch: 1, ..rig };
        rig.run(|window| {
            let first = window.begin(0..2).unwrap();
            let (sender, taken) = channel();
            let earlier = Arc::clone(window);
            let earlier = thread::spawn(move || {
                let end = rig.consume(&earlier, first, 0, usize::MAX);
                sender.send(()).unwrap();
                let end = kind(end.and_then(|()| rig.consume_all(&earlier, first, 1..2)));
                // As its drop does.
                earlier.cancel(first);
                end
            });
            // Now it is about to wait for the next epoch.
            taken.recv().unwrap();
            let second = window.begin(2..3).unwrap();
            rig.consume_all(window, second, 2..3).unwrap();
            let end = earlier.join().unwrap();
            assert!(matches!(end, None | Some(ErrorKind::Superseded)), "{end:?}");
        });
    };

    a_late_wake_up_reaches_whom_it_is_for: 3_000, |rig| {
        let window = rig.window();
        let first = window.begin(0..1).unwrap();
        let earlier = {
            let window = Arc::clone(&window);
            thread::spawn(move || assert!(matches!(rig.take(&window, first), Taken::Error(_))))
        };
        while !window.lock().has_sleeper() {
            shuttle::thread::yield_now();
        }
        // Whom this one wakes may be superseded before the wake-up comes.
        let late = Arc::clone(&window);
        let late = thread::spawn(move || late.fail(Error::lost("this")));
        let second = window.begin(1..2).unwrap();
        let stop = |window: &Window<u8>| {
            late.join().unwrap();
            window.stop();
        };
        meanwhile(&window, stop, || {
            assert!(matches!(rig.take(&window, second), Taken::Error(_)));
        });
        earlier.join().unwrap();
    };

    a_stop_ends_the_run: 600, |rig| rig.run(|window| {
        let run = window.begin(0..2).unwrap();
        meanwhile(window, Window::stop, || {
            let end = kind(rig.consume_all(window, run, 0..2));
            assert!(matches!(end, None | Some(ErrorKind::Stopped)), "{end:?}");
        });
        assert_eq!(kind(window.begin(0..1)), Some(ErrorKind::Stopped));
    });

    a_window_is_closed_under_its_consumer: 600, |rig| rig.run(|window| {
        let run = window.begin(0..1).unwrap();
        meanwhile(window, Window::close, || loop {
            match rig.take(window, run) {
                Taken::Idle => break,
                Taken::Batch(assembly, _) => drop(assembly.assemble(ROW).unwrap()),
                Taken::EpochEnd(_) => {}
                taken => panic!("{taken:?}"),
            }
        });
    });

    a_run_fails_and_the_next_does_not: 600, |rig| rig.run(|window| {
        let run = window.begin(0..1).unwrap();
        meanwhile(window, |window| window.fail(Error::lost("this")), || {
            let end = kind(rig.consume_all(window, run, 0..1));
            assert!(matches!(end, None | Some(ErrorKind::Lost)), "{end:?}");
        });
        let run = window.begin(1..2).unwrap();
        rig.consume_all(window, run, 1..2).unwrap();
    });

    a_failure_is_told_where_nothing_else_comes: 300, |rig| {
        let fails: [fn(&Window<u8>); 2] =
            [|window| window.fail(Error::lost("this")), |window| window.fail_for_good("a thread")];
        for fail in fails {
            let window = rig.window();
            let run = window.begin(0..1).unwrap();
            meanwhile(&window, fail, || {
                assert!(matches!(rig.take(&window, run), Taken::Error(_)));
            });
        }
    };

    a_run_fails_for_good: 600, |rig| rig.run(|window| {
        let run = window.begin(0..2).unwrap();
        meanwhile(window, |window| window.fail_for_good("a thread"), || {
            let end = kind(rig.consume_all(window, run, 0..2));
            assert!(matches!(end, None | Some(ErrorKind::Lost)), "{end:?}");
        });
        assert_eq!(kind(window.begin(0..1)), Some(ErrorKind::Lost));
    });

    a_lost_sample_ends_the_run: 600, |rig| {
        let rig = Rig { fate: one_is_lost, ..rig };
        rig.run(|window| {
            let run = window.begin(0..1).unwrap();
            assert_eq!(kind(rig.consume_all(window, run, 0..1)), Some(ErrorKind::Lost));
            // And what is left of it is no hindrance to the next.
            let run = window.begin(1..2).unwrap();
            assert_eq!(kind(rig.consume_all(window, run, 1..2)), Some(ErrorKind::Lost));
        });
    };

    a_source_that_breaks_off_ends_the_run: 600, |rig| {
        let rig = Rig { end: |_| End::Broken(Error::lost("the source")), ..rig };
        rig.run(|window| {
            let run = window.begin(0..2).unwrap();
            assert_eq!(kind(rig.consume_all(window, run, 0..2)), Some(ErrorKind::Lost));
            window.cancel(run);
            assert!(matches!(rig.take(window, run), Taken::Idle));
        });
    };

    the_depth_changes_meanwhile: 600, |rig| {
        let rig = Rig { prefetch: 3, ..rig };
        rig.run(|window| {
            let run = window.begin(0..2).unwrap();
            let change = |window: &Window<u8>| {
                window.set_prefetch(1, 1);
                window.set_decoders(1);
                window.set_prefetch(3, 4);
                window.set_decoders(3);
            };
            meanwhile(window, change, || rig.consume_all(window, run, 0..2).unwrap());
        });
    };

    waking_for_no_reason_does_no_harm: 600, |rig| rig.run(|window| {
        let run = window.begin(0..1).unwrap();
        let stray = |window: &Window<u8>| {
            for _ in 0..2 {
                window.takeable.notify_all();
                window.changed.notify_one();
            }
        };
        meanwhile(window, stray, || rig.consume_all(window, run, 0..1).unwrap());
    });
}
