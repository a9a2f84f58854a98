//! Two clocks at once: the one on the wall and the one of the cores.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::system::cpu_seconds;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    cpu_seconds: Option<f64>,
}

/// How fast images went by.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) images_per_second: f64,
    /// What this process worked for an image, all threads together: no other
    /// process on the machine adds to it. `None` where the system does not say.
    pub(crate) core_microseconds: Option<f64>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { started: Instant::now(), cpu_seconds: cpu_seconds() }
    }

    pub(crate) fn rate(self, images: usize) -> Rate {
        let images = images as f64;
        let worked = cpu_seconds().zip(self.cpu_seconds).map(|(now, then)| now - then);
        Rate {
            images_per_second: images / self.started.elapsed().as_secs_f64(),
            core_microseconds: worked.map(|seconds| seconds * 1e6 / images),
        }
    }
}
