//! What pixels a decoder makes, in a number: the crates below can be newer than
//! those that this one was tested with, and a cache on disk outlives them.

use std::hash::Hasher;

use twox_hash::XxHash3_64;

use super::{Channels, Decode};
use crate::config::Limits;

/// Formats whose decoders have a choice: how to transform, upsample and convert.
const PICTURES: [&[u8]; 5] = [
    include_bytes!("../../tests/fixtures/encoded/420.jpg"),
    include_bytes!("../../tests/fixtures/encoded/422.jpg"),
    include_bytes!("../../tests/fixtures/encoded/cmyk.jpg"),
    include_bytes!("../../tests/fixtures/encoded/progressive.jpg"),
    include_bytes!("../../tests/fixtures/encoded/lossy.webp"),
];

/// A number that changes with the pixels that `decoder` makes of a few pictures.
pub(super) fn probe(decoder: &dyn Decode) -> u64 {
    let mut hash = XxHash3_64::new();
    for picture in PICTURES {
        // As they are, and as they come reduced.
        for by in [1, 2, 4, 8] {
            let pixels = decoder.open(picture, &Limits::default()).and_then(|mut picture| {
                if by > 1 {
                    picture.reduce(by);
                }
                let mut pixels = vec![0; Channels::Rgb.count() * picture.size().pixels()];
                picture.read(Channels::Rgb, &mut pixels).map(|()| pixels)
            });
            // One that cannot be decoded is as good a sign as any.
            hash.write(&pixels.unwrap_or_default());
        }
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::super::{Picture, StandardDecoder};
    use super::*;
    use crate::config::Size;
    use crate::error::Cause;

    /// Another version of a decoder: one value is one level lighter.
    struct Newer(StandardDecoder);
    struct Lighter<'a>(Box<dyn Picture + 'a>);

    impl Decode for Newer {
        fn open<'a>(
            &self,
            file: &'a [u8],
            limits: &Limits,
        ) -> Result<Box<dyn Picture + 'a>, Cause> {
            Ok(Box::new(Lighter(self.0.open(file, limits)?)))
        }
    }

    impl Picture for Lighter<'_> {
        fn size(&self) -> Size {
            self.0.size()
        }

        fn working_bytes(&self) -> u64 {
            self.0.working_bytes()
        }

        fn read(self: Box<Self>, channels: Channels, out: &mut [u8]) -> Result<(), Cause> {
            self.0.read(channels, out)?;
            out[1_000] ^= 1;
            Ok(())
        }
    }

    #[test]
    fn other_pixels_are_another_number() {
        let standard = StandardDecoder::default();
        assert_eq!(probe(&standard), probe(&standard));
        assert_ne!(probe(&standard), probe(&Newer(standard)));
    }

    #[test]
    fn every_picture_can_be_decoded() {
        for picture in PICTURES {
            assert!(StandardDecoder::default().open(picture, &Limits::default()).is_ok());
        }
    }
}
