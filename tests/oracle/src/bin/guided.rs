//! Any bytes beside libjpeg-turbo, by libFuzzer, which keeps what reaches code that nothing
//! did before. `corpus` holds what it found, the fewest files that reach all of it; the
//! tests decode them. Needs a C++ compiler besides. The last command adds to it what reaches
//! more:
//!
//! ```sh
//! export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
//!     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
//!     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
//!     -Coverflow-checks=on -Cdebug-assertions=on"
//! cargo build --release -p infeed-oracle --features guided --bin guided \
//!     --target x86_64-unknown-linux-gnu --target-dir target/guided
//! mkdir found
//! alias guided=target/guided/x86_64-unknown-linux-gnu/release/guided
//! guided found tests/oracle/corpus -max_len=1200 -max_total_time=3600
//! guided -set_cover_merge=1 -use_counters=0 tests/oracle/corpus found
//! ```
#![no_main]

use infeed_oracle::compare;
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
        // Not of the other formats, by which a picture begins otherwise.
        if !file.starts_with(&[0xff, 0xd8]) {
            return Corpus::Reject;
        }
        if let Err(what) = compare::file(file) {
            panic!("{what}");
        }
        Corpus::Keep
    }
);
