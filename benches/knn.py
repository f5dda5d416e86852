"""Times the 10 nearest of 100,000 × 768 vectors to each of 1,000 in VoxQL and in scikit-learn, Float32, two threads.

    pip install scikit-learn pyarrow
    cargo build --release
    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python benches/knn.py target/release/voxql

Prints the median of five for each metric, in seconds, the two programs by turns. VoxQL's times are those of the whole program: its start,
reading both sides from Parquet files, and writing the result; scikit-learn's are those of fit and kneighbors alone, in a process that has
imported it, from arrays in memory. The time that VoxQL needs to read the base alone is given, too. Says how far the distances differ.
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
from sklearn.neighbors import NearestNeighbors

QUERIES, BASE, WIDTH, K = 1_000, 100_000, 768, 10


def write(vectors, path):
    table = pa.table(
        {
            "id": np.arange(len(vectors)),
            "v": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
        }
    )
    pq.write_table(table, path, use_dictionary=False, compression="none", row_group_size=8192)


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(voxql):
    rng = np.random.default_rng(0)
    # Overlapping clusters, as embeddings are.
    centres = rng.normal(size=(200, WIDTH))
    draw = lambda n: (centres[rng.integers(0, 200, n)] + 1.5 * rng.normal(size=(n, WIDTH))).astype(np.float32)
    base, queries = draw(BASE), draw(QUERIES)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write(base, folder / "base.parquet")
        write(queries, folder / "queries.parquet")
        result = folder / "knn.parquet"

        def sql(command):
            subprocess.run([voxql, "--threads", "2", "-c", command], check=True, capture_output=True)

        reading = statistics.median(
            timed(lambda: sql(f"SELECT sum(v[1]) FROM '{folder}/base.parquet'")) for _ in range(5)
        )
        print(f"reading the base: VoxQL {reading:.3f} s")
        for metric in ["cosine", "euclidean"]:
            command = (
                f"COPY (SELECT id, base_id, rank, distance FROM knn((SELECT id, v FROM '{folder}/queries.parquet'), "
                f"(SELECT id, v FROM '{folder}/base.parquet'), k => {K}, metric => '{metric}') ORDER BY id, rank) TO '{result}'"
            )

            def ours():
                result.unlink(missing_ok=True)
                sql(command)

            def theirs():
                nearest = NearestNeighbors(n_neighbors=K, algorithm="brute", metric=metric, n_jobs=2)
                return nearest.fit(base).kneighbors(queries)

            times = [(timed(ours), timed(theirs)) for _ in range(5)]
            mine, other = (statistics.median(t) for t in zip(*times))
            got = pq.read_table(result)
            distances, indices = theirs()
            difference = np.abs(got["distance"].to_numpy().reshape(-1, K) - distances).max()
            same = (got["base_id"].to_numpy().reshape(-1, K) == indices).mean()
            print(
                f"{metric}: VoxQL {mine:.3f} s, scikit-learn {other:.3f} s, {other / mine:.2f} times as long; "
                f"largest difference {difference:.1e}, {same:.2%} the same neighbours"
            )


if __name__ == "__main__":
    main(sys.argv[1])
