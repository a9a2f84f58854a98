//! An opened picture on its way into a transform: which channels are read, and
//! upright whatever way it is stored.

use super::{Channels, Decode, Orientation, Picture, check_size};
use crate::config::Limits;
use crate::error::{Cause, CauseKind};
use crate::transform::{Form, Reduction, Region, lightness};

/// A picture whose header is known and within the limits.
pub(crate) struct Opened<'a> {
    picture: Box<dyn Picture + 'a>,
    channels: Channels,
    pub(crate) orientation: Orientation,
    /// As it will come, upright.
    pub(crate) form: Form,
}

impl<'a> Opened<'a> {
    /// Opens `encoded` to be read as these channels; `None` chooses the fewest
    /// that hold what the picture, or `wants_grey`, is about.
    pub(crate) fn open(
        decoder: &dyn Decode,
        encoded: &'a [u8],
        limits: &Limits,
        channels: Option<Channels>,
        wants_grey: bool,
    ) -> Result<Self, Cause> {
        let picture = decoder.open(encoded, limits)?;
        let (stored, orientation) = (picture.size(), picture.orientation());
        // A decoder that was plugged in may not have looked.
        check_size(stored, limits)?;
        let channels = channels.unwrap_or_else(|| Channels::of(&*picture, wants_grey));
        let form = Form::new(orientation.apply(stored), channels.count());
        Ok(Opened { picture, channels, orientation, form })
    }

    /// Has the picture come smaller, by as much or less, if the decoder can.
    pub(crate) fn reduce(&mut self, by: u32) -> Result<(), Cause> {
        if by > 1 {
            let reduced = self.picture.reduce(by);
            let first_beyond = self.orientation.mirrors();
            self.form.reduction = Reduction { by: reduced.clamp(1, by), first_beyond };
            let comes = self.orientation.apply(self.picture.size());
            if comes != self.form.coming() || !reduced.is_power_of_two() || reduced > by {
                return Err(corrupt("the decoder's picture is not as much smaller as it says"));
            }
        }
        Ok(())
    }

    /// Bytes of the memory that [`feed`](Self::feed) needs.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self.orientation {
            Orientation::Upright => self.picture.rows_bytes(self.channels),
            _ => 2 * self.form.bytes(),
        }
    }

    /// What the decoder allocates beside that.
    pub(crate) fn working_bytes(&self) -> u64 {
        self.picture.working_bytes()
    }

    /// Decodes, and hands the upright rows on as [`Picture::read_rows`] does, all
    /// that are wanted: a decoder that was plugged in may not keep its word.
    pub(crate) fn feed(
        self,
        wanted: Region,
        memory: &mut [u8],
        rows: &mut dyn FnMut(u32, &[u8]),
    ) -> Result<(), Cause> {
        let Opened { picture, channels, orientation, form } = self;
        let stored = picture.size();
        if orientation == Orientation::Upright {
            let stride = channels.count() * stored.width as usize;
            let (mut next, mut in_order) = (0, true);
            picture.read_rows(channels, wanted, memory, &mut |top, pixels| {
                let end = next + (pixels.len() / stride) as u32;
                in_order &= top == next && pixels.len() % stride == 0 && end <= stored.height;
                if in_order {
                    next = end;
                    rows(top, pixels);
                }
            })?;
            return match in_order {
                false => Err(corrupt("the decoder's rows do not come one after the other")),
                true if next < wanted.top + wanted.height => {
                    Err(corrupt("the decoder ended before the picture's last row"))
                }
                true => Ok(()),
            };
        }
        let (pixels, upright) = memory.split_at_mut(form.bytes());
        picture.read(channels, pixels)?;
        orientation.turn(pixels, stored, upright);
        rows(0, upright);
        Ok(())
    }

    /// Decodes the whole upright picture into `pixels`, one lightness a pixel where
    /// they are no more than that, for whatever channels are read.
    pub(crate) fn read_whole(self, memory: &mut [u8], pixels: &mut [u8]) -> Result<(), Cause> {
        let Form { size, channels, .. } = self.form;
        debug_assert_eq!(size, self.form.coming(), "whole pictures come as they are");
        let taken = channels * size.pixels() / pixels.len();
        let stride = pixels.len() / size.height as usize;
        self.feed(Region::whole(size), memory, &mut |top, rows| {
            let to = &mut pixels[top as usize * stride..][..rows.len() / taken];
            match taken {
                1 => to.copy_from_slice(rows),
                _ => lightness(rows, to),
            }
        })
    }
}

fn corrupt(message: &str) -> Cause {
    Cause::new(CauseKind::Corrupt, message)
}
