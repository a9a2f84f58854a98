//! Where each target column finds its source pixels, in the form that the loops
//! read. The fields are private: what the loops rely on is settled where the
//! taps are made.

use std::ops::Range;

/// Which part of a row of pixels is looked at.
#[derive(Debug, Default)]
struct Span {
    channels: usize,
    /// Where its bytes begin and end.
    start: usize,
    end: usize,
}

impl Span {
    /// Nothing yet, of a row of pixels of so many channels.
    fn new(channels: usize) -> Self {
        assert!(matches!(channels, 1 | 3), "pictures have one channel or three");
        Span { channels, start: usize::MAX, end: 0 }
    }

    /// Takes in `bytes` bytes from `at` on.
    fn extend(&mut self, at: usize, bytes: usize) {
        self.start = self.start.min(at);
        self.end = self.end.max(at + bytes);
    }

    fn pixels(&self) -> Range<usize> {
        self.start / self.channels..self.end / self.channels
    }
}

/// Two neighbouring source pixels and their weights for each target column.
#[derive(Debug, Default)]
pub(in crate::transform) struct Pairs {
    span: Span,
    /// From a pixel to its neighbour, in bytes: `channels`, or 0 in a picture
    /// one pixel wide.
    step: usize,
    /// Byte index of each column's first pixel in its row.
    at: Vec<u32>,
    weights: Vec<[i16; 2]>,
}

impl Pairs {
    /// Taps over rows of `width` pixels: of each column the first pixel and the
    /// weights of it and its right neighbour.
    ///
    /// # Panics
    ///
    /// When a neighbour lies outside the row.
    pub(in crate::transform) fn refill(
        &mut self,
        channels: usize,
        width: u32,
        taps: impl ExactSizeIterator<Item = (u32, [i16; 2])>,
    ) {
        self.span = Span::new(channels);
        self.step = if width > 1 { channels } else { 0 };
        self.at.clear();
        self.weights.clear();
        self.at.reserve_exact(taps.len());
        self.weights.reserve_exact(taps.len());
        let last = width.saturating_sub(2);
        for (pixel, weights) in taps {
            assert!(pixel <= last, "a tap outside its row");
            let at = pixel * channels as u32;
            self.at.push(at);
            self.weights.push(weights);
            self.span.extend(at as usize, self.step + channels);
        }
    }

    pub(in crate::transform) fn len(&self) -> usize {
        self.at.len()
    }

    pub(in crate::transform) fn channels(&self) -> usize {
        self.span.channels
    }

    pub(super) fn step(&self) -> usize {
        self.step
    }

    pub(super) fn at(&self) -> &[u32] {
        &self.at
    }

    pub(super) fn weights(&self) -> &[[i16; 2]] {
        &self.weights
    }

    /// Every index in [`at`](Self::at) plus two pixels is at most this.
    pub(super) fn end(&self) -> usize {
        self.span.end
    }

    /// The pixels of a row that are looked at.
    pub(in crate::transform) fn pixels(&self) -> Range<usize> {
        self.span.pixels()
    }

    #[cfg(test)]
    pub(in crate::transform) fn bytes(&self) -> usize {
        4 * (self.at.capacity() + self.weights.capacity())
    }

    /// Bytes of so many taps.
    pub(in crate::transform) fn bound(columns: u64) -> u64 {
        8 * columns
    }
}

/// A window of source pixels and their weights for each target column, all
/// windows of one length: weights of zero fill up the shorter ones.
#[derive(Debug, Default)]
pub(in crate::transform) struct Windows {
    /// The filling left out.
    span: Span,
    /// Groups of [`GROUP`] taps of each column.
    groups: usize,
    /// Byte index of each column's first pixel in its row.
    at: Vec<u32>,
    /// Taps of each column that weigh something.
    used: Vec<u32>,
    /// `[column, group]`.
    weights: Vec<Group>,
    /// Where the span ends with the filling.
    filled_end: usize,
}

