//! Runs of several processes, and runs that are killed, by the command line: the
//! digests show that nothing is lost and nothing repeated.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]
#![cfg(feature = "cli")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::command::signalled_after;
use common::draws::Draws;
use common::trees::{ppm, tree};
use serde_json::Value;
use tempfile::TempDir;

const INFEED: &str = env!("CARGO_BIN_EXE_infeed");

/// A tree of so many pictures in three classes.
fn pictures(count: u32) -> TempDir {
    tree((0..count).map(|number| {
        let class = ["a", "b", "c"][(number % 3) as usize];
        (format!("{class}/{number:04}.ppm"), ppm(16, 12, number))
    }))
}

/// The flags of every run here but for its ranks and its speed.
fn flags(root: &Path) -> Vec<String> {
    let root = root.to_str().unwrap();
    let flags = ["run", root, "--size", "16", "--batch-size", "4", "--shuffle", "--seed", "5"];
    flags.map(str::to_owned).to_vec()
}

fn infeed(flags: &[String], more: &[&str]) -> Output {
    Command::new(INFEED).args(flags).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

/// The digest of each epoch of a run.
fn digests(report: &Value) -> Vec<Value> {
    report["epochs"].as_array().unwrap().iter().map(|epoch| epoch["digest"].clone()).collect()
}

/// Unordered, an epoch is the same set of samples, and may be another sequence.
fn same(order: &str, told: &[Value], expected: &[Value]) {
    if order == "ordered" {
        assert_eq!(told, expected);
    } else {
        let sets = |digests: &[Value]| -> Vec<Value> {
            digests.iter().map(|digest| digest["set"].clone()).collect()
        };
        assert_eq!(sets(told), sets(expected));
    }
}

fn write(folder: &TempDir, name: &str, output: &Output) -> PathBuf {
    let file = folder.path().join(name);
    std::fs::write(&file, &output.stdout).unwrap();
    file
}

fn check(ranks: &[PathBuf], whole: &Path) -> Output {
    let mut command = Command::new(INFEED);
    command.args(["check", "--ranks"]).args(ranks).arg("--against").arg(whole);
    command.output().unwrap()
}

#[test]
fn the_digest_does_not_depend_on_threads() {
    let root = pictures(50);
    let run = |threads: &str, order: &str| {
        let more = ["--json", "--epochs", "2", "--threads", threads, "--order", order];
        digests(&json(&infeed(&flags(root.path()), &more)))
    };
    let one = run("1", "ordered");
    assert_eq!(one, run("8", "ordered"));
    assert_ne!(one[0]["sequence"], one[1]["sequence"]);
    assert_eq!((&one[0]["set"], &one[0]["samples"]), (&one[1]["set"], &Value::from(50)));
    let unordered = run("8", "unordered");
    assert_eq!(unordered[1]["set"], one[1]["set"]);
    let shown = text(&infeed(&flags(root.path()), &["--digest"]).stdout);
    let sequence = one[0]["sequence"].as_str().unwrap();
    assert!(shown.contains(&format!("epoch 0 digest: 50 samples, sequence {sequence}")), "{shown}");
}

/// Killed without warning while it streams, and resumed from what it had kept:
/// the digests at the end are those of a run that nobody has disturbed.
#[cfg(unix)]
#[test]
fn a_killed_run_resumes_to_the_same_digest() {
    let (root, kept) = (pictures(200), tempfile::tempdir().unwrap());
    let state = kept.path().join("state.json");
    let state = state.to_str().unwrap();
    for order in ["ordered", "unordered"] {
        let epochs = ["--epochs", "400", "--order", order];
        let mut child = Command::new(INFEED)
            .args(flags(root.path()))
            .args(epochs)
            .args(["--state", state, "--threads", "3"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Well under way, and far from its end.
        let begun = Instant::now();
        loop {
            let epoch = std::fs::read(state)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()?["epoch"].as_u64());
            if epoch.is_some_and(|epoch| epoch >= 2) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no state is kept");
            assert!(child.try_wait().unwrap().is_none(), "the run has ended by itself");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let saved: Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
        let stood = saved["epoch"].as_u64().unwrap();
        assert!(stood < 399, "it was killed too late");
        let until = (stood + 2).to_string();
        let epochs = ["--json", "--epochs", &until, "--order", order];
        let resumed =
            json(&infeed(&flags(root.path()), &[&epochs[..], &["--resume", state]].concat()));
        let whole = json(&infeed(&flags(root.path()), &epochs));
        let (resumed, whole) = (digests(&resumed), digests(&whole));
        let rest = &whole[whole.len() - resumed.len()..];
        assert!(!resumed.is_empty());
        same(order, &resumed, rest);
        std::fs::remove_file(state).unwrap();
    }
}

/// Killed again and again at moments drawn at random, also before there is a state and
/// while one is written: what was kept last is always whole, and the digests at the end
/// are those of a run that nobody has disturbed.
#[cfg(unix)]
#[test]
fn a_hundred_kills_lose_and_repeat_nothing() {
    use std::os::unix::process::ExitStatusExt;

    const KILLS: u64 = 100;
    let (root, kept) = (pictures(80), tempfile::tempdir().unwrap());
    let mut draws = Draws::new(&[17]);
    let (mut killed, mut resumed) = (0, 0);
    let undisturbed = ["ordered", "unordered"].map(|order| {
        let epochs = ["--epochs", "3", "--order", order, "--json"];
        let started = Instant::now();
        let whole = digests(&json(&infeed(&flags(root.path()), &epochs)));
        (order, epochs, whole, started.elapsed().as_micros() as u64)
    });
    while killed < KILLS {
        let (order, epochs, whole, took) = &undisturbed[draws.less_than(2)];
        let state = kept.path().join(format!("{killed}.json"));
        let state = state.to_str().unwrap();
        let mut kills = 1 + draws.below(8);
        let rest = loop {
            let mut command = Command::new(INFEED);
            command.args(flags(root.path())).args(epochs);
            command.args(["--state", state, "--threads", "2"]);
            let goes_on = Path::new(state).exists();
            command.args(goes_on.then_some(["--resume", state]).into_iter().flatten());
            resumed += u64::from(goes_on);
            let output = match kills {
                0 => command.output().unwrap(),
                _ => signalled_after(command, Duration::from_micros(draws.below(*took)), "-KILL"),
            };
            if output.status.signal() == Some(9) {
                (killed, kills) = (killed + 1, kills - 1);
                continue;
            }
            assert!(output.status.success(), "{}", text(&output.stderr));
            break digests(&json(&output));
        };
        same(order, &rest, &whole[whole.len() - rest.len()..]);
    }
    println!("{killed} kills, {resumed} runs that went on");
    assert!(resumed > KILLS / 4, "{resumed}");
}

#[test]
fn ranks_together_are_one_process() {
    let (root, out) = (pictures(50), tempfile::tempdir().unwrap());
    let whole = infeed(&flags(root.path()), &["--json", "--epochs", "2"]);
    let whole = write(&out, "whole.json", &whole);
    let ranks: Vec<PathBuf> = (0..3)
        .map(|rank| {
            let shard = format!("{rank}/3");
            let more = ["--json", "--epochs", "2", "--shard", &shard];
            write(&out, &format!("rank-{rank}.json"), &infeed(&flags(root.path()), &more))
        })
        .collect();
    let equal = check(&ranks, &whole);
    assert!(equal.status.success(), "{}", text(&equal.stdout));
    assert_eq!(text(&equal.stdout).matches("as of one process").count(), 2);
    let fewer = check(&ranks[1..], &whole);
    assert_eq!(fewer.status.code(), Some(1));
    assert!(text(&fewer.stdout).contains("not as of one process"), "{}", text(&fewer.stdout));
}

/// Three ranks end an epoch, and two go on with the next.
#[test]
fn fewer_ranks_go_on_from_all_states() {
    let (root, out) = (pictures(60), tempfile::tempdir().unwrap());
    let state = out.path().join("state-{rank}.json");
    let state = state.to_str().unwrap();
    for rank in 0..3 {
        let shard = format!("{rank}/3");
        let run = infeed(&flags(root.path()), &["--shard", &shard, "--state", state]);
        assert!(run.status.success(), "{}", text(&run.stderr));
    }
    let own = infeed(&flags(root.path()), &["--shard", "0/3", "--state", "state.json"]);
    assert_eq!(own.status.code(), Some(1));
    assert!(text(&own.stderr).contains("put {rank} into the name"), "{}", text(&own.stderr));
    let files: Vec<String> =
        (0..3).map(|rank| state.replace("{rank}", &rank.to_string())).collect();
    let whole = infeed(&flags(root.path()), &["--json", "--epochs", "2"]);
    let whole = write(&out, "whole.json", &whole);
    let ranks: Vec<PathBuf> = (0..2)
        .map(|rank| {
            let (shard, files) = (format!("{rank}/2"), files.join(","));
            let more = ["--json", "--epochs", "2", "--shard", &shard, "--resume", &files];
            let run = infeed(&flags(root.path()), &more);
            assert!(run.status.success(), "{}", text(&run.stderr));
            write(&out, &format!("rank-{rank}.json"), &run)
        })
        .collect();
    let report: Value = serde_json::from_slice(&std::fs::read(&ranks[0]).unwrap()).unwrap();
    assert_eq!(report["epochs"][0]["epoch"], 1);
    let shown = check(&ranks, &whole);
    assert!(text(&shown.stdout).contains("epoch 1: 2 ranks together 60 samples"));
}

/// One rank has begun an epoch that the other has not: what it tells of the one before
/// is no part of it.
#[test]
fn a_digest_is_of_one_epoch() {
    let (root, out) = (pictures(43), tempfile::tempdir().unwrap());
    let state = out.path().join("state-{rank}.json");
    let state = state.to_str().unwrap();
    for (shard, epochs) in [("0/2", "2"), ("1/2", "1")] {
        let more = ["--shard", shard, "--epochs", epochs, "--state", state];
        assert!(infeed(&flags(root.path()), &more).status.success());
    }
    let files = format!("{},{}", state.replace("{rank}", "0"), state.replace("{rank}", "1"));
    let rest = infeed(&flags(root.path()), &["--json", "--epochs", "2", "--resume", &files]);
    let whole = infeed(&flags(root.path()), &["--json", "--epochs", "2"]);
    let (rest, whole) = (digests(&json(&rest)), digests(&json(&whole)));
    assert_eq!(rest.len(), 1);
    assert_eq!((&rest[0]["set"], &rest[0]["samples"]), (&whole[1]["set"], &whole[1]["samples"]));

    // A file for each rank is no state of other ranks.
    let other = infeed(&flags(root.path()), &["--shard", "0/3", "--resume", state]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("2 ranks saved states, and 3 go on"));
}

#[cfg(unix)]
#[test]
fn a_state_replaces_files_alone() {
    let (root, out) = (pictures(8), tempfile::tempdir().unwrap());
    let (file, link) = (out.path().join("state.json"), out.path().join("link.json"));
    std::fs::write(&file, "before").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let run = infeed(&flags(root.path()), &["--state", link.to_str().unwrap()]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(link.is_symlink());
    assert_eq!(infeed::State::load(&file).unwrap().epoch(), 0);
    let folder = out.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let run = infeed(&flags(root.path()), &["--state", folder.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("folder: it is not a file"), "{}", text(&run.stderr));
    // Nothing else is left behind.
    let names = std::fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_str().unwrap().contains("tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_state_that_does_not_fit_is_refused_with_what_has_changed() {
    let (root, out) = (pictures(20), tempfile::tempdir().unwrap());
    let state = out.path().join("state.json");
    let state = state.to_str().unwrap();
    let run = infeed(&flags(root.path()), &["--state", state]);
    assert!(run.status.success());
    std::fs::write(root.path().join("a/new.ppm"), ppm(8, 8, 1)).unwrap();
    std::fs::remove_file(root.path().join("b/0004.ppm")).unwrap();
    let resumed = |more: &[&str]| {
        let run =
            infeed(&flags(root.path()), &[&["--resume", state, "--epochs", "2"], more].concat());
        (run.status.code(), text(&run.stderr), text(&run.stdout))
    };
    let (code, told, _) = resumed(&[]);
    assert_eq!(code, Some(1));
    assert!(told.contains("1 added (a/new.ppm), 1 removed (b/0004.ppm)"), "{told}");
    assert!(told.contains("allow_changed"), "{told}");
    let (code, _, told) = resumed(&["--allow-changed", "next"]);
    assert!(code == Some(0) && told.starts_with("20 images in 5 batches"), "{told}");
    // The epoch had ended, so it does not come again.
    let (code, _, told) = resumed(&["--allow-changed", "restart"]);
    assert!(code == Some(0) && told.starts_with("20 images in 5 batches"), "{told}");
    std::fs::write(state, "{").unwrap();
    let (code, told, _) = resumed(&[]);
    assert!(code == Some(1) && told.contains("no state can be read"), "{told}");
}

#[test]
fn what_launchers_set_is_read() {
    let root = pictures(10);
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(INFEED);
        command.args(flags(root.path())).args(["--json", "--shard", "env"]);
        for (name, _) in std::env::vars() {
            if ["OMPI_", "PMI_", "SLURM_"].iter().any(|launcher| name.starts_with(launcher)) {
                command.env_remove(name);
            }
        }
        for name in ["RANK", "WORLD_SIZE", "JOB_COMPLETION_INDEX"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied()).output().unwrap()
    };
    for variables in [
        [("RANK", "1"), ("WORLD_SIZE", "2")],
        [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2")],
        [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2")],
        [("PMI_RANK", "1"), ("PMI_SIZE", "2")],
        [("JOB_COMPLETION_INDEX", "1"), ("WORLD_SIZE", "2")],
    ] {
        let report = json(&run(&variables));
        assert_eq!(report["config"]["shard"]["rank"], 1);
        assert_eq!(report["images"], 5);
    }
    let alone = run(&[]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(text(&alone.stderr).contains("no launcher has set a rank"), "{}", text(&alone.stderr));
}

#[test]
fn coverage_is_counted_over_all_ranks() {
    let root = pictures(50);
    let folder = root.path().to_str().unwrap();
    let check = |more: &[&str]| {
        let flags = ["check", folder, "--coverage", "--shuffle", "--batch-size", "4"];
        Command::new(INFEED).args(flags).args(more).output().unwrap()
    };
    let padded = check(&["--world", "4", "--epochs", "3", "--json"]);
    assert!(padded.status.success());
    let padded = json(&padded);
    assert_eq!((&padded["exact"], &padded["samples"]), (&true.into(), &50.into()));
    for epoch in padded["epochs"].as_array().unwrap() {
        assert_eq!((&epoch["once"], &epoch["padding"]), (&50.into(), &2.into()));
        assert_eq!(epoch["batches"], serde_json::json!([4, 4, 4, 4]));
    }
    let dropped = text(&check(&["--world", "4", "--uneven", "drop"]).stdout);
    assert!(dropped.contains("never: "), "{dropped}");
    let shown = text(&check(&["--world", "2"]).stdout);
    assert!(shown.contains("every sample comes exactly once"), "{shown}");
}

/// Under a real launcher, as the documentation has it.
#[cfg(unix)]
#[test]
fn ranks_under_mpirun_are_one_process() {
    let there = Command::new("mpirun").arg("--version").output();
    if there.is_err() {
        assert!(
            std::env::var_os("INFEED_REQUIRE_MPI").is_none(),
            "INFEED_REQUIRE_MPI is set, and there is no mpirun"
        );
        eprintln!("skipped: there is no mpirun (Debian: apt-get install openmpi-bin)");
        return;
    }
    let (root, out) = (pictures(50), tempfile::tempdir().unwrap());
    let whole = infeed(&flags(root.path()), &["--json", "--epochs", "3"]);
    let whole = write(&out, "whole.json", &whole);
    let line =
        r#""$INFEED" "$@" --epochs 3 --shard env --json > "rank-$OMPI_COMM_WORLD_RANK.json""#;
    let run = Command::new("mpirun")
        .args(["-n", "4", "--oversubscribe", "sh", "-c", line, "sh"])
        .args(flags(root.path()))
        .current_dir(out.path())
        .env("INFEED", INFEED)
        // Where the tests run as root, on a machine of their own.
        .envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")])
        // No network but the loopback.
        .envs([("OMPI_MCA_btl", "self,vader"), ("OMPI_MCA_oob_tcp_if_include", "lo")])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    let ranks: Vec<PathBuf> =
        (0..4).map(|rank| out.path().join(format!("rank-{rank}.json"))).collect();
    let equal = check(&ranks, &whole);
    assert!(equal.status.success(), "{}{}", text(&equal.stdout), text(&equal.stderr));
    assert_eq!(text(&equal.stdout).matches("as of one process").count(), 3);
}
