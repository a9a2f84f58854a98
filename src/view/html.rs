//! The sheet as a page: one file, without scripts, that asks for nothing else.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{Picture, Seen, Sheet, Shown, Tile, words};
use crate::config::Size;

/// Larger rows are kept as JPEG: as PNG a sheet of them is tens of megabytes.
const MOST_AS_PNG: u32 = 320;

const STYLE: &str = include_str!("style.css");

pub(super) fn write(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let source = words::path(&sheet.root);
    let title = escaped(&format!("What the model sees of {source}"));
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         img-src data:; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}"
    )?;
    if sheet.options.columns > 0 {
        writeln!(
            out,
            "@media (min-width: 760px) {{ .tiles {{ grid-template-columns: repeat({}, minmax(0, 1fr)); }} }}",
            sheet.options.columns
        )?;
    }
    writeln!(out, "</style>\n</head>\n<body>")?;
    header(sheet, out)?;
    writeln!(out, "<main>")?;
    match sheet.options.repeat {
        1 => tiles(sheet, &sheet.tiles, out)?,
        repeat => {
            for same in sheet.tiles.chunks(repeat as usize) {
                let name = same.first().map(|tile| words::path(&tile.path)).unwrap_or_default();
                writeln!(out, "<section>\n<h2><bdi>{}</bdi></h2>", escaped(&name))?;
                tiles(sheet, same, out)?;
                writeln!(out, "</section>")?;
            }
        }
    }
    writeln!(out, "</main>\n</body>\n</html>")
}

fn header(sheet: &Sheet, out: &mut dyn Write) -> io::Result<()> {
    let source = words::path(&sheet.root);
    writeln!(out, "<header>\n<h1>What the model sees</h1>")?;
    writeln!(
        out,
        "<p class=\"lead\"><bdi>{}</bdi> <span>{}</span></p>\n<ul class=\"settings\">",
        escaped(&source),
        escaped(&words::which(sheet))
    )?;
    for (name, value) in words::settings(&sheet.config) {
        writeln!(out, "<li><b>{name}</b> {}</li>", escaped(&value))?;
    }
    writeln!(
        out,
        "</ul>\n<p class=\"legend\"><span class=\"key\"></span> what is cut from the original. \
         Beside it the row of the batch, its normalisation taken back.</p>\n</header>"
    )
}

fn tiles(sheet: &Sheet, tiles: &[Tile], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<div class=\"tiles\">")?;
    for tile in tiles {
        write_tile(sheet, tile, out)?;
    }
    writeln!(out, "</div>")
}

fn write_tile(sheet: &Sheet, tile: &Tile, out: &mut dyn Write) -> io::Result<()> {
    let name = escaped(&words::path(&tile.path));
    let failed = if matches!(tile.seen, Seen::Row(_)) { "" } else { " failed" };
    writeln!(out, "<article class=\"tile{failed}\">")?;
    if let Seen::Row(shown) = &tile.seen {
        pictures(&name, shown, out)?;
    }
    match sheet.options.repeat {
        1 => writeln!(out, "<h2><bdi>{name}</bdi></h2>")?,
        // The file is named above them all.
        _ => writeln!(out, "<h3>epoch {}</h3>", tile.epoch)?,
    }
    let mut chips = String::new();
    if let Some(class) = words::class(tile) {
        _ = write!(chips, "<li class=\"class\">class <bdi>{}</bdi></li>", escaped(&class));
    }
    if let Some(target) = words::target(tile) {
        _ = write!(chips, "<li class=\"class\">target {}</li>", escaped(&target));
    }
    if let Some(choices) = tile.choices() {
        for change in words::changes(choices) {
            _ = write!(chips, "<li>{}</li>", escaped(&change));
        }
    }
    if !chips.is_empty() {
        writeln!(out, "<ul class=\"chips\">{chips}</ul>")?;
    }
    if let Some(missing) = words::missing(tile) {
        writeln!(out, "<p class=\"cause\">{}</p>", escaped(&missing))?;
    }
    if let Some(choices) = tile.choices() {
        writeln!(out, "<p>{}</p>", escaped(&words::crop(choices)))?;
    }
    writeln!(out, "<p>{}</p>\n</article>", escaped(&words::place(tile, sheet.config.seed)))
}

/// `name` is escaped already.
fn pictures(name: &str, shown: &Shown, out: &mut dyn Write) -> io::Result<()> {
    let Shown { choices, original, row } = shown;
    let crop = choices.crop;
    let share = |part: f64, of: u32| 100.0 * part / f64::from(of);
    let Size { width, height } = choices.original;
    let frame = format!(
        "left:{:.3}%;top:{:.3}%;width:{:.3}%;height:{:.3}%",
        share(crop.left, width),
        share(crop.top, height),
        share(crop.width, width),
        share(crop.height, height)
    );
    let picture = |picture: &Picture, of: Size, kind: &str, alt: &str, over: &str, data: &str| {
        let Size { width, height } = of;
        let Size { width: w, height: h } = picture.size;
        format!(
            "<div class=\"place\"><div class=\"picture\" style=\"--w:{width};--h:{height}\">\
             <img class=\"{kind}\" width=\"{w}\" height=\"{h}\" alt=\"{alt}\" src=\"{data}\">{over}</div></div>"
        )
    };
    let changes = words::changes(choices).join(", ");
    let changes = if changes.is_empty() { "unchanged".to_owned() } else { changes };
    let alts = [
        format!("{name}, the original: {}", escaped(&words::crop(choices))),
        format!("{name}, what the model sees: {}", escaped(&changes)),
    ];
    let over = format!("<span class=\"crop\" style=\"{frame}\"></span>");
    let data = uri("jpeg", &original.jpeg()?);
    let left = picture(original, choices.original, "smooth", &alts[0], &over, &data);
    let Size { width, height } = row.size;
    let data = match width.max(height) <= MOST_AS_PNG {
        true => uri("png", &row.png()?),
        false => uri("jpeg", &row.jpeg()?),
    };
    let kind = if width.max(height) < 128 { "pixels" } else { "smooth" };
    let right = picture(row, row.size, kind, &alts[1], "", &data);
    writeln!(out, "<div class=\"pair\">{left}{right}</div>")
}

fn uri(kind: &str, bytes: &[u8]) -> String {
    format!("data:image/{kind};base64,{}", base64(bytes))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = word >> (18 - 6 * digit) & 63;
            let padding = digit > group.len();
            text.push(if padding { '=' } else { DIGITS[value as usize] as char });
        }
    }
    text
}

/// Text for an element or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
