//! Ctrl-C: the first stops cleanly, the second at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use infeed::StopHandle;

/// Whether the user has asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Stops `loader` on the first SIGINT, SIGTERM or SIGHUP and leaves on the second.
    pub(crate) fn install(loader: Option<StopHandle>) -> io::Result<Self> {
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        on_signal(move || {
            // The flag stands alone: no other memory is read on its account.
            if flag.0.swap(true, Ordering::Relaxed) {
                std::process::exit(crate::Exit::Interrupted as i32);
            }
            if let Some(loader) = &loader {
                loader.stop();
            }
        })?;
        Ok(interrupt)
    }

    pub(crate) fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(unix)]
fn on_signal(mut act: impl FnMut() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored();
    // What was ignored from the start is to go on being so: `nohup` asks for that.
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|of| ignored >> (of - 1) & 1 == 0);
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    let listen = move || signals.forever().for_each(|_| act());
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(())
}

#[cfg(not(unix))]
fn on_signal(act: impl FnMut() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(act).map_err(io::Error::other)
}

/// The signals that this process ignores, from the lowest bit on; none where the system
/// does not tell.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
