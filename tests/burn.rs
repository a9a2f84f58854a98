//! Batches as tensors of burn, and burn's `DataLoader` over a loader. Needs one of
//! burn's backends: `cargo test --features burn,burn-core/flex --test burn`.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::path::Path;
use std::sync::Arc;

use burn_core::data::dataloader::DataLoader;
use burn_core::data::dataloader::split::split_dataloader;
use burn_core::tensor::{DType, Device, Int, Tensor, kind::Basic};
use common::scripted::{Act, Scripted, VALUES, Walk, picture};
use common::trees::{ppm, tree};
use common::{Watch, within};
use infeed::burn::{BurnElement, BurnLoader, TensorBatch};
use infeed::{Batch, Color, Dtype, Layout, Loader, LoaderBuilder, OnError, State, bf16, f16};
use tempfile::TempDir;

const PICTURES: u32 = 10;

fn photos() -> TempDir {
    tree((0..PICTURES).map(|number| (format!("{}/{number}.ppm", number % 3), ppm(4, 3, number))))
}

fn small(root: &Path) -> LoaderBuilder {
    Loader::folder(root).size(4, 3).batch_size(4)
}

fn one<T: BurnElement>(builder: LoaderBuilder<T>) -> Batch<T> {
    builder.build().unwrap().epoch(0).unwrap().next().unwrap().unwrap()
}

fn integers<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i64> {
    tensor.into_data().iter::<i64>().collect()
}

/// The tensors are what the batch is, made either way; the address is that of the
/// images' first value, before and after.
fn same_values<T: BurnElement>(builder: LoaderBuilder<T>, expected: DType) {
    let device = Device::default();
    let batch = one(builder);
    let (values, labels) = (batch.as_slice().to_vec(), batch.labels().to_vec());
    let memory = batch.as_slice().as_ptr();
    let check = |made: TensorBatch<T::Kind>| -> *const T {
        assert_eq!(made.images.dims(), [4, 3, 3, 4]);
        assert_eq!(made.images.dtype(), expected);
        assert_eq!(made.targets.dims(), [4, 0]);
        assert_eq!(integers(made.labels), labels);
        let data = made.images.into_data();
        let seen = data.as_slice::<T>().unwrap();
        assert_eq!(seen, values);
        seen.as_ptr()
    };
    assert_ne!(check(batch.to_burn(&device)), memory);
    assert_eq!(batch.as_slice(), values);
    assert_eq!(check(batch.into_burn(&device)), memory);
}

#[test]
fn tensors_hold_the_values_of_the_batch_in_its_type_and_in_its_memory() {
    let root = photos();
    let root = root.path();
    same_values(small(root), DType::F32);
    same_values(small(root).dtype::<f16>(), DType::F16);
    same_values(small(root).dtype::<bf16>(), DType::BF16);
    same_values(small(root).dtype::<u8>(), DType::U8);
}

#[test]
fn axes_are_in_the_order_asked_for() {
    let root = photos();
    let device = Device::default();
    for (layout, color, dims) in [
        (Layout::Chw, Color::Rgb, [4, 3, 3, 4]),
        (Layout::Hwc, Color::Bgr, [4, 3, 4, 3]),
        (Layout::Chw, Color::Grey, [4, 1, 3, 4]),
        (Layout::Hwc, Color::Grey, [4, 3, 4, 1]),
    ] {
        let batch = one(small(root.path()).layout(layout).color(color));
        let values = batch.as_slice().to_vec();
        for images in [batch.to_burn(&device).images, batch.into_burn(&device).images] {
            assert_eq!(images.dims(), dims);
            assert_eq!(images.into_data().as_slice::<f32>().unwrap(), values);
        }
    }
}

#[test]
fn levels_become_what_floats_are() {
    let root = photos();
    let device = Device::default();
    let levels = one(small(root.path()).dtype::<u8>()).into_burn(&device);
    let floats = one(small(root.path())).into_burn(&device);
    let difference = levels.images.float().div_scalar(255.0).sub(floats.images).abs().max();
    assert!(difference.into_scalar::<f32>() < 1e-6);
}

#[test]
fn targets_of_a_list_are_numbers_to_be_predicted() {
    let root = photos();
    let list = root.path().join("list.csv");
    std::fs::write(&list, "path,class,number\n0/0.ppm,2,0.5\n1/1.ppm,,-3\n").unwrap();
    let batch = one(Loader::list(&list).unwrap().size(4, 3)).into_burn(&Device::default());
    assert_eq!(integers(batch.labels), [2, infeed::NO_LABEL]);
    assert_eq!(batch.targets.dims(), [2, 1]);
    assert_eq!(batch.targets.into_data().as_slice::<f32>().unwrap(), [0.5, -3.0]);
}

