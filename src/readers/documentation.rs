//! What the SQL reference says of all readers together.

/// The begin of the section "Readers".
pub const DOCUMENTATION: &str = "\
A reader is a table function whose path is a file, a glob (`'ds/**/*_bold.nii.gz'`), a
directory, or an array of them; or an external table with the same options:

```sql
SELECT * FROM read_bold('ds/', mask => 'mask.nii.gz') WHERE subject = '01';
CREATE EXTERNAL TABLE bold STORED AS NIFTI LOCATION 'ds/' OPTIONS (mask 'mask.nii.gz');
```

The entities of BIDS file names are columns: `subject`, `session`, `task`, `run` always,
others (`space`, `desc`, …) where a name has them, and `path`. They are strings as
written (`01`, never 1), and NULL for files with other names. A condition on them decides
which files are read; columns that are not asked for are not decoded; LIMIT stops early;
files are read in parallel.

`read_bold` and `read_events` know BIDS data sets, raw or derivatives. Where the path is
the directory of one (a `dataset_description.json` is in it or above it), hidden files, `sourcedata`,
`code` and the `derivatives` of a raw data set are left out; `derivatives => true` searches those too,
and a path within a derivative is searched as it is. Every entity is an argument by
its column's name, a text or an array of texts, for any kind of path:

```sql
SELECT * FROM read_bold('ds/derivatives/fmriprep', subject => ['01', '02'], run => 1, space => 'T1w');
SELECT bold.run, bold.tr, events.trial_type
FROM read_bold('ds/', task => 'rest') AS bold
JOIN read_events('ds/', task => 'rest') AS events USING (subject, session, task, run);
```

(Leave out of `USING` what your names do not have: NULL joins nothing.)

Arguments choose before any header is read, conditions after: of a large data set, say
with arguments which part you mean. In a data set `read_bold` has three more columns, from names alone, NULL where there is no
such file:

- `mask_path`: the `desc-brain_mask` beside the run, of its space and resolution;
- `events_path`: the nearest `events.tsv` whose entities are among the run's, from its directory up to
  the root of the raw data set, which for a derivative is the one that it lies in (or `sourcedata/raw`, or the only one beside `derivatives`);
- `confounds_path`: the `desc-confounds_timeseries.tsv` (once `_regressors.tsv`) beside a derivative's run; for a raw run, of `derivatives/fmriprep*` if
  there is one such pipeline.

Where two files fit equally, asking for that column is an error that names both. Runs and other indices pair whether or not they are padded
(`run-1`, `run-01`).

";
