use super::fuzzed::{NOW, SIZE, bytes, name, new};
use super::*;
use proptest::prelude::*;
use std::fs;
use tempfile::TempDir;

const KEY: u128 = 42;

fn open_limited(dir: &TempDir, key: u128, limit: u64, each: Option<u64>) -> Disk {
    Disk::open(dir.path(), key, "words".to_owned(), limit, each).unwrap()
}

fn open(dir: &TempDir) -> Disk {
    open_limited(dir, KEY, 1 << 30, None)
}

/// The bytes of sample `index`, some blocks and a bit.
fn pixels(index: u64) -> Vec<u8> {
    bytes(index, 3000)
}

fn store(disk: &Disk, index: u64) {
    disk.store(new(index), &pixels(index));
}

/// What is served of sample `index`, whose fingerprint is `now`.
fn served(disk: &Disk, index: u64, now: Fingerprint) -> Option<Vec<u8>> {
    let found = disk.find(name(index))?;
    assert_eq!(found.size(), SIZE);
    let mut bytes = vec![0; found.len()];
    disk.read(&found, index, Some(now), &mut bytes).then_some(bytes)
}

/// The samples that are served, each of them as it was stored.
fn all_served(disk: &Disk, samples: u64) -> Vec<u64> {
    let whole = |&index: &u64| match served(disk, index, NOW) {
        Some(bytes) => {
            assert_eq!(bytes, pixels(index), "sample {index}");
            true
        }
        None => false,
    };
    (0..samples).filter(whole).collect()
}

fn files(dir: &TempDir) -> Vec<std::path::PathBuf> {
    fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The only file, with `samples` samples in it.
fn written(dir: &TempDir, samples: u64) -> std::path::PathBuf {
    let disk = open(dir);
    (0..samples).for_each(|index| store(&disk, index));
    disk.finish();
    let files = files(dir);
    assert_eq!(files.len(), 1);
    files[0].clone()
}

#[test]
fn what_is_stored_is_served_before_and_after_the_file_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(&dir);
    assert!(disk.find(name(0)).is_none() && !disk.is_dirty());
    (0..20).for_each(|index| store(&disk, index));
    assert_eq!(all_served(&disk, 30), (0..20).collect::<Vec<_>>());
    assert!(!disk.place.path().exists() && disk.is_dirty());
    disk.finish();
    assert!(disk.place.path().exists() && !disk.is_dirty());
    assert_eq!(all_served(&disk, 30), (0..20).collect::<Vec<_>>());
    assert_eq!(disk.kept().0, 20);
    drop(disk);
    let again = open(&dir);
    assert_eq!(again.kept().0, 20);
    assert_eq!(all_served(&again, 30), (0..20).collect::<Vec<_>>());
    again.finish();
    assert_eq!(again.troubles(), [0; 3]);
}

#[test]
fn a_later_run_completes_the_file_while_others_read_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    written(&dir, 5);
    let (reader, writer) = (open(&dir), open(&dir));
    assert_eq!(all_served(&writer, 9), [0, 1, 2, 3, 4]);
    (3..9).for_each(|index| store(&writer, index));
    assert_eq!(all_served(&writer, 9).len(), 9);
    writer.finish();
    assert_eq!(all_served(&reader, 9), [0, 1, 2, 3, 4]);
    assert_eq!(all_served(&writer, 9).len(), 9);
    // Once more, with more still.
    (9..12).for_each(|index| store(&writer, index));
    writer.finish();
    assert_eq!(all_served(&open(&dir), 20), (0..12).collect::<Vec<_>>());
    assert_eq!(files(&dir).len(), 1);
}

#[test]
fn what_is_dropped_unfinished_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(&dir);
    store(&disk, 0);
    assert_eq!(files(&dir).len(), 1);
    drop(disk);
    assert!(files(&dir).is_empty());
}

