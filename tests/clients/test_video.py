"""Pictures that VoxQL wrote, read by pyarrow as tensors."""

import base64

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import voxql


def test_frames_are_tensors(tmp_path):
    path = tmp_path / "frames.parquet"
    film = "read_video('tests/data/ramp.mp4', width => 16)"
    voxql("-c", f"COPY (SELECT time, frame FROM {film} ORDER BY time) TO '{path}' STORED AS PARQUET")
    # pyarrow makes tensors of its own accord only where a tensor's numbers may be null; the file's
    # schema has the type all the same.
    file = pq.ParquetFile(path)
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(file.metadata.metadata[b"ARROW:schema"])))
    tensor = schema.field("frame").type
    assert tensor.extension_name == "arrow.fixed_shape_tensor"
    storage = file.read().column("frame").combine_chunks().cast(tensor.storage_type)
    frames = pa.ExtensionArray.from_storage(tensor, storage)
    assert frames.type.shape == [12, 16, 3]
    pictures = frames.to_numpy_ndarray()
    assert pictures.shape == (25, 12, 16, 3)
    # Picture k has luma 16 + 8k.
    assert np.allclose(pictures[:, 0, 0, 0], np.arange(25) * 8 / 219, atol=1 / 255)