/// What an epoch of a [`BurnLoader`] delivers: epoch and samples of each batch.
type Seen = (u64, Vec<u64>);

fn seeing(builder: LoaderBuilder) -> BurnLoader<f32, Seen> {
    BurnLoader::with_batcher(builder.build().unwrap(), &Device::default(), |batch, _| {
        (batch.epoch(), batch.samples().iter().map(|sample| sample.index()).collect())
    })
}

fn epoch<O>(loader: &dyn DataLoader<O>) -> Vec<O> {
    loader.iter().collect::<Result<_, _>>().unwrap()
}

#[test]
fn each_iter_is_the_next_epoch_in_the_loaders_own_order() {
    let root = photos();
    let builder = || small(root.path()).shuffle(5);
    let shared = seeing(builder());
    let other = shared.to_device(&Device::default());
    assert_eq!((shared.num_items(), other.num_items()), (10, 10));
    let taken = [epoch(&shared), epoch(&*other), epoch(&shared)];
    let mut plain = builder().build().unwrap();
    for (number, batches) in (0..).zip(&taken) {
        let expected: Vec<Seen> = plain
            .epoch(number)
            .unwrap()
            .map(|batch| {
                let batch = batch.unwrap();
                (number, batch.samples().iter().map(|sample| sample.index()).collect())
            })
            .collect();
        assert_eq!(*batches, expected);
        // The last one is short.
        assert_eq!(batches.iter().map(|(_, rows)| rows.len()).collect::<Vec<_>>(), [4, 4, 2]);
    }
    assert_ne!(taken[0][0].1, taken[1][0].1);
    // A training that goes on from its third epoch sees what it would have seen.
    assert_eq!(epoch(&seeing(builder()).starting_at(2)), taken[2]);
}

#[test]
fn a_resumed_loader_goes_on_in_its_epoch() {
    let root = photos();
    let builder = || small(root.path()).shuffle(5);
    let whole = seeing(builder());
    let batches = [epoch(&whole), epoch(&whole)];
    let mut plain = builder().build().unwrap();
    let state: State = plain.epoch(1).unwrap().next().unwrap().unwrap().state();
    let resumed = seeing(builder().resume(state));
    // A whole epoch, though less is left of this one.
    assert_eq!(resumed.num_items(), 10);
    assert_eq!(epoch(&resumed), batches[1][1..]);
    assert_eq!(epoch(&resumed)[0].0, 2);
}

#[test]
fn progress_counts_samples() {
    let root = photos();
    let loader = BurnLoader::new(small(root.path()).build().unwrap(), &Device::default());
    assert_eq!(loader.num_items(), 10);
    let mut batches = loader.iter();
    let mut progress = Vec::new();
    while let Some(batch) = batches.next() {
        assert_eq!(batch.unwrap().images.dtype(), DType::F32);
        let now = batches.progress();
        assert_eq!(now.items_total, 10);
        progress.push((now.items_processed, now.is_completed()));
    }
    assert_eq!(progress, [(4, false), (8, false), (10, true)]);
    assert_eq!(loader.loader().config().dtype, Dtype::F32);
}

#[test]
fn skipped_samples_count_as_processed() {
    let root = photos();
    std::fs::write(root.path().join("0/0.ppm"), "no picture").unwrap();
    let builder = small(root.path()).on_error(OnError::skip());
    let loader = seeing(builder);
    let mut batches = loader.iter();
    let mut rows = 0;
    for batch in batches.by_ref() {
        rows += batch.unwrap().1.len();
    }
    assert_eq!(rows, 9);
    assert!(batches.progress().is_completed(), "{:?}", batches.progress());
}

#[test]
fn failures_name_the_file_and_the_iterator_goes_on() {
    let root = photos();
    std::fs::write(root.path().join("1/4.ppm"), "no picture").unwrap();
    let loader = seeing(small(root.path()));
    let items: Vec<_> = loader.iter().collect();
    assert_eq!(items.len(), 4);
    let told = items.iter().filter_map(|item| item.as_ref().err());
    let told: Vec<String> = told.map(ToString::to_string).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("1/4.ppm") && told[0].contains("decode"), "{told:?}");
}

