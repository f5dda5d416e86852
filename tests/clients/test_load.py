"""The server under load: 64 clients at once, and a server that is killed meanwhile.

VOXQL_LOAD_SECONDS says for how long the clients ask; two minutes is the real thing, a few seconds the default.
"""

import os
import random
import sys
import threading
import time

import adbc_driver_flightsql.dbapi as flight
import numpy as np
import pyarrow as pa
import pytest

from conftest import server

SECONDS = float(os.environ.get("VOXQL_LOAD_SECONDS", 8))
CLIENTS = 64
WIDTH = 2_000


def megabytes(process, what):
    """VmRSS is the memory that a process has, VmHWM the most that it ever had."""
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith(what))
    return int(line.split()[1]) / 1000


def vectors(rows, seed=0):
    values = np.random.default_rng(seed).standard_normal(rows * WIDTH).astype("float32")
    return pa.table({"n": np.arange(rows), "v": pa.FixedSizeListArray.from_arrays(pa.array(values), WIDTH)})


def one(cursor, statement, *parameters):
    cursor.execute(statement, parameters or None)
    return cursor.fetchone()[0]


class Client(threading.Thread):
    """Asks one thing after the other until it is time, and keeps count of what it wrote."""

    def __init__(self, uri, number, until):
        super().__init__()
        self.uri, self.number, self.until = uri, number, until
        self.random = random.Random(number)
        self.asked, self.written, self.error = 0, 0, None

    def run(self):
        try:
            with flight.connect(self.uri, autocommit=True) as connection:
                while time.monotonic() < self.until:
                    with connection.cursor() as cursor:
                        self.ask(cursor)
                    self.asked += 1
        except BaseException as error:
            self.error = error

    def ask(self, cursor):
        match self.random.choices(range(6), weights=[6, 4, 2, 2, 1, 1])[0]:
            case 0:
                n = self.random.randrange(1_000)
                assert one(cursor, "SELECT n FROM wide WHERE n = ?", n) == n
            case 1:
                assert one(cursor, "SELECT sum(value % 7) FROM generate_series(1, 70000)") == 210_000
            case 2:
                cursor.execute("SELECT n, v FROM wide ORDER BY n DESC")
                table = cursor.fetch_arrow_table()
                assert table["n"].to_pylist() == list(range(999, -1, -1))
            case 3:
                rows = pa.table({"client": pa.array([self.number] * 10), "n": range(10)})
                cursor.adbc_ingest("written", rows, mode="append")
                self.written += 10
            case 4:
                # A client that reads a little and goes away.
                cursor.execute("SELECT a.n, b.v FROM wide a CROSS JOIN wide b")
                assert cursor.fetch_record_batch().read_next_batch().num_rows > 0
            case 5:
                with pytest.raises(Exception, match="no_such_table"):
                    cursor.execute("SELECT * FROM no_such_table")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_64_clients_at_once(tmp_path):
    with server(tmp_path / "study", "--memory-limit", "512MiB") as (process, uri):
        with flight.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("wide", vectors(1_000))
            cursor.execute("CREATE TABLE written (client BIGINT, n BIGINT)")
        until = time.monotonic() + SECONDS
        clients = [Client(uri, number, until) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(SECONDS + 120)
            assert not client.is_alive()
        assert [client.error for client in clients if client.error] == []
        assert all(client.asked > 0 for client in clients)
        with flight.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            assert one(cursor, "SELECT count(*) FROM written") == sum(client.written for client in clients)
        peak = megabytes(process, "VmHWM")
        print(f"{sum(client.asked for client in clients)} statements in {SECONDS:.0f} s, at most {peak:.0f} MB")
        assert peak < 1_500


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_client_that_stops_reading_costs_no_memory(tmp_path):
    with server(tmp_path / "study") as (process, uri):
        with flight.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("wide", vectors(1_000))
            # 8 GB, if anybody made it.
            cursor.execute("SELECT a.n, b.v FROM wide a CROSS JOIN wide b")
            rows = cursor.fetch_record_batch()
            rows.read_next_batch()
            time.sleep(1)
            before = megabytes(process, "VmRSS")
            time.sleep(2)
            assert megabytes(process, "VmRSS") < before + 50
            assert megabytes(process, "VmHWM") < 1_000


def test_a_killed_server_keeps_what_it_acknowledged(tmp_path):
    db, acknowledged = tmp_path / "study", 0
    with server(db) as (process, uri):
        with flight.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (n BIGINT)")
        killer = threading.Timer(1.0, process.kill)
        killer.start()
        connection = flight.connect(uri, autocommit=True)
        with pytest.raises(flight.Error), connection.cursor() as cursor:
            while True:
                cursor.adbc_ingest("kept", pa.table({"n": [acknowledged]}), mode="append")
                acknowledged += 1
    address = uri.removeprefix("grpc://")
    with server(db, listen=address), connection, connection.cursor() as cursor:
        # The connection finds the new server by itself, in its own time.
        for attempt in range(60):
            try:
                kept = one(cursor, "SELECT count(*) FROM kept")
                break
            except flight.Error:
                time.sleep(0.25)
        # The last one may have been written and not acknowledged.
        assert kept in (acknowledged, acknowledged + 1)
        assert acknowledged > 0
