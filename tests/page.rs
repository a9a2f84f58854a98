//! The page of `infeed tune --html`, as a browser shows it: on a phone and on a
//! desk, in light and dark, without a network.
#![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]
#![allow(clippy::print_stderr, reason = "a test that is left out says so")]
#![cfg(feature = "cli")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;

/// A browser that takes longer is ended.
const LIMIT: Duration = Duration::from_secs(60);

/// What a copy of the page tells of itself, once it is laid out.
const PROBE: &str = r##"<script>
"use strict";
const root = document.documentElement;
const box = element => element.getBoundingClientRect();
const charts = [...document.querySelectorAll("figure > svg")];
const texts = charts.map(svg => {
  const unit = box(svg).width / svg.viewBox.baseVal.width;
  return [...svg.querySelectorAll("text")].map(text => {
    const {left, right, top, bottom} = box(text);
    const size = unit * parseFloat(getComputedStyle(text).fontSize);
    return {words: text.textContent.trim(), left, right, top, bottom, size};
  });
});
const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
const clipped = [], crossed = [];
charts.forEach((svg, at) => texts[at].forEach((text, number) => {
  const {left, right, top, bottom} = box(svg);
  if (text.left < left - 1 || text.right > right + 1 || text.top < top - 1 || text.bottom > bottom + 1)
    clipped.push(text.words);
  for (const other of texts[at].slice(number + 1))
    if (meet(text, other)) crossed.push(text.words + " | " + other.words);
}));
const wide = [...document.querySelectorAll("body *")].filter(element =>
  !element.closest(".scroll") && box(element).width > 0 && box(element).right > root.clientWidth + 1);
const pre = document.createElement("pre");
pre.id = "told";
pre.textContent = JSON.stringify({
  width: innerWidth,
  scrolls: root.scrollWidth > root.clientWidth,
  wide: wide.map(element => element.tagName + " " + element.className),
  sections: [...document.querySelectorAll("section")].map(section => section.id),
  charts: charts.map(svg => ({width: box(svg).width, height: box(svg).height,
    shapes: svg.querySelectorAll("polyline, polygon, rect, circle").length})),
  bars: [...document.querySelectorAll(".bars svg")].map(svg => box(svg).width),
  smallest: Math.min(...texts.flat().map(text => text.size)),
  body: parseFloat(getComputedStyle(document.body).fontSize),
  clipped, crossed,
  columns: new Set([...document.querySelectorAll("#settings figure")].map(one => box(one).left)).size,
  line: getComputedStyle(document.querySelector("figure > svg .line")).stroke,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  loaded: performance.getEntriesByType("resource").map(one => one.name),
});
document.body.append(pre);
</script></body>"##;

/// Around a page: a window of the browser is never narrower than 500.
const FRAME: &str = r#"<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark">
</head><body><iframe width="WIDTH" height="900" style="border: 0" srcdoc="PAGE"></iframe><script>
addEventListener("load", () => {
  const inner = document.querySelector("iframe").contentDocument.getElementById("told");
  document.body.append(document.adoptNode(inner));
});
</script></body></html>"#;

/// The browser, or why the test is left out.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("INFEED_CHROMIUM").map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| {
        let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
        let all = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        all.into_iter().find(|path| path.is_file())
    });
    if found.is_none() {
        let words =
            "no chromium here (Debian's package is `chromium`; INFEED_CHROMIUM names another)";
        assert!(std::env::var_os("INFEED_REQUIRE_CHROMIUM").is_none(), "{words}");
        eprintln!("skipped: {words}");
    }
    found
}

#[derive(Clone, Copy, Debug)]
struct Look {
    width: u32,
    height: u32,
    dark: bool,
}

/// What the browser writes about a file; it has no network, and a home of its own.
fn browse(browser: &Path, page: &Path, look: Look, more: &[String]) -> String {
    let home = tempfile::tempdir().unwrap();
    let Look { width, height, dark } = look;
    let mut command = Command::new(browser);
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--hide-scrollbars", "--no-first-run", "--disable-background-networking"])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .arg(format!("--user-data-dir={}", home.path().display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }))
        .args(more)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // It starts others, which are to end with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, told) = channel();
    let reader = std::thread::Builder::new().name("browser".to_owned()).spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        // Nobody listens any more when the time is up.
        drop(sender.send(read.map(|_| text)));
    });
    let text = told.recv_timeout(LIMIT);
    if text.is_err() {
        #[cfg(unix)]
        drop(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status());
        drop(child.kill());
    }
    let status = child.wait().unwrap();
    let text =
        text.unwrap_or_else(|_| panic!("{} took over {LIMIT:?}: {look:?}", browser.display()));
    reader.unwrap().join().unwrap();
    assert!(status.success(), "{}: {status}", browser.display());
    text.unwrap()
}

