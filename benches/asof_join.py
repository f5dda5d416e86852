"""The queries of asof_join.rs in DuckDB, on the files that it wrote.

    ASOF_FILES=/tmp/asof cargo bench --bench asof_join
    python benches/asof_join.py /tmp/asof
"""

import sys
import time

import duckdb

folder = sys.argv[1]
db = duckdb.connect()
db.execute("SET threads = 2")
for name, tables, on in [
    ("64 runs, sorted", "sorted", "a.run = b.run AND"),
    ("64 runs, shuffled", "shuffled", "a.run = b.run AND"),
    ("no key, sorted", "sorted_one", ""),
    ("no key, shuffled", "shuffled_one", ""),
]:
    sql = f"""
        SELECT count(b.value), sum(a.value - b.value)
        FROM '{folder}/a_{tables}.parquet' AS a
        ASOF LEFT JOIN '{folder}/b_{tables}.parquet' AS b ON {on} a.time >= b.time
    """
    times = []
    for _ in range(5):
        start = time.perf_counter()
        answer = db.execute(sql).fetchone()
        times.append(time.perf_counter() - start)
    print(f"{name}: {min(times):.3f} s at best, {sorted(times)[2]:.3f} s in the middle: {answer}")