#[test]
fn a_sample_that_has_changed_is_not_served_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, 4);
    let before = fs::metadata(&file).unwrap().len();
    let disk = open(&dir);
    let (longer, later) = (Fingerprint { bytes: 101, ..NOW }, Fingerprint { version: 2, ..NOW });
    assert_eq!(served(&disk, 1, longer), None);
    assert_eq!(served(&disk, 2, later), None);
    assert!(disk.find(name(1)).is_none());
    assert_eq!(disk.troubles(), [2, 0, 0]);
    // Served and verified once, it is not asked again in this run.
    assert!(served(&disk, 3, NOW).is_some() && !disk.find(name(3)).unwrap().is_unverified());
    store(&disk, 1);
    disk.store(New { id: name(2), index: 2, fingerprint: later, size: SIZE }, &pixels(1));
    disk.finish();
    let again = open(&dir);
    assert_eq!(served(&again, 2, NOW), None);
    let again = open(&dir);
    assert_eq!(served(&again, 2, later), Some(pixels(1)));
    assert_eq!(served(&again, 1, NOW), Some(pixels(1)));
    let after = fs::metadata(&file).unwrap().len();
    assert!(after <= before + 3 * BLOCK, "room is used again: {before} to {after} bytes");
}

#[test]
fn a_sample_without_a_fingerprint_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    written(&dir, 1);
    let disk = open(&dir);
    let found = disk.find(name(0)).unwrap();
    assert!(!disk.read(&found, 0, None, &mut vec![0; found.len()]));
}

#[test]
fn another_configuration_has_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, 3);
    let other = open_limited(&dir, KEY + 1, 1 << 30, None);
    assert!(all_served(&other, 3).is_empty());
    store(&other, 0);
    other.finish();
    assert_eq!(files(&dir).len(), 2);
    // Nor does a file under the wrong name deceive.
    fs::copy(&file, other.place.path()).unwrap();
    let other = open_limited(&dir, KEY + 1, 1 << 30, None);
    assert_eq!((all_served(&other, 3), other.troubles()), (vec![], [0, 1, 0]));
}

/// Every byte of the file is flipped in turn, whole blocks at a time.
#[test]
fn a_damaged_record_is_not_served_and_is_stored_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, 6);
    let whole = fs::read(&file).unwrap();
    let mut hurt = 0;
    for at in (0..whole.len()).step_by(509) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&file, &bytes).unwrap();
        let disk = open(&dir);
        let left = all_served(&disk, 6);
        let [stale, damaged, errors] = disk.troubles();
        assert_eq!((stale, errors), (0, 0));
        match left.len() {
            // Padding of a record's last block.
            6 => assert_eq!(damaged, 0),
            5 | 0 => assert_eq!(damaged, 1),
            _ => panic!("byte {at}: {left:?}"),
        }
        hurt += damaged;
        (0..6).for_each(|index| store(&disk, index));
        assert_eq!(all_served(&disk, 6).len(), 6);
        disk.finish();
        assert_eq!(all_served(&open(&dir), 6).len(), 6);
    }
    assert!(hurt > 40, "{hurt} of {} bytes", whole.len() / 509);
}

#[test]
fn a_file_that_was_cut_off_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, 6);
    let whole = fs::read(&file).unwrap();
    for len in (0..whole.len()).step_by(487).chain(whole.len() - 70..whole.len()) {
        fs::write(&file, &whole[..len]).unwrap();
        let disk = open(&dir);
        assert_eq!((all_served(&disk, 6), disk.troubles()), (vec![], [0, 1, 0]), "{len} bytes");
    }
    // Zeros, as a crash of the machine leaves them.
    let mut holed = whole.clone();
    holed[2 * BLOCK as usize..5 * BLOCK as usize].fill(0);
    fs::write(&file, &holed).unwrap();
    let disk = open(&dir);
    assert!(all_served(&disk, 6).len() < 6);
    (0..6).for_each(|index| store(&disk, index));
    disk.finish();
    assert_eq!(all_served(&open(&dir), 6).len(), 6);
}

/// The file shrinks while it is open.
#[test]
fn a_file_that_is_cut_off_while_it_is_read_serves_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, 6);
    let disk = open(&dir);
    File::options().write(true).open(&file).unwrap().set_len(3 * BLOCK).unwrap();
    assert!(all_served(&disk, 6).len() < 6);
    (0..6).for_each(|index| store(&disk, index));
    assert_eq!(all_served(&disk, 6).len(), 6);
}

