//! What is logged to stderr.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// All that happens when `verbose`, else what nobody would want to miss: that
/// nothing comes any more, that a skip list names what is not there, and that nothing
/// keeps several exports apart.
pub(crate) fn init(verbose: bool) {
    let coloured = io::stderr().is_terminal();
    let layer = fmt::layer().with_ansi(coloured);
    let registry = tracing_subscriber::registry();
    if verbose {
        registry.with(layer.with_writer(io::stderr).with_filter(LevelFilter::INFO)).init();
    } else {
        let only = Targets::new()
            .with_target("infeed::stall", LevelFilter::WARN)
            .with_target("infeed::source::skip", LevelFilter::WARN)
            .with_target("infeed::export::lock", LevelFilter::WARN);
        let plain = layer.without_time().with_target(false).with_writer(|| OwnLine);
        registry.with(plain.with_filter(only)).init();
    }
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
