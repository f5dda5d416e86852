"""An index beside hnswlib: build and queries of 100,000 x 768 in overlapping clusters.

    pip install hnswlib numpy pyarrow
    python benches/index.py [path of voxql]

Both get the same vectors, M 16, ef_construction 200, and 2 threads; queries are timed for each ef, and their recall@10 is
that against exact search. VoxQL's build is that of `CREATE INDEX`, reading Parquet included.
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

N, DIMENSION, CLUSTERS, QUERIES, THREADS = 100_000, 768, 1_000, 200, 2


def data():
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((CLUSTERS, DIMENSION)).astype(np.float32)

    def draw(n):
        noise = rng.standard_normal((n, DIMENSION)).astype(np.float32)
        return centres[rng.integers(CLUSTERS, size=n)] + 3 * noise

    return draw(N), draw(QUERIES)


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
        found = [index.knn_query(q, k=10, num_threads=1)[0][0] for q in queries]
        seconds = time.time() - start
        print(f"hnswlib  ef {ef:4} {1000 * seconds / QUERIES:8.2f} ms a query, recall {recall(found, wanted):.3f}")


def of_voxql(voxql, base, queries, wanted):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(base.ravel()), DIMENSION)
        pq.write_table(pa.table({"id": np.arange(N), "emb": vectors}), folder / "base.parquet")
        literals = ["[" + ",".join(map(repr, q.tolist())) + "]" for q in queries]

        def run(statements):
            script = folder / "script.sql"
            script.write_text(";\n".join(statements) + ";\n")
            command = [voxql, "--db", folder / "db", "--threads", str(THREADS), "--format", "csv", "-f", script]
            start = time.time()
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            return time.time() - start, [int(line) for line in out.split() if line.isdigit()]

        run([f"CREATE TABLE t AS SELECT * FROM '{folder}/base.parquet'"])
        seconds, _ = run(["CREATE INDEX i ON t USING hnsw (emb) WITH (m = 16, ef_construction = 200)"])
        print(f"voxql    build {seconds:8.1f} s")
        for ef in (50, 100, 200):
            first = [f"SET voxql.ef_search = {ef}"]
            ask = [f"SELECT id FROM t ORDER BY cosine_distance(emb, {q}) LIMIT 10" for q in literals]
            # The first query reads the index.
            once, _ = run(first + ask[:1])
            all_of_them, found = run(first + ask)
            found = np.array(found).reshape(QUERIES, 10)
            milliseconds = 1000 * (all_of_them - once) / (QUERIES - 1)
            print(f"voxql    ef {ef:4} {milliseconds:8.2f} ms a query of SQL, recall {recall(found, wanted):.3f}")


if __name__ == "__main__":
    base, queries = data()
    wanted = exact(base, queries)
    of_voxql(sys.argv[1] if len(sys.argv) > 1 else "voxql", base, queries, wanted)
    of_hnswlib(base, queries, wanted)
