//! libjpeg-turbo, through its own interface: the crate's has not all settings.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr;

use turbojpeg::raw;

/// What was decoded.
pub struct Decoded {
    pub width: usize,
    pub height: usize,
    /// `[row, column, 3]`.
    pub pixels: Vec<u8>,
    /// What libjpeg-turbo warned of; it decodes on with what it makes of it.
    pub warning: Option<String>,
}

/// An instance of TurboJPEG.
pub struct Turbo {
    handle: raw::tjhandle,
    /// What sides are divided by.
    by: usize,
}

impl Drop for Turbo {
    fn drop(&mut self) {
        // SAFETY: the handle is live, and not used again.
        unsafe { raw::tj3Destroy(self.handle) };
    }
}

impl Turbo {
    fn new(kind: raw::TJINIT) -> Self {
        // SAFETY: it takes a number.
        let handle = unsafe { raw::tj3Init(kind as i32) };
        assert!(!handle.is_null(), "TurboJPEG has no memory");
        Turbo { handle, by: 1 }
    }

    /// For decoding.
    pub fn decoder() -> Self {
        Turbo::new(raw::TJINIT_TJINIT_DECOMPRESS)
    }

    /// For encoding.
    pub fn encoder() -> Self {
        Turbo::new(raw::TJINIT_TJINIT_COMPRESS)
    }

    /// For making files of the same coefficients.
    pub fn transformer() -> Self {
        Turbo::new(raw::TJINIT_TJINIT_TRANSFORM)
    }

    fn set(&mut self, parameter: raw::TJPARAM, value: i32) {
        // SAFETY: the handle is live.
        let result = unsafe { raw::tj3Set(self.handle, parameter as i32, value) };
        assert_eq!(result, 0, "{}", self.error());
    }

    fn get(&self, parameter: raw::TJPARAM) -> i32 {
        // SAFETY: the handle is live.
        unsafe { raw::tj3Get(self.handle, parameter as i32) }
    }

