//! What is logged to stderr.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// All that happens when `verbose`, else what nobody would want to miss: that
/// nothing comes any more.
pub(crate) fn init(verbose: bool) {
    let (all, stalls) = match verbose {
        true => (Some(fmt::layer().with_writer(io::stderr)), None),
        false => {
            let plain = fmt::layer().without_time().with_target(false).with_writer(|| OwnLine);
            (None, Some(plain))
        }
    };
    let stall = Targets::new().with_target("infeed::stall", LevelFilter::WARN);
    tracing_subscriber::registry()
        .with(all.with_filter(LevelFilter::INFO))
        .with(stalls.with_filter(stall))
        .init();
}

/// Stderr, where a progress bar may stand in the line.
struct OwnLine;

impl Write for OwnLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        if stderr.is_terminal() {
            stderr.write_all(b"\r\x1b[K")?;
        }
        stderr.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