#[test]
fn a_stopped_loader_tells_it_once() {
    let root = photos();
    let loader = seeing(small(root.path()));
    loader.loader().stop_handle().stop();
    let mut batches = loader.iter();
    assert!(batches.next().unwrap().unwrap_err().to_string().contains("stopped"));
    assert!(batches.next().is_none());
}

fn scripted(source: &Scripted, watch: &Watch) -> BurnLoader<u8, Vec<u8>> {
    let loader = source.loader().batch_size(4).read_timeout(None).build().unwrap();
    watch.on(&loader);
    BurnLoader::with_batcher(loader, &Device::default(), |batch, _| batch.as_slice().to_vec())
}

#[test]
fn a_second_iter_ends_the_first_with_an_error() {
    within(|watch| {
        let loader = scripted(&Scripted::good(12), watch);
        let mut first = loader.iter();
        assert_eq!(first.next().unwrap().unwrap()[..VALUES], picture(0));
        let second = loader.iter();
        let told = first.next().unwrap().unwrap_err().to_string();
        assert!(told.contains("another iteration of the same loader"), "{told}");
        assert!(first.next().is_none());
        drop(first);
        assert_eq!(second.count(), 3);
    });
}

#[test]
fn a_second_iter_wakes_a_first_that_waits() {
    within(|watch| {
        let source = Scripted::new(vec![Act::HeldTask; 12]);
        let loader = scripted(&source, watch);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let mut first = loader.iter();
                let told = first.next().unwrap().unwrap_err().to_string();
                (told, first.next().is_none())
            });
            // Reads are under way, so the first has begun.
            source.opened().wait_for(8);
            let mut second = loader.iter();
            let (told, ended) = first.join().unwrap();
            assert!(told.contains("another iteration") && ended, "{told}");
            source.gate().open();
            assert_eq!(second.next().unwrap().unwrap()[..VALUES], picture(0));
        });
    });
}

#[test]
fn the_number_of_items_waits_for_the_walk() {
    within(|watch| {
        let source = Scripted::with(vec![Act::Good; 9], Walk::HeldAfter(5), 0);
        let loader = scripted(&source, watch);
        std::thread::scope(|scope| {
            let items = scope.spawn(|| loader.num_items());
            assert_eq!(loader.loader().samples(), None);
            source.walk_gate().open();
            assert_eq!(items.join().unwrap(), 9);
        });
        let broken = Scripted::with(vec![Act::Good; 9], Walk::FailsAfter(5), 0);
        let loader = scripted(&broken, watch);
        assert_eq!(loader.num_items(), 0);
        let told = loader.iter().filter_map(Result::err).map(|error| error.to_string());
        assert!(told.collect::<String>().contains("scripted failure"));
    });
}

#[test]
fn a_slice_is_refused_unless_it_is_all() {
    let root = photos();
    let loader: Arc<dyn DataLoader<Seen>> = Arc::new(seeing(small(root.path())));
    assert_eq!(epoch(&*loader.slice(0, 10)).len(), 3);
    for part in split_dataloader(Arc::clone(&loader), &[Device::default(), Device::default()]) {
        assert_eq!(part.num_items(), 5);
        let items: Vec<_> = part.iter().collect();
        let [Err(error)] = &items[..] else { panic!("{items:?}") };
        assert!(error.to_string().contains("shard(rank, world)"), "{error}");
    }
}

#[test]
fn dropping_the_last_adapter_drops_the_loader() {
    within(|watch| {
        let source = Scripted::good(12);
        let built = source.loader().batch_size(4).build().unwrap();
        watch.on(&built);
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let batcher = move |batch: Batch<u8>, _: &Device| (batch.len(), Arc::clone(&held));
        let loader = BurnLoader::with_batcher(built, &Device::default(), batcher);
        let other = loader.to_device(&Device::default());
        drop(loader);
        assert_eq!(epoch(&*other).len(), 3);
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(other);
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

/// A learner asks for `Arc<dyn DataLoader<O>>`.
#[test]
fn the_adapter_is_what_a_learner_takes() {
    fn takes<K: Basic + 'static>(loader: Arc<dyn DataLoader<TensorBatch<K>>>) -> usize {
        loader.num_items()
    }
    let root = photos();
    let loader = small(root.path()).dtype::<u8>().build().unwrap();
    assert_eq!(takes(Arc::new(BurnLoader::new(loader, &Device::default()))), 10);
}
