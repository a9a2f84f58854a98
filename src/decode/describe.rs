//! What an encoded picture is, by its content: for reports, not for pixels.

use std::fmt;
use std::io::Cursor;
use std::path::Path;

use image::{ColorType, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader};
use serde::{Serialize, Serializer};

use super::jpeg::markers;

/// A file format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    Pnm,
}

impl Format {
    /// The format that the file's first bytes tell.
    #[must_use]
    pub fn of(encoded: &[u8]) -> Option<Format> {
        if encoded.starts_with(&[0xff, 0xd8]) {
            return Some(Format::Jpeg);
        }
        Some(match image::guess_format(encoded).ok()? {
            ImageFormat::Png => Format::Png,
            ImageFormat::WebP => Format::WebP,
            ImageFormat::Gif => Format::Gif,
            ImageFormat::Bmp => Format::Bmp,
            ImageFormat::Tiff => Format::Tiff,
            ImageFormat::Pnm => Format::Pnm,
            _ => return None,
        })
    }

    /// The format that a file's ending promises, in any case; `None` where it
    /// promises nothing.
    #[must_use]
    pub fn promised(path: &Path) -> Option<Format> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match &*ending {
            "jpg" | "jpeg" | "jpe" | "jfif" => Format::Jpeg,
            "png" => Format::Png,
            "webp" => Format::WebP,
            "gif" => Format::Gif,
            "bmp" => Format::Bmp,
            "tif" | "tiff" => Format::Tiff,
            "pbm" | "pgm" | "pnm" | "ppm" | "pam" => Format::Pnm,
            _ => return None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Jpeg => "JPEG",
            Format::Png => "PNG",
            Format::WebP => "WebP",
            Format::Gif => "GIF",
            Format::Bmp => "BMP",
            Format::Tiff => "TIFF",
            Format::Pnm => "PNM",
        }
    }
}

/// How a file stores colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Stored {
    Rgb,
    RgbAlpha,
    Grey,
    GreyAlpha,
    Cmyk,
    Rgb16,
    RgbAlpha16,
    Grey16,
    GreyAlpha16,
    /// Something else, or it cannot be told.
    Other,
}

impl Stored {
    /// Whether there is one channel of levels, whatever it is decoded as.
    #[cfg(feature = "view")]
    pub(crate) fn is_colourless(self) -> bool {
        use Stored::{Grey, Grey16, GreyAlpha, GreyAlpha16};
        matches!(self, Grey | Grey16 | GreyAlpha | GreyAlpha16)
    }

    /// How the picture is stored whose format is known.
    pub(crate) fn of(encoded: &[u8], format: Option<Format>) -> Stored {
        let of_frame = |components: usize| match components {
            1 => Stored::Grey,
            3 => Stored::Rgb,
            4 => Stored::Cmyk,
            _ => Stored::Other,
        };
        let format = match format {
            Some(Format::Jpeg) => {
                let frame = markers::frame(encoded);
                return frame.map_or(Stored::Other, |frame| of_frame(frame.components));
            }
            Some(Format::Png) => ImageFormat::Png,
            Some(Format::WebP) => ImageFormat::WebP,
            Some(Format::Gif) => ImageFormat::Gif,
            Some(Format::Bmp) => ImageFormat::Bmp,
            Some(Format::Tiff) => ImageFormat::Tiff,
            Some(Format::Pnm) => ImageFormat::Pnm,
            None => return Stored::Other,
        };
        let reader = ImageReader::with_format(Cursor::new(encoded), format);
        let Ok(decoder) = reader.into_decoder() else { return Stored::Other };
        if let ExtendedColorType::Cmyk8 | ExtendedColorType::Cmyk16 = decoder.original_color_type()
        {
            return Stored::Cmyk;
        }
        match decoder.color_type() {
            ColorType::L8 => Stored::Grey,
            ColorType::La8 => Stored::GreyAlpha,
            ColorType::Rgb8 => Stored::Rgb,
            ColorType::Rgba8 => Stored::RgbAlpha,
            ColorType::L16 => Stored::Grey16,
            ColorType::La16 => Stored::GreyAlpha16,
            ColorType::Rgb16 => Stored::Rgb16,
            ColorType::Rgba16 => Stored::RgbAlpha16,
            _ => Stored::Other,
        }
    }

    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stored::Rgb => "RGB",
            Stored::RgbAlpha => "RGB with alpha",
            Stored::Grey => "grey",
            Stored::GreyAlpha => "grey with alpha",
            Stored::Cmyk => "CMYK",
            Stored::Rgb16 => "RGB of 16 bits",
            Stored::RgbAlpha16 => "RGB with alpha of 16 bits",
            Stored::Grey16 => "grey of 16 bits",
            Stored::GreyAlpha16 => "grey with alpha of 16 bits",
            Stored::Other => "other",
        }
    }
}

macro_rules! told {
    ($($type:ident),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )+};
}

told!(Format, Stored);

#[cfg(test)]
mod tests {
    use super::*;

    /// Of fixtures whose names say what they are.
    #[test]
    fn formats_and_colours_are_told_by_content() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoded");
        let mut seen = std::collections::BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let encoded = std::fs::read(&path).unwrap();
            let format = Format::of(&encoded);
            assert_eq!(format, Format::promised(&path), "{}", path.display());
            let stored = Stored::of(&encoded, format);
            seen.insert(path.file_name().unwrap().to_str().unwrap().to_owned(), stored);
        }
        for (name, stored) in
            [("420.jpg", Stored::Rgb), ("grey.jpg", Stored::Grey), ("cmyk.jpg", Stored::Cmyk)]
        {
            assert_eq!(seen[name], stored, "{name} of {seen:?}");
        }
        assert!(!seen.values().any(|stored| *stored == Stored::Other), "{seen:?}");
        println!("{seen:?}");
    }

    #[test]
    fn what_is_no_picture_has_no_format() {
        assert_eq!(Format::of(b""), None);
        assert_eq!(Format::of(b"hello"), None);
        assert_eq!(Stored::of(b"hello", None), Stored::Other);
        assert_eq!(Stored::of(b"\xff\xd8", Some(Format::Jpeg)), Stored::Other);
        assert_eq!(Format::promised(Path::new("a.JPEG")), Some(Format::Jpeg));
        assert_eq!(Format::promised(Path::new("a")), None);
    }
}
