//! Choices that seed and number decide, so that a case can be repeated.

/// A sequence of numbers that its key decides (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

/// A bijection in which each bit of the input changes half of the output.
pub(crate) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Draws {
    pub(crate) fn new(key: &[u64]) -> Self {
        Draws(key.iter().fold(0x5eed, |hash, word| mix(hash ^ word)))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound.max(1)
    }

    /// The same of sizes and places.
    pub(crate) fn less_than(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below((high - low + 1) as u64) as usize
    }

    /// In `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    pub(crate) fn of<V: Clone>(&mut self, choices: &[V]) -> V {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}