#[test]
fn the_limit_keeps_the_first_samples_in_any_order_of_arrival() {
    let limit = 40 * BLOCK;
    let orders: [&dyn Fn(u64) -> u64; 3] = [&|at| at, &|at| 29 - at, &|at| at * 7 % 30];
    let mut kept = Vec::new();
    for order in orders {
        let dir = tempfile::tempdir().unwrap();
        let disk = open_limited(&dir, KEY, limit, None);
        (0..30).for_each(|at| store(&disk, order(at)));
        let now = all_served(&disk, 30);
        disk.finish();
        assert!(fs::metadata(disk.place.path()).unwrap().len() <= limit);
        let again = open_limited(&dir, KEY, limit, None);
        (0..30).for_each(|at| store(&again, order(at)));
        assert_eq!(all_served(&again, 30), now);
        assert!(!again.is_dirty());
        kept.push(now);
    }
    assert!(kept[0].len() > 10 && kept[0].len() < 30);
    assert_eq!(kept[0], (0..kept[0].len() as u64).collect::<Vec<_>>());
    assert!(kept.iter().all(|other| *other == kept[0]));
}

/// Sizes differ, so that only offering a sample tells that it has no place.
#[test]
fn a_file_that_is_full_is_not_copied_for_a_sample_without_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let run = || open_limited(&dir, KEY, 40 * BLOCK, None);
    let first = run();
    (0..30).for_each(|index| store(&first, index));
    first.finish();
    let again = run();
    let kept = all_served(&again, 30);
    for index in kept.len() as u64..30 {
        store(&again, index);
        assert_eq!(files(&dir), [again.place.path()], "sample {index}");
    }
    assert_eq!((all_served(&again, 30), again.troubles()), (kept, [0; 3]));
}

/// A file cannot be begun for a sample in front of others that had to go for it.
#[cfg(unix)]
#[test]
fn a_place_that_nobody_could_write_to_is_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let limit = FRAME_BYTES + 3 * record_bytes(pixels(0).len() as u64);
    let put = |disk: &Disk, index: u64| {
        disk.store(New { id: name(index), index, fingerprint: NOW, size: SIZE }, &pixels(0));
    };
    let disk = open_limited(&dir, KEY, limit, None);
    (1..4).for_each(|index| put(&disk, index));
    disk.finish();
    let disk = open_limited(&dir, KEY, limit, None);
    fs::remove_dir_all(dir.path()).unwrap();
    put(&disk, 0);
    assert_eq!(disk.troubles(), [0, 0, 1]);
    let here: Vec<u64> = (0..4).filter(|&index| disk.find(name(index)).is_some()).collect();
    assert_eq!((here, disk.kept().0), (vec![1, 2], 2));
}

#[test]
fn a_sample_that_moved_in_the_source_keeps_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let limit = FRAME_BYTES + 4 * record_bytes(pixels(0).len() as u64);
    let put = |disk: &Disk, file: u64, index: u64| {
        let new = New { id: name(file), index, fingerprint: NOW, size: SIZE };
        disk.store(new, &pixels(0));
    };
    let disk = open_limited(&dir, KEY, limit, None);
    (0..4).for_each(|file| put(&disk, file, file));
    disk.finish();
    // A file was added in front: all others move up, and the last has to go.
    let disk = open_limited(&dir, KEY, limit, None);
    for (file, index) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        let found = disk.find(name(file)).unwrap();
        assert!(disk.read(&found, index, Some(NOW), &mut vec![0; found.len()]));
    }
    put(&disk, 9, 0);
    let here: Vec<u64> = (0..10).filter(|&file| disk.find(name(file)).is_some()).collect();
    assert_eq!(here, [0, 1, 2, 9]);
    disk.finish();
    assert_eq!(open_limited(&dir, KEY, limit, None).kept().0, 4);
}

#[test]
fn a_damaged_record_of_a_sample_that_moved_is_stored_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, 3);
    let mut bytes = fs::read(&file).unwrap();
    // The first record, which begins behind the header.
    bytes[BLOCK as usize + 9] ^= 0x10;
    fs::write(&file, bytes).unwrap();
    // A file was added in front: all others move up.
    let moved = |disk: &Disk| -> Vec<bool> {
        let served = |number| {
            let Some(found) = disk.find(name(number)) else { return false };
            let mut bytes = vec![0; found.len()];
            let whole = disk.read(&found, number + 1, Some(NOW), &mut bytes);
            assert!(!whole || bytes == pixels(number));
            whole
        };
        (0..3).map(served).collect()
    };
    let disk = open(&dir);
    assert_eq!(moved(&disk), [false, true, true]);
    assert_eq!((disk.troubles(), disk.kept().0), ([0, 1, 0], 2));
    assert!(disk.find(name(0)).is_none() && disk.wants(name(0), 1));
    disk.store(New { id: name(0), index: 1, fingerprint: NOW, size: SIZE }, &pixels(0));
    disk.finish();
    let again = open(&dir);
    assert_eq!(moved(&again), [true; 3]);
    assert_eq!((again.troubles(), again.kept().0), ([0; 3], 3));
}

