#!/usr/bin/env python3
"""Makes the pictures of the documentation, from the photographs that infeed makes itself.

    cargo build --release
    python3 docs/screenshots.py --infeed target/release/infeed

Needs Chromium (Debian's package `chromium`) and nothing else beside Python. With --all it also takes
each page at the width of a phone and in dark colours, into --out, to look at them.
"""

import argparse
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

DOCS = Path(__file__).resolve().parent
TRAINING = ["--size", "160", "--fit", "random-crop", "--flip", "--jitter", "0.4,0.4,0.4,0.1",
            "--random-grey", "0.1", "--erase", "0.3", "--normalize", "imagenet", "--shuffle", "--seed", "4"]

# Name, arguments of infeed behind the folder (the last takes the file's name), width and height.
PAGES = [
    ("view", ["view", *TRAINING, "--count", "6", "--out"], 1160, 930),
    ("tune", ["tune", "--size", "224", "--step-ms", "20", "--budget", "20s", "--html"], 1160, 2360),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--infeed", default="infeed", help="the program")
    parser.add_argument("--chromium", default="chromium", help="the browser")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the pictures")
    parser.add_argument("--all", action="store_true", help="dark colours and a phone's width, too")
    arguments = parser.parse_args()
    infeed = os.path.abspath(arguments.infeed) if os.sep in arguments.infeed else arguments.infeed
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        photos(infeed, work)
        for name, command, width, height in PAGES:
            page = f"{name}.html"
            run([infeed, command[0], "photos", *command[1:], page], work)
            shoot(arguments.chromium, work / page, out / f"{name}.png", width, height)
            if arguments.all:
                shoot(arguments.chromium, work / page, out / f"{name}-dark.png", width, height, dark=True)
                # A window is never narrower than 500 pixels, so the page stands in a frame.
                frame = work / f"{name}-phone.html"
                frame.write_text(f'<body style="margin:0"><iframe src="{page}" width="390" '
                                 'height="844" style="border:0"></iframe>')
                shoot(arguments.chromium, frame, out / f"{name}-phone.png", 500, 844)


def photos(infeed, work):
    """The folder `photos` with what infeed makes for a newcomer."""
    cache = work / "cache"
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    run([infeed, "view", "--count", "1", "--out", "first.html"], work, env=environment)
    (made,) = (cache / "infeed").iterdir()
    shutil.move(made, work / "photos")


def run(command, work, **more):
    subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL, **more)


def shoot(chromium, page, picture, width, height, dark=False):
    command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--force-device-scale-factor=1", f"--window-size={width},{height}",
               f"--blink-settings=preferredColorScheme={0 if dark else 1}",
               f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    smaller(picture)
    print(f"{picture}: {picture.stat().st_size // 1024} KiB")


def smaller(picture):
    """The same picture with 32 levels a channel instead of 256: half the bytes."""
    data = picture.read_bytes()
    chunks, at = [], 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        chunks.append((kind, data[at + 8:at + 8 + length]))
        at += 12 + length
    width, height, depth, color = struct.unpack(">IIBB", chunks[0][1][:10])
    if depth != 8 or color not in (2, 6):
        return
    pixel = 3 if color == 2 else 4
    pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    stride = pixel * width
    before, lines = bytearray(stride), []
    for y in range(height):
        start = y * (stride + 1)
        line = unfiltered(pixels[start], bytearray(pixels[start + 1:start + 1 + stride]), before, pixel)
        lines.append(line)
        before = line
    levels = bytes(round(level / 255 * 31) * 255 // 31 for level in range(256))
    body = bytearray()
    before = bytearray(3 * width)
    for line in lines:
        rgb = line if pixel == 3 else bytearray(b"".join(line[x:x + 3] for x in range(0, stride, 4)))
        line = bytearray(rgb.translate(levels))
        # As it is, or its difference to the line above: what has the smaller sum.
        up = bytearray((a - b) & 255 for a, b in zip(line, before))
        cost = lambda row: sum(min(value, 256 - value) for value in row)
        body += b"\2" + up if cost(up) < cost(line) else b"\0" + line
        before = line
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    with open(picture, "wb") as file:
        file.write(data[:8])
        for kind, content in [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(body), 9)), (b"IEND", b"")]:
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))


def unfiltered(kind, line, before, pixel):
    """A line of a PNG, by the filter that it was written with."""
    for x in range(len(line) if kind else 0):
        left = line[x - pixel] if x >= pixel else 0
        above = before[x]
        corner = before[x - pixel] if x >= pixel else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = above
        elif kind == 3:
            guess = (left + above) // 2
        else:
            off = [abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)]
            guess = (left, above, corner)[off.index(min(off))]
        line[x] = (line[x] + guess) & 255
    return line


if __name__ == "__main__":
    main()
