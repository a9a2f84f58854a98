//! An export that goes on: what it must have in common with what was begun.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use infeed::export::{Export, verify};
use infeed::{Budget, ErrorKind, OnError, Shard};
use serde_json::Value;

use crate::common::command::{INFEED, hearing, stderr, text};
use crate::common::trees::ppm;
use crate::common::within;
use crate::{broken_off, builder, files, pictures, same, samples};

/// A shard that was lost is made again, and nothing else is.
#[test]
fn a_hole_is_filled() {
    within(|_| {
        let (root, out) = (pictures(40, |_| false), tempfile::tempdir().unwrap());
        for single in [false, true] {
            let [whole, holed] =
                ["whole", "holed"].map(|name| out.path().join(format!("{name}-{single}")));
            samples(builder(root.path()), &whole, 4).single(single).run().unwrap();
            let of = || samples(builder(root.path()), &holed, 4).single(single);
            assert!(!broken_off(of(), 34));
            let journal = holed.join(".infeed-export");
            fs::remove_file(journal.join("shard-00002.jsonl")).unwrap();
            fs::remove_file(journal.join("shard-00003.jsonl")).unwrap();
            match single {
                true => fs::remove_file(journal.join("shard-00005.jsonl")).unwrap(),
                // Recorded, and not there.
                false => fs::remove_file(holed.join("labels-00005.npy")).unwrap(),
            }
            let mut exporting = of().start().unwrap();
            let before = exporting.summary();
            assert_eq!(exporting.left(), 10 - before.complete);
            assert!(before.complete >= 4, "{before:?}");
            exporting.run(|_| {}).unwrap();
            let made = exporting.stats().write.items;
            assert_eq!(made, 4 * (10 - before.complete), "complete shards are not made again");
            same(&whole, &holed, "a hole");
        }
    });
}

#[test]
fn what_is_asked_for_must_be_what_was_begun() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let to = out.path().join("out");
        let of = || samples(builder(root.path()), &to, 4);
        let refused = |export: Export<u8>, parts: &[&str]| {
            let error = export.start().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            for part in parts {
                assert!(error.to_string().contains(part), "{part} in {error}");
            }
        };
        let differ = |what: &str| {
            let size = builder(root.path()).size(9, 6).flip(0.5);
            let told = ["size.width was 8 and is now 9", "flip was 0.0 and is now 0.5", what];
            refused(samples(size, &to, 4), &told);
            refused(samples(builder(root.path()), &to, 5), &["shard_size was 4 and is now 5"]);
            refused(of().single(true), &["single was false and is now true"]);
            let skipping = builder(root.path()).on_error(OnError::replace());
            if what == "an export of" {
                refused(samples(skipping, &to, 4), &["on_error was fail and is now replace"]);
            }
        };
        assert!(!broken_off(of(), 9));
        differ("has not ended");
        refused(of().resume(false), &["has not ended", "resume"]);
        // What changes nothing of the bytes may change.
        let other = builder(root.path()).batch_size(3).threads(2).prefetch(1);
        assert!(!broken_off(samples(other, &to, 4), 2));

        let added = root.path().join("a/9999.ppm");
        fs::write(&added, ppm(12, 10, 1)).unwrap();
        refused(of(), &["source.samples was 20 and is now 21"]);
        fs::remove_file(&added).unwrap();
        fs::rename(root.path().join("a/0000.ppm"), root.path().join("a/0001.ppm")).unwrap();
        refused(of(), &["source.names"]);
        fs::rename(root.path().join("a/0001.ppm"), root.path().join("a/0000.ppm")).unwrap();

        of().run().unwrap();
        differ("an export of");
        let again = of().run().unwrap();
        assert_eq!((again.ended, again.resumed, again.images), (true, 5, 20));
        fs::write(to.join("notes.txt"), "mine").unwrap();
        let smaller = samples(builder(root.path()), &to, 15).overwrite(true).run().unwrap();
        assert_eq!((smaller.shards, smaller.resumed), (2, 0));
        assert!(to.join("notes.txt").exists() && !to.join("images-00002.npy").exists());
        assert_eq!(verify(&to).unwrap().problems, []);

        // Without export.json and journal nobody knows what the files are.
        fs::remove_file(to.join("export.json")).unwrap();
        refused(of(), &["images-00000.npy", "whose it is"]);
        refused(of().overwrite(true), &["images-00000.npy", "whose it is"]);
        assert!(to.join("images-00000.npy").exists());
        fs::write(to.join("export.json"), "{}").unwrap();
        refused(of(), &["It is no export's"]);
        refused(of().overwrite(true), &["images-00000.npy", "whose it is"]);
        // Of another version, of which no more is known.
        fs::write(to.join("export.json"), r#"{"plan": {"infeed": "9", "format": 9}}"#).unwrap();
        refused(of(), &["Another version", "overwrite"]);
        fs::write(to.join("images-1.npy"), "mine").unwrap();
        let again = of().overwrite(true).run().unwrap();
        assert_eq!((again.shards, again.ended), (5, true));
        assert!(to.join("images-1.npy").exists(), "no export has such a file");
        fs::remove_file(to.join("export.json")).unwrap();
        refused(of().overwrite(true).part(Shard { rank: 0, world: 2 }), &["overwrite"]);
        let single = samples(builder(root.path()).on_error(OnError::skip()), &to, 4).single(true);
        refused(single.part(Shard { rank: 0, world: 2 }), &["single file", "replace"]);
        refused(samples(builder(root.path()).shard(0, 2), &to, 4), &["--shard-of"]);
        let unordered = builder(root.path()).order(infeed::Order::Unordered);
        refused(samples(unordered, &to, 4), &["ordered"]);
    });
}

