"""The server, asked as notebooks ask: ADBC, pandas, Polars and DuckDB."""

import subprocess

import adbc_driver_flightsql.dbapi as flight
import adbc_driver_manager
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from conftest import ROOT, SMALL, VOXQL, served, voxql
from test_parquet import check_small


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    with served(tmp_path_factory.mktemp("served") / "study") as uri:
        yield uri


@pytest.fixture
def connection(uri):
    with flight.connect(uri, autocommit=True) as connection:
        yield connection


@pytest.fixture
def cursor(connection):
    with connection.cursor() as cursor:
        yield cursor


def test_rows_become_arrow(cursor):
    cursor.execute(f"{SMALL} ORDER BY id")
    table = cursor.fetch_arrow_table()
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 3)
    assert table["word"].to_pylist() == ["sea", "Zürich 🌊", None]
    check_small(table["vector"].to_pylist())


def test_statements_that_do_something_run_once(cursor):
    cursor.execute("CREATE TABLE once AS SELECT 1 AS n")
    assert cursor.fetchall() == [("created table once (1 row)",)]
    cursor.execute("INSERT INTO once VALUES (2)")
    cursor.execute("SELECT count(*) FROM once")
    assert cursor.fetchone() == (2,)
    cursor.execute("SHOW MODELS")
    assert "hashing" in [row[0] for row in cursor.fetchall()]


def test_a_statement_is_done_when_execute_returns(connection):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT value AS n FROM generate_series(1, 1000)")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kept")
        assert cursor.fetchone() == (1000,)


def test_parameters(cursor):
    cursor.execute("CREATE TABLE words (n BIGINT, word VARCHAR)")
    cursor.executemany("INSERT INTO words VALUES (?, ?)", [(1, "sea"), (2, "ship"), (3, None)])
    assert cursor.rowcount == 3
    cursor.execute("SELECT word FROM words WHERE n >= $1 ORDER BY n", (2,))
    assert cursor.fetchall() == [("ship",), (None,)]
    cursor.execute("SELECT n FROM words WHERE word = ?", ("sea",))
    assert cursor.fetchall() == [(1,)]


def test_errors_say_what_the_shell_says(cursor):
    with pytest.raises(adbc_driver_manager.ProgrammingError, match="nowhere"):
        cursor.execute("SELECT * FROM nowhere")
    with pytest.raises(adbc_driver_manager.ProgrammingError, match="syntax error"):
        cursor.execute("SELEC 1")
    with pytest.raises(adbc_driver_manager.NotSupportedError, match="cannot be set through the server"):
        cursor.execute("SET voxql.ef_search = 400")
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,)


def test_columns_without_rows(connection, cursor):
    query = "SELECT value AS n, [1.5, 2.5] AS v, 'a' AS word FROM generate_series(1, 3)"
    schema = cursor.adbc_execute_schema(query)
    assert schema.names == ["n", "v", "word"]
    assert schema.field("n").type == pa.int64()
    assert cursor.adbc_execute_schema("SELECT value * ? AS n FROM generate_series(1, 3)").names == ["n"]
    # The same of a statement that was not prepared, which is GetSchema: as the rows have them, nullability too.
    with adbc_driver_manager.AdbcStatement(connection.adbc_connection) as statement:
        statement.set_sql_query(query)
        schema = pa.schema(statement.execute_schema())
    cursor.execute(query)
    assert cursor.fetch_arrow_table().schema == schema
    cursor.execute("CREATE TABLE without_rows AS SELECT 1 AS n")
    # Nothing is done.
    with pytest.raises(adbc_driver_manager.NotSupportedError):
        cursor.adbc_execute_schema("DROP TABLE without_rows")
    with adbc_driver_manager.AdbcStatement(connection.adbc_connection) as statement:
        statement.set_sql_query("DROP TABLE without_rows")
        assert pa.schema(statement.execute_schema()).names == []
    assert cursor.adbc_execute_schema("SELECT n FROM without_rows").names == ["n"]
    with pytest.raises(adbc_driver_manager.ProgrammingError, match="nowhere"):
        cursor.adbc_execute_schema("SELECT * FROM nowhere")


