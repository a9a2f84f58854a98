//! Every target on its seeds, and on what was found once.

use std::fs;
use std::path::Path;

use super::*;

/// Runs a target on its seeds and on the files that once made it fail. Where
/// `INFEED_FUZZ_SEEDS` names a folder, the seeds are written there, for a fuzzer to begin with.
fn run(target: &str, function: fn(&[u8]), seeds: &[Vec<u8>]) {
    if let Some(folder) = std::env::var_os("INFEED_FUZZ_SEEDS") {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed).unwrap();
        }
    }
    assert!(!seeds.is_empty());
    function(&[]);
    for (number, seed) in seeds.iter().enumerate() {
        println!("{target}: seed {number}");
        function(seed);
    }
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions").join(target);
    for entry in fs::read_dir(found).into_iter().flatten() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        function(&fs::read(&path).unwrap());
    }
}

/// The pictures of the decoder's tests, each with other choices.
fn pictures() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoded");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seed = |(number, path): (usize, &std::path::PathBuf)| {
        let mix = |at: usize| (number * 37 + at * 101 + number * at * 13) as u8;
        let mut seed: Vec<u8> = (0..pixels::HEAD).map(mix).collect();
        seed.extend(fs::read(path).unwrap());
        seed
    };
    files.iter().enumerate().map(seed).collect()
}

#[test]
fn pixels_of_any_bytes() {
    let seeds = pictures();
    let taken = seeds.iter().filter(|seed| pixels::is_taken(seed)).count();
    assert!(taken > 40, "{taken} of {} pictures are taken", seeds.len());
    run("pixels", pixels, &seeds);
}

/// Bytes that are all over the place, the same each time.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn any_order_of_events_in_the_window() {
    let seeds: Vec<_> = (0..64).map(|seed| noise(seed, 40 + 8 * seed as usize)).collect();
    run("window", window, &seeds);
}

#[test]
fn any_file_of_a_cache() {
    let seeds = (0..96).map(|seed: u64| {
        let mut bytes = noise(seed, 1 + seed as usize % 40);
        // Valid files with fewer samples and more, of which no sum is right, or all are.
        bytes[0] = (seed % 6) as u8 | (seed & 8) as u8 | (seed & 96) as u8;
        bytes
    });
    run("cache_file", cache_file, &seeds.collect::<Vec<_>>());
}

/// Lists and skip lists as the documentation has them, and exports that loaders made.
fn texts() -> Vec<Vec<u8>> {
    let texts: [(u8, &str); 14] = [
        (0, "path,class,number\ncats/0.ppm,cat,0.5\ndogs/1.ppm,dog,2\n"),
        (0, "\u{feff}class,path\r\n3,\"a,\"\"b\"\".jpg\"\r\n,/root/b.jpg\r\n"),
        (0, "path,vector\na,1 2 3\nb,1;-2e3;.5\n../c,1 2 3\n"),
        (0, "file,path\n1,a\n\n2,\" b\"\n"),
        (1, "path\tclass\na b.jpg\tred fox\nb.jpg\t\n"),
        (1, "number\tpath\n1\ta\n2\tb\n"),
        (2, "{\"path\":\"a/b.jpg\",\"class\":\"x\"}\n{\"path\":\"c\",\"class\":null}\n"),
        (2, "{\"path\":\"a\",\"vector\":[1,2.5,-3e2]}\n\n{\"vector\":[0,0,0],\"path\":\"b\"}"),
        (2, "{\"path\":\"a\",\"class\":7,\"number\":1e-3,\"other\":{\"a\":[1]}}\n"),
        (2, "{\"path\":\"\\u00e9.jpg\",\"class\":\"12\"}\n{\"path\":\"..\",\"class\":3}"),
        (3, "# broken\n\na/b.jpg\r\n  c d.png\n\\#1.jpg\n\\\\\\n\\r\\x41\\x0a\n"),
        (3, "/absolute/a.jpg\n./b.jpg\n../c.jpg\nd//e/./f\n"),
        (3, "\u{feff}\\xff\\xfe\n\u{e9}.jpg"),
        (3, ""),
    ];
    texts.iter().map(|(kind, text)| [&[*kind], text.as_bytes()].concat()).collect()
}

#[cfg(feature = "export")]
fn exports() -> Vec<Vec<u8>> {
    use crate::export::{Export, ShardSize};
    let photos = crate::doc::photos();
    let mut seeds = Vec::new();
    for (single, ended) in [(false, true), (true, true), (false, false), (true, false)] {
        let out = Folder::new();
        let builder = crate::Loader::folder(&photos).size(1, 1).dtype::<u8>();
        let builder = if single { builder } else { builder.on_error(crate::OnError::skip()) };
        let part = if ended { crate::Shard::WHOLE } else { crate::Shard { rank: 0, world: 2 } };
        let export = Export::new(builder, out.path()).shard_size(ShardSize::Samples(5));
        export.single(single).part(part).run().unwrap();
        let mut files = Vec::new();
        for folder in [out.path().to_owned(), out.path().join(".infeed-export")] {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if let Some(number) = crate::export::number_of(&name) {
                    files.push((number, fs::read(path).unwrap()));
                }
            }
        }
        files.sort();
        assert!(files.len() > 2, "{files:?}");
        let mut seed = vec![4];
        for (number, content) in files {
            seed.extend([0x1c, number]);
            seed.extend(content);
        }
        seeds.push(seed);
    }
    seeds
}

#[test]
fn any_list() {
    #[cfg(feature = "export")]
    let seeds = [texts(), exports()].concat();
    #[cfg(not(feature = "export"))]
    let seeds = texts();
    run("list", list, &seeds);
}

/// States that loaders came with, after two choices that change how each is taken.
fn states() -> Vec<Vec<u8>> {
    let photos = crate::doc::photos();
    let mut seeds = Vec::new();
    for (number, unordered) in [false, true, false, true, false].into_iter().enumerate() {
        let order = if unordered { crate::Order::Unordered } else { crate::Order::Ordered };
        let mut texts = Vec::new();
        for rank in 0..1 + number as u32 % 3 {
            let builder = crate::Loader::folder(&photos).size(8, 8).batch_size(2).order(order);
            let mut loader = builder.shard(rank, 1 + number as u32 % 3).build().unwrap();
            let state = loader.epoch(0).unwrap().nth(number % 2).unwrap().unwrap().state().clone();
            texts.push(serde_json::to_vec(&state).unwrap());
        }
        for how in 0..4_u8 {
            let bits = (number as u8 % 3) | how << 2 | u8::from(unordered) << 4 | how << 6;
            let mut seed = vec![bits, 0, 10, 1 + how, number as u8, how * 37];
            assert_eq!(seed.len(), state::HEAD);
            seed.extend(texts.join(&0x1e));
            seeds.push(seed);
        }
    }
    let behind = r#"{"version":1,"epoch":3,"position":9,"batches":2,"failed":0,"ended":false,"seed":0,
        "sampling":"sequential","weights":"0000000000000000","order":"unordered","batch_size":3,
        "batched_from":1,"shard":{"rank":0,"world":2},
        "positions":{"mark":9,"step":2,"missing":[[1,3]]},"turns":{"mark":2,"step":1,"missing":[[0,1]]},
        "digest":{"samples":1,"sequence":"0000000000000001","set":"0000000000000002"},
        "source":{"samples":10,"complete":true,"hash":"0000000000000000"}}"#;
    seeds.push([&[1, 0, 20, 2, 0, 0], behind.as_bytes()].concat());
    seeds
}

#[test]
fn any_state_to_go_on_from() {
    run("state", state, &states());
}