/// Pictures are changed in between, or are another folder's of the same names.
#[test]
fn files_are_those_that_it_was_begun_with() {
    within(|_| {
        let out = tempfile::tempdir().unwrap();
        let refused = |root: &Path, to: &Path, parts: &[&str]| {
            let error = samples(builder(root), to, 4).start().unwrap_err();
            assert_eq!(error.field(), Some("out"), "{error}");
            for part in parts {
                assert!(error.to_string().contains(part), "{part} in {error}");
            }
        };
        for ended in [false, true] {
            let (root, other) = (pictures(20, |_| false), pictures(20, |_| false));
            let to = out.path().join(format!("ended-{ended}"));
            assert!(ended || !broken_off(samples(builder(root.path()), &to, 4), 14));
            assert!(!ended || samples(builder(root.path()), &to, 4).run().unwrap().ended);
            let later = std::time::SystemTime::now() + Duration::from_secs(3600);
            let touched = fs::File::options().write(true).open(other.path().join("a/0000.ppm"));
            touched.unwrap().set_modified(later).unwrap();
            let told = ["a/0000.ppm", "was last changed at", "overwrite"];
            refused(other.path(), &to, &told);
            // The last one of the first shard.
            let picture = root.path().join("a/0009.ppm");
            let modified = fs::metadata(&picture).unwrap().modified().unwrap();
            fs::write(&picture, ppm(14, 10, 9)).unwrap();
            refused(root.path(), &to, &["a/0009.ppm had 373 bytes and has 433 now", "overwrite"]);
            fs::write(&picture, ppm(12, 10, 9)).unwrap();
            let restored = fs::File::options().write(true).open(&picture).unwrap();
            restored.set_modified(modified).unwrap();
            drop(restored);
            assert!(samples(builder(root.path()), &to, 4).run().unwrap().ended);
            // What is told is what helps.
            let anew = samples(builder(other.path()), &to, 4).overwrite(true).run().unwrap();
            assert_eq!((anew.ended, anew.resumed), (true, 0));
            assert_eq!(verify(&to).unwrap().problems, []);
        }
    });
}

/// Whatever an overwrite is broken off at, either command ends with the new export alone.
#[test]
fn an_overwrite_goes_on_and_leaves_nothing_of_the_old() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let old = |to: &Path| samples(builder(root.path()), to, 2).run().unwrap();
        let new = |to: &Path| samples(builder(root.path()), to, 10);
        let whole = out.path().join("whole");
        new(&whole).run().unwrap();
        for overwrite in [false, true] {
            // Killed when so many files of the old one were gone: a journal without a plan.
            for gone in [0, 1, 7, 21] {
                let to = out.path().join(format!("gone-{gone}-{overwrite}"));
                assert_eq!(old(&to).shards, 10);
                fs::create_dir(to.join(".infeed-export")).unwrap();
                fs::remove_file(to.join("export.json")).unwrap();
                let names = files(&to).into_keys().filter(|name| !name.starts_with('.'));
                names.take(gone).for_each(|name| fs::remove_file(to.join(name)).unwrap());
                new(&to).overwrite(overwrite).run().unwrap();
                same(&whole, &to, "an overwrite that was broken off");
            }
            // Stopped when the new one has begun.
            let to = out.path().join(format!("begun-{overwrite}"));
            old(&to);
            assert!(!broken_off(new(&to).overwrite(true), 14));
            let mut again = new(&to).overwrite(overwrite).start().unwrap();
            assert_eq!(again.summary().complete, 1, "what is complete stays");
            again.run(|_| {}).unwrap();
            same(&whole, &to, "an overwrite that goes on");
        }
        // A bad file is left out in the second try, as the error says.
        let to = out.path().join("skips");
        old(&to);
        assert!(!broken_off(new(&to).overwrite(true), 14));
        let skips = builder(root.path()).on_error(OnError::skip());
        let again = samples(skips, &to, 10).overwrite(true).run().unwrap();
        assert_eq!((again.resumed, again.ended), (1, true));
        // A part cannot know whether others are at work.
        let to = out.path().join("part");
        old(&to);
        fs::create_dir(to.join(".infeed-export")).unwrap();
        fs::remove_file(to.join("export.json")).unwrap();
        let error = new(&to).part(Shard { rank: 0, world: 2 }).start().unwrap_err();
        assert!(error.to_string().contains("about to be overwritten"), "{error}");
        // Nor does a stray shard stay that came in between.
        let to = out.path().join("stray");
        assert!(!broken_off(new(&to), 14));
        fs::copy(whole.join("images-00001.npy"), to.join("images-00002.npy")).unwrap();
        new(&to).run().unwrap();
        same(&whole, &to, "a stray shard");
    });
}

