//! burn's own checkpoints, and beside each where the loader stood.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use burn::optim::lr_scheduler::LrSchedulerRecord;
use burn::train::checkpoint::{Checkpointer, CheckpointerError, FileCheckpointer};
use infeed::State;

/// The state after the latest batch of each epoch; burn writes the checkpoint of an
/// epoch while the next one begins.
#[derive(Clone, Default)]
pub(crate) struct States(Arc<Mutex<BTreeMap<u64, State>>>);

impl States {
    pub(crate) fn put(&self, state: State) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(state.epoch(), state);
    }

    /// Of an epoch that has ended; of epochs before it, nobody will ask.
    fn take(&self, epoch: u64) -> Option<State> {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *states = states.split_off(&epoch);
        states.get(&epoch).cloned()
    }

    /// Of the last batch.
    pub(crate) fn last(&self) -> Option<State> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.last_key_value().map(|(_, state)| state.clone())
    }
}

/// The files of one folder: burn's of the model, the optimiser and the learning
/// rate, each whole at any moment, and the state's.
#[derive(Clone)]
pub(crate) struct Checkpoints(PathBuf);

impl Checkpoints {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Checkpoints(folder)
    }

    pub(crate) fn of(&self, name: &str) -> FileCheckpointer {
        FileCheckpointer::new(&self.0, name)
    }

    fn state_file(&self, epoch: usize) -> PathBuf {
        self.0.join(format!("state-{epoch}.json"))
    }

    /// The last epoch of which all files are there, counted from 1 as burn does, and
    /// the loader's state at its end.
    pub(crate) fn last(&self) -> Result<(usize, State), Box<dyn Error>> {
        let none = || format!("{} holds no checkpoint", self.0.display());
        let whole = |epoch: &usize| {
            let records = ["model", "optim", "scheduler"];
            records.iter().all(|name| self.0.join(format!("{name}-{epoch}.bpk")).exists())
        };
        let files = fs::read_dir(&self.0).map_err(|error| format!("{}: {error}", none()))?;
        let epochs = files.filter_map(|file| epoch_of(file.ok()?.file_name().to_str()?));
        let epoch = epochs.filter(whole).max().ok_or_else(none)?;
        Ok((epoch, State::load(self.state_file(epoch))?))
    }
}

fn epoch_of(state_file: &str) -> Option<usize> {
    state_file.strip_prefix("state-")?.strip_suffix(".json")?.parse().ok()
}

/// Saves the loader's state with the learning rate's.
pub(crate) struct WithState {
    pub(crate) rates: FileCheckpointer,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) states: States,
}

impl Checkpointer<LrSchedulerRecord> for WithState {
    fn save(&self, epoch: usize, record: LrSchedulerRecord) -> Result<(), CheckpointerError> {
        // burn counts from 1.
        let state = self.states.take(epoch as u64 - 1);
        let state = state.ok_or_else(|| unknown(format!("epoch {epoch} had no batch")))?;
        let file = self.checkpoints.state_file(epoch);
        state.save(&file).map_err(unknown)?;
        // On the disk before the rest of the checkpoint, which is not whole without.
        let synced = File::open(&file).and_then(|file| file.sync_all());
        synced.map_err(CheckpointerError::IOError)?;
        self.rates.save(epoch, record)
    }

    fn delete(&self, epoch: usize) -> Result<(), CheckpointerError> {
        Checkpointer::<LrSchedulerRecord>::delete(&self.rates, epoch)?;
        match fs::remove_file(self.checkpoints.state_file(epoch)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CheckpointerError::IOError(error))
            }
            _ => Ok(()),
        }
    }

    fn restore(&self, epoch: usize) -> Result<LrSchedulerRecord, CheckpointerError> {
        self.rates.restore(epoch)
    }
}

fn unknown(error: impl ToString) -> CheckpointerError {
    CheckpointerError::Unknown(error.to_string())
}
