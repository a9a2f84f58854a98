//! The EXIF of a WebP, from the file as it lies in memory: its decoder would allocate as
//! much as the chunk claims to hold, before it looks for it.

/// `RIFF`, a length, `WEBP`; chunks stand behind it.
const HEAD: usize = 12;

/// The content of the first EXIF chunk of an extended file, if all of it is there.
pub(super) fn exif(file: &[u8]) -> Option<&[u8]> {
    let mut rest = file.get(HEAD..)?;
    if !rest.starts_with(b"VP8X") {
        return None;
    }
    loop {
        let (kind, behind) = rest.split_first_chunk::<4>()?;
        let (&len, behind) = behind.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(len) as usize;
        let content = behind.get(..len)?;
        if kind == b"EXIF" {
            return Some(content);
        }
        // Chunks begin at even places.
        rest = behind.get(len.checked_next_multiple_of(2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(chunks: &[(&[u8; 4], u32, &[u8])]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        for (kind, len, content) in chunks {
            file.extend([&kind[..], &len.to_le_bytes(), content].concat());
        }
        file
    }

    #[test]
    fn exif_is_found_where_all_of_it_is_there() {
        let head = (b"VP8X", 10, &[8; 10][..]);
        let found = |chunks: &[_]| exif(&file(chunks)).map(<[u8]>::to_vec);
        assert_eq!(found(&[head, (b"ICCP", 3, &[1; 4]), (b"EXIF", 2, &[7, 9])]), Some(vec![7, 9]));
        assert_eq!(found(&[head, (b"EXIF", 1, &[3, 0]), (b"EXIF", 2, &[7, 9])]), Some(vec![3]));
        assert_eq!(found(&[head, (b"EXIF", 3, &[7, 9])]), None);
        assert_eq!(found(&[head, (b"EXIF", u32::MAX, &[7, 9])]), None);
        assert_eq!(found(&[head, (b"ICCP", u32::MAX, &[]), (b"EXIF", 2, &[7, 9])]), None);
        assert_eq!(found(&[head]), None);
        assert_eq!(found(&[(b"VP8 ", 2, &[1, 2]), (b"EXIF", 2, &[7, 9])]), None);
        for len in 0..20 {
            assert_eq!(exif(&file(&[head])[..len]), None);
        }
    }
}
