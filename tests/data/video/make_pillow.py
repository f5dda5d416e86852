"""Writes pillow.bin: a pattern of 12 x 10 pixels made 5 x 4 and 17 x 13 by each of Pillow's filters (Pillow 13)."""
import pathlib
import numpy as np
from PIL import Image

y, x, c = np.mgrid[0:10, 0:12, 0:3]
image = Image.fromarray(((x * 37 + y * 59 + x * y * 11 + c * 83) % 256).astype(np.uint8))
filters = ["NEAREST", "BILINEAR", "BICUBIC", "LANCZOS", "BOX"]
out = b"".join(
    image.resize(size, getattr(Image.Resampling, name)).tobytes() for name in filters for size in [(5, 4), (17, 13)]
)
out += image.convert("L").tobytes()
pathlib.Path(__file__).with_name("pillow.bin").write_bytes(out)
