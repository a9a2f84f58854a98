//! What a fuzzer of the command line calls. `tests/fuzz` builds this program as its target; the
//! tests here run it on seeds and on what was found once.
#![allow(clippy::panic, clippy::unreachable, reason = "a rule that does not hold ends the test")]

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;

use clap::Parser;
use infeed::{Dtype, Element};

use crate::args::{Cli, Command};
use crate::knobs::Knobs;
use crate::units::Bytes;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(init: infeed_fuzz::begin(), |data: &[u8]| args(data));

/// Stands between two arguments.
const BETWEEN: u8 = b'\n';

/// Reads an input as arguments, a line each, and makes a configuration of them: that or an
/// error. Nothing is run, and no file is read but what an argument names.
fn args(data: &[u8]) {
    let words = data.split(|byte| *byte == BETWEEN).map(argument);
    let words: Vec<OsString> = words.collect();
    // Devices may have no end.
    if words.iter().any(|word| word.to_string_lossy().contains('/') && is_there(word)) {
        return;
    }
    let cli = match Cli::try_parse_from([OsString::from("infeed")].into_iter().chain(words)) {
        Ok(cli) => cli,
        Err(error) => {
            assert!(!error.render().to_string().is_empty());
            return;
        }
    };
    let knobs = match &cli.command {
        Command::Run(args) => &args.knobs,
        Command::Export(args) => &args.knobs,
        Command::Compare(args) => &args.knobs,
        Command::Check(args) => &args.knobs,
        Command::Tune(args) => &args.knobs,
        Command::View(args) => &args.knobs,
        Command::Bench(_) | Command::Verify(_) | Command::Completions(_) | Command::Man(_) => {
            assert!(!format!("{cli:?}").is_empty());
            return;
        }
    };
    if let Err(reason) = knobs.check() {
        assert!(!reason.is_empty());
        return;
    }
    let resolved = match knobs.dtype() {
        Dtype::U8 => resolve::<u8>(knobs),
        Dtype::F16 => resolve::<infeed::f16>(knobs),
        Dtype::Bf16 => resolve::<infeed::bf16>(knobs),
        _ => resolve::<f32>(knobs),
    };
    if let Err(error) = resolved {
        assert!(!error.to_string().is_empty());
    }
}

/// The configuration that the flags come to.
fn resolve<T: Element>(knobs: &Knobs) -> Result<(), Box<dyn Error>> {
    let source = knobs.images.choose(Some(Path::new("nowhere")))?.source;
    let config = knobs.builder::<T>(source).resolve()?;
    let told: serde_json::Value = serde_json::from_str(&serde_json::to_string(&config)?)?;
    assert!(told.is_object());
    let memory = config.memory;
    assert!(!Bytes(memory.total_bytes).to_string().is_empty());
    assert!(config.batch_size > 0 && config.threads > 0 && config.prefetch > 0);
    Ok(())
}

#[cfg(unix)]
fn argument(bytes: &[u8]) -> OsString {
    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).to_owned()
}

#[cfg(not(unix))]
fn argument(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Whether an argument, or what is behind a sign in it, is a file that is there.
fn is_there(word: &OsString) -> bool {
    let text = word.to_string_lossy();
    let behind = text.find('/').map_or("", |at| &text[at..]);
    Path::new(&*text).exists() || Path::new(behind).exists()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SEEDS: [&str; 24] = [
        "run",
        "run --size 224 --fit crop:256 --filter bicubic --batch-size 64 --normalize imagenet",
        "run dir --size 64x32 --fit random-crop --crop-scale 0.1,0.9 --crop-ratio 0.5,2 --flip",
        "run --fit random-crop:0.08,1:0.75,1.3333 --cache-side 256 --cache memory:2GiB",
        "run --jitter 0.4,0.4,0.4,0.1 --erase 0.25:0.02,0.33:0.3,3.3 --random-grey 0.2 --vflip 0.1",
        "run --sampling weighted:1,2.5,0:1000 --seed 18446744073709551615 --shard 3/4 --uneven pad",
        "run --sampling weighted:balanced --order unordered --last-batch pad --dtype bf16",
        "run --shuffle --drop-last --on-error replace --max-failures 0.5% --replace-attempts 3",
        "run --on-error skip --max-failures unlimited --allow-truncated --read-timeout none",
        "run --threads auto --readers 8 --prefetch 4 --held-batches 2 --wait-target 0.05",
        "run --memory-limit 2GiB --max-file-bytes 1MB --max-pixels 1000000 --max-side 4096",
        "run --max-scans 7 --stall-report 2.5 --layout hwc --color grey --dtype u8 --decode fast",
        "run --list a.csv --split train=0.9 --split-seed 3 --pattern x",
        "run dir --pattern 'train/**/*.{jpg,png}' --split val=0.1 --skip-list none.txt",
        "run --cache disk:DIR:20GiB --normalize 0.5,0.4,0.3:0.2,0.2,0.1 --dtype f16 --epochs 3",
        "run --state s-{rank} --resume a,b,c --allow-changed next --digest --json",
        "export dir out --shard-size 64MiB --shard-of 1/4 --no-resume --json",
        "export --list a.jsonl out --single --overwrite",
        "export out --merge",
        "check dir --coverage --world 4 --epochs 2 --shuffle",
        "check --ranks a,b --against c",
        "tune --step-ms 40 --budget 2m --cpu-limit 4 --exhaustive --html report.html",
        "bench --workload w224,wtrain --rounds 3 --epochs 2 --images 100 --threads 2 --loader-only",
        "view dir --out x.png --count 9 --repeat 3 --columns 3 --epoch 2 -v",
    ];

    /// Where `INFEED_FUZZ_SEEDS` names a folder, the seeds are written there.
    #[test]
    fn any_arguments() {
        let seeds = SEEDS.map(|seed| seed.replace(' ', "\n"));
        if let Some(folder) = std::env::var_os("INFEED_FUZZ_SEEDS") {
            let folder = Path::new(&folder).join("args");
            fs::create_dir_all(&folder).unwrap();
            for (number, seed) in seeds.iter().enumerate() {
                fs::write(folder.join(format!("seed-{number:03}")), seed).unwrap();
            }
        }
        args(&[]);
        seeds.iter().for_each(|seed| args(seed.as_bytes()));
        let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions/args");
        for entry in fs::read_dir(found).into_iter().flatten() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            args(&fs::read(&path).unwrap());
        }
    }
}
