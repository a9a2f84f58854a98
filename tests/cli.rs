//! The command line as a stranger uses it: the built binary on trees of our own,
//! standard output, standard error and exit code apart.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]
#![cfg(feature = "cli")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::command::{
    code, dir, hearing, infeed, numpy_says, signalled_after, stderr, stdout, text,
};
use serde_json::Value;
use tempfile::TempDir;

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", stdout(output), stderr(output)))
}

/// Two class folders with ten pictures in all; `bad` of them cannot be decoded.
fn tree(bad: usize) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for number in 0..10 {
        let class = root.path().join(if number < 6 { "a" } else { "b" });
        std::fs::create_dir_all(&class).unwrap();
        let mut picture = b"P6 20 16 255\n".to_vec();
        picture.extend((0..20 * 16 * 3_u32).map(|at| (at * (number + 3)) as u8));
        if (number as usize) < bad {
            picture.truncate(40);
        }
        std::fs::write(class.join(format!("{number}.ppm")), picture).unwrap();
    }
    root
}

const SMALL: [&str; 4] = ["--size", "16", "--batch-size", "4"];

fn run(root: &TempDir, more: &[&str]) -> Output {
    infeed(&[&["run", dir(root)], &SMALL[..], more].concat())
}

#[test]
fn run_prints_one_json_object_with_everything_in_it() {
    let root = tree(0);
    let output = run(&root, &["--json", "--epochs", "2", "--threads", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["images"], 20);
    assert_eq!(report["batches"], 6);
    assert_eq!(report["skipped"], 0);
    assert_eq!(report["interrupted"], false);
    assert!(report["error"].is_null());
    for positive in ["seconds", "images_per_second", "first_batch_seconds", "peak_rss_bytes"] {
        assert!(report[positive].as_f64().unwrap() > 0.0, "{positive}");
    }
    assert_eq!(report["config"]["batch_size"], 4);
    assert_eq!(report["config"]["size"]["width"], 16);
    assert_eq!(report["config"]["threads"], 2);
    assert_eq!(report["config"]["prefetch"], 2);
    assert!(report["config"]["memory"]["total_bytes"].as_u64().unwrap() > 0);
    let stages = &report["stages"];
    assert!(stages["reorder_wait_seconds"].is_f64());
    for (stage, items) in
        [("walk", 10), ("read", 20), ("decode", 20), ("transform", 20), ("batch", 6)]
    {
        assert_eq!(stages[stage]["items"], items, "{stage}");
        for time in ["busy_seconds", "waiting_for_input_seconds", "waiting_for_output_seconds"] {
            assert!(stages[stage][time].is_f64(), "{stage} {time}");
        }
    }
    let epochs = report["epochs"].as_array().unwrap();
    assert_eq!(epochs.len(), 2);
    for (number, epoch) in epochs.iter().enumerate() {
        assert_eq!(epoch["epoch"], number);
        assert_eq!(epoch["images"], 10);
        assert_eq!(epoch["stages"]["decode"]["items"], 10);
    }
    assert!(report["errors"].as_array().unwrap().is_empty());
}

#[test]
fn augmentation_is_asked_for_and_reported() {
    let root = tree(0);
    let flags = ["--fit", "random-crop", "--crop-scale", "0.2,1", "--crop-ratio", "0.5,2"];
    let more =
        ["--flip", "--vflip", "0.2", "--jitter", "0.4,0.3", "--random-grey", "0.1", "--json"];
    let output = run(&root, &[&flags[..], &more, &["--erase", "0.25:0.02,0.4:0.3,3.3"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let config = &json(&output)["config"];
    assert_eq!(config["fit"], "random-crop:0.2,1:0.5,2");
    assert_eq!((&config["flip"], &config["vflip"]), (&0.5.into(), &0.2.into()));
    assert_eq!(config["random_grey"], 0.1);
    assert_eq!(
        (&config["jitter"], &config["erase"]),
        (&"0.4,0.3".into(), &"0.25:0.02,0.4:0.3,3.3".into())
    );
    for (wrong, part) in [
        (&["--crop-scale", "0.2,1"][..], "--crop-scale refines --fit random-crop"),
        (&["--fit", "crop", "--crop-ratio", "1,2"], "the fit is crop"),
        (&["--fit", "random-crop", "--crop-scale", "0.5"], "two numbers"),
        (&["--jitter", "0.1,0.1,0.1,0.6"], "hue"),
        (&["--jitter", "a"], "brightness, contrast"),
        (&["--erase", "1.5"], "a probability"),
        (&["--vflip", "2"], "vflip"),
    ] {
        let output = run(&root, wrong);
        assert_eq!(code(&output), 2, "{wrong:?}");
        assert!(stderr(&output).contains(part), "{wrong:?}: {}", stderr(&output));
    }
}

#[test]
fn a_cache_is_asked_for_and_reported() {
    let (root, place) = (tree(0), tempfile::tempdir().unwrap());
    let cached = |cache: &str, more: &[&str]| {
        run(&root, &[&["--epochs", "3", "--cache", cache], more].concat())
    };
    let disk = format!("disk:{}:1MiB", dir(&place));
    for (cache, hits) in [("memory:64KiB", 20), (&*disk, 20), (&*disk, 30)] {
        let report = json(&cached(cache, &["--json"]));
        assert_eq!(report["cache"]["hits"], hits, "{cache}");
        assert_eq!(report["cache"]["samples"], 10);
        assert!(report["cache"]["hit_rate"].as_f64().unwrap() > 0.6);
        assert_eq!(report["epochs"][2]["cache_hits"], 10);
    }
    let report = json(&cached("memory:64KiB", &["--json"]));
    assert_eq!(report["config"]["cache"], "memory:65536");
    assert_eq!(report["config"]["memory"]["cache_bytes"], 65_536);
    let summary = stdout(&cached("memory:64KiB", &[]));
    assert!(summary.contains("cache 66.7 % hits (20 of 30); it keeps 10 images in "), "{summary}");
    assert!(json(&run(&root, &["--json"]))["cache"].is_null());
    let crops = ["--fit", "random-crop", "--json"];
    let report = json(&cached("memory:64KiB", &[&crops[..], &["--cache-side", "18"]].concat()));
    assert_eq!(
        (&report["cache"]["hits"], &report["config"]["cache_side"]),
        (&20.into(), &18.into())
    );
    for (cache, more, part) in [
        ("memory", &[][..], "memory:BYTES"),
        ("disk:20GiB", &[], "disk:DIR:20GiB"),
        ("memory:many", &[], "number of bytes"),
        ("memory:512", &[], "one picture"),
        ("memory:64KiB", &crops[..2], "cache_side"),
    ] {
        let output = cached(cache, more);
        assert_eq!(code(&output), 2, "{cache}");
        assert!(stderr(&output).contains(part), "{part} in {}", stderr(&output));
    }
}

#[test]
fn run_says_at_a_glance_what_it_did() {
    let root = tree(0);
    let output = run(&root, &[]);
    assert_eq!(code(&output), 0);
    let summary = stdout(&output);
    assert!(summary.starts_with("10 images in 3 batches of 4 from "), "{summary}");
    for part in ["images/s", "first batch after", "memory", "at most", "decode", "prefetch 2"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    assert_eq!(stderr(&output), "", "no terminal, no progress bar");
}

#[test]
fn a_bad_file_fails_the_run_and_is_named() {
    let root = tree(1);
    let output = run(&root, &["--json"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("0.ppm") && stderr(&output).contains("--on-error skip"));
    let report = json(&output);
    let errors = report["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["path"], "a/0.ppm");
    assert_eq!(errors[0]["index"], 0);
    assert_eq!(errors[0]["stage"], "decode");
    assert_eq!(errors[0]["cause"], "truncated");
    assert!(report["error"].as_str().unwrap().contains("a/0.ppm"));
}

#[test]
fn bad_files_are_skipped_or_replaced() {
    let root = tree(2);
    let skipped = json(&run(&root, &["--json", "--on-error", "skip"]));
    assert_eq!((&skipped["images"], &skipped["skipped"]), (&8.into(), &2.into()));
    assert_eq!(skipped["errors"].as_array().unwrap().len(), 2);
    let replaced = json(&run(&root, &["--json", "--on-error", "replace"]));
    assert_eq!((&replaced["images"], &replaced["skipped"]), (&10.into(), &0.into()));
    assert!(replaced["replaced"].as_u64().unwrap() >= 2);
    assert!(replaced["errors"][0]["replaced_by"].is_string());
}

#[test]
fn a_budget_ends_the_run() {
    let root = tree(3);
    for budget in ["2", "20%"] {
        let output = run(&root, &["--json", "--on-error", "skip", "--max-failures", budget]);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains("budget"), "{}", stderr(&output));
        assert_eq!(json(&output)["errors"].as_array().unwrap().len(), 3);
    }
    let output = run(&root, &["--json", "--on-error", "skip", "--max-failures", "30%"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_short_last_batch_is_dropped_or_padded() {
    let root = tree(0);
    let dropped = json(&run(&root, &["--json", "--drop-last"]));
    assert_eq!((&dropped["images"], &dropped["batches"]), (&8.into(), &2.into()));
    assert_eq!(dropped["stages"]["read"]["items"], 8, "what is dropped is not read");
    let padded = json(&run(&root, &["--json", "--last-batch", "pad"]));
    assert_eq!((&padded["images"], &padded["batches"]), (&12.into(), &3.into()));
}

#[test]
fn a_folder_without_images_is_an_error_that_says_so() {
    let empty = tempfile::tempdir().unwrap();
    let output = infeed(&["run", dir(&empty)]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("no image was found"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    let output = infeed(&["run", "/no/such/folder"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("/no/such/folder"), "{}", stderr(&output));
}

#[test]
fn a_wrong_value_names_the_flag_and_the_choice() {
    let root = tree(0);
    for (flags, told) in [
        (["--filter", "cubic"], "opencv-bilinear, bilinear"),
        (["--decode", "draft"], "exact, fast"),
        (["--size", "0"], "1 to 65535"),
        (["--batch-size", "0"], "1 to 1048576"),
        (["--memory-limit", "1MiB"], "= batches "),
        (["--memory-limit", "much"], "2GiB"),
        (["--normalize", "1,2"], "imagenet"),
        (["--max-failures", "many"], "0.5%"),
        (["--fit", "crop:1"], "shorter side"),
        (["--pattern", "{"], "pattern"),
    ] {
        let output = run_flags(&root, &flags);
        assert_eq!(code(&output), 2, "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{flags:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

fn run_flags(root: &TempDir, flags: &[&str]) -> Output {
    infeed(&[&["run", dir(root)], flags].concat())
}

#[test]
fn a_pattern_chooses_files() {
    let root = tree(0);
    assert_eq!(json(&run(&root, &["--json", "--pattern", "b/*.ppm"]))["images"], 4);
}

/// A list in `folder` of the pictures that [`tree`] makes, odd ones in class 1,
/// each with a number.
fn listed(folder: &Path) -> String {
    let row = |number: u32| {
        let class = if number < 6 { "a" } else { "b" };
        format!("{class}/{number}.ppm,{},{number}.5\n", number % 2)
    };
    let rows: String = (0..10).map(row).collect();
    let list = folder.join("list.csv");
    std::fs::write(&list, format!("path,class,number\n{rows}")).unwrap();
    list.to_str().unwrap().to_owned()
}

#[test]
fn a_list_is_streamed_and_compared() {
    let (root, elsewhere) = (tree(0), tempfile::tempdir().unwrap());
    let beside = listed(root.path());
    let report = json(&infeed(&[&["run", "--list", &beside, "--json"], &SMALL[..]].concat()));
    assert_eq!((&report["images"], &report["source"]), (&10.into(), &Value::from(beside)));
    let apart = listed(elsewhere.path());
    assert_eq!(json(&run(&root, &["--list", &apart, "--json"]))["images"], 10);
    let compare = ["compare", dir(&root), "--list", &apart, "--json", "--epochs", "2"];
    assert_eq!(json(&infeed(&[&compare, &SMALL[..]].concat()))["ways"][4]["images"], 10);

    std::fs::write(&apart, "path,number\na/0.ppm,1\na/1.ppm,\n").unwrap();
    let output = run(&root, &["--list", &apart]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("list.csv: line 3: "), "{}", stderr(&output));
    let output = run(&root, &["--list", "list.txt"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains(".csv, .tsv, .jsonl"), "{}", stderr(&output));
    assert_eq!(code(&run(&root, &["--list", &apart, "--pattern", "*"])), 2);
}

#[test]
fn a_split_has_two_sides() {
    let root = tree(0);
    let images = |more: &[&str]| {
        let report = json(&run(&root, &[&["--json"], more].concat()));
        report["images"].as_u64().unwrap()
    };
    for seed in ["0", "3"] {
        let side = |split| images(&["--split", split, "--split-seed", seed]);
        assert_eq!(side("train=0.7") + side("val=0.3"), 10);
    }
    let report = json(&run(&root, &["--json", "--split", "validation=0.5", "--split-seed", "2"]));
    assert_eq!(report["config"]["split"], "validation=0.5, seed 2");
    let compare = ["compare", dir(&root), "--split", "train=0.7", "--json", "--epochs", "2"];
    let report = json(&infeed(&[&compare, &SMALL[..]].concat()));
    let found = images(&["--split", "train=0.7"]);
    assert_eq!(report["found"], found);
    assert!(report["ways"].as_array().unwrap().iter().all(|way| way["images"] == found));
    for wrong in ["train=1.5", "test=0.1", "0.9"] {
        let output = run(&root, &["--split", wrong]);
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains("--split"), "{}", stderr(&output));
    }
    let output = run(&root, &["--split", "val=0.0000001"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("leaves none of 10 samples"), "{}", stderr(&output));
    assert_eq!(code(&run(&root, &["--split-seed", "1"])), 2);
}

#[test]
fn an_export_of_a_list_has_targets() {
    let (root, out) = (tree(0), tempfile::tempdir().unwrap());
    let list = listed(root.path());
    // Beside the pictures: nothing there is taken unless it is listed.
    let target = root.path().join("out");
    let to = target.to_str().unwrap();
    let shards = ["--shard-size", "4"];
    let output = infeed(&[&["export", "--list", &list, to], &shards[..], &SMALL[..]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let manifest = std::fs::read_to_string(target.join("manifest.jsonl")).unwrap();
    let lines: Vec<Value> =
        manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[7]["label"], &lines[7]["target"]), (&1.into(), &serde_json::json!([7.5])));
    numpy_says(
        "
targets = [numpy.load(f'{sys.argv[1]}/targets-{n:05}.npy') for n in range(3)]
assert [t.shape for t in targets] == [(4, 1), (4, 1), (2, 1)]
assert targets[0].dtype == numpy.float32
assert numpy.concatenate(targets)[:, 0].tolist() == [n + 0.5 for n in range(10)]
",
        text(&target),
    );
    let to = out.path().to_str().unwrap();
    let again = ["export", dir(&root), to, "--list", &list];
    let again = infeed(&[&again, &shards[..], &SMALL[..]].concat());
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    assert!(out.path().join("targets-00002.npy").is_file());
    assert_eq!(
        code(&infeed(&[&["export", dir(&root), to, "--overwrite"], &SMALL[..]].concat())),
        0
    );
    assert!(!out.path().join("targets-00002.npy").exists(), "a folder has none");
    assert_eq!(code(&infeed(&["export", to])), 2);
}

#[test]
fn an_export_is_what_its_manifest_says() {
    let root = tree(0);
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("deep/out");
    let to = target.to_str().unwrap();
    let flags = ["--dtype", "u8", "--shard-size", "4"];
    let output = infeed(&[&["export", dir(&root), to], &flags[..], &SMALL[..]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("10 images in 3 shards"), "{}", stdout(&output));
    assert!(stdout(&output).contains("waited"), "{}", stdout(&output));
    let manifest = std::fs::read_to_string(target.join("manifest.jsonl")).unwrap();
    let lines: Vec<Value> =
        manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], index);
        assert_eq!(line["file"], format!("images-{:05}.npy", index / 4));
        assert_eq!((&line["shard"], &line["row"]), (&(index / 4).into(), &(index % 4).into()));
        let source = root.path().join(line["path"].as_str().unwrap()).metadata().unwrap();
        assert_eq!(line["size"], source.len());
        assert_eq!(line["label"], u32::from(index >= 6));
    }
    let images = std::fs::read(target.join("images-00002.npy")).unwrap();
    assert_eq!(&images[..6], b"\x93NUMPY");
    let header = String::from_utf8_lossy(&images[..128]).into_owned();
    assert!(header.contains("(2, 3, 16, 16)") && header.contains("u1"), "{header}");
    let left: Vec<_> =
        std::fs::read_dir(&target).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 8, "no temporary file is left: {left:?}");

    numpy_says(
        "
images = [numpy.load(f'{sys.argv[1]}/images-{n:05}.npy', mmap_mode='r') for n in range(3)]
labels = numpy.concatenate([numpy.load(f'{sys.argv[1]}/labels-{n:05}.npy') for n in range(3)])
assert [i.shape for i in images] == [(4, 3, 16, 16), (4, 3, 16, 16), (2, 3, 16, 16)]
assert images[0].dtype == numpy.uint8 and labels.dtype == numpy.int64
assert labels.tolist() == [0] * 6 + [1] * 4
",
        text(&target),
    );

    let again = infeed(&["export", dir(&root), to]);
    assert_eq!(code(&again), 2);
    assert!(stderr(&again).contains("(overwrite)"), "{}", stderr(&again));
    let over = infeed(&["export", dir(&root), to, "--overwrite", "--size", "8"]);
    assert_eq!(code(&over), 0, "{}", stderr(&over));
    assert!(!target.join("images-00002.npy").exists(), "the old export is gone");
}

#[test]
fn an_export_does_not_feed_itself() {
    let root = tree(0);
    let inside = root.path().join("out");
    let output = infeed(&["export", dir(&root), inside.to_str().unwrap()]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("lies inside"), "{}", stderr(&output));
    assert!(!inside.exists());
}

#[test]
fn a_failed_export_goes_on_where_it_stood() {
    let root = tree(0);
    std::fs::write(root.path().join("b/9.ppm"), b"P6 9").unwrap();
    let out = tempfile::tempdir().unwrap();
    let to = out.path().to_str().unwrap();
    let export = |more: &[&str]| {
        let flags = ["export", dir(&root), to, "--shard-size", "4"];
        infeed(&[&flags[..], &SMALL[..], more].concat())
    };
    let output = export(&[]);
    assert_eq!(code(&output), 1);
    for part in ["b/9.ppm", "--on-error skip", "the export then goes on"] {
        assert!(stderr(&output).contains(part), "{part} in {}", stderr(&output));
    }
    assert!(stdout(&output).contains("2 of 3 shards are complete; run"), "{}", stdout(&output));
    assert!(out.path().join("images-00001.npy").exists());
    assert!(!out.path().join("images-00002.npy").exists());
    assert!(!out.path().join("manifest.jsonl").exists());
    let verified = infeed(&["verify", to]);
    assert_eq!(code(&verified), 1);
    assert!(stdout(&verified).contains("shards 2 are missing"), "{}", stdout(&verified));
    // Nothing had failed in what is complete, so it is what skipping would have made.
    let output = export(&["--on-error", "skip", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("going on: 2 of 3"), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!((&report["images"], &report["written"]), (&9.into(), &1.into()));
    assert_eq!((&report["skipped"], &report["export"]["ended"]), (&1.into(), &true.into()));
    for stage in ["decode", "write", "sync"] {
        assert!(report["stages"][stage]["busy_seconds"].as_f64().unwrap() > 0.0, "{stage}");
    }
    assert!(report["held_up_seconds"].is_f64());
    assert_eq!(code(&infeed(&["verify", to])), 0);
}

#[test]
fn compare_takes_the_same_images_in_all_ways() {
    let root = tree(0);
    let compare = |more: &[&str]| infeed(&[&["compare", dir(&root)], &SMALL[..], more].concat());
    let report = json(&compare(&["--json", "--epochs", "2"]));
    let ways = report["ways"].as_array().unwrap();
    assert_eq!(ways.len(), 5);
    for way in ways {
        assert_eq!(way["images"], 10);
        assert!(way["images_per_second"].as_f64().unwrap() > 0.0);
        assert!(way["peak_rss_bytes"].as_u64().unwrap() > 0);
    }
    assert!(ways[3]["warm_images_per_second"].as_f64().unwrap() > 0.0);
    // 16 x 16 floats take 3,072 bytes an image: seven fit.
    let few = json(&compare(&["--json", "--keep-memory", "22000"]));
    assert!(few["ways"].as_array().unwrap().iter().all(|way| way["images"] == 7));
    let table = stdout(&compare(&[]));
    for part in ["serial loop, results kept", "infeed, ordered", "peak memory", "Why: "] {
        assert!(table.contains(part), "{part} in {table}");
    }
}

fn bench(root: &TempDir, more: &[&str]) -> Output {
    infeed(&[&["bench", dir(root), "--rounds", "2", "--epochs", "1"], more].concat())
}

#[test]
fn bench_measures_each_workload_and_its_ceilings() {
    let root = tree(0);
    let output = bench(&root, &["--json", "--workload", "w224,wtrain", "--threads", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report = json(&output);
    assert_eq!((&report["images"], &report["rounds"]), (&10.into(), &2.into()));
    assert_eq!(report["interrupted"], false);
    assert!(report["machine"]["cores"].as_u64().unwrap() >= 1);
    assert!(report["command"].as_str().unwrap().contains("--workload w224,wtrain"));
    let workloads = report["workloads"].as_array().unwrap();
    let names: Vec<_> = workloads.iter().map(|workload| &workload["workload"]).collect();
    assert_eq!(names, ["w224", "wtrain"]);
    for workload in workloads {
        assert_eq!(workload["config"]["batch_size"], 64);
        assert_eq!(workload["config"]["threads"], 2);
        assert!(workload["peak_rss_bytes"].as_u64().unwrap() > 0);
        let measured = |figures: &Value, name: &str| {
            let rounds = figures["rounds"].as_array().unwrap();
            assert_eq!(rounds.len(), 2, "{name}");
            let (a, b) = (rounds[0].as_f64().unwrap(), rounds[1].as_f64().unwrap());
            assert!(a > 0.0 && b > 0.0, "{name}");
            let median = figures["images_per_second"].as_f64().unwrap();
            assert!((median - (a + b) / 2.0).abs() < 1e-6 * median, "{name}");
            rounds.iter().map(|rate| rate.as_f64().unwrap()).collect::<Vec<_>>()
        };
        measured(&workload["ceilings"]["read"], "read");
        measured(&workload["ceilings"]["decode"], "decode");
        let ceiling = measured(&workload["ceilings"]["decode_and_transform"], "both");
        for order in ["ordered", "unordered"] {
            let loader = &workload["loader"][order];
            let rates = measured(loader, order);
            for (round, efficiency) in
                loader["efficiency_rounds"].as_array().unwrap().iter().enumerate()
            {
                let expected = rates[round] / ceiling[round];
                assert!((efficiency.as_f64().unwrap() - expected).abs() < 1e-6 * expected);
            }
        }
    }
}

#[test]
fn bench_prints_one_table() {
    let root = tree(0);
    let table = stdout(&bench(&root, &["--workload", "w512", "--images", "7"]));
    assert!(table.starts_with("7 images of 10 from "), "{table}");
    for part in ["read", "+transform", "unordered", "peak memory", "w512", "of alone", "core us"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let line = stdout(&bench(&root, &["--workload", "w224", "--loader-only", "--json"]));
    assert_eq!(line.lines().count(), 1);
    let loader: Value = serde_json::from_str(&line).unwrap();
    assert!(loader["images_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(loader["workload"], "w224");
}

#[test]
fn bench_says_what_it_cannot_measure() {
    let root = tree(1);
    for more in [&["--workload", "w224"][..], &["--workload", "w224", "--loader-only"]] {
        let output = bench(&root, more);
        assert_eq!(code(&output), 1);
        let told = stderr(&output);
        assert!(told.contains("0.ppm") && told.contains("mend or remove"), "{told}");
        assert_eq!(told.matches("error:").count(), 1, "{told}");
        assert_eq!(stdout(&output), "");
    }
    let unknown = bench(&root, &["--workload", "w513"]);
    assert_eq!(code(&unknown), 2);
    assert!(stderr(&unknown).contains("w512, w224, w224-antialias, wtrain"));
    let several = bench(&root, &["--loader-only"]);
    assert_eq!(code(&several), 2);
    let empty = tempfile::tempdir().unwrap();
    let output = infeed(&["bench", dir(&empty)]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("no image was found"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn an_interrupted_bench_says_what_it_has() {
    let root = tree(0);
    let bench = ["-v", "bench", dir(&root), "--epochs", "1", "--rounds", "100000000"];
    let (first, output) = interrupted(&bench, "-INT");
    assert!(first.contains("w512: round 1"), "{first}");
    assert!(stdout(&output).contains("w512"));
}

/// Runs a command that would go on for ever until the first line of its log is
/// there, and sends it a signal; the line, and what came of it.
#[cfg(unix)]
fn interrupted(arguments: &[&str], signal: &str) -> (String, Output) {
    let (first, output) = signalled(hearing(true), arguments, signal);
    assert_eq!(code(&output), 130);
    assert!(stdout(&output).starts_with("interrupted; until then:"), "{}", stdout(&output));
    (first, output)
}

/// The same of a command that is started so.
#[cfg(unix)]
fn signalled(mut command: Command, arguments: &[&str], signal: &str) -> (String, Output) {
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    log.read_line(&mut first).unwrap();
    let drain = std::thread::Builder::new().spawn(move || {
        let mut rest = Vec::new();
        log.read_to_end(&mut rest).unwrap();
    });
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    drain.unwrap().join().unwrap();
    (first, output)
}

#[test]
fn without_a_folder_it_makes_one_and_uses_it_again() {
    let cache = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_infeed"));
        command.args(["run", "--size", "32", "--json"]);
        command.env("XDG_CACHE_HOME", cache.path()).env("HOME", cache.path()).output().unwrap()
    };
    let first = run();
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert!(stderr(&first).contains("making 240 pictures"));
    assert_eq!(json(&first)["images"], 240);
    assert_eq!(json(&first)["skipped"], 0);
    assert_eq!(stderr(&run()), "");
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_cleanly_and_says_what_was_done() {
    let root = tree(1);
    // A skipped sample is logged once its epoch is under way.
    let run = ["-v", "run", dir(&root), "--size", "16", "--on-error", "skip"];
    for signal in ["-INT", "-TERM", "-HUP"] {
        let (_, output) = interrupted(&[&run[..], &["--epochs", "100000000"]].concat(), signal);
        assert!(stdout(&output).contains("images/s"));
    }
    // As `nohup` starts it.
    if cfg!(target_os = "linux") {
        let all = [&run[..], &["--epochs", "200"]].concat();
        let (_, output) = signalled(hearing(false), &all, "-HUP");
        assert_eq!(code(&output), 0, "{}", stdout(&output));
        assert!(!stdout(&output).contains("interrupted"), "{}", stdout(&output));
    }
}

/// Sends a signal after ever longer a time, until it comes once the command is at work:
/// before that it ends the process as it ends any.
#[cfg(unix)]
fn ended_at_work(arguments: &[&str], signal: &str, at_work: impl Fn(&Output) -> bool) -> Output {
    for time in [50, 100, 200, 400, 800, 1_600, 3_200, 6_400] {
        let mut command = hearing(true);
        command.args(arguments);
        let output = signalled_after(command, Duration::from_millis(time), signal);
        if at_work(&output) {
            return output;
        }
    }
    panic!("{arguments:?} was never at work when {signal} came");
}

#[cfg(unix)]
#[test]
fn an_interrupted_check_or_comparison_says_how_far_it_came() {
    // The same picture again and again, and one that is broken.
    let root = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(root.path().join(name), bytes).unwrap();
    put("bad.ppm", b"P6 2 2 255\n");
    put("good.ppm", b"P6 1 1 255\nabc");
    put("list.csv", format!("path\nbad.ppm\n{}", "good.ppm\n".repeat(300_000)).as_bytes());
    let list = root.path().join("list.csv");
    let check = ["check", dir(&root), "--list", list.to_str().unwrap()];
    let at_work = |output: &Output| {
        output.status.code() == Some(130) && !stdout(output).starts_with("0 files")
    };
    for signal in ["-INT", "-TERM", "-HUP"] {
        let output = ended_at_work(&check, signal, at_work);
        let told = stdout(&output);
        assert!(told.contains("stopped before the end: "), "{told}");
        assert!(told.contains("bad.ppm"), "{told}");
    }
    let good = tree(0);
    let compare = ["compare", dir(&good), "--size", "16", "--epochs", "100000000"];
    let at_work = |output: &Output| {
        output.status.code() == Some(130) && stderr(output).contains("interrupted during: ")
    };
    ended_at_work(&compare, "-INT", at_work);
}

/// What keeps nothing ends as any process does.
#[cfg(unix)]
#[test]
fn commands_that_keep_nothing_end_at_once() {
    use std::os::unix::process::ExitStatusExt;

    let root = tree(0);
    let mut tune = hearing(true);
    tune.args(["tune", dir(&root), "--size", "16", "--step-ms", "5"]);
    let started = Instant::now();
    let output = signalled_after(tune, Duration::from_millis(500), "-TERM");
    assert_eq!(output.status.signal(), Some(15), "{}", stderr(&output));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_panic() {
    let root = tree(0);
    let command = format!("{} run {} --size 16 | true", env!("CARGO_BIN_EXE_infeed"), dir(&root));
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn help_knows_every_knob() {
    let help = stdout(&infeed(&["run", "--help"]));
    for flag in [
        "--batch-size",
        "--size",
        "--fit",
        "--filter",
        "--decode",
        "--normalize",
        "--dtype",
        "--layout",
        "--order",
        "--threads",
        "--readers",
        "--prefetch",
        "--memory-limit",
        "--drop-last",
        "--on-error",
        "--max-failures",
        "--epochs",
        "--json",
        "--pattern",
        "--list",
        "--split",
        "--split-seed",
        "--read-timeout",
    ] {
        assert!(help.contains(flag), "{flag}");
    }
    assert_eq!(code(&infeed(&[])), 2);
    assert!(stdout(&infeed(&["--version"])).starts_with("infeed 0."));
}
