//! The threads.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc;

use super::{PATIENCE, Shared};
use crate::augment::Augment;
use crate::decode::{Decode, pool::Worker};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::fence::fence;
use crate::read::{Giver, Loaded, Readers, Retries, grant, runtime};
use crate::source::{Listing, Source};
use crate::transform::{Scaler, Transform};
use crate::window::Window;

/// What the threads are started from. If one cannot be started, those that run
/// already find the window closed and end by themselves.
pub(super) struct Starting<'a, T: Element> {
    pub(super) shared: &'a Arc<Shared<T>>,
    pub(super) source: Arc<dyn Source>,
    pub(super) loaded_giver: Giver<Loaded<T>>,
}

pub(super) struct Threads {
    pub(super) walk: JoinHandle<()>,
    /// Never sent to: disconnects when the walk's thread ends.
    pub(super) walked: Receiver<()>,
    pub(super) read: JoinHandle<()>,
    pub(super) decode: Vec<JoinHandle<()>>,
    pub(super) watch: JoinHandle<()>,
}

impl<T: Element> Starting<'_, T> {
    pub(super) fn start(
        self,
        decoder: Arc<dyn Decode>,
        transform: Arc<Transform<T>>,
        augment: Arc<Augment<T>>,
    ) -> Result<Threads> {
        let Starting { shared, source, loaded_giver } = self;
        let Shared { plan, window, index, stuck, cache, config, .. } = &**shared;
        let (retry_sender, retry_receiver) = mpsc::unbounded_channel();
        let retries = Retries { attempts: config.replace_attempts, sender: retry_sender };
        let readers = Readers {
            window: Arc::clone(window),
            index: Arc::clone(index),
            source: Arc::clone(&source),
            cache: cache.clone(),
            plan: Arc::clone(plan),
            encoded: Arc::clone(&shared.encoded),
            max_file_bytes: config.limits.max_file_bytes,
            permits: Arc::clone(&shared.permits),
            timeout: config.read_timeout,
            stuck: Arc::clone(stuck),
            activity: Arc::clone(&shared.activity),
            loaded: loaded_giver,
            retries: retries.clone(),
        };
        let workers = (0..config.threads).map(|number| Worker {
            loaded: shared.loaded.taker(number),
            decoder: Arc::clone(&decoder),
            transform: Arc::clone(&transform),
            augment: Arc::clone(&augment),
            cache: cache.clone(),
            scaler: config.cache_side.map(|side| Scaler::new(side, config.filter)),
            limits: config.limits,
            pixels: Arc::clone(&shared.pixels),
            retries: retries.clone(),
            in_work: shared.activity.decoder(number),
        });
        let workers: Vec<_> = workers.collect();

        let closing = CloseOnFailure(shared);
        let mut decode = Vec::with_capacity(workers.len());
        for (number, worker) in workers.into_iter().enumerate() {
            let name = format!("infeed-decode-{number}");
            decode.push(spawn(shared, &name, move || worker.run())?);
        }
        let most_readers = config.auto.readers.unwrap_or(config.readers);
        // Made on its own thread: a runtime must not be dropped inside another.
        let (made_sender, made) = bounded(1);
        let read = spawn(shared, "infeed-read", move || match runtime(most_readers) {
            Ok(runtime) => {
                drop(made_sender.try_send(Ok(())));
                runtime.block_on(grant(Arc::new(readers), retry_receiver));
                runtime.shutdown_timeout(PATIENCE);
            }
            Err(error) => drop(made_sender.try_send(Err(error))),
        })?;
        let gone = |gone| Error::lost(format!("the thread infeed-read: {gone}"));
        made.recv().unwrap_or_else(|end| Err(gone(end)))?;
        let (walking, walked) = bounded(0);
        let walk = spawn_walk(shared, source, walking)?;
        let watched = Arc::clone(shared);
        let watch = spawn(shared, "infeed-watch", move || watched.bell.watch(|| watched.look()))?;
        std::mem::forget(closing);
        Ok(Threads { walk, walked, read, decode, watch })
    }
}

fn spawn_walk<T: Element>(
    shared: &Arc<Shared<T>>,
    source: Arc<dyn Source>,
    walking: Sender<()>,
) -> Result<JoinHandle<()>> {
    let walked = Arc::clone(shared);
    spawn(shared, "infeed-walk", move || {
        let _walking = walking;
        let Shared { index, registry, .. } = &*walked;
        let started = Instant::now();
        let listed = fence(|| source.list(&mut Listing::new(index)));
        let listed = listed.unwrap_or_else(|panic| {
            Err(Error::lost(format!("listing {} failed: {panic}", source.root().display())))
        });
        registry.walked(index.progress().listed, started.elapsed());
        index.finish(listed);
    })
}

/// A named thread whose unexpected end is told to the consumer.
fn spawn<T: Element>(
    shared: &Arc<Shared<T>>,
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    let guard = LostThread { window: Arc::clone(&shared.window), name: name.to_owned() };
    let work = move || {
        let guard = guard;
        work();
        drop(guard);
    };
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|error| Error::no_thread(name, error))
}

/// Lets the threads that were started end when a later one cannot be.
struct CloseOnFailure<'a, T: Element>(&'a Arc<Shared<T>>);

impl<T: Element> Drop for CloseOnFailure<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Ends the run when its thread panics.
struct LostThread<T: Element> {
    window: Arc<Window<T>>,
    name: String,
}

impl<T: Element> Drop for LostThread<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.window.fail_for_good(&format!("the thread {} panicked", self.name));
        }
    }
}
