use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// No run takes longer, unless something hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A short training of an example in a process of its own, for a test that kills
/// it, and the lines that it prints. Every failure is a panic, as tests want it.
#[derive(Debug)]
pub struct Run {
    child: Child,
    lines: Receiver<String>,
    deadline: Instant,
    /// How lines begin that tell of a step; what a step is, the example says.
    step: &'static str,
}

/// What a run has printed that went to its end.
#[derive(Debug, PartialEq)]
pub struct Finished {
    pub steps: usize,
    /// The last digest, and the hash of the weights.
    pub proof: Vec<String>,
}

impl Run {
    /// Starts `command`, with what the example takes beside the flags of each.
    #[must_use]
    pub fn start(mut command: Command, dir: &Path, resume: bool, step: &'static str) -> Self {
        command.arg("--dir").arg(dir).args(["--pictures", "60", "--accuracy", "0"]);
        command.args(resume.then_some("--resume"));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the example starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let (sender, lines) = channel();
        let read =
            move || output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok());
        std::thread::Builder::new().name("lines".into()).spawn(read).expect("a thread starts");
        Run { child, lines, deadline: Instant::now() + LIMIT, step }
    }

    /// The next line; none once the output has ended.
    fn line(&self) -> Option<String> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left).ok();
        assert!(line.is_some() || Instant::now() < self.deadline, "not done after {LIMIT:?}");
        line
    }

    /// Kills it, without a chance to put anything in order, some time after it has
    /// told of `count` steps and `then` is true.
    pub fn kill_after(mut self, count: usize, then: impl Fn() -> bool) -> ExitStatus {
        let mut seen = 0;
        while seen < count || !then() {
            let line = self.line().expect("it is killed before its end");
            seen += usize::from(line.starts_with(self.step));
        }
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for")
    }

    /// Waits for its end.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        let lines: Vec<_> = std::iter::from_fn(|| self.line()).collect();
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success(), "{status}: {lines:#?}");
        let steps = lines.iter().filter(|line| line.starts_with(self.step)).count();
        let mut proof = lines;
        proof.retain(|line| line.starts_with("digest:") || line.starts_with("weights:"));
        assert_eq!(proof.len(), 2, "{proof:?}");
        Finished { steps, proof }
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
