//! Random numbers as a function of their key alone: never of a thread or of time.

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014), with its increment: a
/// bijection in which each bit of the input changes half of the output.
pub(crate) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The last word of a key that begins with seed and epoch, so that
/// what is drawn for one purpose never changes what is drawn for another.
pub(crate) mod purpose {
    pub(crate) const CROP_AND_FLIP: u64 = 1;
    pub(crate) const SHUFFLE: u64 = 2;
    pub(crate) const WEIGHTED: u64 = 3;
    pub(crate) const SUBSTITUTE: u64 = 4;
    pub(crate) const VFLIP: u64 = 5;
    pub(crate) const JITTER: u64 = 6;
    pub(crate) const RANDOM_GREY: u64 = 7;
    pub(crate) const ERASE: u64 = 8;
    pub(crate) const BEFORE_RESIZE: u64 = 9;
    pub(crate) const AFTER_RESIZE: u64 = 10;
    pub(crate) const BATCH: u64 = 11;
}

/// A sequence of numbers that its key decides: SplitMix64, begun at a hash of
/// the key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(key: &[u64]) -> Self {
        Draws(key.iter().fold(0x6a09_e667_f3bc_c908, |hash, word| mix(hash ^ word)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Even in `0..bound`, to within 2^-64 * `bound`; 0 when `bound` is.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The upper half of a 128-bit product.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Even in `0.0..1.0`, in steps of 2^-53.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Even between the two.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

/// Random numbers for a transform of yours: a sequence that seed, epoch, position
/// and the transform's number decide, never a thread or time; for a batch
/// ([`Batch::random`](crate::Batch::random)) the position of its first sample.
///
/// Another generator is seeded from it, such as `StdRng` of the crate `rand`:
/// `StdRng::seed_from_u64(random.next_u64())`.
///
/// ```
/// # let photos = infeed::doc::photos();
/// use infeed::{Loader, Random};
/// use ndarray::ArrayViewMut3;
///
/// /// A generator of your own.
/// struct Xorshift(u64);
///
/// impl Xorshift {
///     fn next(&mut self) -> u64 {
///         self.0 ^= self.0 << 13;
///         self.0 ^= self.0 >> 7;
///         self.0 ^= self.0 << 17;
///         self.0
///     }
/// }
///
/// let noise = |mut row: ArrayViewMut3<'_, f32>, random: &mut Random| {
///     let mut generator = Xorshift(random.next_u64() | 1);
///     row.mapv_inplace(|value| value + (generator.next() >> 40) as f32 / 1e9);
///     Ok(())
/// };
/// let loader = Loader::folder(&photos).after_resize(noise).build()?;
/// # Ok::<(), infeed::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Random(Draws);

impl Random {
    pub(crate) fn new(draws: Draws) -> Self {
        Random(draws)
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next()
    }

    /// Even in `0..bound`; 0 when `bound` is.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// Even in `0.0..1.0`, in steps of 2^-53.
    pub fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// Even between `low` and `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0.between(low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_decides_and_every_word_of_it_counts() {
        let first = |key: &[u64]| Draws::new(key).next();
        assert_eq!(first(&[1, 2, 3]), first(&[1, 2, 3]));
        let others = [first(&[1, 2]), first(&[1, 2, 4]), first(&[2, 1, 3]), first(&[1, 2, 3, 0])];
        assert!(others.iter().all(|&other| other != first(&[1, 2, 3])));
    }

    /// The generator's published output for the seeds 0 and 1234567: a permutation is
    /// the same in every version.
    #[test]
    fn words_are_mixed_as_splitmix64_does() {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let sequence = |seed: u64, count: u64| -> Vec<u64> {
            (0..count).map(|at| mix(seed.wrapping_add(at.wrapping_mul(STEP)))).collect()
        };
        let zero = [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f];
        assert_eq!(sequence(0, 3), zero);
        let other = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!(sequence(1_234_567, 2), other);
    }

    /// What users draw is what is drawn, one number after the other.
    #[test]
    fn users_draw_the_same_numbers() {
        let mut draws = Draws::new(&[3, 1]);
        let mut random = Random::new(draws);
        for _ in 0..3 {
            assert_eq!(random.next_u64(), draws.next());
            assert_eq!(random.below(1_000_000), draws.below(1_000_000));
            assert_eq!(random.unit().to_bits(), draws.unit().to_bits());
            let (own, theirs) = (draws.between(-3.0, 5.0), random.between(-3.0, 5.0));
            assert_eq!(own.to_bits(), theirs.to_bits());
            assert!((-3.0..5.0).contains(&own));
        }
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut draws = Draws::new(&[5]);
        let mut counts = [0_u32; 10];
        let mut sum = 0.0;
        for _ in 0..10_000 {
            counts[draws.below(10) as usize] += 1;
            sum += draws.unit();
        }
        // 1,000 expected each, with a standard deviation of 30; the sum's is 29.
        assert!(counts.iter().all(|count| (880..1_120).contains(count)), "{counts:?}");
        assert!((4_885.0..5_115.0).contains(&sum), "{sum}");
        assert_eq!(draws.below(0), 0);
    }
}
