//! Advice to the kernel on the pages of a batch.
//!
//! Memory that is touched for the first time costs a page fault for every 4 KB,
//! about ten times what filling it does. In huge pages of 2 MB there are 512
//! times fewer. Linux gives them to memory for which they are asked; elsewhere
//! nothing is done.

/// Asks for huge pages under `memory`, which is best not touched yet. Only whole
/// ones that lie inside: memory beside it stays as it is, and no more than
/// `memory` becomes resident.
#[cfg(all(target_os = "linux", not(miri)))]
#[allow(unsafe_code)]
pub(super) fn advise_huge<T>(memory: &mut [T]) {
    /// Of the processors that are common; where they are larger, an advice to a
    /// part of one has no effect.
    const HUGE: usize = 2 << 20;
    let range = memory.as_mut_ptr_range();
    let start = range.start.cast::<u8>();
    let skipped = start.addr().next_multiple_of(HUGE) - start.addr();
    let len = size_of_val(memory).saturating_sub(skipped) / HUGE * HUGE;
    if len == 0 {
        return;
    }
    // SAFETY: `start + skipped` and `len` bytes from there lie inside `memory`,
    // which is mapped, and begin at a page. The advice changes how the kernel
    // backs the range, and neither its content nor whether it is mapped.
    let advised = unsafe { libc::madvise(start.add(skipped).cast(), len, libc::MADV_HUGEPAGE) };
    if advised != 0 {
        // A kernel without them; small pages do as well, only slower.
        tracing::debug!(error = %std::io::Error::last_os_error(), "no huge pages");
    }
}

/// Asks for nothing.
#[cfg(not(all(target_os = "linux", not(miri))))]
pub(super) fn advise_huge<T>(_: &mut [T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Page faults of this thread so far.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields = stat.rsplit(')').next().unwrap();
        fields.split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn touching_fresh_memory_faults_seldom() {
        let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
        let possible = setting.is_ok_and(|setting| !setting.contains("[never]"));
        let touch = || {
            let mut memory = vec![0_u8; 64 << 20];
            advise_huge(&mut memory);
            let before = faults();
            memory.chunks_mut(4096).for_each(|page| page[0] = 1);
            let faults = faults() - before;
            assert!(memory.iter().map(|&value| usize::from(value)).sum::<usize>() == 64 << 8);
            faults
        };
        // Where memory is in pieces the kernel may find few at first.
        let least = (0..8).map(|_| touch()).min().unwrap_or_default();
        assert!(!possible || least < (64 << 8) / 2, "{least} faults for 64 MB");
    }

    #[test]
    fn memory_without_a_whole_huge_page_is_left_alone() {
        for elements in [0, 1, 5_000] {
            let mut memory = vec![7_u32; elements];
            advise_huge(&mut memory);
            assert!(memory.iter().all(|&value| value == 7));
        }
    }
}
