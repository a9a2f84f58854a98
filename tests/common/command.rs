//! The command line, run as a user runs it, and the real NumPy.
#![allow(clippy::print_stderr, reason = "what is skipped says so")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) const INFEED: &str = env!("CARGO_BIN_EXE_infeed");

pub(crate) fn infeed(arguments: &[&str]) -> Output {
    Command::new(INFEED).args(arguments).output().unwrap()
}

/// The command, started to hear signals whatever these tests were started with, or to ignore
/// SIGHUP as `nohup` has it. Where there is no GNU `env`, as they were.
pub(crate) fn hearing(all: bool) -> Command {
    if !cfg!(target_os = "linux") {
        return Command::new(INFEED);
    }
    let flag = if all { "--default-signal=INT,TERM,HUP" } else { "--ignore-signal=HUP" };
    let mut command = Command::new("env");
    command.args([flag, INFEED]);
    command
}

/// Time is all there is to wait for.
pub(crate) fn wait(time: Duration) {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    assert!(receiver.recv_timeout(time).is_err());
}

/// What comes of a command that is sent a signal after so long, wherever it is then.
pub(crate) fn signalled_after(mut command: Command, time: Duration, signal: &str) -> Output {
    // Not pipes, which would hold back whoever has much to say.
    let [out, err] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap());
    let mut child = command.spawn().unwrap();
    wait(time);
    // It may have ended by itself, and nobody else has its number until it is waited for.
    Command::new("kill").args([signal, &child.id().to_string()]).output().unwrap();
    let status = child.wait().unwrap();
    let [stdout, stderr] = [out, err].map(|file| std::fs::read(file.path()).unwrap());
    Output { status, stdout, stderr }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn dir(root: &TempDir) -> &str {
    text(root.path())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a script in the real Python; skipped where NumPy is missing, unless
/// `INFEED_REQUIRE_NUMPY` is set.
pub(crate) fn numpy_says(script: &str, argument: &str) {
    let script = format!("import sys, json, numpy\n{script}\nprint('agreed')");
    let output = Command::new("python3").args(["-c", &script, argument]).output();
    let agreed = output.as_ref().is_ok_and(|output| output.stdout == b"agreed\n");
    let missing = output.as_ref().map_or(true, |output| {
        String::from_utf8_lossy(&output.stderr).contains("No module named 'numpy'")
    });
    if missing && std::env::var_os("INFEED_REQUIRE_NUMPY").is_none() {
        eprintln!("skipped: no python3 with numpy (pip install numpy), so NumPy opened nothing");
        return;
    }
    assert!(agreed, "{output:?}");
}
