//! Memory of our own that may be refused: an error that names it, where the standard
//! library's way would end the process.

use std::fmt;

use bytemuck::Zeroable;

use crate::error::{Cause, CauseKind, Error};

/// The operating system has no more memory, or a limit on the process is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    bytes: usize,
}

/// `len` zeroes, whose pages are touched when they are used.
pub(crate) fn zeroed<T: Zeroable>(len: usize) -> Result<Vec<T>, Refused> {
    let refused = |()| Refused { bytes: len.saturating_mul(size_of::<T>()) };
    bytemuck::try_zeroed_vec(len).map_err(refused)
}

/// Room for `len` values in all, so that what follows takes no memory.
pub(crate) fn reserved<T>(buffer: &mut Vec<T>, len: usize) -> Result<(), Refused> {
    let more = len.saturating_sub(buffer.len());
    let bytes = len.saturating_mul(size_of::<T>());
    buffer.try_reserve_exact(more).map_err(|_| Refused { bytes })
}

/// A copy of its own.
pub(crate) fn copied(bytes: &[u8]) -> Result<Box<[u8]>, Refused> {
    let mut copy = Vec::new();
    reserved(&mut copy, bytes.len())?;
    copy.extend_from_slice(bytes);
    Ok(copy.into_boxed_slice())
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { bytes } = self;
        write!(f, "the operating system refuses {bytes} bytes; set memory_limit to what there is")
    }
}

impl From<Refused> for Cause {
    fn from(refused: Refused) -> Self {
        Cause::new(CauseKind::Memory, refused.to_string())
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let error = std::io::Error::new(std::io::ErrorKind::OutOfMemory, refused.to_string());
        Error::system("there is no memory for a batch", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused() {
        assert_eq!(zeroed::<u16>(3), Ok(vec![0; 3]));
        let bytes = 1 << 60;
        assert_eq!(zeroed::<u32>(bytes / 4), Err(Refused { bytes }));
        let mut room = Vec::<u32>::new();
        assert_eq!(reserved(&mut room, bytes / 4), Err(Refused { bytes }));
        assert_eq!((reserved(&mut room, 3), room.capacity()), (Ok(()), 3));
        // More than can be counted.
        assert_eq!(zeroed::<u32>(usize::MAX), Err(Refused { bytes: usize::MAX }));
        assert_eq!(reserved(&mut vec![1_u8], bytes), Err(Refused { bytes }));
        assert_eq!(*copied(&[1, 2, 3]).unwrap(), [1, 2, 3]);
        let cause = Cause::from(Refused { bytes });
        assert_eq!(cause.kind(), CauseKind::Memory);
        assert!(cause.to_string().starts_with("out of memory: "), "{cause}");
    }
}