def test_files_in_the_folders_of_the_server(tmp_path, cursor):
    (tmp_path / "data").mkdir()
    for name in ["data/open.csv", "secret.csv"]:
        (tmp_path / name).write_text("word\nsea\n")
    (tmp_path / "data/link.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(adbc_driver_manager.Error, match="no files by their path.*--allow-path"):
        cursor.execute(f"SELECT * FROM '{tmp_path}/data/open.csv'")
    with served(tmp_path / "study", "--allow-path", tmp_path / "data") as uri:
        with flight.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT word FROM '{tmp_path}/data/open.csv'")
            assert cursor.fetchall() == [("sea",)]
            cursor.execute(f"COPY (SELECT 1 AS n) TO '{tmp_path}/data/out.parquet' STORED AS PARQUET")
            cursor.fetchall()
            assert (tmp_path / "data/out.parquet").is_file()
            for path in ["secret.csv", "data/../secret.csv", "data/link.csv"]:
                with pytest.raises(adbc_driver_manager.Error, match="--allow-path"):
                    cursor.execute(f"SELECT * FROM '{tmp_path}/{path}'")
                with pytest.raises(adbc_driver_manager.Error, match="--allow-path"):
                    cursor.execute(f"COPY (SELECT 1 AS n) TO '{tmp_path}/{path}' STORED AS CSV")


def test_ingest(cursor):
    table = pa.table(
        {
            "t": pa.array([0.0, 1.5, None]),
            "vector": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2)),
            "word": pa.array(["sea", None, "ship"]).dictionary_encode(),
        }
    )
    assert cursor.adbc_ingest("measured", table, mode="create") == 3
    assert cursor.adbc_ingest("measured", table, mode="append") == 3
    with pytest.raises(adbc_driver_manager.Error, match="exists"):
        cursor.adbc_ingest("measured", table, mode="create")
    with pytest.raises(adbc_driver_manager.Error, match="no table"):
        cursor.adbc_ingest("unmeasured", table, mode="append")
    cursor.execute("SELECT t, vector, word FROM measured")
    back = cursor.fetch_arrow_table()
    assert back.num_rows == 6
    assert back.slice(0, 3)["vector"].to_pylist() == [[1, 2], None, [3, 4]]
    assert cursor.adbc_ingest("measured", table.slice(0, 1), mode="replace") == 1
    assert cursor.adbc_ingest("measured", table, mode="create_append") == 3
    cursor.execute("SELECT count(*) FROM measured")
    assert cursor.fetchone() == (4,)


def test_catalog(connection, cursor):
    cursor.execute("CREATE TABLE listed AS SELECT 1 AS n, 'a' AS word")
    objects = connection.adbc_get_objects(table_name_filter="listed").read_all().to_pylist()
    (catalog,) = [c for c in objects if c["catalog_name"] == "voxql"]
    (schema,) = catalog["catalog_db_schemas"]
    (table,) = schema["db_schema_tables"]
    assert table["table_type"] == "TABLE"
    assert [c["column_name"] for c in table["table_columns"]] == ["n", "word"]
    assert connection.adbc_get_table_types() == ["TABLE", "VIEW"]
    assert connection.adbc_get_table_schema("listed").field("n").type == pa.int64()
    info = connection.adbc_get_info()
    assert info["vendor_name"] == "VoxQL"


def test_wide_rows(connection, cursor):
    """Rows of a megabyte: more in one batch than a message may have."""
    brains = np.arange(24 * 260_000, dtype=np.float32).reshape(24, -1)
    column = pa.FixedSizeListArray.from_arrays(pa.array(brains.ravel()), brains.shape[1])
    table = pa.table({"n": range(24), "v": column})
    # What ADBC sends is bounded, too.
    batches = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=8))
    assert cursor.adbc_ingest("brains", batches, mode="create") == 24
    cursor.execute("SELECT v FROM brains ORDER BY n")
    back = cursor.fetch_arrow_table()["v"].combine_chunks()
    assert np.array_equal(back.flatten().to_numpy().reshape(24, -1), brains)


def test_a_row_too_wide_names_the_option(tmp_path, cursor):
    wide = "SELECT repeat('x', 20000000) AS x"
    with pytest.raises(adbc_driver_manager.Error, match="with_max_msg_size"):
        cursor.execute(wide)
        cursor.fetch_arrow_table()
    with served(tmp_path / "study", "--max-message-size", "64MiB") as uri:
        more = {"adbc.flight.sql.client_option.with_max_msg_size": str(64 << 20)}
        with flight.connect(uri, db_kwargs=more, autocommit=True) as patient, patient.cursor() as cursor:
            cursor.execute(wide)
            assert len(cursor.fetchone()[0]) == 20_000_000


