//! What a loader's threads and handles share, and how it looks from outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Controls;
use crate::cache::Cache;
use crate::config::Resolved;
use crate::element::Element;
use crate::fence::fence;
use crate::plan::Plan;
use crate::read::budget::ByteBudget;
use crate::read::{Handoff, Loaded, Permits, StuckReads};
use crate::source::Index;
use crate::stats::{
    InWork, Level, MemoryUse, Moment, Queue, Recording, Registry, Stall, Stats, Timeline,
};
use crate::watch::{Activity, Bell, EVERY};
use crate::window::Window;

/// What handles reach after the loader has gone.
pub(super) struct Shared<T: Element> {
    pub(super) plan: Arc<Plan>,
    pub(super) window: Arc<Window<T>>,
    pub(super) index: Arc<Index>,
    pub(super) registry: Arc<Registry>,
    /// Files, read and not yet decoded.
    pub(super) encoded: Arc<ByteBudget>,
    pub(super) permits: Arc<Permits>,
    pub(super) loaded: Handoff<Loaded<T>>,
    /// Decoded pixels, and what decoders allocate beside them.
    pub(super) pixels: Arc<ByteBudget>,
    pub(super) stuck: Arc<StuckReads>,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) activity: Arc<Activity>,
    pub(super) bell: Arc<Bell>,
    pub(super) watched: Mutex<Watched>,
    pub(super) controls: Controls,
    pub(super) config: Resolved,
}

/// What the watch has seen.
#[derive(Debug)]
pub(super) struct Watched {
    recording: Recording,
    /// The wait for a batch that is too long, while it lasts.
    stall: Option<Stall>,
    stalls: u64,
    #[cfg(feature = "metrics")]
    published: crate::watch::metrics::Published,
}

impl<T: Element> Shared<T> {
    pub(super) fn unwatched() -> Mutex<Watched> {
        let recording = Recording::new(EVERY.as_secs_f64());
        Mutex::new(Watched {
            recording,
            stall: None,
            stalls: 0,
            #[cfg(feature = "metrics")]
            published: Default::default(),
        })
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every thread finishes what it has in hand and ends.
    pub(super) fn close(&self) {
        self.window.close();
        self.index.close();
        self.bell.close();
    }

    pub(super) fn stats(&self) -> Stats {
        let progress = self.index.progress();
        let watched = self.watched();
        let (stall, stalls) = (watched.stall.clone(), watched.stalls);
        drop(watched);
        let (stages, spread) = self.registry.stages_and_spread();
        Stats {
            listed: progress.listed,
            listing_complete: progress.complete,
            epoch_samples: progress.complete.then(|| self.plan.length(progress.listed)),
            seconds: self.registry.elapsed().as_secs_f64(),
            setting: self.controls.setting(),
            thread_time: self.controls.thread_time(),
            decisions: self.controls.decisions(),
            stages,
            spread,
            decoders: self.activity.core_time(),
            queue: self.queue(),
            memory: self.memory(),
            stall,
            stalls,
            failures: self.registry.failures(),
            cache: self.cache.as_ref().map(|cache| cache.stats()),
            stuck_reads: self.stuck.count(),
        }
    }

    fn queue(&self) -> Queue {
        let occupancy = self.window.occupancy();
        Queue {
            reading: self.activity.reads_under_way(),
            read: self.loaded.len(),
            decoding: self.activity.decoders_at_work(),
            waiting: occupancy.waiting,
            making: occupancy.making,
        }
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse {
            batches: Level {
                limit_bytes: self.config.memory.batches_bytes,
                ..self.window.pool().level()
            },
            encoded: self.encoded.level(),
            decode: self.pixels.level(),
        }
    }

    pub(super) fn timeline(&self) -> Timeline {
        self.watched().recording.timeline()
    }

    /// One look; whether anything is under way. Listeners and recorders are code of
    /// others.
    pub(super) fn look(&self) -> bool {
        fence(|| self.look_and_follow()).unwrap_or_else(|panic| {
            tracing::error!("looking at the loader failed: {panic}");
            true
        })
    }

    fn look_and_follow(&self) -> bool {
        let stats = self.record();
        self.look_for_stall();
        if self.controls.is_auto() {
            self.follow(stats);
        }
        self.window.is_under_way()
    }

    /// Keeps and publishes the figures of the moment, which it takes once for all who
    /// want them.
    pub(super) fn record(&self) -> Stats {
        let stats = self.stats();
        self.watched().recording.add(Moment::of(&stats));
        #[cfg(feature = "metrics")]
        {
            // A recorder may ask for figures.
            let mut published = std::mem::take(&mut self.watched().published);
            published.publish(&stats);
            self.watched().published = published;
        }
        stats
    }

    /// Reports a wait that is too long, and again after as long.
    fn look_for_stall(&self) {
        let Some(after) = self.config.stall_report else { return };
        let mut watched = self.watched();
        let Some(waiting) = self.registry.waiting().filter(|waiting| *waiting >= after) else {
            watched.stall = None;
            return;
        };
        let told = watched.stall.as_ref().map(|stall| stall.waiting_seconds);
        let due = told.is_none_or(|told| waiting >= Duration::from_secs_f64(told) + after);
        watched.stalls += u64::from(told.is_none());
        if !due {
            return;
        }
        let stall = self.stall(waiting);
        watched.stall = Some(stall.clone());
        // Whoever listens may ask for figures.
        drop(watched);
        tracing::warn!(target: "infeed::stall", "{stall}");
    }

    fn stall(&self, waiting: Duration) -> Stall {
        let oldest = self.activity.oldest().and_then(|oldest| {
            let path = self.index.entry(oldest.index)?.path;
            let seconds = Instant::now().saturating_duration_since(oldest.since).as_secs_f64();
            let (stage, index, for_memory) = (oldest.stage, oldest.index, oldest.for_memory);
            Some(InWork { stage, path, index, seconds, for_memory })
        });
        Stall {
            waiting_seconds: waiting.as_secs_f64(),
            oldest,
            listing: !self.index.is_over(),
            queue: self.queue(),
            setting: self.controls.setting(),
        }
    }
}
