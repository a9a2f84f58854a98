"""The same photographs at several sizes: python benches/sized_photos.py DIR OUT SIDE...

Writes OUT/SIDE/NUMBER.jpg for the first 64 JPEGs of DIR: resized until the longer side is SIDE, at
quality 92 with chroma at half size, as cameras and data sets have it. For `infeed bench OUT/SIDE`.
"""

import sys
from pathlib import Path

import cv2

from peer_loaders import files

PHOTOGRAPHS = 64


def main():
    folder, out, *sides = sys.argv[1:]
    for number, path in enumerate(files(folder)[:PHOTOGRAPHS]):
        image = cv2.imread(path)
        height, width = image.shape[:2]
        for side in map(int, sides):
            scale = side / max(height, width)
            size = (round(width * scale), round(height * scale))
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            target = Path(out, str(side), f"{number:03}.jpg")
            target.parent.mkdir(parents=True, exist_ok=True)
            resized = cv2.resize(image, size, interpolation=way)
            cv2.imwrite(str(target), resized, [cv2.IMWRITE_JPEG_QUALITY, 92])


if __name__ == "__main__":
    main()
