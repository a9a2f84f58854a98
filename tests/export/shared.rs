//! An export that several make together.

use std::path::Path;
use std::process::{Command, Stdio};

use infeed::Shard;
use infeed::export::merge;
use serde_json::Value;

use crate::common::command::{INFEED, infeed, stderr, text};
use crate::common::within;
use crate::{builder, pictures, same, samples};

#[test]
fn parts_do_not_collide_and_the_missing_are_named() {
    within(|_| {
        let (root, out) = (pictures(40, |_| false), tempfile::tempdir().unwrap());
        let to = out.path().join("out");
        let part = |rank, world| samples(builder(root.path()), &to, 4).part(Shard { rank, world });
        let none = merge(&to).unwrap_err();
        assert!(none.to_string().contains("there is no export"), "{none}");
        let mut first = part(0, 3).start().unwrap();
        for (other, told) in [
            (part(0, 3), "another process exports part 0/3 into this folder now"),
            (part(1, 2), "part 0/3 into this folder now; wait for it, or use as many parts"),
            (part(0, 1), "part 0/3 into this folder now; wait for it, or use as many parts"),
        ] {
            let error = other.start().unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
        let busy = merge(&to).unwrap_err();
        assert!(busy.to_string().contains("part 0/3"), "{busy}");
        // At the same time.
        let mut third = part(2, 3).start().unwrap();
        std::thread::scope(|scope| {
            let name = std::thread::Builder::new().name("first".to_owned());
            let running = name.spawn_scoped(scope, || first.run(|_| {}).unwrap()).unwrap();
            third.run(|_| {}).unwrap();
            running.join().unwrap();
        });
        let missing = merge(&to).unwrap_err();
        let told = missing.to_string();
        assert!(told.contains("3 of 10 shards are missing: 3 to 5"), "{told}");
        let summary = part(1, 3).run().unwrap();
        assert_eq!((summary.ended, summary.complete, summary.resumed), (false, 10, 7));
        assert!(merge(&to).unwrap().ended);
        let whole = out.path().join("whole");
        samples(builder(root.path()), &whole, 4).run().unwrap();
        same(&whole, &to, "parts");
    });
}

/// As it is started by launchers, in processes at the same time.
#[test]
fn processes_share_an_export() {
    within(|_| {
        let (root, out) = (pictures(40, |_| false), tempfile::tempdir().unwrap());
        let [whole, shared] = ["whole", "shared"].map(|name| out.path().join(name));
        let flags = ["--size", "8", "--shard-size", "3", "--shuffle"];
        let export = |to: &Path, more: &[&str]| {
            let mut command = Command::new(INFEED);
            command.args(["export", text(root.path()), text(to)]).args(flags).args(more);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        assert!(export(&whole, &[]).status().unwrap().success());
        let started: Vec<_> = (0..3)
            .map(|rank: u32| {
                let mut command = export(&shared, &["--shard-of", "env"]);
                command.env("RANK", rank.to_string()).env("WORLD_SIZE", "3").spawn().unwrap()
            })
            .collect();
        for child in started {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(told.contains("infeed export --merge"), "{told}");
        }
        let merged = infeed(&["export", "--merge", text(&shared)]);
        assert!(merged.status.success(), "{}", stderr(&merged));
        same(&whole, &shared, "processes");
        let json = infeed(&["export", "--merge", text(&shared), "--json"]);
        let report: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&report["shards"], &report["ended"]), (&14.into(), &true.into()));
    });
}
