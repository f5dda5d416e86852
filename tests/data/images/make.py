"""Writes the pictures of this folder, and what Pillow and onnxruntime make of them.

    pip install pillow numpy onnx onnxruntime
    python tests/data/images/make.py ../shared

From shared/data/images a photograph (CC0), of which a part is cut out; from shared/models EfficientNet-Lite0.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

HERE = Path(__file__).parent

# As tests.rs beside the reader has them: the resized sides, the filter's number, and what is cut out.
CASES = [
    ({"height": 20, "width": 28}, 0, None),
    ({"height": 20, "width": 28}, 1, None),
    ({"height": 28, "width": 20}, 2, None),
    ({"height": 20, "width": 28}, 4, None),
    ({"height": 20, "width": 28}, 5, None),
    ({"shortest_edge": 24}, 3, 24),
    ({"shortest_edge": 31}, 3, 24),
    ({"shortest_edge": 31}, 2, 25),
]


def resized(picture, size, resample):
    width, height = picture.size
    if "shortest_edge" in size:
        edge = size["shortest_edge"]
        long = int(edge * max(width, height) / min(width, height))
        size = {"height": edge, "width": long} if height <= width else {"height": long, "width": edge}
    return picture.resize((size["width"], size["height"]), resample)


def cut(pixels, edge):
    height, width = pixels.shape[:2]
    top, left = (height - edge) // 2, (width - edge) // 2
    return pixels[top : top + edge, left : left + edge]


def main(shared):
    photo = Image.open(shared / "data/images/14540828060_6c280fc3ef_z.jpg").convert("RGB")
    left, top = (photo.width - 170) // 2, (photo.height - 121) // 2
    part = photo.crop((left, top, left + 170, top + 121))
    part.save(HERE / "photo.png", optimize=True)
    part.save(HERE / "photo.jpg", quality=95, subsampling=0)
    part.resize((96, 70)).save(HERE / "small.jpg", quality=90)
    part.resize((64, 48)).convert("L").save(HERE / "grey.png", optimize=True)
    # Left half see-through; the picture is there all the same.
    see_through = part.resize((64, 48)).convert("RGBA")
    see_through.putalpha(Image.linear_gradient("L").rotate(90).resize((64, 48)))
    see_through.save(HERE / "see_through.png", optimize=True)
    # Stored lying on its side, as telephones do.
    turned = part.resize((64, 48)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(HERE / "turned.png", exif=exif, optimize=True)

    with open(HERE / "pillow.bin", "wb") as file:
        for size, resample, edge in CASES:
            pixels = np.asarray(resized(part, size, resample))
            file.write((cut(pixels, edge) if edge else pixels).tobytes())
    # The JPEG's pixels as libjpeg decodes them.
    (HERE / "small_jpg.bin").write_bytes(np.asarray(Image.open(HERE / "small.jpg")).tobytes())

    model = shared / "models/efficientnet-lite0"
    config = json.loads((model / "preprocessor_config.json").read_text())
    pixels = np.asarray(resized(part, config["size"], 0)).astype(np.float64)
    mean, std = np.array(config["image_mean"]), np.array(config["image_std"])
    pixels = ((pixels * config["rescale_factor"] - mean) / std).astype(np.float32)
    session = onnxruntime.InferenceSession(str(model / "model.onnx"))
    given = {session.get_inputs()[0].name: pixels.transpose(2, 0, 1)[None]}
    (vector,) = session.run(["embedding"], given)
    (HERE / "embedding.bin").write_bytes(vector.astype("<f4").tobytes())

    # An encoder as CLIP's are exported, with the mean of each colour for a vector.
    tensor = lambda name, shape: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
        onnx.helper.make_node("Flatten", ["pooled"], ["image_embeds"]),
        onnx.helper.make_node("Neg", ["image_embeds"], ["last_hidden_state"]),
    ]
    inputs = [tensor("pixel_values", ["batch", 3, 24, 24])]
    outputs = [tensor("last_hidden_state", ["batch", 3]), tensor("image_embeds", ["batch", 3])]
    graph = onnx.helper.make_graph(nodes, "clip", inputs, outputs)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (HERE / "clip/onnx").mkdir(parents=True, exist_ok=True)
    onnx.save(made, HERE / "clip/onnx/vision_model.onnx")
    config = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": 24},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": 24, "width": 24},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "do_convert_rgb": True,
    }
    (HERE / "clip/preprocessor_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
