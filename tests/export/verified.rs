//! What is told of an export that is not as it was written.

use std::fs;
use std::path::Path;

use infeed::export::{Export, merge, verify};
use infeed::{OnError, Shard};
use serde_json::{Value, json};

use crate::common::command::{infeed, text};
use crate::common::within;
use crate::{broken_off, builder, files, pictures, samples};

/// A single file's last step was killed between two names, or its records have a gap.
#[test]
fn verify_tells_no_wrong_of_a_single_file_that_is_to_go_on() {
    within(|_| {
        let root = pictures(30, |number| number % 9 == 1);
        let out = tempfile::tempdir().unwrap();
        let of = || {
            let builder = builder(root.path()).on_error(OnError::skip());
            samples(builder, out.path(), 3).single(true)
        };
        assert!(!broken_off(of(), 20));
        fs::rename(out.path().join(".images.npy.tmp"), out.path().join("images.npy")).unwrap();
        let only = |complete: u64| {
            let found = verify(out.path()).unwrap();
            assert!(found.problems.len() == 1 && !found.ended, "{found:?}");
            assert!(found.problems[0].problem.contains("has not ended"), "{found:?}");
            assert!(found.complete >= complete, "{found:?}");
        };
        only(3);
        fs::remove_file(out.path().join(".infeed-export/shard-00001.jsonl")).unwrap();
        only(1);
        assert!(of().run().unwrap().ended);
        assert_eq!(verify(out.path()).unwrap().problems, []);
    });
}

/// Numbers of a damaged `export.json` are problems, and no panic.
#[test]
fn a_damaged_claim_is_told() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        samples(builder(root.path()), out.path(), 6).run().unwrap();
        let file = out.path().join("export.json");
        let whole: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for place in [
            "/images",
            "/failed",
            "/bytes",
            "/manifest/bytes",
            "/shards/1/row",
            "/shards/1/rows",
            "/shards/1/files/0/bytes",
            "/shards/1/files/1/bytes",
            "/plan/shard_size",
            "/plan/positions",
            "/plan/row_shape/0",
            "/plan/target_len",
        ] {
            for number in [0, 7, u64::MAX / 2, u64::MAX] {
                let mut changed = whole.clone();
                let value = changed.pointer_mut(place).unwrap();
                if *value == json!(number) {
                    continue;
                }
                *value = json!(number);
                fs::write(&file, changed.to_string()).unwrap();
                let told = verify(out.path());
                let told = told.map_or(true, |verified| !verified.problems.is_empty());
                assert!(told, "{place} is {number}");
            }
        }
        // Nothing is read that is no file of the export.
        for name in ["/dev/zero", "../export.json", "images-00000.npy"] {
            let mut changed = whole.clone();
            changed["shards"][1]["files"][0]["file"] = json!(name);
            fs::write(&file, changed.to_string()).unwrap();
            let error = verify(out.path()).unwrap_err().to_string();
            assert!(error.contains("it names other files"), "{error}");
        }
    });
}

/// Nor do those of a journal, whose plan may tell of any number of shards.
#[test]
fn a_damaged_journal_is_told() {
    within(|_| {
        let (root, out) = (pictures(20, |_| false), tempfile::tempdir().unwrap());
        let part = Shard { rank: 0, world: 2 };
        samples(builder(root.path()), out.path(), 6).part(part).run().unwrap();
        let plan = out.path().join(".infeed-export/plan.json");
        let whole: Value = serde_json::from_slice(&fs::read(&plan).unwrap()).unwrap();
        for (place, number) in
            [("positions", u64::MAX), ("shard_size", 1), ("shard_size", u64::MAX)]
        {
            let mut changed = whole.clone();
            changed[place] = json!(number);
            fs::write(&plan, changed.to_string()).unwrap();
            assert!(!verify(out.path()).unwrap().problems.is_empty());
            let error = merge(out.path()).unwrap_err().to_string();
            assert!(error.contains("shards are missing"), "{error}");
        }
        fs::write(&plan, whole.to_string()).unwrap();
        let record = out.path().join(".infeed-export/shard-00001.jsonl");
        let text = fs::read_to_string(&record).unwrap();
        for rows in [7, u64::MAX] {
            fs::write(&record, text.replacen("\"rows\":6", &format!("\"rows\":{rows}"), 1))
                .unwrap();
            let verified = verify(out.path()).unwrap();
            assert_eq!(verified.complete, 1, "{verified:?}");
        }
    });
}

