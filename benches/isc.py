"""Times inter-subject correlation of 10 subjects × 300 TRs × 5,000 voxels in VoxQL and in BrainIAK, float64, two threads.

    pip install brainiak pyarrow
    cargo build --release
    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python benches/isc.py target/release/voxql

Prints the median of five, in seconds. VoxQL's times are those of the whole program: its start, reading the data from a Parquet file
with a row for each subject and TR, and writing the result; BrainIAK's are those of isc alone, in a process that has imported it, from an array in
memory. Says how far the results differ, too.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from brainiak.isc import bootstrap_isc, isc

SUBJECTS, TRS, VOXELS = 10, 300, 5000


def write(data, folder):
    """The array TRs × voxels × subjects as rows."""
    rows = np.moveaxis(data, 2, 0).reshape(-1)
    table = pa.table(
        {
            "subject": np.repeat([f"{s:02}" for s in range(SUBJECTS)], TRS),
            "tr": np.tile(np.arange(TRS), SUBJECTS),
            "bold": pa.FixedSizeListArray.from_arrays(pa.array(rows), VOXELS),
        }
    )
    pq.write_table(table, folder / "bold.parquet", use_dictionary=False, compression="none")


def median(run):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main(voxql):
    data = np.random.default_rng(0).normal(size=(TRS, VOXELS, SUBJECTS))
    data += np.random.default_rng(1).normal(size=(TRS, VOXELS, 1))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write(data, folder)
        rows = f"(SELECT subject, tr, bold FROM '{folder}/bold.parquet')"
        for name, sql, python in [
            ("leave one out", f"isc({rows})", lambda: isc(data)),
            ("tolerate_nans false", f"isc({rows}, tolerate_nans => false)", lambda: isc(data, tolerate_nans=False)),
            ("pairwise", f"isc({rows}, pairwise => true)", lambda: isc(data, pairwise=True)),
            (
                "bootstrap, 1,000",
                f"bootstrap_isc((SELECT * FROM isc({rows})))",
                lambda: bootstrap_isc(isc(data), random_state=0)[3],
            ),
        ]:
            result = folder / "isc.parquet"
            command = f"COPY (SELECT * FROM {sql}) TO '{result}'"

            def run():
                result.unlink(missing_ok=True)
                subprocess.run([voxql, "--threads", "2", "-c", command], check=True, capture_output=True)

            ours, theirs = median(run), median(python)
            line = f"{name}: VoxQL {ours:.3f} s, BrainIAK {theirs:.3f} s, {theirs / ours:.1f} times as long"
            if "bootstrap" not in name:
                got = np.array(pq.read_table(result)["isc"].to_pylist())
                line += f"; largest difference {np.abs(got - python()).max():.1e}"
            print(line)


if __name__ == "__main__":
    main(sys.argv[1])
