//! An input read as choices.

/// Takes numbers off the front of an input. Behind its end come zeros, so that every input
/// is one, and a longer one is never refused for what is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Little-endian, of so many bytes.
    pub(crate) fn number(&mut self, bytes: u32) -> u64 {
        (0..bytes).fold(0, |sum, at| sum | u64::from(self.byte()) << (8 * at))
    }

    /// From 0 to below `end`, which is at most 65,536.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let bytes = if end > 256 { 2 } else { 1 };
        self.number(bytes) as usize % end.max(1)
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
