//! A run that is killed and resumed ends exactly as one that is not.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use infeed_example_shapes::Run;

const EPOCHS: usize = 4;

fn start(dir: &Path, resume: bool) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infeed-example-burn"));
    command.args(["--epochs", &EPOCHS.to_string()]);
    // What the learner prints of a batch of either loader.
    Run::start(command, dir, resume, "ProgressSnapshot")
}

#[test]
fn killed_twice_and_resumed_it_ends_as_if_it_had_not_been() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = start(whole.path(), false).finish();

    // In the second epoch, and in the one after, once there is a checkpoint of the one before.
    let per_epoch = expected.steps / EPOCHS;
    let saved = |epoch: usize| {
        let folder = killed.path().join("infeed-burn-run/checkpoint");
        let records = ["model", "optim", "scheduler"].map(|name| format!("{name}-{epoch}.bpk"));
        let mut files = records.iter().map(String::as_str).chain(["state-{epoch}.json"]);
        files.all(|file| folder.join(file.replace("{epoch}", &epoch.to_string())).exists())
    };
    let first = start(killed.path(), false).kill_after(per_epoch + 2, || saved(1));
    let second = start(killed.path(), true).kill_after(2, || saved(2));
    assert_eq!([first, second].map(|status| status.signal()), [Some(9); 2]);
    let last = start(killed.path(), true).finish();
    assert_eq!(last.proof, expected.proof);
    // It has not begun again.
    assert!(last.steps <= 2 * per_epoch, "{last:?} of {expected:?}");
}

/// Resumed after its end, a run has nothing left to train.
#[test]
fn resumed_at_its_end_it_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let whole = start(dir.path(), false).finish();
    let again = start(dir.path(), true).finish();
    assert_eq!((again.steps, again.proof), (0, whole.proof));
}
