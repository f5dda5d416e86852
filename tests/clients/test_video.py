"""Pictures that VoxQL wrote, read by pyarrow as tensors."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import voxql


def test_frames_are_tensors(tmp_path):
    path = tmp_path / "frames.parquet"
    film = "read_video('tests/data/ramp.mp4', width => 16)"
    voxql("-c", f"COPY (SELECT time, frame FROM {film} ORDER BY time) TO '{path}' STORED AS PARQUET")
    frames = pq.read_table(path).column("frame").combine_chunks()
    if isinstance(frames, pa.ChunkedArray):
        frames = frames.chunk(0)
    assert frames.type.extension_name == "arrow.fixed_shape_tensor"
    assert frames.type.shape == [12, 16, 3]
    pictures = frames.to_numpy_ndarray()
    assert pictures.shape == (25, 12, 16, 3)
    # Picture k has luma 16 + 8k.
    assert np.allclose(pictures[:, 0, 0, 0], np.arange(25) * 8 / 219, atol=1 / 255)