#[test]
fn verify_finds_what_is_not_as_it_was_written() {
    within(|_| {
        let root = pictures(20, |number| number == 8);
        let out = tempfile::tempdir().unwrap();
        for single in [false, true] {
            let to = out.path().join(format!("out-{single}"));
            let on_error = OnError::skip();
            samples(builder(root.path()).on_error(on_error), &to, 6).single(single).run().unwrap();
            let good = verify(&to).unwrap();
            assert!(good.problems.is_empty() && good.ended, "{good:?}");
            assert_eq!((good.shards, good.complete, good.images), (4, 4, 19));
            let whole = files(&to);
            let change = |name: &str, change: &dyn Fn(&mut Vec<u8>), told: &[&str]| {
                let mut bytes = whole[name].clone();
                change(&mut bytes);
                fs::write(to.join(name), bytes).unwrap();
                let found = verify(&to).unwrap().problems;
                fs::write(to.join(name), &whole[name]).unwrap();
                let problem = found.iter().find(|problem| problem.file == name);
                let problem = problem.unwrap_or_else(|| panic!("{name}: {found:?}")).to_string();
                for part in told {
                    assert!(problem.contains(part), "{part} in {problem}");
                }
                assert!(problem.contains("overwrite"), "what to do: {problem}");
            };
            let number = |kind: &str| match single {
                true => format!("{kind}.npy"),
                false => format!("{kind}-00002.npy"),
            };
            let flip = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
            change(&number("images"), &flip, &["are not what was written"]);
            change(&number("labels"), &flip, &["are not what was written"]);
            change(&number("images"), &|bytes| bytes.truncate(500), &["500 bytes, and should"]);
            change(&number("images"), &|bytes| bytes[20] ^= 1, &["header", "C order"]);
            let manifest = "manifest.jsonl";
            let edit = |old: &'static str, new: &'static str| {
                move |bytes: &mut Vec<u8>| {
                    let text = String::from_utf8(bytes.clone()).unwrap();
                    assert!(text.contains(old), "{old} in {text}");
                    *bytes = text.replacen(old, new, 1).into_bytes();
                }
            };
            let cut = |bytes: &mut Vec<u8>| {
                let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
                bytes.drain(..=end);
            };
            change(manifest, &cut, &["where row 0 of"]);
            let last = |bytes: &mut Vec<u8>| {
                let end = bytes[..bytes.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap();
                bytes.truncate(end + 1);
            };
            change(manifest, &last, &["is missing"]);
            change(manifest, &edit("\"label\":1", "\"label\":0"), &["label 0, and 1 in its array"]);
            change(manifest, &edit("0003.ppm", "0004.ppm"), &["not what was written"]);
            let export = "export.json";
            change(export, &edit("\"images\": 19", "\"images\": 18"), &["the shards have 19 rows"]);
            change(export, &edit("\"failed\": 1", "\"failed\": 0"), &["19 of 20 samples"]);

            fs::remove_file(to.join(number("images"))).unwrap();
            let found = verify(&to).unwrap().problems;
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].problem.starts_with("it is missing"), "{found:?}");
            // Nor is what has no length waited for.
            #[cfg(unix)]
            for name in [number("images"), manifest.to_owned(), export.to_owned()] {
                fs::remove_file(to.join(&name)).ok();
                crate::common::trees::pipe(&to.join(&name));
                let told = match verify(&to) {
                    Ok(verified) => format!("{:?}", verified.problems),
                    Err(error) => error.to_string(),
                };
                assert!(told.contains("it is not a regular file"), "{name}: {told}");
                fs::remove_file(to.join(&name)).unwrap();
                fs::write(to.join(&name), &whole[&name]).unwrap();
            }
            fs::write(to.join(number("images")), &whole[&number("images")]).unwrap();
            fs::write(to.join("images-00009.npy"), "").unwrap();
            let found = verify(&to).unwrap().problems;
            assert!(found.len() == 1 && found[0].problem.contains("no part"), "{found:?}");
            fs::remove_file(to.join("images-00009.npy")).unwrap();
            let output = infeed(&["verify", text(&to), "--json"]);
            assert_eq!(output.status.code(), Some(0));
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((&report["ended"], &report["images"]), (&true.into(), &19.into()));
        }
        let nothing = verify(root.path()).unwrap_err();
        assert!(nothing.to_string().contains("there is no export"), "{nothing}");
    });
}

/// Who opens a pipe waits for the other end.
#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    within(|_| {
        let (root, out) = (pictures(12, |_| false), tempfile::tempdir().unwrap());
        let to = out.path().join("out");
        let part = |rank| samples(builder(root.path()), &to, 4).part(Shard { rank, world: 2 });
        let made = |name: &str| {
            let pipe = to.join(name);
            crate::common::trees::pipe(&pipe);
            pipe
        };
        drop(part(0).start().unwrap());
        let locks = ["part-1-of-2", "part-0-of-3", "another"];
        let [own, ..] = locks.map(|name| made(&format!(".infeed-export/{name}.lock")));
        part(0).run().unwrap();
        let refused = |part: Export<u8>, pipe: &Path| {
            let told = part.run().unwrap_err().to_string();
            let name = pipe.file_name().unwrap().to_string_lossy();
            assert!(told.contains("it is not a regular file") && told.contains(&*name), "{told}");
            fs::remove_file(pipe).unwrap();
        };
        refused(part(1), &own);
        let manifest = merge(&to).unwrap_err().to_string();
        assert!(manifest.contains("are missing"), "{manifest}");
        part(1).run().unwrap();
        assert!(merge(&to).unwrap().ended);
        for (single, name) in [(false, "images-00000.npy"), (true, "images.npy")] {
            let to = out.path().join(format!("single-{single}"));
            fs::create_dir(&to).unwrap();
            let export = || samples(builder(root.path()), &to, 4).single(single);
            drop(export().start().unwrap());
            let pipe = to.join(format!(".{name}.tmp"));
            fs::remove_file(&pipe).ok();
            crate::common::trees::pipe(&pipe);
            // What is left half-written of shards is removed; a single file goes on.
            if single {
                let told = export().run().unwrap_err().to_string();
                assert!(told.contains("it is not a regular file") && told.contains(name), "{told}");
                fs::remove_file(&pipe).unwrap();
            }
            assert!(export().run().unwrap().ended);
        }
    });
}
