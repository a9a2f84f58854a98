"""One peer on one workload: python peer_loaders.py PEER WORKLOAD DIR EPOCHS

Prints one line of JSON: images a second over EPOCHS warm epochs, and versions. `peers.py` runs this in
a process of its own for each measurement.

Each peer is an iterator of batches without an end (or of one epoch after the other, where that is how
it is used), set up as its own documentation advises: a worker for each core, workers that live on, four
batches ahead. The consumer looks at one value of each batch and drops it.
"""

import functools
import itertools
import json
import math
import os
import random
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

CORES = len(os.sched_getaffinity(0))
AHEAD = 4
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CROP_AREA = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class Work:
    """What is to be done to each image, as `infeed bench` has it under the same name."""

    name: str
    batch: int
    side: int
    normalized: bool
    shuffled: bool


WORKLOADS = {
    "w512": Work("w512", 32, 512, normalized=False, shuffled=False),
    "w224": Work("w224", 64, 224, normalized=True, shuffled=False),
    "wtrain": Work("wtrain", 64, 224, normalized=True, shuffled=True),
}


def files(folder):
    found = [
        os.path.join(root, name)
        for root, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith((".jpg", ".jpeg"))
    ]
    return sorted(found)


def endless(paths, work):
    """Epoch after epoch, each in an order of its own where the workload is shuffled."""
    order = list(paths)
    while True:
        if work.shuffled:
            random.shuffle(order)
        yield from order


# OpenCV and NumPy, one image: for the peers that bring no decoder of their own.


def random_crop(height, width):
    """Top, left, height and width of a part, as torchvision's RandomResizedCrop draws it."""
    for _ in range(10):
        area = height * width * random.uniform(*CROP_AREA)
        ratio = math.exp(random.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, height - h), random.randint(0, width - w), h, w
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


@functools.cache
def scale_and_offset(normalized):
    import numpy as np

    mean, std = (MEAN, STD) if normalized else ((0, 0, 0), (1, 1, 1))
    std = np.array(std, np.float32).reshape(3, 1, 1)
    return 1 / (255 * std), np.array(mean, np.float32).reshape(3, 1, 1) / std


def with_opencv(path, work):
    """float32, [3, side, side]."""
    import cv2
    import numpy as np

    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    side = work.side
    if work.name == "w512":
        image = cv2.resize(image, (side, side))
    elif work.name == "w224":
        scale = 256 / min(height, width)
        image = cv2.resize(image, (max(256, int(width * scale)), max(256, int(height * scale))))
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        image = image[top : top + side, left : left + side]
    else:
        top, left, height, width = random_crop(height, width)
        image = cv2.resize(image[top : top + height, left : left + width], (side, side))
        if random.random() < 0.5:
            image = cv2.flip(image, 1)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    scale, offset = scale_and_offset(work.normalized)
    pixels = image.transpose(2, 0, 1).astype(np.float32)
    pixels *= scale
    if work.normalized:
        pixels -= offset
    return pixels


# The peers: paths and work -> iterator of (a value of the batch, images in it).


def opencv_threads(paths, work):
    """What one writes by hand: a thread pool, futures in order, a stack for each batch."""
    from collections import deque
    from concurrent.futures import ThreadPoolExecutor

    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    pool = ThreadPoolExecutor(CORES)
    samples = endless(paths, work)
    submit = lambda: pool.submit(with_opencv, next(samples), work)
    pending = deque(submit() for _ in range(AHEAD * work.batch))
    while True:
        rows = []
        for _ in range(work.batch):
            rows.append(pending.popleft().result())
            pending.append(submit())
        batch = np.stack(rows)
        del rows
        yield batch.flat[0], len(batch)


def pytorch(paths, work, dataset, workers, ahead):
    import torch
    from torch.utils.data import DataLoader

    def one_thread(_):
        import cv2

        torch.set_num_threads(1)
        cv2.setNumThreads(1)

    loader = DataLoader(
        dataset,
        batch_size=work.batch,
        shuffle=work.shuffled,
        num_workers=workers,
        persistent_workers=True,
        prefetch_factor=ahead,
        worker_init_fn=one_thread,
    )
    while True:
        for batch in loader:
            yield float(batch.view(-1)[0]), len(batch)


class OpencvDataset:
    def __init__(self, paths, work):
        self.paths, self.work = paths, work

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        import torch

        return torch.from_numpy(with_opencv(self.paths[index], self.work))


