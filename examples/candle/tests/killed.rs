//! A run that is killed and resumed ends exactly as one that is not.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No run takes longer, unless something hangs.
const LIMIT: Duration = Duration::from_secs(120);

const EPOCHS: usize = 4;

/// One process, and the lines that it prints.
struct Run {
    child: Child,
    lines: Receiver<String>,
    deadline: Instant,
}

impl Run {
    fn start(dir: &Path, resume: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_infeed-example-candle"));
        command.arg("--dir").arg(dir).args(["--pictures", "60", "--checkpoint-every", "1"]);
        command.args(["--accuracy", "0", "--epochs", &EPOCHS.to_string()]);
        command.args(resume.then_some("--resume"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        let read =
            move || output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok());
        std::thread::Builder::new().name("lines".into()).spawn(read).unwrap();
        Run { child, lines, deadline: Instant::now() + LIMIT }
    }

    /// The next line; none once the output has ended.
    fn line(&self) -> Option<String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left).ok();
        assert!(line.is_some() || Instant::now() < self.deadline, "not done after {LIMIT:?}");
        line
    }

    /// Kills it, without a chance to put anything in order, some time after it has
    /// written `count` checkpoints.
    fn kill_after(mut self, count: usize) {
        let mut seen = 0;
        while seen < count {
            let line = self.line().expect("it ended before it was to be killed");
            seen += usize::from(line.starts_with("checkpoint:"));
        }
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }

    /// Waits for its end: how many checkpoints it wrote, then the last digest and
    /// the hash of the weights.
    fn finish(mut self) -> (usize, Vec<String>) {
        let lines: Vec<_> = std::iter::from_fn(|| self.line()).collect();
        assert!(self.child.wait().unwrap().success(), "{lines:#?}");
        let checkpoints = lines.iter().filter(|line| line.starts_with("checkpoint:")).count();
        let last = lines.into_iter();
        let last = last.filter(|line| line.starts_with("digest:") || line.starts_with("weights:"));
        (checkpoints, last.collect())
    }
}

impl Drop for Run {
    /// A failed test leaves no process behind.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

#[test]
fn killed_twice_and_resumed_it_ends_as_if_it_had_not_been() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (steps, expected) = Run::start(whole.path(), false).finish();
    assert_eq!(expected.len(), 2, "{expected:?}");

    Run::start(killed.path(), false).kill_after(3);
    Run::start(killed.path(), true).kill_after(steps / EPOCHS);
    let (left, last) = Run::start(killed.path(), true).finish();
    assert_eq!(last, expected);
    // It has not begun again.
    assert!(left <= steps - 3 - steps / EPOCHS, "{left} of {steps}");
}

/// Resumed after its end, a run has nothing left to train.
#[test]
fn resumed_at_its_end_it_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (_, expected) = Run::start(dir.path(), false).finish();
    assert_eq!(Run::start(dir.path(), true).finish(), (0, expected));
}
