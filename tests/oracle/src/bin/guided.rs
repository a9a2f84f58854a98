//! Any bytes beside libjpeg-turbo, by libFuzzer, which keeps what reaches code that nothing
//! did before. `corpus` holds what it found, the fewest files that reach all of it; the
//! tests decode them. Needs a C++ compiler besides. The last command adds to it what reaches
//! more:
//!
//! ```sh
//! export RUSTC_WORKSPACE_WRAPPER=$PWD/tests/oracle/instrumented
//! cargo build --release -p infeed-oracle --features guided --bin guided --target-dir target/guided
//! mkdir found
//! alias guided=target/guided/release/guided
//! guided found tests/oracle/corpus -max_len=1200 -max_total_time=3600
//! guided -merge=1 -use_counters=0 tests/oracle/corpus found
//! ```
#![no_main]

use infeed_oracle::compare::{self, Outcome};
use libfuzzer_sys::Corpus;

libfuzzer_sys::fuzz_target!(
    init: {
        // libFuzzer's own ends at every panic; of zune-jpeg's they are errors.
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let ours = panic.location().is_none_or(|at| !at.file().contains("zune-jpeg"));
            if ours {
                report(panic);
            }
        }));
    },
    |file: &[u8]| -> Corpus {
        // Not what is none of this decoder's business, or of libjpeg-turbo's: nearly all is, a few
        // steps on, and nothing is compared there.
        match file.starts_with(&[0xff, 0xd8]).then(|| compare::file(file)) {
            None | Some(Ok(Outcome::Passed)) => Corpus::Reject,
            Some(Ok(_)) => Corpus::Keep,
            Some(Err(what)) => panic!("{what}"),
        }
    }
);
