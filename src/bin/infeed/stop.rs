//! Ctrl-C: the first stops cleanly, the second at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use infeed::StopHandle;

/// Whether the user has asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Stops `loader` on the first SIGINT, SIGTERM or SIGHUP and leaves on the second.
    pub(crate) fn install(loader: Option<StopHandle>) -> Result<Self, ctrlc::Error> {
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        ctrlc::set_handler(move || {
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