/// A page with a probe in it, as it is laid out.
fn probe(browser: &Path, page: &Path, look: Look) -> Value {
    let html = std::fs::read_to_string(page).unwrap();
    // Nothing but the probe may run, there as here.
    let policy = "default-src 'none'; ";
    assert_eq!(html.matches(policy).count(), 1);
    let html = html.replace(policy, "default-src 'none'; script-src 'unsafe-inline'; ");
    let html = html.replace("</body>", PROBE).replace('&', "&amp;").replace('"', "&quot;");
    let copy = page.with_file_name("probed.html");
    let framed = FRAME.replace("WIDTH", &look.width.to_string()).replace("PAGE", &html);
    std::fs::write(&copy, framed).unwrap();
    let look = Look { width: look.width + 100, ..look };
    let dom = browse(browser, &copy, look, &["--dump-dom".to_owned()]);
    let told = dom.split_once("<pre id=\"told\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (told, _) = told.unwrap_or_else(|| panic!("the probe has not run: {dom}"));
    let told = told.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&told).unwrap()
}

fn picture(browser: &Path, page: &Path, look: Look) -> image::RgbImage {
    let path = page.with_file_name("picture.png");
    browse(browser, page, look, &[format!("--screenshot={}", path.display())]);
    let picture = image::open(&path).unwrap().into_rgb8();
    std::fs::remove_file(path).unwrap();
    picture
}

/// A report of a run, in a folder with a name that needs care.
fn report(root: &Path) -> PathBuf {
    let photos = root.join("写真 & 'more'");
    std::fs::create_dir(&photos).unwrap();
    for number in 0..24_u32 {
        let mut picture = b"P6 48 32 255\n".to_vec();
        picture.extend((0..48 * 32 * 3_u32).map(|at| (at * (number + 3)) as u8));
        std::fs::write(photos.join(format!("{number}.ppm")), picture).unwrap();
    }
    let page = root.join("report.html");
    let output = Command::new(env!("CARGO_BIN_EXE_infeed"))
        .arg("tune")
        .arg(&photos)
        .args(["--step-ms", "5", "--budget", "3s", "--size", "32", "--batch-size", "8", "--html"])
        .arg(&page)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(&format!("report: {}", page.display())), "{told}");
    page
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

#[test]
fn a_real_browser_shows_the_page_on_a_phone_and_on_a_desk_in_light_and_dark() {
    let Some(browser) = browser() else { return };
    let root = tempfile::tempdir().unwrap();
    let page = report(root.path());
    let mut lines = Vec::new();
    for (width, columns, smallest) in [(320, 1, 9.5), (390, 1, 12.0), (1200, 2, 12.0)] {
        for dark in [false, true] {
            let look = Look { width, height: 900, dark };
            let told = probe(&browser, &page, look);
            assert_eq!(told["width"], width, "{look:?}: {told:#}");
            assert_eq!(told["dark"], dark, "{look:?}");
            assert_eq!(told["scrolls"], false, "{look:?}: {told:#}");
            assert_eq!(strings(&told["wide"]), [""; 0], "{look:?}");
            let sections = ["recommendation", "time", "ceilings", "settings", "timeline", "trials"];
            assert_eq!(strings(&told["sections"]), sections);
            assert_eq!(strings(&told["loaded"]), [""; 0], "the page asks for something");
            assert_eq!(strings(&told["clipped"]), [""; 0], "{look:?}");
            assert_eq!(strings(&told["crossed"]), [""; 0], "{look:?}");
            assert_eq!(told["columns"].as_u64().unwrap(), columns, "{look:?}");
            let charts = told["charts"].as_array().unwrap();
            assert!(charts.len() >= 4, "{told:#}");
            for chart in charts {
                let (width, height) = (chart["width"].as_f64(), chart["height"].as_f64());
                assert!(width.unwrap() > 250.0 && height.unwrap() > 150.0, "{look:?}: {chart}");
                assert!(chart["shapes"].as_u64().unwrap() >= 4, "{chart}");
            }
            let bars = told["bars"].as_array().unwrap();
            assert!(bars.len() >= 10 && bars.iter().all(|bar| bar.as_f64().unwrap() > 40.0));
            assert!(told["smallest"].as_f64().unwrap() >= smallest, "{look:?}: {told:#}");
            lines.push(told["line"].as_str().unwrap().to_owned());
        }
    }
    assert!(lines.chunks(2).all(|two| two == &lines[..2]), "{lines:?}");
    assert!(lines[0] != lines[1] && lines[0].starts_with("rgb("), "{lines:?}");
}

#[test]
fn light_is_light_and_dark_is_dark() {
    let Some(browser) = browser() else { return };
    let root = tempfile::tempdir().unwrap();
    let page = report(root.path());
    let look = |dark| picture(&browser, &page, Look { width: 390, height: 1400, dark });
    let ground = |picture: &image::RgbImage| {
        assert_eq!(picture.dimensions(), (390, 1400));
        let colours: std::collections::HashSet<_> = picture.pixels().collect();
        assert!(colours.len() > 50, "nothing is to be seen: {} colours", colours.len());
        picture.get_pixel(3, 3).0.map(u32::from).iter().sum::<u32>() / 3
    };
    let (light, dark) = (ground(&look(false)), ground(&look(true)));
    assert!(light > 220 && dark < 50, "light {light}, dark {dark}");
}
