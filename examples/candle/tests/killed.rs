//! A run that is killed and resumed ends exactly as one that is not.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use infeed_example_shapes::Run;

const EPOCHS: usize = 4;

/// Writes a checkpoint after every batch.
fn start(dir: &Path, resume: bool) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infeed-example-candle"));
    command.args(["--epochs", &EPOCHS.to_string(), "--checkpoint-every", "1"]);
    Run::start(command, dir, resume, "checkpoint:")
}

#[test]
fn killed_twice_and_resumed_it_ends_as_if_it_had_not_been() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = start(whole.path(), false).finish();

    // The second time in the last epoch, of which the digest tells.
    let second = expected.steps / EPOCHS * (EPOCHS - 1) - 2;
    assert_eq!(start(killed.path(), false).kill_after(3, || true).signal(), Some(9));
    assert_eq!(start(killed.path(), true).kill_after(second, || true).signal(), Some(9));
    let last = start(killed.path(), true).finish();
    assert_eq!(last.proof, expected.proof);
    // It has not begun again.
    assert!(last.steps <= expected.steps - 3 - second, "{last:?}");
}

/// Resumed after its end, a run has nothing left to train.
#[test]
fn resumed_at_its_end_it_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let whole = start(dir.path(), false).finish();
    let again = start(dir.path(), true).finish();
    assert_eq!((again.steps, again.proof), (0, whole.proof));
}
