"""Times cross-validated ridge regression in VoxQL and in himalaya (numpy backend), float64, two threads.

    pip install himalaya packaging pyarrow
    cargo build --release
    python benches/ridge.py target/release/voxql

1,000 features, 5,000 targets, 10 alphas, 5 folds, with an intercept; 600 and 1,000 samples. Prints seconds of the clock, the least of three.
VoxQL's are those of the whole CREATE MODEL: the start of the program, reading Parquet, the fit and the written model. himalaya's are
those of `fit`, of RidgeCV and of KernelRidgeCV, which is the one it recommends where there are fewer samples
than features. The kernel alone is timed by `cargo bench --bench ridge`. At the end the two are compared: the
alphas they chose, and what they predict.
"""

import os

for name in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{name}_NUM_THREADS"] = "2"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])

import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from himalaya.backend import set_backend
from himalaya.kernel_ridge import KernelRidgeCV
from himalaya.ridge import RidgeCV

FEATURES, TARGETS, FOLDS = 1000, 5000, 5
ALPHAS = np.logspace(0, 4, 10)


def least(run, times=3):
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def vectors(matrix):
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


def main(voxql):
    warnings.simplefilter("ignore")
    set_backend("numpy")
    random = np.random.default_rng(0)
    for samples in (600, 1000):
        x = random.standard_normal((samples, FEATURES)).astype(np.float32)
        signal = x @ random.standard_normal((FEATURES, TARGETS)).astype(np.float32) * 0.03
        y = signal + random.standard_normal((samples, TARGETS)).astype(np.float32)
        x64, y64 = x.astype(np.float64), y.astype(np.float64)
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            table = pa.table({"tr": np.arange(samples), "embedding": vectors(x), "bold": vectors(y)})
            pq.write_table(table, folder / "rows.parquet", row_group_size=64)
            alphas = ", ".join(repr(float(alpha)) for alpha in ALPHAS)
            create = (
                f"CREATE OR REPLACE MODEL m USING ridge OPTIONS (alphas '{alphas}', cv {FOLDS}) "
                f"AS SELECT tr, embedding, bold FROM '{folder}/rows.parquet'"
            )
            command = [voxql, "--db", str(folder / "db"), "-c"]
            ours = least(lambda: subprocess.run([*command, create], check=True, stdout=subprocess.DEVNULL))
            print(f"{samples} samples: CREATE MODEL   {ours:6.2f} s", flush=True)
            answers = folder / "answers"
            copy = (
                f"COPY (SELECT alpha FROM model_scores('m') ORDER BY target) TO '{answers}/alphas.parquet' STORED AS PARQUET; "
                f"COPY (SELECT ridge_predict(embedding, model => 'm') AS y FROM '{folder}/rows.parquet' ORDER BY tr) "
                f"TO '{answers}/predicted.parquet' STORED AS PARQUET"
            )
            answers.mkdir()
            subprocess.run([*command, copy], check=True, stdout=subprocess.DEVNULL)
            chosen = pq.read_table(answers / "alphas.parquet")["alpha"].to_numpy()
            predicted = pq.read_table(answers / "predicted.parquet")["y"].combine_chunks().flatten().to_numpy()
        for model in (
            KernelRidgeCV(alphas=ALPHAS, cv=FOLDS, kernel="linear", fit_intercept=True),
            RidgeCV(alphas=ALPHAS, cv=FOLDS, fit_intercept=True, solver_params={"warn": False}),
        ):
            theirs = least(lambda: model.fit(x64, y64), times=1 if "--once" in sys.argv else 3)
            print(f"{samples} samples: {type(model).__name__:13}  {theirs:6.2f} s", flush=True)
        same = np.isclose(chosen, np.asarray(model.best_alphas_))
        difference = np.abs(predicted.reshape(samples, TARGETS) - model.predict(x64)).max()
        print(f"{samples} samples: {same.sum()} of {TARGETS} alphas are equal, predictions to {difference:.1e}")


if __name__ == "__main__":
    main(sys.argv[1])
