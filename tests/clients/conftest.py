"""What the tests read: files that the program writes once per session."""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VOXQL = Path(os.environ.get("VOXQL", "target/release/voxql"))


def voxql(*arguments):
    """Runs the program in the root of the repository; its stdout."""
    done = subprocess.run(
        [(ROOT / VOXQL), *map(str, arguments)], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def server(db, *options, listen="127.0.0.1:0"):
    """A server and its address; it is killed at the end, if it is still there."""
    command = [ROOT / VOXQL, "serve", "--db", db, "--listen", listen, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on grpc"), line
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def served(db, *options):
    """The address of a server, which is stopped at the end as it should be."""
    with server(db, *options) as (process, uri):
        yield uri
        process.terminate()
        assert process.wait(20) == 0


# Rows of (id, vector, note): plain, a missing element with NaN and infinity, a missing vector.
SMALL = """
    SELECT id, arrow_cast(vector, 'FixedSizeList(3, Float32)') AS vector, word
    FROM (VALUES
        (1, make_array(1.0, 2.5, -3.25), 'sea'),
        (2, make_array(NULL, 'NaN'::DOUBLE, 'Infinity'::DOUBLE), 'Zürich 🌊'),
        (3, NULL, NULL)
    ) AS t(id, vector, word)
"""


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A file of three rows with a vector column."""
    path = tmp_path_factory.mktemp("small") / "small.parquet"
    voxql("-c", f"COPY ({SMALL} ORDER BY id) TO '{path}' STORED AS PARQUET")
    return path


@pytest.fixture(scope="session")
def aligned(tmp_path_factory):
    """The demonstration's Parquet: the folder `cargo run --release -- demo` made, or one made now."""
    path = ROOT / "target/demo/aligned"
    if not path.is_dir():
        folder = tmp_path_factory.mktemp("demo")
        voxql("demo", "--dir", folder / "out")
        path = folder / "out/aligned"
    return path


@pytest.fixture(scope="session")
def expected(aligned):
    """What VoxQL itself reads from the aligned Parquet: {(subject, tr): (audio[0], brain[9])}."""
    text = voxql(
        "--format", "csv", "-c",
        f"SELECT subject, tr, audio[1] AS audio, brain[10] AS brain FROM '{aligned}/'",
    )
    rows = {}
    for line in text.splitlines()[1:]:
        subject, tr, audio, brain = line.split(",")
        rows[subject, int(tr)] = (float(audio), float(brain))
    assert len(rows) == 4 * 78
    return rows
