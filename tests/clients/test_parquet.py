"""Parquet that VoxQL wrote, read by the libraries that people use."""

import math

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

WIDTHS = {"embedding": 256, "video": 32 * 24 * 3, "audio": 80, "language": 256, "brain": 10}
SUBJECTS = pa.schema([("subject", pa.string())])


def check_small(vectors):
    """`vectors` are the three rows as lists; None where there is no value."""
    assert list(vectors[0]) == [1.0, 2.5, -3.25]
    missing, nan, infinity = vectors[1]
    assert missing is None or math.isnan(missing)
    assert math.isnan(nan)
    assert infinity == math.inf
    assert vectors[2] is None


def check_aligned(rows, expected):
    """`rows` yields (subject, tr, audio, brain) with vectors of any kind."""
    seen = 0
    for subject, tr, audio, brain in rows:
        assert len(audio) == WIDTHS["audio"] and len(brain) == WIDTHS["brain"]
        first, last = expected[subject, tr]
        assert math.isclose(audio[0], first, rel_tol=1e-6, abs_tol=1e-9)
        assert math.isclose(brain[9], last, rel_tol=1e-6, abs_tol=1e-9)
        seen += 1
    assert seen == len(expected)


def test_pyarrow_small(small):
    table = pq.read_table(small)
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 3)
    assert table["id"].to_pylist() == [1, 2, 3]
    assert table["word"].to_pylist() == ["sea", "Zürich 🌊", None]
    vectors = table["vector"].to_pylist()
    assert vectors[1][0] is None
    check_small(vectors)


def test_duckdb_small(small):
    vectors = duckdb.sql(f"SELECT vector FROM '{small}' ORDER BY id").fetchall()
    check_small([row[0] for row in vectors])
    assert duckdb.sql(f"SELECT list_sum(vector) FROM '{small}' WHERE id = 1").fetchall() == [(0.25,)]


def test_polars_small(small):
    frame = pl.read_parquet(small)
    assert frame.schema["vector"] == pl.Array(pl.Float32, 3)
    check_small(frame["vector"].to_list())


def test_pandas_small(small):
    frame = pd.read_parquet(small)
    check_small(list(frame["vector"]))


def test_pyarrow_aligned(aligned, expected):
    table = ds.dataset(aligned, partitioning=ds.partitioning(SUBJECTS, flavor="hive")).to_table()
    for name, width in WIDTHS.items():
        assert table.schema.field(name).type == pa.list_(pa.float32(), width), name
    assert table.num_rows == len(expected)
    columns = [table[name].to_pylist() for name in ("subject", "tr", "audio", "brain")]
    check_aligned(zip(*columns), expected)


def test_pyarrow_vectors_are_one_array(aligned):
    """A column of vectors becomes a matrix without a copy per row, ready for a model."""
    table = pq.read_table(aligned / "subject=01").combine_chunks()
    audio = table["audio"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
    assert audio.shape == (78, 80) and audio.dtype == np.float32
    assert np.isfinite(audio).all()


def test_duckdb_aligned(aligned, expected):
    rows = duckdb.sql(
        f"SELECT subject, tr, audio, brain FROM read_parquet('{aligned}/*/*.parquet', "
        "hive_partitioning = true, hive_types = {'subject': VARCHAR})"
    ).fetchall()
    check_aligned(rows, expected)


def test_polars_aligned(aligned, expected):
    frame = pl.read_parquet(aligned / "**/*.parquet", hive_partitioning=True, hive_schema={"subject": pl.String})
    for name, width in WIDTHS.items():
        assert frame.schema[name] == pl.Array(pl.Float32, width), name
    check_aligned(frame.select("subject", "tr", "audio", "brain").iter_rows(), expected)


def test_pandas_aligned(aligned, expected):
    frame = pd.read_parquet(aligned, partitioning=ds.partitioning(SUBJECTS, flavor="hive"))
    check_aligned(frame[["subject", "tr", "audio", "brain"]].itertuples(index=False), expected)
    # The text that was on, and which TRs the shared response model did not see.
    assert frame["held_out"].sum() == 4 * (78 - 46)
    assert frame.loc[frame["tr"] == 77, "text"].str.startswith("The old man sleeps").all()


def test_rows_are_in_order(aligned):
    for subject in ("01", "02", "03", "04"):
        assert pq.read_table(aligned / f"subject={subject}", columns=["tr"])["tr"].to_pylist() == list(range(78))
