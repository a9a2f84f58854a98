//! Checksums, and streams of nothing that decompress to a lot.

/// The CRC-32 that PNG's chunks carry (ISO 3309).
pub(super) fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

/// The checksum of a zlib stream (RFC 1950).
fn adler32(bytes: impl Iterator<Item = u8>) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

/// A zlib stream that stores `bytes` as they are.
pub(super) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(65_535).peekable();
    if blocks.peek().is_none() {
        stream.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        stream.push(blocks.peek().is_none().into());
        stream.extend(len.to_le_bytes());
        stream.extend((!len).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(bytes.iter().copied()).to_be_bytes());
    stream
}

/// A zlib stream of `len` zeros, a thousandth as long: one zero, then copies of 258
/// bytes from one byte back, in the codes that RFC 1951 fixes.
pub(super) fn zlib_of_zeros(len: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, with fixed codes.
    bits.push(0b011, 3);
    bits.code(0x30, 8);
    let copies = (len - 1) / 258;
    for _ in 0..copies {
        // Length 258, distance 1.
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    for _ in 0..len - 1 - copies * 258 {
        bits.code(0x30, 8);
    }
    bits.code(0, 7);
    let mut stream = vec![0x78, 0x01];
    stream.extend(bits.done());
    // `a` stays 1, and `b` counts.
    let checksum = ((len % 65_521) as u32) << 16 | 1;
    stream.extend(checksum.to_be_bytes());
    stream
}

/// Bits from the lowest of each byte up, as in Deflate and GIF.
#[derive(Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    /// The lowest `count` bits of `value`, the lowest first.
    pub(super) fn push(&mut self, value: u32, count: u32) {
        self.pending |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// A Huffman code, whose highest bit comes first.
    fn code(&mut self, code: u32, count: u32) {
        self.push(code.reverse_bits() >> (32 - count), count);
    }

    pub(super) fn done(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}
