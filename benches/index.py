"""An index beside hnswlib: build and queries of 100,000 x 768 in overlapping clusters.

    pip install hnswlib numpy pyarrow
    python benches/index.py [path of voxql]

Both get the same vectors, M 16, ef_construction 200, and 2 threads; 1,000 queries are timed for each ef, and their recall@10 is
that against exact search. VoxQL's build is that of `CREATE INDEX`, reading Parquet included. Its queries are one `knn`,
from Parquet and to Parquet, once the index is in memory; the time of one SQL statement for one query is that of its text, mostly.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hnswlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

N, DIMENSION, CLUSTERS, QUERIES, THREADS = 100_000, 768, 1_000, 1_000, 2


def data():
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((CLUSTERS, DIMENSION)).astype(np.float32)

    def draw(n):
        noise = rng.standard_normal((n, DIMENSION)).astype(np.float32)
        return centres[rng.integers(CLUSTERS, size=n)] + 3 * noise

    return draw(N), draw(QUERIES)


def write(vectors, path):
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
    pq.write_table(pa.table({"id": np.arange(len(vectors)), "emb": column}), path)


def exact(base, queries):
    base = base / np.linalg.norm(base, axis=1, keepdims=True)
    return np.argsort(-(queries @ base.T), axis=1)[:, :10]


def recall(found, wanted):
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, wanted)])


def of_hnswlib(base, queries, wanted):
    index = hnswlib.Index(space="cosine", dim=DIMENSION)
    index.init_index(max_elements=N, M=16, ef_construction=200)
    start = time.time()
    index.add_items(base, num_threads=THREADS)
    print(f"hnswlib  build {time.time() - start:8.1f} s")
    for ef in (50, 100, 200):
        index.set_ef(ef)
        start = time.time()
        found, _ = index.knn_query(queries, k=10, num_threads=THREADS)
        print(f"hnswlib  ef {ef:4} {time.time() - start:8.2f} s, recall {recall(found, wanted):.3f}")


def of_voxql(voxql, base, queries, wanted):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write(base, folder / "base.parquet")
        write(queries, folder / "queries.parquet")

        def run(*statements):
            script = folder / "script.sql"
            script.write_text(";\n".join(statements) + ";\n")
            command = [voxql, "--db", folder / "db", "--threads", str(THREADS), "-f", script]
            start = time.time()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            return time.time() - start

        run(f"CREATE TABLE t AS SELECT * FROM '{folder}/base.parquet'")
        seconds = run("CREATE INDEX i ON t USING hnsw (emb) WITH (m = 16, ef_construction = 200)")
        print(f"voxql    build {seconds:8.1f} s")
        for ef in (50, 100, 200):
            first = f"SET voxql.ef_search = {ef}"
            ask = f"""COPY (
                SELECT id, base_id, rank
                FROM knn((SELECT id, emb FROM '{folder}/queries.parquet'), (SELECT id, emb FROM t), k => 10)
            ) TO '{folder}/found.parquet' OPTIONS (overwrite true)"""
            # The first time the index is read.
            seconds = run(first, *[ask] * 4) - run(first, ask)
            found = pq.read_table(folder / "found.parquet").sort_by([("id", "ascending"), ("rank", "ascending")])
            found = found["base_id"].to_numpy().reshape(QUERIES, 10)
            print(f"voxql    ef {ef:4} {seconds / 3:8.2f} s, recall {recall(found, wanted):.3f}")
            ask = f"SELECT id FROM t ORDER BY cosine_distance(emb, {queries[0].tolist()}) LIMIT 10"
            seconds = run(first, *[ask] * 101) - run(first, ask)
            print(f"voxql    ef {ef:4} {10 * seconds:8.2f} ms for one query as a statement")


if __name__ == "__main__":
    base, queries = data()
    wanted = exact(base, queries)
    of_voxql(sys.argv[1] if len(sys.argv) > 1 else "voxql", base, queries, wanted)
    of_hnswlib(base, queries, wanted)
