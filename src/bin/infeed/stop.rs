//! Ctrl-C: the first stops cleanly, the second at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use infeed::StopHandle;

#[cfg(unix)]
use crate::system::is_ignored;

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
    // What was ignored from the start is to go on being so: `nohup` asks for that.
    let heard = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&of| !is_ignored(of));
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    let listen = move || signals.forever().for_each(|_| act());
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map_err(|error| {
        let remedy = "raise the limit on threads (ulimit -u)";
        io::Error::new(
            error.kind(),
            format!("the thread signals cannot be started ({remedy}): {error}"),
        )
    })?;
    Ok(())
}

#[cfg(not(unix))]
fn on_signal(act: impl FnMut() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(act).map_err(io::Error::other)
}
