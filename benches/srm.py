"""CREATE MODEL … USING srm beside BrainIAK's SRM: the same data, start and iterations.

    cargo build --release
    pip install numpy pyarrow brainiak   # BrainIAK needs MPI
    OPENBLAS_NUM_THREADS=2 python benches/srm.py [--voxels 5000] [--dtype float64]

BrainIAK's time is its `fit` alone, of arrays in memory. VoxQL's is the whole program: start, Parquet in, the fit, the
model's files out. Both say the largest memory of their process; BrainIAK's holds the data.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = pathlib.Path(__file__).parent.parent
VOXQL = ROOT / "target/release/voxql"


def data(args, seed=0):
    """One subject after the other: an orthonormal map of one response, and noise."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((args.features, args.trs))
    for _ in range(args.subjects):
        w = np.linalg.qr(rng.standard_normal((args.voxels, args.features)))[0]
        x = np.sqrt(args.voxels / args.features) * (w @ shared)
        x += rng.standard_normal(x.shape)
        yield (x - x.mean(1, keepdims=True)).astype(args.dtype)


def write(args, folder):
    for i, x in enumerate(data(args)):
        values = pa.array(np.ascontiguousarray(x.T).ravel())
        table = pa.table(
            {
                "subject": [f"{i:02}"] * args.trs,
                "tr": np.arange(args.trs),
                "bold": pa.FixedSizeListArray.from_arrays(values, args.voxels),
            }
        )
        pq.write_table(table, folder / f"{i:02}.parquet", compression="none", use_dictionary=False, row_group_size=50)


def brainiak(args):
    """Run in a process of its own, so that its memory is its own."""
    from brainiak.funcalign.srm import SRM

    x = [np.asarray(x, dtype=np.float64) for x in data(args)]
    model = SRM(n_iter=args.iterations, features=args.features)
    start = time.perf_counter()
    model.fit(x)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"seconds": seconds, "mb": peak, "rho2": list(map(float, model.rho2_))}))


def voxql(args, folder):
    options = f"features {args.features}, iterations {args.iterations}, demean false"
    sql = f"""CREATE MODEL m USING srm OPTIONS ({options}) AS
              SELECT subject, tr, bold FROM '{folder}/*.parquet'"""
    start = time.perf_counter()
    process = subprocess.Popen([VOXQL, "--threads", str(args.threads), "-c", sql], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit("voxql failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--voxels", type=int, default=5000)
    parser.add_argument("--trs", type=int, default=300)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float64", choices=["float32", "float64"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--brainiak", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.brainiak:
        return brainiak(args)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(args, folder)
        ours = [voxql(args, folder) for _ in range(args.repeat)]
    command = [sys.executable, __file__, *sys.argv[1:], "--brainiak"]
    theirs = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(args.repeat)
    ]
    size = f"{args.subjects} subjects x {args.voxels} voxels x {args.trs} TRs, {args.dtype}"
    print(f"{size}, k {args.features}, {args.iterations} iterations, {args.threads} threads, best of {args.repeat}")
    seconds, mb = min(ours)
    print(f"VoxQL, program and files  {seconds:7.2f} s  {mb:6.0f} MB")
    best = min(theirs, key=lambda run: run["seconds"])
    print(f"BrainIAK, fit             {best['seconds']:7.2f} s  {best['mb']:6.0f} MB")
    print(f"{best['seconds'] / seconds:.1f} times as fast")


if __name__ == "__main__":
    main()