/// Taps that are summed at once.
pub(super) const GROUP: usize = 4;
/// The weights of so many taps: the upper parts, then the lower ones.
pub(super) type Group = [i16; 2 * GROUP];
/// Bits of a weight's lower part.
pub(super) const LOW_BITS: u32 = 12;

/// A weight of 22 bits as `high * 2^12 + low`, both of 16 bits. The lower part
/// is the nearest to zero, so sums of it do not grow with the number of taps.
pub(super) fn split(weight: i32) -> (i16, i16) {
    let high = (weight + (1 << (LOW_BITS - 1))) >> LOW_BITS;
    (high as i16, (weight - (high << LOW_BITS)) as i16)
}

impl Windows {
    /// Makes room for `columns` windows of at most `longest` taps.
    pub(in crate::transform) fn clear(&mut self, channels: usize, columns: usize, longest: usize) {
        self.span = Span::new(channels);
        self.groups = longest.div_ceil(GROUP);
        self.filled_end = 0;
        for numbers in [&mut self.at, &mut self.used] {
            numbers.clear();
            numbers.reserve_exact(columns);
        }
        self.weights.clear();
        self.weights.reserve_exact(columns * self.groups);
    }

    /// Adds the window of the next column: its first pixel and its weights.
    pub(in crate::transform) fn push(&mut self, first: u32, weights: &[i32]) {
        assert!(weights.len() <= self.groups * GROUP, "a window longer than the longest");
        let channels = self.span.channels;
        let at = first * channels as u32;
        self.at.push(at);
        self.used.push(weights.len() as u32);
        self.weights.extend(weights.chunks(GROUP).map(|weights| {
            let mut group = [0; 2 * GROUP];
            for (tap, &weight) in weights.iter().enumerate() {
                (group[tap], group[GROUP + tap]) = split(weight);
            }
            group
        }));
        self.weights.resize(self.at.len() * self.groups, [0; 2 * GROUP]);
        self.span.extend(at as usize, weights.len() * channels);
        let filled = at as usize + self.groups * GROUP * channels;
        self.filled_end = self.filled_end.max(filled);
    }

    pub(in crate::transform) fn len(&self) -> usize {
        self.at.len()
    }

    pub(in crate::transform) fn channels(&self) -> usize {
        self.span.channels
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    pub(super) fn at(&self) -> &[u32] {
        &self.at
    }

    /// `[column, group]`; what fills up a window weighs nothing.
    pub(super) fn weights(&self) -> &[Group] {
        &self.weights
    }

    /// Of a column the first byte, and the weights that are not filling.
    pub(super) fn column(&self, column: usize) -> (usize, impl Iterator<Item = i32>) {
        let groups = &self.weights[column * self.groups..][..self.groups];
        let weights = groups.iter().flat_map(|group| {
            let parts = group[..GROUP].iter().zip(&group[GROUP..]);
            parts.map(|(&high, &low)| (i32::from(high) << LOW_BITS) + i32::from(low))
        });
        (self.at[column] as usize, weights.take(self.used[column] as usize))
    }

    /// Bytes that lie before the end of the last window, filling included.
    pub(super) fn filled_end(&self) -> usize {
        self.filled_end
    }

    pub(super) fn end(&self) -> usize {
        self.span.end
    }

    /// The pixels of a row that are looked at.
    pub(in crate::transform) fn pixels(&self) -> Range<usize> {
        self.span.pixels()
    }

    #[cfg(test)]
    pub(in crate::transform) fn bytes(&self) -> usize {
        4 * (self.at.capacity() + self.used.capacity())
            + size_of::<Group>() * self.weights.capacity()
    }

    /// Bytes of so many windows of so many taps.
    pub(in crate::transform) fn bound(columns: u64, longest: u64) -> u64 {
        columns * (8 + 4 * longest.next_multiple_of(GROUP as u64))
    }
}