class TorchvisionDataset:
    def __init__(self, paths, work):
        import torch
        from torchvision.transforms import v2

        self.paths = paths
        resize = {
            "w512": [v2.Resize((512, 512), antialias=False)],
            "w224": [v2.Resize(256, antialias=False), v2.CenterCrop(224)],
            "wtrain": [v2.RandomResizedCrop(224, antialias=False), v2.RandomHorizontalFlip()],
        }[work.name]
        normalize = [v2.Normalize(MEAN, STD)] if work.normalized else []
        self.transform = v2.Compose([*resize, v2.ToDtype(torch.float32, scale=True), *normalize])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        from torchvision.io import ImageReadMode, decode_jpeg, read_file

        return self.transform(decode_jpeg(read_file(self.paths[index]), ImageReadMode.RGB))


def pytorch_opencv(paths, work):
    return pytorch(paths, work, OpencvDataset(paths, work), CORES, AHEAD)


def pytorch_opencv_default(paths, work):
    """Two workers and the default prefetch, two batches each: for its memory."""
    return pytorch(paths, work, OpencvDataset(paths, work), 2, 2)


def pytorch_torchvision(paths, work):
    return pytorch(paths, work, TorchvisionDataset(paths, work), CORES, AHEAD)


def tf_data(paths, work):
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(CORES)
    tf.config.threading.set_inter_op_parallelism_threads(CORES)
    mean, std = (tf.reshape(tf.constant(values), (3, 1, 1)) for values in (MEAN, STD))

    def decoded(path):
        encoded = tf.io.read_file(path)
        if work.name != "wtrain":
            return tf.io.decode_jpeg(encoded, channels=3)
        box, size, _ = tf.image.sample_distorted_bounding_box(
            tf.io.extract_jpeg_shape(encoded),
            tf.zeros([1, 0, 4]),
            area_range=CROP_AREA,
            aspect_ratio_range=CROP_RATIO,
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.stack([box[0], box[1], size[0], size[1]])
        return tf.io.decode_and_crop_jpeg(encoded, window, channels=3)

    def load(path):
        image = decoded(path)
        if work.name == "w224":
            size = tf.cast(tf.shape(image)[:2], tf.float32)
            size = tf.cast(tf.round(size * (256 / tf.reduce_min(size))), tf.int32)
            image = tf.image.resize(image, tf.maximum(256, size))
            image = tf.image.resize_with_crop_or_pad(image, work.side, work.side)
        else:
            image = tf.image.resize(image, (work.side, work.side))
        if work.name == "wtrain":
            image = tf.image.random_flip_left_right(image)
        image = tf.transpose(image, (2, 0, 1)) / 255.0
        return (image - mean) / std if work.normalized else image

    samples = tf.data.Dataset.from_tensor_slices(paths)
    if work.shuffled:
        samples = samples.shuffle(len(paths))
    options = tf.data.Options()
    options.threading.private_threadpool_size = CORES
    options.deterministic = True
    # Repeated before the work, so that no epoch's end empties the pipeline.
    batches = samples.repeat().map(load, num_parallel_calls=CORES).batch(work.batch)
    for batch in batches.prefetch(AHEAD).with_options(options):
        yield float(batch[0, 0, 0, 0]), batch.shape[0]


def dali(paths, work):
    import numpy as np
    from nvidia.dali import fn, pipeline_def, types

    resize = dict(interp_type=types.INTERP_LINEAR, antialias=False)

    @pipeline_def(
        batch_size=work.batch, num_threads=CORES, device_id=None, prefetch_queue_depth=AHEAD
    )
    def pipeline():
        encoded, _ = fn.readers.file(files=paths, random_shuffle=work.shuffled)
        mirror = 0
        if work.name == "w512":
            image = fn.resize(fn.decoders.image(encoded), size=[512, 512], **resize)
        elif work.name == "w224":
            image = fn.resize(fn.decoders.image(encoded), resize_shorter=256, **resize)
        else:
            image = fn.decoders.image_random_crop(
                encoded, random_area=list(CROP_AREA), random_aspect_ratio=list(CROP_RATIO)
            )
            image = fn.resize(image, size=[224, 224], **resize)
            mirror = fn.random.coin_flip()
        mean, std = (MEAN, STD) if work.normalized else ((0, 0, 0), (1, 1, 1))
        return fn.crop_mirror_normalize(
            image,
            dtype=types.FLOAT,
            output_layout="CHW",
            crop=(work.side, work.side),
            mirror=mirror,
            mean=[255 * value for value in mean],
            std=[255 * value for value in std],
        )

    running = pipeline()
    running.build()
    while True:
        (batch,) = running.run()
        yield float(np.asarray(batch.as_tensor()).flat[0]), len(batch)


def grain(paths, work):
    import cv2
    from grain import MapDataset, ReadOptions

    cv2.setNumThreads(1)
    samples = MapDataset.source(paths)
    if work.shuffled:
        samples = samples.shuffle(seed=0)
    options = ReadOptions(num_threads=CORES, prefetch_buffer_size=AHEAD * work.batch)
    load = functools.partial(with_opencv, work=work)
    for batch in samples.repeat().map(load).to_iter_dataset(options).batch(work.batch):
        yield batch.flat[0], len(batch)


def spdl(paths, work):
    """Random crops are centre crops here."""
    import numpy as np
    import spdl.io
    from spdl.pipeline import PipelineBuilder

    if work.name == "w512":
        graph = "scale=512:512:flags=bilinear,format=pix_fmts=rgb24"
    else:
        graph = (
            "scale=256:256:force_original_aspect_ratio=increase:flags=bilinear,"
            "crop=224:224,format=pix_fmts=rgb24"
        )
    scale, offset = scale_and_offset(work.normalized)

    def load(some):
        frames = [
            spdl.io.decode_packets(spdl.io.demux_image(path), filter_desc=graph) for path in some
        ]
        batch = spdl.io.to_numpy(spdl.io.convert_frames(frames))
        batch = batch.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        batch *= scale
        if work.normalized:
            batch -= offset
        return batch

    def batches():
        samples = endless(paths, work)
        while True:
            yield list(itertools.islice(samples, work.batch))

    # Without FFmpeg this says so at once.
    load(paths[:1])
    builder = PipelineBuilder().add_source(batches())
    builder = builder.pipe(load, concurrency=CORES, output_order="input").add_sink(AHEAD)
    pipeline = builder.build(num_threads=CORES, max_failures=0)
    with pipeline.auto_stop():
        for batch in pipeline:
            yield batch.flat[0], len(batch)


def datago(paths, work):
    """Random crops are centre crops here; it delivers single images."""
    import numpy as np
    from datago import DatagoClient

    config = {
        "source_type": "file",
        "source_config": {
            "root_path": os.path.commonpath(paths),
            "random_sampling": work.shuffled,
            "rank": 0,
            "world_size": 1,
        },
        "image_config": {
            "crop_and_resize": True,
            "default_image_size": work.side,
            "downsampling_ratio": 16,
            "min_aspect_ratio": 1.0,
            "max_aspect_ratio": 1.0,
            "pre_encode_images": False,
            "image_to_rgb8": True,
        },
        "limit": len(paths),
        "prefetch_buffer_size": AHEAD * work.batch,
        "samples_buffer_size": AHEAD * work.batch,
    }
    scale, offset = scale_and_offset(work.normalized)
    while True:
        client = DatagoClient(json.dumps(config))
        left = len(paths)
        while left > 0:
            rows = []
            while len(rows) < min(work.batch, left):
                sample = client.get_sample()
                if not sample or not sample.id:
                    raise RuntimeError(f"datago ended {left - len(rows)} images early")
                image = np.asarray(sample.image.to_pil_image())
                row = image.transpose(2, 0, 1).astype(np.float32, order="C")
                row *= scale
                if work.normalized:
                    row -= offset
                rows.append(row)
            batch = np.stack(rows)
            left -= len(rows)
            yield batch.flat[0], len(batch)
        client.stop()


# The loader and the packages whose versions are told.
PEERS = {
    "opencv-threads": (opencv_threads, ["opencv-python-headless", "numpy"]),
    "dali": (dali, ["nvidia-dali-cuda120"]),
    "grain": (grain, ["grain", "opencv-python-headless"]),
    "tf-data": (tf_data, ["tensorflow-cpu"]),
    "pytorch-opencv": (pytorch_opencv, ["torch", "opencv-python-headless"]),
    "pytorch-opencv-default": (pytorch_opencv_default, ["torch", "opencv-python-headless"]),
    "pytorch-torchvision": (pytorch_torchvision, ["torch", "torchvision"]),
    "spdl": (spdl, ["spdl"]),
    "datago": (datago, ["datago"]),
}


def versions(packages):
    def of(package):
        try:
            return version(package)
        except PackageNotFoundError:
            return "unknown"

    return {package: of(package) for package in packages}


def measure(batches, images, epochs):
    """Images a second over whole warm epochs; the first one is not counted."""
    seen, started, counted_from = 0, None, 0
    for value, count in batches:
        assert value == value, "a batch holds numbers"
        seen += count
        if started is None:
            if seen >= images:
                started, counted_from = time.perf_counter(), seen
        elif seen - counted_from >= epochs * images:
            return (seen - counted_from) / (time.perf_counter() - started)
    raise RuntimeError(f"the peer ended after {seen} images")


def main():
    name, workload, folder, epochs = sys.argv[1:]
    loader, packages = PEERS[name]
    paths = files(folder)
    rate = measure(loader(paths, WORKLOADS[workload]), len(paths), int(epochs))
    line = {"images_per_second": rate, "images": len(paths), "versions": versions(packages)}
    print(json.dumps(line), flush=True)
    # Pools and pipelines of the peers need not be taken apart first.
    os._exit(0)


if __name__ == "__main__":
    main()
