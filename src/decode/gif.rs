//! What of a GIF's screen its first frame leaves open, which its decoder tells as
//! transparent, and OpenCV as the background's colour.

/// The place of the first frame on the screen, and the colour around it.
pub(super) struct Screen {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    background: [u8; 3],
}

impl Screen {
    /// Of a file whose header is sound; `None` where there is no frame.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        // Signature, width, height, flags, the background's number, an aspect ratio.
        let (&[.., flags, background, _], mut rest) = file.split_first_chunk::<13>()?;
        let mut color = [0; 3];
        if flags & 0x80 != 0 {
            let (table, behind) = rest.split_at_checked(3 << ((flags & 7) + 1))?;
            let chosen = table.as_chunks().0.get(usize::from(background));
            color = chosen.copied().unwrap_or_default();
            rest = behind;
        }
        loop {
            match rest {
                [b'!', _, blocks @ ..] => rest = behind(blocks)?,
                [b',', place @ ..] => {
                    let (&[a, b, c, d, e, f, g, h], _) = place.split_first_chunk::<8>()?;
                    let number = |low, high| usize::from(u16::from_le_bytes([low, high]));
                    return Some(Screen {
                        left: number(a, b),
                        top: number(c, d),
                        width: number(e, f),
                        height: number(g, h),
                        background: color,
                    });
                }
                _ => return None,
            }
        }
    }

    /// Paints what is around the frame, of RGB8 `[height, width, 3]`.
    pub(super) fn paint(&self, width: usize, pixels: &mut [u8]) {
        let end = self.left.saturating_add(self.width);
        for (y, row) in pixels.chunks_exact_mut(3 * width).enumerate() {
            let inside = y >= self.top && y - self.top < self.height;
            for (x, pixel) in row.as_chunks_mut().0.iter_mut().enumerate() {
                if !(inside && (self.left..end).contains(&x)) {
                    *pixel = self.background;
                }
            }
        }
    }
}

/// What follows a row of blocks, each behind its length, the last of none.
fn behind(mut blocks: &[u8]) -> Option<&[u8]> {
    loop {
        let (&len, rest) = blocks.split_first()?;
        blocks = rest.get(usize::from(len)..)?;
        if len == 0 {
            return Some(blocks);
        }
    }
}
