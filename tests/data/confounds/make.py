"""Makes the confounds files of this directory, as fMRIPrep writes them, and what nilearn makes of them.

    pip install nilearn==0.14.1
    python tests/data/confounds/make.py

The files are made up: random walks for motion, noise for tissue signals, the derivatives and squares
computed from them, n/a where fMRIPrep has n/a. `expected.json` holds nilearn's answers for every
case (it makes an error of some): `columns` has each different column once, its name and its values to 12
digits, and a case refers to them by place.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

MODELS = ["basic", "power2", "derivatives", "full"]
COMPCOR = [
    "anat_combined",
    "anat_separated",
    "temporal",
    "temporal_anat_combined",
    "temporal_anat_separated",
]


def expand(table, name, series):
    """A signal, its derivative, its square, the derivative's square."""
    derivative = np.diff(series, prepend=np.nan)
    table[name] = series
    table[f"{name}_derivative1"] = derivative
    table[f"{name}_derivative1_power2"] = derivative**2
    table[f"{name}_power2"] = series**2


def run(random, volumes, non_steady=0, cosines=3, components=None, aroma=(), jumps=()):
    """One run's table and its JSON. `components`: (prefix, mask, number) of CompCor, in order."""
    table = {}
    for name, level in [("global_signal", 600.0), ("csf", 671.0), ("white_matter", 580.0)]:
        drift = np.cumsum(random.normal(0, 0.3, volumes))
        expand(table, name, level + drift + random.normal(0, 1, volumes))
    table["std_dvars"] = np.abs(random.normal(1.0, 0.15, volumes))
    table["dvars"] = 20 * table["std_dvars"]
    table["framewise_displacement"] = np.abs(random.normal(0.12, 0.05, volumes))
    for volume, displacement, dvars in jumps:
        table["framewise_displacement"][volume] = displacement
        table["std_dvars"][volume] = dvars
    for name in ["std_dvars", "dvars", "framewise_displacement"]:
        table[name][0] = np.nan
    described = {}
    numbers = {}
    for prefix, mask, count in components or []:
        for _ in range(count):
            number = numbers.get(prefix, 0)
            numbers[prefix] = number + 1
            name = f"{prefix}_comp_cor_{number:02}"
            table[name] = random.normal(0, 0.1, volumes)
            described[name] = {
                "CumulativeVarianceExplained": round(0.02 * (number + 1), 4),
                "Mask": mask,
                "Method": "tCompCor" if prefix == "t" else "aCompCor",
                "Retained": True,
            }
    described["dropped_0"] = {"Mask": "WM", "Method": "aCompCor", "Retained": False}
    described["global_signal"] = {"Method": "Mean"}
    for k in range(cosines):
        wave = np.cos(np.pi * (k + 1) * (np.arange(volumes) + 0.5) / volumes)
        table[f"cosine{k:02}"] = wave * np.sqrt(2 / volumes)
    one_hot = np.eye(volumes, dtype=int)
    for volume in range(non_steady):
        table[f"non_steady_state_outlier{volume:02}"] = one_hot[volume]
    for axis in "xyz":
        expand(table, f"trans_{axis}", np.cumsum(random.normal(0, 0.02, volumes)))
    for axis in "xyz":
        expand(table, f"rot_{axis}", np.cumsum(random.normal(0, 0.0005, volumes)))
    # fMRIPrep's own outliers, which nilearn does not take.
    table["motion_outlier00"] = one_hot[volumes // 2]
    for number in aroma:
        table[f"aroma_motion_{number:02}"] = random.normal(0, 1, volumes)
    return pd.DataFrame(table), described


def write(directory, name, table, described):
    path = directory / f"{name}.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="n/a", float_format="%.5g")
    if described is not None:
        path.with_suffix(".json").write_text(json.dumps(described, separators=(",", ":")) + "\n")


def files(directory, seed=4):
    """Writes the files, and gives their names without ending."""
    random = np.random.default_rng(seed)
    now = [("t", None, 4), ("a", "combined", 4), ("c", "CSF", 3), ("w", "WM", 4)]
    once = [("t", None, 3), ("a", "combined", 3), ("a", "CSF", 2), ("a", "WM", 3)]
    jumps = [(6, 0.9, 1.2), (9, 0.2, 1.8), (13, 0.7, 2.4), (17, 0.5, 1.5)]
    made = {
        # fMRIPrep 21 and newer, with two volumes before the steady state and a head that jumps.
        "sub-01_task-rest_run-1_desc-confounds_timeseries": run(
            random, 20, non_steady=2, components=now, aroma=(1, 5, 11), jumps=jumps
        ),
        # The same subject lies still.
        "sub-01_task-rest_run-2_desc-confounds_timeseries": run(random, 12, components=now),
        # fMRIPrep 1.4: one row of numbers for all anatomical masks.
        "sub-02_task-rest_run-1_desc-confounds_regressors": run(
            random, 15, non_steady=1, components=once, aroma=(2, 7), jumps=[(14, 0.8, 1.0)]
        ),
        # A short run without cosines, with more than a hundred components.
        "sub-03_task-rest_desc-confounds_timeseries": run(
            random, 7, cosines=0, components=[("a", "combined", 103)], jumps=[(2, 0.6, 1.6)]
        ),
    }
    # A value that fMRIPrep could not compute, in the midst of a run.
    table, _ = made["sub-02_task-rest_run-1_desc-confounds_regressors"]
    table.loc[4, "trans_x_derivative1"] = np.nan
    for name, (table, described) in made.items():
        write(directory, name, table, described)
    return list(made)


def cases():
    """Strategies with their arguments."""
    models = [{"strategy": [c], c: m} for c in ["motion", "wm_csf", "global_signal"] for m in MODELS]
    for name in ["simple", "scrubbing", "compcor", "ica_aroma"]:
        yield {"strategy": name}
        yield {"strategy": name, "global_signal": "full"}
    yield {"strategy": "scrubbing", "motion": "derivatives", "wm_csf": "basic", "demean": False}
    yield {"strategy": "simple", "motion": "basic", "wm_csf": "full", "global_signal": "basic"}
    yield {"strategy": "compcor", "motion": "derivatives", "n_compcor": 2}
    yield {"strategy": "compcor", "compcor": "temporal_anat_separated", "n_compcor": 50}
    yield {"strategy": "ica_aroma", "wm_csf": "power2"}
    for scrub in [0, 3]:
        for fd, dvars in [(0.2, 3.0), (0.6, 1.7)]:
            yield {
                "strategy": "scrubbing",
                "scrub": scrub,
                "fd_threshold": fd,
                "std_dvars_threshold": dvars,
                "motion": "basic",
                "wm_csf": "basic",
            }
    for component in ["motion", "wm_csf", "global_signal"]:
        yield {"strategy": [component]}
    yield from models
    for compcor in COMPCOR:
        yield {"strategy": ["compcor", "high_pass"], "compcor": compcor}
        yield {"strategy": ["high_pass", "compcor"], "compcor": compcor, "n_compcor": 1}
    yield {"strategy": ["ica_aroma"]}
    yield {"strategy": ["ica_aroma"], "ica_aroma": "basic"}
    yield {"strategy": ["high_pass", "wm_csf", "ica_aroma"], "ica_aroma": "basic"}
    yield {"strategy": ["high_pass"]}
    yield {"strategy": ["non_steady_state"]}
    yield {"strategy": ["scrub"]}
    yield {"strategy": ["scrub", "global_signal"], "scrub": 100, "fd_threshold": 0.3}
    yield {"strategy": ["motion", "scrub", "wm_csf", "high_pass", "global_signal"], "scrub": 4}


def image(directory, name, arguments):
    """The image whose confounds nilearn looks for; it is never opened."""
    full = "ica_aroma" in arguments["strategy"] and arguments.get("ica_aroma", "full") == "full"
    desc = "smoothAROMAnonaggr" if full else "preproc"
    stem = name.split("_desc-")[0]
    return str(directory / f"{stem}_space-MNI152NLin2009cAsym_desc-{desc}_bold.nii.gz")


def reference(directory, name, arguments):
    """nilearn's columns, led by their names, and whether volumes are kept; None where it has an error."""
    arguments = dict(arguments)
    strategy = arguments.pop("strategy")
    path = image(directory, name, {"strategy": strategy, **arguments})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if isinstance(strategy, str):
                found, keep = load_confounds_strategy(path, strategy, **arguments)
            else:
                found, keep = load_confounds(path, strategy, **arguments)
        except (ValueError, KeyError):
            return None
    volumes = len(pd.read_csv(directory / f"{name}.tsv", sep="\t"))
    mask = [True] * volumes if keep is None else [v in set(keep) for v in range(volumes)]
    digits = lambda value: None if np.isnan(value) else float(f"{value:.12g}")
    return [[name, *map(digits, found[name])] for name in found.columns], mask


def main():
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
    directory = directory if directory.is_dir() else directory.parent
    places, expected = {}, []
    for name in files(directory):
        for number, arguments in enumerate(cases()):
            if number % 4 and ("run-2" in name or "sub-03" in name):
                continue  # less to store
            found = reference(directory, name, arguments)
            run = name.split("_desc")[0]
            case = {"id": f"{run}/{number}", "file": f"{name}.tsv", "arguments": arguments}
            if found is None:
                case["error"] = True
            else:
                columns, mask = found
                keys = [json.dumps(column, separators=(",", ":")) for column in columns]
                case["columns"] = [places.setdefault(key, len(places)) for key in keys]
                case["dropped"] = [v for v, keep in enumerate(mask) if not keep]
            expected.append(case)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in expected)
    numbers = ",\n".join(places)
    text = f'{{"cases":[\n{lines}\n],\n"columns":[\n{numbers}\n]}}\n'
    (directory / "expected.json").write_text(text)
    errors = sum("error" in case for case in expected)
    print(f"{len(expected)} cases, {errors} of them errors, {len(places)} columns, {len(text)} bytes")


if __name__ == "__main__":
    main()
