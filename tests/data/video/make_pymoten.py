"""Writes pymoten.bin: the energies of nine small pictures by pymoten 0.1.3, without the logarithm."""
import pathlib
import numpy as np
from moten.pyramids import MotionEnergyPyramid
from moten.utils import sqrt_sum_squares

y, x = np.mgrid[0:18, 0:24]
film = np.stack([(x * 5 + y * 3 + t * 7) % 17 / 17 for t in range(9)])
pyramid = MotionEnergyPyramid(
    (18, 24), 12, temporal_frequencies=[0, 3], spatial_frequencies=[0, 2, 5], spatial_directions=[0, 60, 180, 240]
)
energies = pyramid.project_stimulus(film, output_nonlinearity=lambda x: x)
pathlib.Path(__file__).with_name("pymoten.bin").write_bytes(energies.astype("<f4").tobytes())
