//! PNM: plain and binary, small and large maxima, numbers that do not end.

use super::{DAMAGED, Fate, Files, OVER_A_LIMIT, levels};

fn binary(header: &str, pixels: &[u8]) -> Vec<u8> {
    [header.as_bytes(), pixels].concat()
}

fn plain(header: &str, pixels: impl Iterator<Item = u32>) -> Vec<u8> {
    let numbers: Vec<_> = pixels.map(|pixel| pixel.to_string()).collect();
    format!("{header}{}\n", numbers.join(" ")).into_bytes()
}

pub(super) fn add(files: &mut Files) {
    let picture = Fate::Picture(31, 17);
    let (grey, color) = (levels(31, 17, 1), levels(31, 17, 3));
    let number = |level: &u8| u32::from(*level);
    files.add("pnm/1x1.ppm", Fate::Picture(1, 1), binary("P6 1 1 255\n", &[9, 8, 7]));
    files.add("pnm/grey.pgm", picture.clone(), binary("P5 31 17 255\n", &grey));
    files.add("pnm/colour.ppm", picture.clone(), binary("P6 31 17 255\n", &color));
    let bits: Vec<u8> = (0..4 * 17).map(|at: u32| (at * 29) as u8).collect();
    files.add("pnm/bits.pbm", picture.clone(), binary("P4 31 17\n", &bits));
    let deep: Vec<u8> = grey.iter().flat_map(|&level| [level, level]).collect();
    files.add("pnm/deep.pgm", picture.clone(), binary("P5 31 17 65535\n", &deep));
    files.add(
        "pnm/plain-grey.pgm",
        picture.clone(),
        plain("P2 31 17 255\n", grey.iter().map(number)),
    );
    files.add("pnm/plain.ppm", picture.clone(), plain("P3 31 17 255\n", color.iter().map(number)));
    let bilevel = plain("P1 31 17\n", grey.iter().map(|level| u32::from(level / 128)));
    files.add("pnm/plain.pbm", picture.clone(), bilevel);
    let commented = binary("P6 # a comment\n31 # and\n 17\n# another\n255\n", &color);
    files.add("pnm/comments.ppm", picture.clone(), commented);
    // Levels of a smaller maximum are no levels of 255.
    let small: Vec<u8> = grey.iter().map(|level| level / 26).collect();
    files.add("pnm/maximum-9.pgm", Fate::Open, binary("P5 31 17 9\n", &small));
    files.add("pnm/above-its-maximum.pgm", Fate::Open, binary("P5 31 17 100\n", &grey));
    files.add(
        "pnm/wide.pgm",
        Fate::Picture(65_535, 1),
        binary("P5 65535 1 255\n", &levels(65_535, 1, 1)),
    );
    let pam = "P7\nWIDTH 31\nHEIGHT 17\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n";
    files.add("pnm/arbitrary.ppm", Fate::Open, binary(pam, &color));

    let zero = binary("P6 0 17 255\n", &color);
    files.add("pnm/width-zero.ppm", DAMAGED, zero);
    files.add("pnm/says-taller.ppm", DAMAGED, binary("P6 31 60 255\n", &color));
    files.add("pnm/maximum-zero.ppm", Fate::Open, binary("P6 31 17 0\n", &color));
    files.add("pnm/maximum-large.ppm", DAMAGED, binary("P6 31 17 70000\n", &color));
    files.add("pnm/no-number.ppm", DAMAGED, binary("P6 a b 255\n", &color));
    files.add("pnm/negative.ppm", DAMAGED, binary("P6 -31 17 255\n", &color));
    let digits = "9".repeat(100_000);
    files.add("pnm/digits.ppm", DAMAGED, binary(&format!("P6 {digits} 17 255\n"), &color));
    let spaces = " ".repeat(1_000_000);
    files.add("pnm/spaces.ppm", Fate::Open, binary(&format!("P6{spaces}31 17 255\n"), &color));
    files.add("pnm/huge.ppm", OVER_A_LIMIT, binary("P6 60000 60000 255\n", &color));
    files.add("pnm/plain-huge.ppm", OVER_A_LIMIT, binary("P3 60000 60000 255\n", b"1 2 3"));
    files.add("pnm/plain-ends-early.ppm", DAMAGED, binary("P3 31 17 255\n", b"1 2 3"));
    files.add("pnm/plain-of-words.ppm", DAMAGED, binary("P3 31 17 255\n", b"one two three"));
    files.add("pnm/only-a-signature.ppm", DAMAGED, b"P6".to_vec());
}
