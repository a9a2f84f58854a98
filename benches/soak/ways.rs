//! What programs do with a loader, each way checked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Builder};
use std::time::Duration;

use infeed::{
    Batch, Dtype, Element, Epoch, ErrorKind, LastBatch, Loader, State, Uneven, bf16, f16,
};

use crate::case::{Case, Way};
use crate::done::Done;
use crate::executor::next;
use crate::oracle::{Check, Checked, Expected, Plain, Table, rows, together};
use crate::plan::{EPOCHS, Speed};
use crate::tree::Trees;
use crate::watch::Watch;

fn add(to: &AtomicU64, count: u64) {
    to.fetch_add(count, Ordering::Relaxed);
}

/// What all cases share.
pub(crate) struct Ground<'g> {
    pub(crate) trees: &'g Trees,
    pub(crate) table: &'g Mutex<Table>,
    pub(crate) done: &'g Done,
    pub(crate) watch: &'g Watch,
}

impl Ground<'_> {
    pub(crate) fn run(&self, case: &Case) -> Checked {
        match case.work.dtype {
            Dtype::U8 => self.run_as::<u8>(case),
            Dtype::F16 => self.run_as::<f16>(case),
            Dtype::Bf16 => self.run_as::<bf16>(case),
            _ => self.run_as::<f32>(case),
        }
    }

    fn run_as<T: Element>(&self, case: &Case) -> Checked {
        match case.way {
            Way::Nothing => self.loader::<T>(case, &case.speed, case.rank, None).map(drop),
            Way::One => self.one::<T>(case, usize::MAX),
            Way::Early => self.one::<T>(case, case.draws().between(0, 6)),
            Way::Several => self.several::<T>(case),
            Way::EachEpoch => self.each_epoch::<T>(case),
            Way::Forget => self.forget::<T>(case),
            Way::Stop => self.stop::<T>(case),
            Way::Stream => self.stream::<T>(case),
            Way::Hold => self.hold::<T>(case),
            Way::Resume => self.resume::<T>(case),
            Way::Ranks => self.ranks::<T>(case),
            Way::Beside => self.beside::<T>(case),
        }
    }

    fn plain(&self, case: &Case, rank: u32, from: u64, epochs: u64) -> Checked<Plain> {
        let mut table = self.table.lock().map_err(|error| error.to_string())?;
        let expected = table.expected(&case.work, rank, self.trees)?;
        drop(table);
        Ok(expected.joined(from, epochs))
    }

    fn loader<T: Element>(
        &self,
        case: &Case,
        speed: &Speed,
        rank: u32,
        resumed: Option<&Resumed>,
    ) -> Checked<Loader<T>> {
        let work = &case.work;
        let builder = || {
            let builder = work.builder::<T>(self.trees, rank);
            let builder = speed.of(work, &self.trees.cache(work.number), builder);
            match resumed {
                None => builder,
                Some(Resumed { state, batch_size: None }) => builder.resume(state.clone()),
                Some(Resumed { state, batch_size: Some(size) }) => {
                    builder.resume(state.clone()).batch_size(*size)
                }
            }
        };
        let told = |error: infeed::Error| format!("building: {error}");
        let bound = builder().resolve().map_err(told)?.memory.total_bytes;
        let built = match speed.memory_limit(bound) {
            None => builder().build(),
            Some(limit) => match builder().memory_limit(limit).build() {
                Err(error) if error.field() == Some("memory_limit") => {
                    add(&self.done.refused, 1);
                    builder().build()
                }
                built => built.inspect(|loader| {
                    assert!(loader.config().memory.total_bytes <= limit, "above {limit}");
                }),
            },
        };
        let loader = built.map_err(told)?;
        add(&self.done.loaders, 1);
        self.watch.on(loader.monitor());
        Ok(loader)
    }

    fn epoch<'l, T: Element>(
        &self,
        loader: &'l mut Loader<T>,
        number: u64,
    ) -> Checked<Epoch<'l, T>> {
        loader.epoch(number).map_err(|error| format!("epoch {number}: {error}"))
    }

    /// Takes so many items at the most; whether the epoch has come to its end.
    fn take<T: Element>(
        &self,
        items: &mut impl Iterator<Item = infeed::Result<Batch<T>>>,
        check: &mut Check<'_>,
        most: usize,
    ) -> Checked<bool> {
        for _ in 0..most {
            let Some(item) = items.next() else {
                add(&self.done.epochs, 1);
                return Ok(true);
            };
            self.item(&item, check)?;
        }
        Ok(false)
    }

    fn item<T: Element>(&self, item: &infeed::Result<Batch<T>>, check: &mut Check<'_>) -> Checked {
        match item {
            Ok(batch) => add(&self.done.images, batch.len() as u64),
            Err(error) => add(&self.done.failed, error.sample().is_some().into()),
        }
        check.item(item)
    }

    fn skipped(&self, failures: &[infeed::SampleError]) {
        add(&self.done.failed, failures.len() as u64);
    }

    fn whole<T: Element>(&self, loader: &mut Loader<T>, number: u64, plain: &Plain) -> Checked {
        let mut check = Check::new(plain);
        let mut epoch = self.epoch(loader, number)?;
        let complete = self.take(&mut epoch, &mut check, usize::MAX)?;
        check.figures(&epoch)?;
        check.digest(epoch.stats().digest)?;
        self.skipped(epoch.failures());
        check.end(complete)
    }

    // ---- the ways

    fn one<T: Element>(&self, case: &Case, most: usize) -> Checked {
        let plain = self.plain(case, case.rank, 0, 1)?;
        let mut check = Check::new(&plain);
        let mut loader = self.loader::<T>(case, &case.speed, case.rank, None)?;
        let mut epoch = self.epoch(&mut loader, case.work.first)?;
        let complete = self.take(&mut epoch, &mut check, most)?;
        check.figures(&epoch)?;
        if complete {
            check.digest(epoch.stats().digest)?;
        }
        self.skipped(epoch.failures());
        check.end(complete)
    }

    fn several<T: Element>(&self, case: &Case) -> Checked {
        let plain = self.plain(case, case.rank, 0, EPOCHS)?;
        let mut check = Check::new(&plain);
        let mut loader = self.loader::<T>(case, &case.speed, case.rank, None)?;
        let (first, end) = case.epochs();
        let mut epochs = loader.epochs(first..end).map_err(|error| error.to_string())?;
        let complete = self.take(&mut epochs, &mut check, usize::MAX)?;
        add(&self.done.epochs, EPOCHS - 1);
        check.skipped(epochs.failures());
        self.skipped(epochs.failures());
        check.end(complete)
    }

    /// One at a time, some of them left before their end.
    fn each_epoch<T: Element>(&self, case: &Case) -> Checked {
        let mut draws = case.draws();
        let mut loader = self.loader::<T>(case, &case.speed, case.rank, None)?;
        let (first, end) = case.epochs();
        let mut epochs = loader.epochs(first..end).map_err(|error| error.to_string())?;
        let mut before = 0;
        let mut number = first;
        while let Some(mut epoch) = epochs.next_epoch() {
            if epoch.number() != number {
                return Err(format!("epoch {} instead of {number}", epoch.number()));
            }
            let plain = self.plain(case, case.rank, number - first, 1)?;
            let mut check = Check::new(&plain);
            let most = if draws.one_in(2) { draws.between(0, 5) } else { usize::MAX };
            let complete = self.take(&mut epoch, &mut check, most)?;
            let failures = &epoch.failures()[before..];
            check.skipped(failures);
            self.skipped(failures);
            before = epoch.failures().len();
            if complete {
                check.digest(epoch.stats().digest)?;
            }
            check.end(complete)?;
            number += 1;
        }
        let ended = (0..EPOCHS)
            .any(|at| self.plain(case, case.rank, at, 1).is_ok_and(|plain| plain.ends_early()));
        match number == end || ended {
            true => Ok(()),
            false => Err(format!("{} epochs of {EPOCHS}", number - first)),
        }
    }

    fn forget<T: Element>(&self, case: &Case) -> Checked {
        let mut draws = case.draws();
        let mut loader = self.loader::<T>(case, &case.speed, case.rank, None)?;
        let (first, end) = case.epochs();
        let plain = self.plain(case, case.rank, 0, 1)?;
        let mut check = Check::new(&plain);
        let mut epoch = self.epoch(&mut loader, first)?;
        self.take(&mut epoch, &mut check, draws.between(0, 4))?;
        check.end(false)?;
        std::mem::forget(epoch);
        std::mem::forget(loader.epochs(first..end).map_err(|error| error.to_string())?);
        add(&self.done.forgotten, 2);
        self.whole(&mut loader, first + 1, &self.plain(case, case.rank, 1, 1)?)
    }

    /// Stopped from elsewhere at some moment.
    fn stop<T: Element>(&self, case: &Case) -> Checked {
        let plain = self.plain(case, case.rank, 0, EPOCHS)?;
        let mut check = Check::new(&plain);
        check.may_stop = true;
        let after = Duration::from_micros(case.draws().below(4_000));
        let mut loader = self.loader::<T>(case, &case.speed, case.rank, None)?;
        let handle = loader.stop_handle();
        let (first, end) = case.epochs();
        thread::scope(|scope| {
            let stopping = move || {
                thread::park_timeout(after);
                handle.stop();
            };
            let stopping =
                Builder::new().name("soak-stop".to_owned()).spawn_scoped(scope, stopping);
            let stopping = stopping.map_err(|error| error.to_string())?;
            let complete = match loader.epochs(first..end) {
                Ok(mut epochs) => {
                    let complete = self.take(&mut epochs, &mut check, usize::MAX)?;
                    check.skipped(epochs.failures());
                    complete
                }
                Err(error) if error.kind() == ErrorKind::Stopped => false,
                Err(error) => return Err(error.to_string()),
            };
            if check.was_stopped() {
                add(&self.done.stopped, 1);
            }
            check.end(complete)?;
            stopping.join().map_err(|_| "the stopping thread panicked".to_owned())
        })?;
        match loader.epoch(first).map(drop) {
            Err(error) if error.kind() == ErrorKind::Stopped => Ok(()),
            other => Err(format!("behind a stop: {other:?}")),
        }
    }

    fn stream<T: Element>(&self, case: &Case) -> Checked {
        let mut draws = case.draws();
        let plain = self.plain(case, case.rank, 0, 1)?;
        let mut check = Check::new(&plain);
        let mut loader = self.loader::<T>(case, &case.speed, case.rank, None)?;
        let mut stream = self.epoch(&mut loader, case.work.first)?.into_stream();
        while let Some(item) = next(&mut stream, &mut draws) {
            self.item(&item, &mut check)?;
        }
        add(&self.done.epochs, 1);
        check.digest(stream.stats().digest)?;
        check.skipped(stream.failures());
        self.skipped(stream.failures());
        check.end(true)
    }

    /// Batches outlive their loader, and are dropped on other threads.
    fn hold<T: Element>(&self, case: &Case) -> Checked {
        let plain = self.plain(case, case.rank, 0, 1)?;
        let mut check = Check::new(&plain);
        let mut loader = self.loader::<T>(case, &case.speed, case.rank, None)?;
        let mut epoch = self.epoch(&mut loader, case.work.first)?;
        let mut kept = Vec::new();
        for item in epoch.by_ref() {
            self.item(&item, &mut check)?;
            kept.extend(item);
        }
        add(&self.done.epochs, 1);
        check.figures(&epoch)?;
        self.skipped(epoch.failures());
        check.end(true)?;
        drop(epoch);
        let before: Vec<Vec<u64>> = kept.iter().map(rows).collect();
        drop(loader);
        let looking = move || {
            let same = kept.iter().map(rows).eq(before);
            for (number, batch) in kept.into_iter().enumerate() {
                if number % 2 == 0 {
                    drop(batch.into_parts());
                }
            }
            same
        };
        let looking = Builder::new().name("soak-hold".to_owned()).spawn(looking);
        match looking.map_err(|error| error.to_string())?.join() {
            Ok(true) => Ok(()),
            _ => Err("batches changed behind their loader's end".to_owned()),
        }
    }

    /// Saved after some batch, and gone on from there by another loader.
    fn resume<T: Element>(&self, case: &Case) -> Checked {
        let mut draws = case.draws();
        let plain = self.plain(case, case.rank, 0, EPOCHS)?;
        let mut check = Check::new(&plain);
        let mut loader = self.loader::<T>(case, &case.speed, case.rank, None)?;
        let (first, end) = case.epochs();
        let mut epochs = loader.epochs(first..end).map_err(|error| error.to_string())?;
        let (mut left, mut state) = (draws.between(1, 12), None);
        while left > 0 {
            let Some(item) = epochs.next() else { break };
            self.item(&item, &mut check)?;
            if let Ok(batch) = item {
                left -= 1;
                state = Some(batch.state());
            }
        }
        check.skipped(epochs.failures());
        self.skipped(epochs.failures());
        let Some(state) = state.filter(|_| left == 0) else { return check.end(true) };
        drop(loader);
        let file = self.trees.state(&case.number.to_string());
        state.save(&file).map_err(|error| error.to_string())?;
        let state = State::load(&file).map_err(|error| error.to_string())?;
        drop(std::fs::remove_file(file));
        let other = case.work.takes_other_batch_sizes() && draws.one_in(3);
        let batch_size = other.then(|| draws.between(1, 40));
        let resumed = Resumed { state, batch_size };
        let mut loader = self.loader::<T>(case, &case.other, case.rank, Some(&resumed))?;
        add(&self.done.resumed, 1);
        let begin = loader.first_epoch();
        let mut epochs = loader.epochs(begin..end).map_err(|error| error.to_string())?;
        if batch_size.is_some() {
            return self.other_batches(&mut epochs, check, &plain);
        }
        let mut check = check.resumed(&plain);
        let complete = self.take(&mut epochs, &mut check, usize::MAX)?;
        check.skipped(epochs.failures());
        self.skipped(epochs.failures());
        check.end(complete)
    }

    /// In batches of another size come the same rows in the same order.
    fn other_batches<T: Element>(
        &self,
        items: &mut impl Iterator<Item = infeed::Result<Batch<T>>>,
        check: Check<'_>,
        plain: &Plain,
    ) -> Checked {
        let mut expected = plain.rows_from(check.at()).into_iter();
        for item in items {
            let batch = match item {
                Ok(batch) => batch,
                // A budget may be used up somewhat earlier or later in a batch.
                Err(_) if plain.ends_early() => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            add(&self.done.images, batch.len() as u64);
            // Where the plain run ended, another batch may have had more before its end.
            let same = |row| expected.next().map_or(plain.ends_early(), |wanted| wanted == row);
            if !rows(&batch).into_iter().all(same) {
                return Err(format!("other rows in batch {} of another size", batch.index()));
            }
        }
        match expected.count() {
            0 => Ok(()),
            missing => Err(format!("{missing} rows did not come in batches of another size")),
        }
    }

    /// All ranks, in turn.
    fn ranks<T: Element>(&self, case: &Case) -> Checked {
        let world = case.work.world;
        let plains = (0..world).map(|rank| self.plain(case, rank, 0, 1));
        let plains = plains.collect::<Checked<Vec<_>>>()?;
        let speeds = [&case.speed, &case.other];
        let loaders =
            (0..world).map(|rank| self.loader::<T>(case, speeds[rank as usize % 2], rank, None));
        let mut loaders = loaders.collect::<Checked<Vec<_>>>()?;
        let epochs = loaders.iter_mut().map(|loader| self.epoch(loader, case.work.first));
        let mut epochs = epochs.collect::<Checked<Vec<_>>>()?;
        let mut checks: Vec<_> = plains.iter().map(Check::new).collect();
        let mut over = vec![false; world as usize];
        while over.contains(&false) {
            for ((epoch, check), over) in epochs.iter_mut().zip(&mut checks).zip(&mut over) {
                *over = *over || self.take(epoch, check, 1)?;
            }
        }
        let mut digests = Vec::new();
        for (epoch, mut check) in epochs.iter().zip(checks) {
            check.figures(epoch)?;
            digests.push(epoch.stats().digest);
            self.skipped(epoch.failures());
            check.end(true)?;
        }
        let whole = case.work.uneven == Uneven::Pad && case.work.last != LastBatch::Drop;
        if !whole || plains.iter().any(Plain::ends_early) {
            return Ok(());
        }
        let alone = Expected::new(&case.work.alone(), 0, self.trees)?.digest(0);
        match alone.is_none_or(|digest| together(&[digest]) == together(&digests)) {
            true => Ok(()),
            false => Err(format!("{world} ranks together: {digests:?}, alone {alone:?}")),
        }
    }

    /// Two loaders over one tree at the same time.
    fn beside<T: Element>(&self, case: &Case) -> Checked {
        thread::scope(|scope| {
            let other = Case { speed: case.other.clone(), way: Way::Several, ..case.clone() };
            let beside = move || self.run(&other);
            let beside = Builder::new().name("soak-beside".to_owned()).spawn_scoped(scope, beside);
            let beside = beside.map_err(|error| error.to_string())?;
            let own = self.several::<T>(case);
            let other = beside.join().map_err(|_| "the thread beside panicked".to_owned())?;
            own.and(other)
        })
    }
}

/// Where a loader goes on.
struct Resumed {
    state: State,
    batch_size: Option<usize>,
}
