#!/usr/bin/env python3
"""Holds decoded pictures against OpenCV and Pillow.

    python3 tests/reference.py FOLDER

FOLDER has `files.jsonl`, one object a line: `path`, and either `width`, `height` and
`rgb`, the name of a file of [height, width, 3] levels in FOLDER, or `kind` and
`message`, why there is no picture. Prints a table and, as `verdicts.jsonl` in FOLDER,
what was found for each file. Exits with 1 when, of the pictures here that both
libraries open to the same pixels, fewer than 99 % have those: within 2 levels on average,
and exactly in formats without loss.

Needs: pip install numpy opencv-python-headless pillow
"""

import collections
import json
import os
import resource
import select
import signal
import sys
import warnings

os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

# Two pictures are the same when their levels differ by so much on average.
SAME = 2.0
# And where a format keeps them exactly, and the libraries have them alike, by nothing.
LOSSLESS = (b"\x89PNG", b"GIF8", b"BM", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"II*\0", b"MM\0*")
# Of the pictures that both libraries agree on, so many have to be the same.
SHARE = 0.99
# No square of 8 by 8 pixels may be further off than this, on average.
SQUARE = 24.0
# What the libraries may take for one file, which some files try to exceed.
BYTES = 4 << 30
SECONDS = 20

Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.simplefilter("ignore")


def by_opencv(path):
    """As IMREAD_COLOR has it: three channels of 8 bits, upright."""
    with open(path, "rb") as file:
        encoded = np.frombuffer(file.read(), np.uint8)
    if not len(encoded):
        return None
    try:
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if decoded is None else decoded[:, :, ::-1]


def by_pillow(path):
    """Three channels of 8 bits, upright, alpha left out."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I;16"):
                # Of 16 bits the high byte; `convert` would cut off above 255.
                levels = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
                image = Image.fromarray(levels)
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("P", "PA") and "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return np.asarray(upright.convert("RGB"))
    except Exception:  # Pillow's plugins raise whatever they come upon.
        return None


def differences(one, other):
    """Of each of two pictures' levels; `None` when their sizes differ."""
    if one is None or other is None or one.shape != other.shape:
        return None
    return np.abs(one.astype(np.int16) - other.astype(np.int16))


def mean(off):
    return None if off is None else float(off.mean())


def worst(off):
    """The mean of the square of 8 by 8 pixels that differs most: a block that is wrong in a
    large picture is nothing in the picture's mean."""
    off = off.mean(axis=2)
    rows, columns = np.arange(0, off.shape[0], 8), np.arange(0, off.shape[1], 8)
    sums = np.add.reduceat(np.add.reduceat(off, rows, axis=0), columns, axis=1)
    areas = np.outer(np.diff([*rows, off.shape[0]]), np.diff([*columns, off.shape[1]]))
    return float((sums / areas).max())


def is_lossless(encoded):
    """Whether a file's format keeps levels as they are; a TIFF may hold a JPEG."""
    if encoded[8:16] == b"WEBPVP8L":
        return True
    return encoded.startswith(LOSSLESS) and not (encoded[:2] in (b"II", b"MM") and b"\xff\xd8\xff" in encoded)


def verdict(folder, entry):
    opencv, pillow = by_opencv(entry["path"]), by_pillow(entry["path"])
    here = None
    if "rgb" in entry:
        shape = (entry["height"], entry["width"], 3)
        here = np.fromfile(os.path.join(folder, entry["rgb"]), np.uint8).reshape(shape)
    apart = mean(differences(opencv, pillow))
    off = {"opencv": differences(here, opencv), "pillow": differences(here, pillow)}
    found = {
        "path": entry["path"],
        "kind": entry.get("kind"),
        "message": entry.get("message"),
        **{name: mean(levels) for name, levels in off.items()},
        "agree": apart is not None and apart <= SAME,
        "opens": [name for name, value in (("opencv", opencv), ("pillow", pillow)) if value is not None],
    }
    near = [found[name] for name in off if found[name] is not None]
    squares = [worst(levels) for levels in off.values() if levels is not None]
    with open(entry["path"], "rb") as file:
        exact = apart == 0 and is_lossless(file.read())
    found["square"] = min(squares, default=None)
    found["same"] = bool(near) and min(near) <= (0 if exact else SAME) and min(squares) <= SQUARE
    return found


def apart(folder, entry):
    """`verdict` in a process of its own: some files are made to bring their readers down."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with os.fdopen(writer, "w") as out:
            json.dump(verdict(folder, entry), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        ready, _, _ = select.select([told], [], [], SECONDS)
        if not ready:
            os.kill(child, signal.SIGKILL)
        text = told.read()
    os.waitpid(child, 0)
    if text:
        return json.loads(text)
    kind, message = entry.get("kind"), entry.get("message")
    fell = {"path": entry["path"], "kind": kind, "message": message, "opencv": None, "pillow": None}
    return {**fell, "agree": False, "opens": [], "same": False, "brought_down": True}


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "files.jsonl")) as lines:
        entries = [json.loads(line) for line in lines]
    cv2.setNumThreads(1)
    verdicts = [apart(folder, entry) for entry in entries]
    with open(os.path.join(folder, "verdicts.jsonl"), "w") as out:
        for found in verdicts:
            out.write(json.dumps(found) + "\n")
    print(f"OpenCV {cv2.__version__}, Pillow {Image.__version__}")
    kinds = collections.Counter(found["kind"] or "a picture" for found in verdicts)
    for kind, count in kinds.most_common():
        print(f"{count:6}  {kind}")
    agreed = [found for found in verdicts if found["agree"]]
    here = [found for found in agreed if found["kind"] is None]
    same = [found for found in here if found["same"]]
    share = len(same) / len(here) if here else 1.0
    print(f"{len(agreed):6}  open to the same pixels in OpenCV and Pillow")
    print(f"{len(here):6}  of them are pictures here, the others errors with a name")
    print(f"{len(same):6}  of these have the same pixels ({100 * share:.2f} %)")
    for found in verdicts:
        if found.get("brought_down"):
            print(f"  brings OpenCV or Pillow down: {found['path']}")
    for found in agreed:
        if not found["same"]:
            why = found["message"] or f"{found['opencv']} from OpenCV, {found['pillow']} from Pillow"
            print(f"  not the same: {found['path']}: {found['kind'] or ''} {why}")
    for found in verdicts:
        if not found["agree"] and found["kind"] is None and found["opens"] and not found["same"]:
            print(f"  as neither has it: {found['path']}: {found['opencv']} {found['pillow']}")
    return 0 if share >= SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
