//! Each stage alone, the whole, and the ceilings: walk only, read only, decode
//! only, decode and transform.
//!
//! ```sh
//! cargo bench --bench stages                        # on pictures made on the spot
//! INFEED_BENCH_DIR=path/to/photos cargo bench --bench stages
//! ```
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use infeed::{Filter, Fit, Layout, Loader, LoaderBuilder, Order};

/// Files used at most, so that an iteration takes well below a second.
const FILES: usize = 64;

/// A folder of photograph-like JPEGs, or the one that the environment names.
struct Photos {
    root: PathBuf,
    _made: Option<tempfile::TempDir>,
}

impl Photos {
    fn new() -> Self {
        if let Some(root) = std::env::var_os("INFEED_BENCH_DIR") {
            return Photos { root: root.into(), _made: None };
        }
        let made = tempfile::tempdir().expect("a folder for temporary files");
        for number in 0..FILES {
            photograph(&made.path().join(format!("{number:03}.jpg")), number);
        }
        Photos { root: made.path().to_owned(), _made: Some(made) }
    }

    fn builder(&self) -> LoaderBuilder {
        Loader::folder(&self.root).size(512, 512)
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut loader = self.builder().size(8, 8).build().expect("a folder of images");
        let epoch = loader.epoch(0).expect("a loader just built");
        let batches = epoch.flat_map(|batch| batch.expect("readable images").samples().to_vec());
        batches.map(|sample| self.root.join(sample.path())).take(FILES).collect()
    }

    fn files(&self) -> Vec<Vec<u8>> {
        self.paths().iter().map(|path| std::fs::read(path).expect("readable")).collect()
    }
}

/// 500 x 375 pixels of gradients, edges and noise, about 100 KB.
fn photograph(path: &Path, seed: usize) {
    let (width, height) = (500_usize, 375_usize);
    let mut pixels = Vec::with_capacity(3 * width * height);
    let mut noise = (seed as u32).wrapping_mul(2_654_435_761) + 1;
    for y in 0..height {
        for x in 0..width {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let grain = (noise >> 27) as u8;
            let disc = (x.abs_diff(250).pow(2) + y.abs_diff(180).pow(2) < 9_000) as u8 * 70;
            let ramp = (x * 255 / width) as u8;
            pixels.extend([ramp / 2 + disc + grain, (y / 3) as u8 + grain, 128 - ramp / 2 + grain]);
        }
    }
    let encoder = jpeg_encoder::Encoder::new_file(path, 92).expect("a writable folder");
    encoder
        .encode(&pixels, width as u16, height as u16, jpeg_encoder::ColorType::Rgb)
        .expect("a picture of that size");
}

fn ceilings(criterion: &mut Criterion) {
    let photos = Photos::new();
    let (paths, files) = (photos.paths(), photos.files());
    assert!(!files.is_empty(), "a corpus without files measures nothing");
    let mut group = criterion.benchmark_group("ceiling");
    group.throughput(Throughput::Elements(files.len() as u64));
    group.bench_function("walk", |bencher| {
        let walk = || walkdir::WalkDir::new(&photos.root).sort_by_file_name().into_iter().count();
        bencher.iter(walk);
    });
    group.bench_function("read", |bencher| {
        let read = |path: &PathBuf| std::fs::read(path).expect("readable").len();
        bencher.iter(|| paths.iter().map(read).sum::<usize>());
    });
    let mut preprocessor = photos.builder().preprocessor().expect("a valid configuration");
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for file in &files {
                let (size, _) = preprocessor.decode_rgb8(file).expect("decodable");
                std::hint::black_box(size);
            }
        });
    });
    let mut row = vec![0.0; preprocessor.row_len()];
    group.bench_function("decode and transform", |bencher| {
        bencher.iter(|| {
            for file in &files {
                preprocessor.preprocess(file, &mut row).expect("decodable");
            }
        });
    });
}

/// A picture that costs nothing to decode, so that the transform is what counts.
fn transform(criterion: &mut Criterion) {
    let mut picture = b"P6 500 375 255\n".to_vec();
    picture.extend((0..500 * 375 * 3_u32).map(|at| (at * 7 % 251) as u8));
    let mut group = criterion.benchmark_group("transform from 500x375 (with reading a PPM)");
    for (name, filter, fit, side, layout) in [
        ("512 opencv-bilinear chw", Filter::OpencvBilinear, Fit::Stretch, 512, Layout::Chw),
        ("512 opencv-bilinear hwc", Filter::OpencvBilinear, Fit::Stretch, 512, Layout::Hwc),
        (
            "224 bilinear crop chw",
            Filter::Bilinear,
            Fit::Crop { shorter: Some(256) },
            224,
            Layout::Chw,
        ),
    ] {
        let builder = Loader::folder("unused").size(side, side).fit(fit).filter(filter);
        let mut floats = builder.layout(layout).preprocessor().expect("a valid configuration");
        let mut row = vec![0.0; floats.row_len()];
        group.bench_function(format!("{name} f32"), |bencher| {
            bencher.iter(|| floats.preprocess(&picture, &mut row).expect("decodable"));
        });
        let builder =
            Loader::folder("unused").dtype::<u8>().size(side, side).fit(fit).filter(filter);
        let mut levels = builder.layout(layout).preprocessor().expect("a valid configuration");
        let mut row = vec![0; levels.row_len()];
        group.bench_function(format!("{name} u8"), |bencher| {
            bencher.iter(|| levels.preprocess(&picture, &mut row).expect("decodable"));
        });
    }
}

fn whole(criterion: &mut Criterion) {
    let photos = Photos::new();
    let mut group = criterion.benchmark_group("whole");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    for order in [Order::Ordered, Order::Unordered] {
        let mut loader = photos.builder().order(order).build().expect("a folder of images");
        let count = |epoch: infeed::Epoch<'_>| -> u64 {
            epoch.map(|batch| batch.expect("decodable").len() as u64).sum()
        };
        group.throughput(Throughput::Elements(count(loader.epoch(0).expect("just built"))));
        group.bench_function(order.as_str(), |bencher| {
            bencher.iter(|| count(loader.epoch(0).expect("just built")));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = ceilings, transform, whole
}
criterion_main!(benches);