    fn error(&self) -> String {
        // SAFETY: the handle is live, and the text is its own.
        unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.handle)) }.to_string_lossy().into_owned()
    }

    fn is_warning(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe { raw::tj3GetErrorCode(self.handle) == raw::TJERR_TJERR_WARNING as i32 }
    }

    /// Has pictures come with their sides divided by 1, 2, 4 or 8 from here on.
    pub fn reduce(&mut self, by: u32) {
        let factor = raw::tjscalingfactor { num: 1, denom: by as i32 };
        // SAFETY: the handle is live.
        let result = unsafe { raw::tj3SetScalingFactor(self.handle, factor) };
        assert_eq!(result, 0, "{}", self.error());
        self.by = by as usize;
    }

    /// Width and height as they come, divided or not.
    pub fn size(&mut self, file: &[u8]) -> Result<(usize, usize), String> {
        // SAFETY: the slice is as long as is said.
        let result = unsafe {
            raw::tj3DecompressHeader(self.handle, file.as_ptr(), file.len() as raw::size_t)
        };
        if result != 0 && !self.is_warning() {
            return Err(self.error());
        }
        let [width, height] = [raw::TJPARAM_TJPARAM_JPEGWIDTH, raw::TJPARAM_TJPARAM_JPEGHEIGHT];
        // With a warning, there may be none.
        let side = |of| usize::try_from(self.get(of)).map_err(|_| "no size".to_owned());
        Ok((side(width)?.div_ceil(self.by), side(height)?.div_ceil(self.by)))
    }

    /// Decodes to RGB into `to`, which is as large; a warning, if there was one.
    pub fn decode_into(&mut self, file: &[u8], to: &mut [u8]) -> Result<Option<String>, String> {
        let (width, height) = self.size(file)?;
        assert!(to.len() >= 3 * width * height, "too little room");
        let space = self.get(raw::TJPARAM_TJPARAM_COLORSPACE);
        if [raw::TJCS_TJCS_CMYK, raw::TJCS_TJCS_YCCK].iter().any(|inks| *inks as i32 == space) {
            let mut inks = vec![0; 4 * width * height];
            let warning = self.decode_as(file, &mut inks, raw::TJPF_TJPF_CMYK)?;
            for (ink, to) in inks.as_chunks::<4>().0.iter().zip(to.as_chunks_mut::<3>().0) {
                // As OpenCV has it.
                let black = u32::from(ink[3]);
                *to = std::array::from_fn(|i| {
                    (black - (((255 - u32::from(ink[i])) * black) >> 8)) as u8
                });
            }
            return Ok(warning);
        }
        self.decode_as(file, to, raw::TJPF_TJPF_RGB)
    }

    /// Into room that is as large.
    fn decode_as(
        &mut self,
        file: &[u8],
        to: &mut [u8],
        format: raw::TJPF,
    ) -> Result<Option<String>, String> {
        // SAFETY: the file is as long as is said, the room as the callers say.
        let result = unsafe {
            raw::tj3Decompress8(
                self.handle,
                file.as_ptr(),
                file.len() as raw::size_t,
                to.as_mut_ptr(),
                0,
                format,
            )
        };
        match result {
            0 => Ok(None),
            _ if self.is_warning() => Ok(Some(self.error())),
            _ => Err(self.error()),
        }
    }

    /// Decodes to RGB.
    pub fn decode(&mut self, file: &[u8]) -> Result<Decoded, String> {
        let (width, height) = self.size(file)?;
        let mut pixels = vec![0; 3 * width * height];
        let warning = self.decode_into(file, &mut pixels)?;
        Ok(Decoded { width, height, pixels, warning })
    }

    /// Encodes RGB pixels.
    pub fn encode(&mut self, pixels: &[u8], width: usize, height: usize, how: Encoding) -> Vec<u8> {
        assert_eq!(pixels.len(), 3 * width * height);
        let Encoding { quality, sampling, restart_blocks, optimize } = how;
        self.set(raw::TJPARAM_TJPARAM_QUALITY, quality);
        self.set(raw::TJPARAM_TJPARAM_SUBSAMP, sampling);
        self.set(raw::TJPARAM_TJPARAM_RESTARTBLOCKS, restart_blocks);
        self.set(raw::TJPARAM_TJPARAM_OPTIMIZE, optimize.into());
        let (mut file, mut len) = (ptr::null_mut(), 0);
        // SAFETY: there are as many pixels; TurboJPEG allocates the file.
        let result = unsafe {
            raw::tj3Compress8(
                self.handle,
                pixels.as_ptr(),
                width as i32,
                0,
                height as i32,
                raw::TJPF_TJPF_RGB,
                &mut file,
                &mut len,
            )
        };
        assert_eq!(result, 0, "{}", self.error());
        // SAFETY: the file was just made.
        unsafe { taken(file, len) }
    }

    /// The progressive file of a file's coefficients.
    pub fn progressive(&mut self, file: &[u8]) -> Vec<u8> {
        let all = raw::tjregion { x: 0, y: 0, w: 0, h: 0 };
        let how = raw::tjtransform {
            r: all,
            op: raw::TJXOP_TJXOP_NONE as i32,
            options: raw::TJXOPT_PROGRESSIVE as i32,
            data: ptr::null_mut(),
            customFilter: None,
        };
        let (mut made, mut len) = (ptr::null_mut(), 0);
        // SAFETY: the slice is as long as is said; TurboJPEG allocates the other file.
        let result = unsafe {
            raw::tj3Transform(
                self.handle,
                file.as_ptr(),
                file.len() as raw::size_t,
                1,
                &mut made,
                &mut len,
                &how,
            )
        };
        assert_eq!(result, 0, "{}", self.error());
        // SAFETY: the file was just made.
        unsafe { taken(made, len) }
    }
}

/// A file that TurboJPEG has made.
///
/// # Safety
///
/// It is as long as this, and not used again.
unsafe fn taken(file: *mut u8, len: raw::size_t) -> Vec<u8> {
    // SAFETY: the caller's.
    unsafe {
        let taken = std::slice::from_raw_parts(file, len as usize).to_vec();
        raw::tj3Free(file.cast());
        taken
    }
}

/// How to encode.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// 1 to 100.
    pub quality: i32,
    /// TurboJPEG's number.
    pub sampling: i32,
    /// Units between restart markers, 0 for none.
    pub restart_blocks: i32,
    /// Whether Huffman tables are made for the file.
    pub optimize: bool,
}

/// TurboJPEG's numbers of all samplings: 4:4:4, 4:2:2, 4:2:0, grey, 4:4:0, 4:1:1, 4:4:1.
pub const SAMPLINGS: [i32; 7] = [0, 1, 2, 3, 4, 5, 6];