def test_transactions_are_not_there(uri):
    with pytest.warns(Warning, match="autocommit"):
        connection = flight.connect(uri)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_leaving_early(connection):
    """A cursor that is closed in the middle of a long result ends the query."""
    for _ in range(3):
        with connection.cursor() as cursor:
            cursor.execute("SELECT a.value FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b")
            assert cursor.fetchmany(10)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_pandas(connection):
    frame = pd.DataFrame({"t": [0.5, 1.0, 1.5], "word": ["sea", "ship", None]})
    assert frame.to_sql("pandas_words", connection, index=False) == 3
    assert frame.to_sql("pandas_words", connection, index=False, if_exists="append") == 3
    with pytest.raises(ValueError, match="already exists"):
        frame.to_sql("pandas_words", connection, index=False)
    assert frame.to_sql("pandas_words", connection, index=False, if_exists="replace") == 3
    back = pd.read_sql("SELECT * FROM pandas_words WHERE t > 0.7 ORDER BY t", connection)
    assert back["t"].tolist() == [1.0, 1.5]
    assert back["word"][0] == "ship" and pd.isna(back["word"][1])


def test_polars(connection):
    frame = pl.DataFrame({"n": [1, 2, 3], "v": [[1.0, 2.0], None, [3.0, 4.0]]}, schema_overrides={"v": pl.Array(pl.Float32, 2)})
    frame.write_database("polars_vectors", connection, if_table_exists="replace")
    back = pl.read_database("SELECT * FROM polars_vectors ORDER BY n", connection)
    assert back.schema == frame.schema
    assert back.equals(frame)


def test_duckdb(connection, cursor):
    cursor.execute("SELECT value AS n, value % 3 AS kind FROM generate_series(1, 300)")
    rows = cursor.fetch_record_batch()
    assert duckdb.sql("SELECT kind, count(*) FROM rows GROUP BY kind ORDER BY kind").fetchall() == [(0, 100), (1, 100), (2, 100)]


def test_the_page_about_the_server(uri):
    """Every Python block of docs/server.md runs, in order."""
    page = (ROOT / "docs/server.md").read_text()
    blocks = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    assert len(blocks) >= 4
    code = "\n".join(blocks).replace("grpc://127.0.0.1:31337", uri)
    names = {}
    exec(compile(code, "docs/server.md", "exec"), names)
    names["cursor"].close()
    names["connection"].close()


def test_users_over_tls(tmp_path):
    users = tmp_path / "users"
    voxql("certificate", "--dir", tmp_path, "--host", "127.0.0.1")
    added = subprocess.run(
        [ROOT / VOXQL, "user", "add", "ana", "--role", "read-only", "--users", users], input="correct horse\n", text=True
    )
    assert added.returncode == 0
    token = voxql("user", "add", "lab", "--role", "read-write", "--token", "--users", users).strip()
    trusted = {"adbc.flight.sql.client_option.tls_root_certs": (tmp_path / "cert.pem").read_text()}
    tls = ["--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem"]
    with served(tmp_path / "study", "--users", users, *tls) as uri:
        assert uri.startswith("grpc+tls://")
        header = {"adbc.flight.sql.authorization_header": f"Bearer {token}"}
        with flight.connect(uri, db_kwargs=trusted | header, autocommit=True) as lab, lab.cursor() as cursor:
            cursor.adbc_ingest("t", pa.table({"n": [1, 2]}), mode="create")
        login = {"username": "ana", "password": "correct horse"}
        with flight.connect(uri, db_kwargs=trusted | login, autocommit=True) as ana, ana.cursor() as cursor:
            cursor.execute("SELECT sum(n) FROM t")
            assert cursor.fetchone() == (3,)
            with pytest.raises(adbc_driver_manager.Error, match="ana may only read"):
                cursor.execute("DROP TABLE t")
        for wrong in [{}, login | {"password": "wrong"}, {"adbc.flight.sql.authorization_header": "Bearer lab.guess"}]:
            with pytest.raises(adbc_driver_manager.Error, match="log in|wrong|UNAUTHENTICATED|Unauthenticated"):
                with flight.connect(uri, db_kwargs=trusted | wrong, autocommit=True) as other, other.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    cursor.fetchone()