/// Nobody reads what is printed, or it cannot be printed as it is.
#[cfg(unix)]
#[test]
fn what_is_printed_decides_nothing() {
    use std::os::unix::ffi::OsStrExt;

    let (root, out) = (pictures(10, |_| false), tempfile::tempdir().unwrap());
    let to = out.path().join(std::ffi::OsStr::from_bytes(b"out-\xff"));
    let mut command = Command::new(INFEED);
    command.args(["export", text(root.path())]).arg(&to).args(["--size", "8", "--json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["export"]["out"].as_str().unwrap().ends_with("out-\u{fffd}"), "{report}");
    fs::remove_file(to.join("labels-00000.npy")).unwrap();
    let mut command = Command::new(INFEED);
    command.arg("verify").arg(&to).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1), "a damaged export");
}

/// A record says by what it was made.
#[test]
fn records_of_another_export_do_not_count() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let [one, other] = ["one", "other"].map(|name| out.path().join(name));
        let flipped = || builder(root.path()).flip(0.5);
        assert!(!broken_off(samples(builder(root.path()), &one, 4), 14));
        assert!(!broken_off(samples(flipped(), &other, 4), 14));
        for name in ["images-00000.npy", "labels-00000.npy", ".infeed-export/shard-00000.jsonl"] {
            fs::copy(one.join(name), other.join(name)).unwrap();
        }
        let exporting = samples(flipped(), &other, 4).start().unwrap();
        let complete = exporting.summary().complete;
        assert_eq!(exporting.left(), 5 - complete);
        drop(exporting);
        samples(flipped(), &other, 4).run().unwrap();
        let whole = out.path().join("whole");
        samples(flipped(), &whole, 4).run().unwrap();
        same(&whole, &other, "a record of another export");
        // Nothing has failed so far: what becomes of failed samples may change.
        let policy = builder(root.path()).on_error(OnError::skip());
        let summary = samples(policy, &one, 4).run().unwrap();
        assert!(summary.resumed > 0 && summary.ended, "{summary:?}");
    });
}

#[test]
fn a_budget_holds_across_interruptions() {
    within(|_| {
        let root = pictures(40, |number| number % 5 == 1);
        let out = tempfile::tempdir().unwrap();
        let export = |failures| {
            let policy = OnError::skip().max_failures(Budget::Count(failures));
            samples(builder(root.path()).on_error(policy), out.path(), 4)
        };
        let mut exporting = export(5).start().unwrap();
        let error = exporting.run(|_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FailureBudget, "{error}");
        assert!(exporting.summary().complete > 0);
        let again = export(5).run().unwrap_err();
        assert_eq!(again.kind(), ErrorKind::FailureBudget, "{again}");
        assert_eq!(export(8).run().unwrap().failed, 8);
    });
}

/// In a single file, a hole behind which rows would lie elsewhere: a picture was mended.
#[test]
fn rows_behind_a_hole_are_made_again_where_they_belong_now() {
    within(|_| {
        let (root, out) = (pictures(30, |number| number % 3 == 1), tempfile::tempdir().unwrap());
        let of = |to: &str, images| {
            let builder = builder(root.path()).on_error(OnError::skip());
            broken_off(samples(builder, &out.path().join(to), 3).single(true), images)
        };
        assert!(!of("mended", 14));
        let journal = out.path().join("mended/.infeed-export");
        fs::remove_file(journal.join("shard-00003.jsonl")).unwrap();
        for number in (1..30).step_by(3) {
            fs::write(root.path().join(format!("b/{number:04}.ppm")), ppm(12, 10, number)).unwrap();
        }
        of("mended", 1);
        while !of("mended", 3) {}
        let found = verify(out.path().join("mended")).unwrap();
        assert!(found.problems.is_empty() && found.images == 30, "{found:?}");
    });
}

/// Ctrl-C stops cleanly and says how to go on.
#[cfg(unix)]
#[test]
fn an_interrupted_export_says_how_to_go_on() {
    within(|_| {
        // More than can be made between the line and the signal, however busy the machine.
        let (root, out) = (pictures(3_000, |number| number == 0), tempfile::tempdir().unwrap());
        let to: PathBuf = out.path().join("out");
        // A skipped sample is logged once decoding is under way.
        let mut child = hearing(true)
            .args(["-v", "export", text(root.path()), text(&to), "--size", "8"])
            .args(["--shard-size", "1", "--batch-size", "1", "--on-error", "skip"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut log, &mut String::new()).unwrap();
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        drop(std::io::copy(&mut log, &mut std::io::sink()));
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(130), "{told}");
        assert!(told.starts_with("interrupted; until then:"), "{told}");
        assert!(told.contains("run the same command again"), "{told}");
        assert!(!verify(&to).unwrap().ended);
    });
}
