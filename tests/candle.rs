//! Batches as candle's tensors: the same values in the same places, and copies
//! where they are said and nowhere else.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

mod common;

use std::collections::HashSet;

use candle_core::{DType, Device, Storage, Tensor, WithDType};
use common::trees::{ppm, tree};
use common::within;
use infeed::candle::CandleBatch;
use infeed::{Batch, Color, Element, Layout, Loader, LoaderBuilder, NO_LABEL, bf16, f16};
use tempfile::TempDir;

/// Eleven pictures with a class and two targets each, but for the last's class.
fn photos() -> TempDir {
    let root = tree((0..11).map(|number| (format!("{number}.ppm"), ppm(7, 5, number))));
    let mut list = "path,class,vector\n".to_owned();
    for number in 0..11 {
        let class = if number < 10 { (number % 3).to_string() } else { String::new() };
        list += &format!("{number}.ppm,{class},{} -{number}\n", number as f32 / 4.0);
    }
    std::fs::write(root.path().join("list.csv"), list).unwrap();
    root
}

fn loads(photos: &TempDir) -> LoaderBuilder {
    Loader::list(photos.path().join("list.csv")).unwrap().batch_size(4).size(6, 4).threads(2)
}

/// Where the tensor's values lie.
fn address<T: WithDType>(tensor: &Tensor) -> *const T {
    let (storage, layout) = tensor.storage_and_layout();
    assert!(layout.is_contiguous());
    assert_eq!(layout.start_offset(), 0);
    match &*storage {
        Storage::Cpu(storage) => storage.as_slice::<T>().unwrap().as_ptr(),
        _ => panic!("not on the CPU"),
    }
}

fn values<T: WithDType>(tensor: &Tensor) -> Vec<T> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn check<T: Element + WithDType>(batch: &Batch<T>, tensors: &CandleBatch) {
    assert_eq!(tensors.images.dtype(), <T as WithDType>::DTYPE);
    assert_eq!(tensors.images.dims(), batch.images().shape());
    assert_eq!(values::<T>(&tensors.images), batch.as_slice());
    assert_eq!(tensors.labels.dtype(), DType::I64);
    assert_eq!(tensors.labels.dims(), [batch.len()]);
    assert_eq!(values::<i64>(&tensors.labels), batch.labels().to_vec());
    assert_eq!(tensors.targets.dtype(), DType::F32);
    assert_eq!(tensors.targets.dims(), batch.targets().shape());
    assert_eq!(
        values::<f32>(&tensors.targets),
        batch.targets().iter().copied().collect::<Vec<_>>()
    );
    assert_eq!(tensors.samples, batch.samples());
}

/// Both ways over one epoch whose last batch has three rows of four.
fn both_ways<T: Element + WithDType>(builder: LoaderBuilder<T>, image: [usize; 3]) {
    let mut loader = builder.build().unwrap();
    let batches = loader.epoch(0).unwrap().collect::<infeed::Result<Vec<_>>>().unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let copied = batch.to_candle(&Device::Cpu).unwrap();
        check(&batch, &copied);
        let memory = batch.as_slice().as_ptr();
        assert_ne!(address::<T>(&copied.images), memory);
        let taken = batch.into_candle(&Device::Cpu).unwrap();
        assert_eq!(address::<T>(&taken.images), memory);
        assert_eq!(taken.images.dims()[1..], image);
        assert_eq!(values::<T>(&taken.images), values::<T>(&copied.images));
        assert_eq!(values::<i64>(&taken.labels), values::<i64>(&copied.labels));
        assert_eq!(values::<f32>(&taken.targets), values::<f32>(&copied.targets));
        assert_eq!(taken.targets.dims(), copied.targets.dims());
        assert_eq!(taken.samples, copied.samples);
        rows.push(taken.images.dim(0).unwrap());
        if rows.len() == 3 {
            assert_eq!(values::<i64>(&taken.labels)[2], NO_LABEL);
            assert_eq!(values::<f32>(&taken.targets)[4..], [2.5, -10.0]);
        }
    }
    assert_eq!(rows, [4, 4, 3]);
}

#[test]
fn values_types_and_axes_are_the_batch_s() {
    within(|_| {
        let photos = photos();
        let builder = || loads(&photos);
        both_ways(builder(), [3, 4, 6]);
        both_ways(builder().layout(Layout::Hwc), [4, 6, 3]);
        both_ways(builder().color(Color::Grey), [1, 4, 6]);
        both_ways(builder().dtype::<f16>(), [3, 4, 6]);
        both_ways(builder().dtype::<bf16>().normalize([0.5; 3], [0.25; 3]), [3, 4, 6]);
        both_ways(builder().dtype::<u8>().layout(Layout::Hwc), [4, 6, 3]);
    });
}

#[test]
fn a_folder_has_no_targets() {
    within(|_| {
        let root = tree([("cats/0.ppm", ppm(4, 4, 1)), ("dogs/0.ppm", ppm(4, 4, 2))]);
        let mut loader = Loader::folder(root.path()).size(4, 4).build().unwrap();
        let batch = loader.epoch(0).unwrap().next().unwrap().unwrap();
        check(&batch, &batch.to_candle(&Device::Cpu).unwrap());
        let tensors = batch.into_candle(&Device::Cpu).unwrap();
        assert_eq!(tensors.targets.dims(), [2, 0]);
        assert_eq!(values::<i64>(&tensors.labels), [0, 1]);
    });
}

/// Copied, a batch's memory is used again while the tensors live; taken over, it is
/// the tensor's alone.
#[test]
fn copies_leave_the_memory_to_the_loader() {
    within(|_| {
        let root = tree((0..40).map(|number| (format!("{number}.ppm"), ppm(4, 4, number))));
        let addresses = |take: bool| {
            let mut loader =
                Loader::folder(root.path()).batch_size(2).size(32, 32).prefetch(2).build().unwrap();
            let (mut addresses, mut tensors) = (HashSet::new(), Vec::new());
            for batch in loader.epoch(0).unwrap() {
                let batch = batch.unwrap();
                addresses.insert(batch.as_slice().as_ptr());
                tensors.push(match take {
                    true => batch.into_candle(&Device::Cpu).unwrap(),
                    false => batch.to_candle(&Device::Cpu).unwrap(),
                });
            }
            assert_eq!(tensors.len(), 20);
            addresses.len()
        };
        // One in hand, two in the making, and one between them at most.
        assert!(addresses(false) <= 4);
        assert_eq!(addresses(true), 20);
    });
}