#[test]
fn a_lower_limit_makes_the_file_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(&dir, 20);
    let limit = 16 * BLOCK;
    let disk = open_limited(&dir, KEY, limit, None);
    assert!(all_served(&disk, 20).is_empty());
    (0..20).for_each(|index| store(&disk, index));
    let kept = all_served(&disk, 20);
    assert!(!kept.is_empty() && kept.len() < 20);
    disk.finish();
    assert!(fs::metadata(file).unwrap().len() <= limit);
}

#[test]
fn threads_store_and_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    written(&dir, 10);
    let disk = open_limited(&dir, KEY, 150 * BLOCK, None);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let disk = &disk;
            scope.spawn(move || {
                for step in 0..400_u64 {
                    let index = (step * 31 + thread * 17) % 120;
                    match served(disk, index, NOW) {
                        Some(bytes) => assert_eq!(bytes, pixels(index)),
                        None => store(disk, index),
                    }
                    if step == 200 && thread == 0 {
                        disk.finish();
                    }
                }
            });
        }
    });
    let now = all_served(&disk, 120);
    assert!(now.len() > 20 && now.len() < 120);
    disk.finish();
    let again = open_limited(&dir, KEY, 150 * BLOCK, None);
    assert_eq!(all_served(&again, 120), now);
    assert!(fs::metadata(disk.place.path()).unwrap().len() <= 150 * BLOCK);
    assert_eq!(again.troubles(), [0; 3]);
}

#[test]
fn two_writers_at_once_both_leave_a_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(&dir), open(&dir));
    for index in 0..10 {
        store(&one, index);
        store(&two, index + 5);
    }
    one.finish();
    assert_eq!(all_served(&open(&dir), 20), (0..10).collect::<Vec<_>>());
    two.finish();
    assert_eq!(all_served(&open(&dir), 20), (5..15).collect::<Vec<_>>());
    assert_eq!(all_served(&one, 20), (0..10).collect::<Vec<_>>());
    assert_eq!(files(&dir).len(), 1);
}

#[test]
fn a_folder_that_goes_away_stops_the_growing_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(&dir);
    store(&disk, 0);
    fs::remove_dir_all(dir.path()).unwrap();
    store(&disk, 1);
    disk.finish();
    assert_eq!(disk.troubles(), [0, 0, 1]);
    store(&disk, 2);
    assert_eq!(all_served(&disk, 3), [0, 1]);
    assert!(!disk.is_dirty());
    disk.finish();
    assert_eq!(disk.troubles(), [0, 0, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Runs that store, lose, change and finish in any order serve nothing but
    /// what was stored last, within the limit.
    #[test]
    fn any_history_serves_what_was_stored(
        steps in prop::collection::vec((0u8..8, 0u64..25), 0..120), blocks in 8u64..60,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let limit = blocks * BLOCK;
        let mut disk = open_limited(&dir, KEY, limit, None);
        let mut versions = [1_u64; 25];
        for (step, index) in steps {
            let now = Fingerprint { bytes: 100, version: versions[index as usize] };
            let content = [pixels(index), now.version.to_le_bytes().to_vec()].concat();
            match step {
                0..=3 => {
                    let new = New { id: name(index), index, fingerprint: now, size: SIZE };
                    if served(&disk, index, now).is_none() {
                        disk.store(new, &content);
                    }
                }
                4 | 5 => {
                    let found = served(&disk, index, now);
                    prop_assert!(found.is_none_or(|bytes| bytes == content));
                }
                6 => disk.finish(),
                _ => {
                    disk.finish();
                    // Only between runs: within one, a sample is as it was.
                    versions[index as usize] += 1;
                    disk = open_limited(&dir, KEY, limit, None);
                    if let Ok(metadata) = fs::metadata(disk.place.path()) {
                        prop_assert!(metadata.len() <= limit);
                    }
                }
            }
        }
        prop_assert_eq!(disk.troubles()[1..].to_vec(), [0; 2]);
    }
}
