//! The loops over bits and samples for each instruction set, chosen at run time. All
//! give the same to the bit.
//!
//! But for the transform they are the same code, compiled once more: the compiler has
//! shifts by any register where there are BMI's, and wide registers where there are AVX2's.

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::block::{Coefficients, Placed};
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::{color, idct};
use crate::transform::{Isa, interleave};

/// What `$work` is, compiled for these instructions. It stands there twice, so that each is
/// inlined into the function that says for which: code of its own would be for any machine.
macro_rules! compiled {
    ($isa:expr, $work:expr) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::transform::Isa::Avx2 => $crate::decode::jpeg::avx2::compiled(|| $work),
            _ => $crate::decode::jpeg::kernel::plainly(|| $work),
        }
    };
}
pub(super) use compiled;

/// On its own: among other code its variables would not all be in registers.
#[inline(never)]
pub(super) fn plainly<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// A block to fewer samples, see [`idct::half`] and [`idct::quarter`].
pub(super) fn reduced(
    isa: Isa,
    block: Coefficients<'_>,
    to: &mut [u8],
    stride: usize,
    side: usize,
) {
    match side {
        2 => compiled!(isa, idct::quarter(block, to, stride)),
        _ => compiled!(isa, idct::half(block, to, stride)),
    }
}

/// Two blocks to samples.
pub(super) fn whole(isa: Isa, blocks: [Placed<'_>; 2], to: &mut [u8]) {
    let mut each = |whole: fn(Coefficients<'_>, &mut [u8], usize)| {
        blocks.into_iter().for_each(|(block, at, stride)| whole(block, &mut to[at..], stride));
    };
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::whole(blocks, to),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => each(neon::whole),
        Isa::Portable => each(idct::whole),
    }
}

/// See [`color::double`].
pub(super) fn double(isa: Isa, from: &[u8], to: &mut [u8]) {
    compiled!(isa, color::double(from, to));
}

/// See [`color::double_between`].
pub(super) fn double_between(isa: Isa, near: &[u8], far: &[u8], to: &mut [u8]) {
    compiled!(isa, color::double_between(near, far, to));
}

/// Pixels whose colours are computed at once.
const CHUNK: usize = 128;

/// A row of YCbCr to RGB, `[pixel, 3]`; see [`color::rgb`].
pub(super) fn rgb(isa: Isa, planes: [&[u8]; 3], to: &mut [u8]) {
    in_chunks(isa, planes, to, |planes, levels| compiled!(isa, color::rgb(planes, levels)));
}

/// A row of inks to RGB; see [`color::opposites`] and [`color::darkened`].
pub(super) fn cmyk(isa: Isa, planes: [&[u8]; 4], to: &mut [u8]) {
    in_chunks(isa, planes, to, |[c, m, y, k], levels| {
        color::opposites([c, m, y], levels);
        color::darkened(k, levels);
    });
}

/// The same of YCbCr, which are those of the inks' opposites, and black.
pub(super) fn ycck(isa: Isa, planes: [&[u8]; 4], to: &mut [u8]) {
    in_chunks(isa, planes, to, |[y, cb, cr, k], levels| {
        compiled!(isa, color::rgb([y, cb, cr], levels));
        color::darkened(k, levels);
    });
}

#[inline(always)]
fn in_chunks<const N: usize>(
    isa: Isa,
    planes: [&[u8]; N],
    to: &mut [u8],
    made: impl Fn([&[u8]; N], &mut [[u8; CHUNK]; 3]),
) {
    let (mut levels, width) = ([[0; CHUNK]; 3], to.len() / 3);
    let len = CHUNK.min(width);
    for at in (0..width).step_by(CHUNK) {
        // The last one begins earlier, that it may be as long.
        let at = at.min(width - len);
        made(planes.map(|plane| &plane[at..at + len]), &mut levels);
        let levels = levels.each_ref().map(|levels| &levels[..len]);
        interleave(isa, levels, &mut to[3 * at..3 * (at + len)]);
    }
}
