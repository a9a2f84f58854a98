//! Exports that are killed, or whose disk is full, at any moment.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::command::{INFEED, text, wait};
use crate::common::draws::Draws;
use crate::common::{within, within_limit};
use crate::{pictures, same};

/// Killed at moments all over an export, the last step included, it goes on and ends with
/// the same bytes.
#[test]
fn fifty_kills_change_no_byte() {
    use std::os::unix::process::ExitStatusExt;

    // `INFEED_KILLS` asks for more.
    let kills = std::env::var("INFEED_KILLS").map_or(50, |kills| kills.parse::<u32>().unwrap());
    within_limit(Duration::from_secs(60 + 2 * u64::from(kills)), move |_| {
        let root = pictures(60, |number| number % 9 == 4);
        let out = tempfile::tempdir().unwrap();
        let command = |to: &Path, single: bool| {
            let mut command = Command::new(INFEED);
            let flags = ["--size", "8", "--batch-size", "5", "--shard-size", "4", "--threads", "2"];
            command.args(["export", text(root.path()), text(to)]).args(flags);
            command.args(["--shuffle", "--flip", "--on-error", "skip"]);
            command.args(single.then_some("--single"));
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let mut whole = [false, true].map(|single| {
            let to = out.path().join(format!("whole-{single}"));
            assert!(command(&to, single).status().unwrap().success());
            // Again, as the first start of a program is slower.
            let timed = out.path().join(format!("timed-{single}"));
            let started = Instant::now();
            assert!(command(&timed, single).status().unwrap().success());
            let took = started.elapsed();
            same(&to, &timed, "twice");
            (to, took)
        });
        let mut random = Draws::new(&[7]);
        let (mut killed, mut journals) = (0, 0);
        for number in 0..kills {
            let single = number % 2 == 1;
            let (whole, took) = &mut whole[usize::from(single)];
            let to = out.path().join(format!("killed-{number}"));
            // Spread evenly, and at random within its part.
            let share = (f64::from(number) + random.unit()) / f64::from(kills);
            let kill_after = |time: Duration| {
                let mut child = command(&to, single).spawn().unwrap();
                wait(time);
                child.kill().unwrap();
                child.wait().unwrap().signal() == Some(9)
            };
            // The machine may have become faster or slower since it was timed: a kill that
            // came too late is done again, sooner.
            let mut landed = kill_after(took.mul_f64(share));
            for _ in 0..8 {
                if landed {
                    break;
                }
                *took = took.mul_f64(0.9);
                fs::remove_dir_all(&to).unwrap();
                landed = kill_after(took.mul_f64(share));
            }
            killed += u32::from(landed);
            if number % 5 == 0 {
                // What goes on is killed as well.
                kill_after(took.mul_f64(random.unit()));
            }
            journals += u32::from(to.join(".infeed-export").exists());
            let started = Instant::now();
            assert!(command(&to, single).status().unwrap().success(), "kill {number}");
            // What is left takes no longer than all of it.
            *took = (*took).max(started.elapsed());
            same(whole, &to, &format!("kill {number} at {share:.2} of {took:?}"));
            fs::remove_dir_all(&to).unwrap();
        }
        eprintln!("{killed} of {kills} were killed, {journals} in the middle");
        // Some kills land before there is a folder.
        assert!(killed > kills / 2 && journals > kills / 5, "{killed}, {journals}");
    });
}

/// So do parts, and what joins them.
#[test]
fn killed_parts_and_merges_change_no_byte() {
    use std::os::unix::process::ExitStatusExt;

    within_limit(Duration::from_secs(120), |_| {
        let (root, out) = (pictures(40, |number| number == 9), tempfile::tempdir().unwrap());
        let flags = ["--size", "8", "--shard-size", "3", "--on-error", "skip", "--shuffle"];
        let command = |to: &Path, part: Option<&str>| {
            let mut command = Command::new(INFEED);
            match part {
                Some(part) => {
                    command.args(["export", text(root.path()), text(to), "--shard-of", part]);
                    command.args(flags);
                }
                None => {
                    command.args(["export", "--merge", text(to)]);
                }
            }
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let whole = out.path().join("whole");
        assert!(command(&whole, Some("0/1")).status().unwrap().success());
        // How long each takes here and now.
        let timed = out.path().join("timed");
        let mut took = [Some("1/2"), Some("0/2"), None].map(|part| {
            let started = Instant::now();
            assert!(command(&timed, part).status().unwrap().success());
            started.elapsed()
        });
        let mut random = Draws::new(&[3]);
        let mut killed = 0;
        for number in 0..12 {
            let to = out.path().join(format!("parts-{number}"));
            for (part, took) in [Some("1/2"), Some("0/2"), None].into_iter().zip(&mut took) {
                let mut child = command(&to, part).spawn().unwrap();
                wait(took.mul_f64(random.unit()));
                child.kill().unwrap();
                match child.wait().unwrap().signal() {
                    Some(9) => killed += 1,
                    _ => *took = took.mul_f64(0.9),
                }
                assert!(command(&to, part).status().unwrap().success(), "{number}, {part:?}");
            }
            same(&whole, &to, &format!("parts {number}"));
        }
        assert!(killed >= 12, "{killed} of 36 kills landed");
    });
}

/// In a file system of one mebibyte, mounted where nobody else sees it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_no_complete_shard() {
    const SCRIPT: &str = r#"
set -e
mount -t tmpfs -o size=1m none "$1/disk"
echo mounted
head -c 500k /dev/zero > "$1/disk/filler"
set +e
go() { "$INFEED" export "$2" "$1/disk/out" --size 64 --dtype u8 --shard-size 4 $3; }
go "$1" "$2" "$3" > "$1/first.out" 2> "$1/first.err"; echo $? > "$1/first.code"
ls -A "$1/disk/out" > "$1/names"
"$INFEED" verify "$1/disk/out" --json > "$1/verified"
rm "$1/disk/filler"
go "$1" "$2" "$3" > "$1/second.out" 2> "$1/second.err"; echo $? > "$1/second.code"
cp -r "$1/disk/out" "$1/out"
"#;
    within(|_| {
        let root = pictures(60, |_| false);
        for single in ["", "--single"] {
            let out = tempfile::tempdir().unwrap();
            fs::create_dir(out.path().join("disk")).unwrap();
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh", "-c", SCRIPT, "sh", text(out.path()), text(root.path())]);
            let output = command.arg(single).env("INFEED", INFEED).output();
            let mounted = output.as_ref().is_ok_and(|output| output.stdout == b"mounted\n");
            if !mounted {
                let required = std::env::var_os("INFEED_REQUIRE_TMPFS").is_some();
                assert!(!required, "INFEED_REQUIRE_TMPFS is set: {output:?}");
                eprintln!("skipped: no tmpfs can be mounted by unshare -rm: {output:?}");
                return;
            }
            let read = |name: &str| fs::read_to_string(out.path().join(name)).unwrap();
            let told = read("first.err");
            assert_eq!(read("first.code").trim(), "1", "{told}");
            assert!(told.contains("warning: the export needs about"), "{told}");
            for part in ["the disk is full", "bytes, and ", "are free", "same command again"] {
                assert!(told.contains(part), "{part} in {told}");
            }
            let verified: Value = serde_json::from_str(&read("verified")).unwrap();
            let complete = verified["complete"].as_u64().unwrap();
            assert!(complete > 2 && complete < 15, "{verified}");
            assert!(told.contains(&format!("{complete} of 15 shards are complete")), "{told}");
            let problems = verified["problems"].as_array().unwrap();
            assert!(problems.len() == 1 && problems[0]["file"] == "export.json", "{verified}");
            if single.is_empty() {
                assert!(!read("names").contains(".tmp"), "{}", read("names"));
            }
            assert_eq!(read("second.code").trim(), "0", "{}", read("second.err"));
            assert!(read("second.err").contains(&format!("going on: {complete} of 15")));
            let whole = out.path().join("whole");
            let root = text(root.path());
            let flags = ["export", root, text(&whole), "--size", "64", "--dtype", "u8"];
            let mut command = Command::new(INFEED);
            command.args(flags).args(["--shard-size", "4"]);
            command.args(Some(single).filter(|single| !single.is_empty()));
            assert!(command.output().unwrap().status.success());
            same(&whole, &out.path().join("out"), "after a full disk");
        }
    });
}
