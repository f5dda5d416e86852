//! The SQL reference, `docs/sql-reference.md`, from what the functions and readers say
//! of themselves. `UPDATE=1 cargo test --release --test reference` writes it anew.

use std::fmt::Write;

use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::Documentation;
use datafusion::prelude::SessionContext;

use crate::readers;
use crate::readers::bids::arguments;
use crate::readers::call::usage;
use crate::readers::format::{BidsUse, Format, ParameterKind};
use crate::search;
use crate::statements::judging::documentation::DOCUMENTATION;

/// The sections of functions, in the order of the reference.
const SECTIONS: [&str; 8] = [
    "Time Functions",
    "Vector Functions",
    "Response Functions",
    "Signal Functions",
    "Audio Functions",
    "Video Functions",
    "Text Functions",
    "Brain Functions",
];

const HEAD: &str = "\
# SQL reference

What VoxQL adds to [DataFusion's SQL](https://datafusion.apache.org/user-guide/sql/index.html).
This page is generated from the functions' own documentation; a test fails when it is stale.

Arguments may be named, `tr => 1.49`, and those after the required ones may be left out.
Vectors are `FixedSizeList<Float32, N>` columns where every row has the same length, and
`List<Float32>` columns otherwise; functions take lists of any number type.

";

const STATEMENTS: &str = "\
## Statements

```sql
CREATE [OR REPLACE] TABLE name AS query;
INSERT INTO name query;
DROP TABLE [IF EXISTS] name;
CREATE [OR REPLACE] VIEW name AS query;
CREATE EXTERNAL TABLE name STORED AS format LOCATION 'path' [OPTIONS (option value, …)];
COPY (query) TO 'path' STORED AS PARQUET [PARTITIONED BY (column, …)] [OPTIONS (overwrite true)];
COPY (query) TO 'x.nii.gz' STORED AS NIFTI [OPTIONS (like 'image', mask 'mask', tr seconds)];
COPY (query) TO 'x.wav' [STORED AS WAV] [OPTIONS (sample_rate hertz, bit_depth 16)];
```

Tables are Parquet files in the database directory (`--db`), each statement happens wholly
or not at all. Views and external tables keep their SQL; paths in them are relative to
the directory in which `voxql` runs. COPY into a folder (`'path/'`, or PARTITIONED BY) writes
beside it and becomes visible when all is written; a folder that holds something is refused,
or replaced with `overwrite true`.

`STORED AS NIFTI` writes one image, `.nii` or `.nii.gz`, which appears at its place, or in place of
the file that is there, when it is whole. The query's rows are one of two things:

* **voxels**: `i`, `j`, `k` (whole numbers from 0), in any order, and at most one more column. None
  makes a mask, 1 where there is a row; a number makes a 3-D image, a vector a 4-D one with time along
  the vector. Voxels that no row names are 0; a voxel named twice is an error. The image is held
  in memory while it is written.
* **volumes**: `tr` (from 0, in any order, none twice or missing) and a vector of voxels, as `read_bold` gives them;
  one row without `tr` makes a 3-D image. The vector's elements are the voxels inside the mask in
  C order (nilearn's `unmask`), or all voxels without a mask. Volumes go to the file as they
  come; those that come before their turn wait on the disk.

Numbers are stored in the column's own type (integers of 8 to 64 bits, float32, float64; BOOLEAN as
uint8), so `CAST` chooses it. A missing number is NaN, and an error in an integer image. Keys of files
(`subject`, …, `path`), `time`, and beside a value `voxel`, `x`, `y`, `z`, may be selected and are not written.

| option | default | |
| --- | --- | --- |
| `like` | | an image of the same grid, such as the one that was read: the shape, both forms of the affine (bit for bit, with their codes) and the unit of space are its own |
| `mask` | the `mask =>` of `read_bold` | the 3-D mask whose voxels a row of volumes has; without `like`, the grid is the mask's |
| `tr` | `repetition_time` of the query, else of `read_voxels`, else of `like` | seconds between volumes |

Without `like` and `mask` the grid is what `i`, `j` and `k` remember in their fields' metadata, which
`read_voxels` and the masks give them; then the sform has the affine (code 2) as nibabel writes
a new image. Headers are NIfTI-1, or NIfTI-2 where a dimension is longer than 32,767. Units of time are
seconds.

`STORED AS WAV` writes one sound of one channel, likewise whole or not at all: a column `samples` of lists of numbers from
-1 to 1, as `read_audio` has them, or `sample` with one in a row; other columns are not written. Rows are written as the query gives
them, so end it with `ORDER BY time` where it joins or gathers. Where there is a column `time`, each row must begin where the
one before ended, to half a sample: a gap, an overlap or another order is an error. Without rows the file has a header only. A WAV file holds 4 GB.

| option | default | |
| --- | --- | --- |
| `sample_rate` | the column `sample_rate`, else what the samples' field says (`vocode`) | samples per second |
| `bit_depth` | 16 | 16, 24, 32, or `'float32'`; of whole numbers, samples beyond full scale are cut off, with a warning |

```sql
CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name USING srm | detsrm | rsrm
    [OPTIONS (features 50, iterations 10, seed 0, tolerance 0, demean true)]
    AS SELECT subject, tr, bold FROM …;
CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name FROM MODEL other AS SELECT subject, tr, bold FROM …;
CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name FROM 'file.npz' [OPTIONS (subjects '01, 02, …')];
COPY MODEL name TO 'file.npz';
SHOW MODELS;
DROP MODEL [IF EXISTS] name;
```

Shared response models find one response for all subjects, and for each subject an orthonormal map from its
voxels to it: `srm` is the probabilistic model (Chen et al. 2015), `detsrm` the deterministic one, and `rsrm` the robust one, which
leaves each subject a sparse response of its own (Turek et al. 2017). From the same seed they equal BrainIAK's `SRM`, `DetSRM`
and `RSRM`. The query selects `subject`, one vector column, and the time: `tr`, or `run, tr`. All subjects need the same times, each
once; they may have different numbers of voxels.

| option | default | |
| --- | --- | --- |
| `features` | 50 | of the shared space; not more than the TRs, or than any subject's voxels |
| `iterations` | 10 | at most |
| `seed` | 0 | BrainIAK's `rand_seed` |
| `tolerance` | 0 | the fit ends once the likelihood or objective changes by less than this share; 0, BrainIAK's way, never ends it |
| `demean` | true | subtract each voxel's mean over the fitted TRs, in the fit and in `srm_transform`. The models take all power around zero for signal or noise; BrainIAK leaves that to its caller, and `false` gives its numbers |
| `gamma` | 1 | of `rsrm`: the weight of the subjects' own responses; the larger, the sparser they are |

The query is run once, and its vectors go to a temporary file. From there each subject is read twice, a few voxels at a time: once for its
second moments, from which all iterations follow exactly, and once for its map. So memory grows with the square of
the TRs and with one subject's map, not with the data. `rsrm` reads the data twice in each iteration and holds all maps.

`FROM MODEL` makes a model of the subjects of another one and new ones, whose maps follow from their data for the same times as in
its fit (BrainIAK's `transform_subject`); the shared response stays as it is.

`COPY MODEL` writes the file that BrainIAK's `SRM.save` writes and its `load` reads, and `FROM 'file.npz'` reads one; it holds models of kind
`srm` whose subjects have one number of voxels, and not the subjects' names, nor the times of the fit.

`model_history('m')` has a row per iteration: `iteration`, `measure` (`log_likelihood`, before the iteration, or `objective`, after it),
`value` and its relative `change`. `model_weights('m')` has the maps, a row per `subject` and `feature`, from 0, with the `weights` of
its voxels. As brain maps, through the mask:

```sql
COPY (SELECT feature AS tr, weights FROM model_weights('m') WHERE subject = '01')
TO 'maps.nii.gz' STORED AS NIFTI OPTIONS (mask 'mask.nii.gz');
```

```sql
CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name USING ridge
    [OPTIONS (alphas '1, 10, 100', cv 'run', per_target true, fit_intercept true, score 'neg_mse',
              gammas '1, 0; 0.5, 0.5', n_iter 100, seed 0)]
    AS SELECT [subject,] [run,] tr, features, …, bold FROM …;
```

`ridge` is an encoding model: ridge regression from feature vectors to the last vector column, cross-validated, equal to
himalaya's `RidgeCV` and `KernelRidgeCV`; with several feature spaces `GroupRidgeCV` (banded ridge). Other columns are keys, by which rows are
sorted; with `subject` each subject has a regression of its own. `cv` is a number of folds of neighbouring rows, or the key whose
values are left out one at a time: by default `run`, where there are at least two, else 5 folds. [encoding.md](encoding.md) says the rest.

```sql
CREATE INDEX [IF NOT EXISTS] name ON table USING hnsw (column [vector_cosine_ops | vector_l2_ops | vector_ip_ops])
    [WITH (metric = 'cosine', m = 16, ef_construction = 200)];
SHOW INDEXES;
DROP INDEX [IF EXISTS] name;
SET voxql.ef_search = 100;
SET voxql.use_index = true;
```

An index of a table's vectors, by which `ORDER BY cosine_distance(column, query) LIMIT k` (and `l2_distance`, `inner_product … DESC`) finds the nearest
without looking at all. `metric` is `'cosine'`, `'l2'` or `'inner_product'`. `SHOW INDEXES` has a row per index: `name`, `table`, `column`, `metric`, `m`,
`ef_construction`, its `rows`, `tail_rows` (rows of the table that came later, which are looked at one by one), `bytes` on disk, and `state`: `used`, or
why not. [index.md](index.md) says the rest.

";

const EXPLAIN_ALIGN: &str = "\
```sql
EXPLAIN ALIGN (subject = '01', tr = 60) SELECT subject, tr, … ;
```

shows which source rows went into one row of a query, when they were, and with what
weights, so that a feature that comes a TR late is seen at once. The conditions are on the
result's columns and must leave one row; without them the result must have one row. The
answer has a row per column of the result (keys excepted) and source row, in order of time:

| column | |
| --- | --- |
| `column` | the column of the result |
| `source` | the table, or the reader and the file |
| `steps` | the source's column, and what was done to it: `frame → vector_avg → hrf_convolve` |
| `subject`, `session`, `task`, `run`, `tr` | the source row's keys, where it has them |
| `time` | when it was in seconds: its `time` or `onset`; else the start of its `tr`, where the query's calls agree on one TR |
| `lag` | how many seconds before the row that was asked for (its `time`, or the start of its `tr`) |
| `weight` | what the source row's value is multiplied with |
| `value` | that value, if it is not a vector |
| `note` | what the weight means, or why there is none |

`weight · value`, summed over a column's rows, is the query's own number. This holds for
`avg`, `sum`, `vector_avg` and `vector_sum`, `first_value`, `last_value`, `min` and `max` (the row that has
it), `lag` and `lead`, moving averages, `interpolate`, `hrf_convolve` and `fir_delays` of every
model, sums and differences, multiples, `coalesce` and a CASE that chooses between columns.
A function of one value of a source row, such as `power_to_db(mel)` or `embed(text)`, counts as
the row's value, and the note says so. What is no weighted sum of rows, such as `clean` or
a logarithm of a mean, has its source rows with weight NULL. Rows of weight 0 are left
out. Vectors that are put together (`vector_concat`, `fir_delays`) have the weight that each
row has within its own elements. In a group with missing elements, weights are those of
the elements that all rows have.

Lineage follows subqueries, views, joins, unions, groups and windows. Tables and files are its
sources; so are the rows of what it cannot follow (`unnest`, recursive queries, grouping sets,
`DISTINCT ON`), and the note says that. The query itself runs too, so that it fails where the
query fails, and takes somewhat longer than the query.

";

const TR_GRID: &str = "\
### `tr_grid`

```sql
tr_grid(n => …, tr => … [, start => 0] [, slice_time_ref => 0])
```

The empty grid as a table: columns `tr` (0 to n - 1) and `time` (`start + tr * TR` in
seconds, exact as `tr_time` has it). Left join onto it, and TRs without data show as NULL.

```sql
SELECT g.tr, g.time, b.mel
FROM tr_grid(n => 300, tr => 1.49) AS g LEFT JOIN binned AS b ON b.tr = g.tr;
```

";

const DESIGN_MATRIX: &str = "\
### `design_matrix`

```sql
design_matrix((SELECT onset, duration, trial_type FROM …), tr => seconds, n_scans => n
    [, hrf_model => 'glover'] [, drift_model => 'cosine'] [, high_pass => 0.01] [, drift_order => 1]
    [, fir_delays => [0]] [, add_regs => (SELECT tr, … FROM …)]
    [, min_onset => -24] [, oversampling => 50] [, slice_time_ref => 0])
```

The design matrix of a first-level analysis as a table, with the columns, names and numbers of nilearn's
`make_first_level_design_matrix`: `tr` (from 0), `time` (seconds, as `tr_time(tr + slice_time_ref, tr => …)`), then a DOUBLE
column per regressor: the conditions in the order of their names, capitals first (numbers by value), the added regressors, `drift_1` and so on,
and `constant`. Names with capitals are quoted in SQL: `\"Body\"`.

- `events`, the first argument: a query for `onset`, `duration` (seconds), and if there are any `trial_type` (else there is one
  condition, `dummy`) and `modulation` (else, or where NULL, 1; nilearn takes a missing one for 0). Other columns are left alone, but those named `subject`, `session`, `task`,
  `acquisition`, `direction` or `run` tell runs apart: every combination gets its own matrix, the keys lead
  the table, and a run without one of the conditions has 0 there. NULL or NaN in `onset` and `duration`, and NULL in `trial_type`, are errors
  (nilearn drops the latter silently). Without events, or with NULL, there are only the other columns.
- `hrf_model`: as `model` of `regressor`; also `fir_delays`, `oversampling`, `min_onset` and `slice_time_ref` are as there. Events that
  are equal in onset, duration and condition add up.
- `drift_model`: `'cosine'`, up to `high_pass` Hz; `'polynomial'`, up to `drift_order`; or `'none'`, which leaves the constant.
- `add_regs`: a query for `tr` and regressors, one row per volume and run: all columns that are neither keys nor `tr`,
  `time` or `path`. Keys that it has must be keys of the events; if it has fewer, its rows hold for all runs that
  agree in them. A value that is missing is an error.

If columns depend on each other the matrix is regularised as nilearn does it, by 1e-15 of its largest singular value, with a warning.

The columns follow from the events, so the queries run when the statement is planned: for `EXPLAIN` too, and for
a view each time that it is used. They may hold whatever a query may, see the common table expressions around them, and cannot
refer to other tables of the same FROM. The other arguments are constants: literals, expressions, or queries for one value, as in
`n_scans => (SELECT max(tr) + 1 FROM bold)`.

```sql
SELECT * FROM design_matrix(
    (SELECT subject, run, onset, duration, trial_type FROM read_events('ds/')),
    tr => 2.0, n_scans => 240, hrf_model => 'spm + derivative',
    add_regs => (SELECT subject, run, tr, trans_x, trans_y FROM motion));
```

";

const WORD_TIMING_REPORT: &str = "\
### `word_timing_report`

```sql
word_timing_report((SELECT onset, duration, word FROM …) [, media => 'a.wav' | media_end => seconds]
    [, max_gap => 2.0] [, tolerance => 0.001] [, keys => ['speaker']])
```

What is wrong with the times of words, as a table: no rows, no problems. The first argument is a query for `onset` and `duration` in seconds, and
the words, if there are any, in a column `word`, else `text`, `label` or `trial_type`; rows of `read_textgrid`, `read_subtitles` and
`read_events` do as they are. Recordings are looked at one by one: the columns `subject`, `session`, `task`, `acquisition`, `direction`, `run`,
`path`, `stream` and `tier`, and those that `keys` names, tell them apart and lead the table. Other columns are left alone.

- `media`: the recording, whose end the words may not pass: of an MP4 or MOV when the last picture and the last sound of all tracks are
  over (edit lists applied; subtitles do not count), of other files when the sound is. Or `media_end`, in seconds. Without either
  nothing is past the end.
- `max_gap`: pauses longer than this many seconds are gaps; also before the first word, and from the last one to the end of the media.
- `tolerance`: how many seconds times may be off, for `overlap`, `before_start`, `past_end` and `out_of_order`.

Times are compared as whole nanoseconds: 1.19 + 0.18 touches 1.37.

| `problem` | `seconds` | `other_word` |
| --- | --- | --- |
| `missing_onset` | NULL: `onset` is NULL or no finite number; the word is left out of the rest | |
| `missing_duration` | NULL: the same of `duration`, which then counts as 0 | |
| `negative_duration` | by how much it ends before it begins | |
| `before_start` | how long before 0 it begins | |
| `past_end` | how long after the end of the media it ends | |
| `out_of_order` | how much earlier it begins than the row before it in the query | that row's |
| `overlap` | how long both are heard | of the earlier words the one that ends last |
| `gap` | how long nothing is heard before it; `word` is NULL at the end of the media | the word before the gap |

| column | |
| --- | --- |
| `problem` | as above |
| `word`, `onset`, `end_time` | the word, and when it begins and ends, in seconds |
| `other_word`, `other_onset` | the other word that is concerned |
| `seconds` | how large the problem is |
| `media_end` | the end of the media, if it is known |

Rows stand in the order of the keys, then of the onsets, words without one first. The query runs when the statement is planned, as that of
`design_matrix` does.

```sql
SELECT * FROM word_timing_report((SELECT * FROM read_subtitles('film.srt')), media => 'film.mp4');
SELECT * FROM word_timing_report((SELECT * FROM read_textgrid('a.TextGrid') WHERE tier = 'words' AND text <> ''),
    media => 'a.wav', max_gap => 0.5);
```

";

const ENCODING_SCORES: &str = "\
### `encoding_scores`

```sql
encoding_scores((SELECT [subject,] measured, predicted FROM …))
```

How well each voxel was predicted. The query gives two vector columns, first what was measured and then what was
predicted; with a column `subject` each subject is scored alone, and other columns are left alone. The table has `subject` if the query has it, and

| column | |
| --- | --- |
| `target` | the voxel, from 0: its place in the vectors |
| `r2` | `1 - Σ(y - p)² / Σ(y - ȳ)²`: below 0 where the mean would be better; NULL where the voxel does not vary |
| `correlation` | Pearson's; NULL where the voxel or its prediction does not vary |
| `n` | the rows that count: those in which neither value is missing |

The rows are gone over once, when the statement is planned, and not held.

```sql
SELECT avg(r2) FROM encoding_scores((
  SELECT run, tr, bold, ridge_predict(embedding, model => 'enc') AS predicted FROM test));
```

";

const MODEL_SCORES: &str = "\
### `model_scores`

```sql
model_scores('enc')
```

How well cross-validation predicted each target of a model made by `CREATE MODEL … USING ridge`: `subject` (if it was fitted per
subject), `target` (from 0), `alpha` (the best one), `score` (its mean over the folds), `gammas` (the scale of each feature space, 1 where there is one) and `deltas`
(`ln(gamma / alpha)`, himalaya's `deltas_`).

```sql
SELECT alpha, count(*) FROM model_scores('enc') GROUP BY alpha ORDER BY alpha;
```

";

const ASOF_JOIN: &str = "\
### `ASOF JOIN`

```sql
SELECT … FROM a ASOF JOIN b MATCH_CONDITION (condition) [ON a.run = b.run [AND …] | USING (run, …)]
```

Joins two clocks: to each row of `a` the one row of `b` that the condition chooses by time,
among the rows of `b` with equal keys. Every row of `a` is kept exactly once, in its order; the
columns of `b` are NULL where nothing matches (as in Snowflake, and as pandas `merge_asof`).

| condition | the row of `b` |
| --- | --- |
| `a.time >= b.onset` | the last one at that time or before it; of several at the same time the last |
| `a.time > b.onset` | the last one before it |
| `a.time <= b.onset` | the first one at that time or after it; of several at the same time the first |
| `a.time < b.onset` | the first one after it |
| `nearest(a.time, b.onset)` | the nearer of the two around it, the earlier one if both are as near |
| `nearest(a.time, b.onset, exact => false)` | the same without those at the very same time |

The condition may be written either way round (`b.onset <= a.time`). A tolerance leaves
matches out that are farther away, and keeps those exactly that far:

```sql
MATCH_CONDITION (a.time >= b.onset AND a.time - b.onset <= 0.5)
MATCH_CONDITION (a.time <= b.onset AND b.onset - a.time <= 0.5)
MATCH_CONDITION (nearest(a.time, b.onset, tolerance => 0.5))
```

- Times are numbers on both sides, or timestamps and dates on both sides (the tolerance is then an
  interval, `INTERVAL '500 milliseconds'`). Times that are floats are seconds, compared as whole
  nanoseconds: `15 * 0.72` is 10.799999999999999 and reaches an onset at 10.8. A time
  that is NULL or NaN matches nothing.
- Keys are equalities; NULL equals nothing. `USING` gives each key once. Without keys all
  rows of `b` are candidates.
- Rows of `b` at the same time have no order of their own: which one is the last of them is
  certain only where the table is declared to be sorted.

```sql
-- The word that was heard last when each TR began, if that is not over 2 s ago.
SELECT g.run, g.tr, w.word
FROM grid AS g ASOF JOIN words AS w
    MATCH_CONDITION (g.time >= w.onset AND g.time - w.onset <= 2.0) ON g.run = w.run;
```

Both sides are sorted by keys and time, unless they are already (an external table says so by
`WITH ORDER (run, time)`), and then merged as streams: neither side is held in memory. It
is split by keys into as many parts as there are threads.

";

/// The page. The context is one in which a session registered its functions.
pub fn markdown(context: &SessionContext) -> String {
    let mut page = HEAD.to_string();
    page.push_str(STATEMENTS);
    page.push_str(EXPLAIN_ALIGN);
    page.push_str("## Readers\n\n");
    page.push_str(READERS);
    for format in readers::formats() {
        reader(&mut page, format.as_ref());
    }
    let functions = documented(context);
    for section in SECTIONS {
        let mut of_section = functions
            .iter()
            .filter(|(_, _, d)| d.doc_section.label == section);
        let Some(first) = of_section.next() else {
            continue;
        };
        put(&mut page, format_args!("## {section}\n\n"));
        if section == "Time Functions" {
            page.push_str(TR_GRID);
            page.push_str(ASOF_JOIN);
        }
        if section == "Text Functions" {
            page.push_str(WORD_TIMING_REPORT);
        }
        if section == "Brain Functions" {
            page.push_str(ENCODING_SCORES);
            page.push_str(MODEL_SCORES);
        }
        if section == "Response Functions" {
            page.push_str(DESIGN_MATRIX);
        }
        if section == "Brain Functions" {
            page.push_str(DOCUMENTATION);
        }
        for (name, kind, documentation) in [first].into_iter().chain(of_section) {
            function(&mut page, name, kind, documentation);
        }
    }
    page.push_str("## Search Functions\n\n");
    page.push_str(search::documentation::DOCUMENTATION);
    page
}

const READERS: &str = "\
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

fn reader(page: &mut String, format: &dyn Format) {
    let function = format.function();
    put(
        page,
        format_args!("### `{function}`\n\n```sql\n{}", usage(format)),
    );
    put(
        page,
        format_args!("\nSTORED AS {}\n```\n\n", format.stored_as()),
    );
    put(page, format_args!("{}\n\n", format.description()));
    let knows_bids = format.bids() != BidsUse::Nothing;
    let has_options = knows_bids || !format.parameters().is_empty();
    if has_options {
        page.push_str("| option | type | default | |\n| --- | --- | --- | --- |\n");
    }
    let of_bids = knows_bids.then_some(&arguments::DERIVATIVES);
    for parameter in format.parameters().iter().chain(of_bids) {
        let kind = match parameter.kind {
            ParameterKind::Float => "number",
            ParameterKind::Integer => "whole number",
            ParameterKind::IntegerOrBoolean => "whole number or boolean",
            ParameterKind::Text => "text",
            ParameterKind::Boolean => "boolean",
            ParameterKind::Floats => "number or array of numbers",
            ParameterKind::Texts => "text or array of texts",
        };
        let cells = (parameter.name, parameter.default, parameter.description);
        put(
            page,
            format_args!("| `{}` | {kind} | {} | {} |\n", cells.0, cells.1, cells.2),
        );
    }
    if knows_bids {
        put(
            page,
            format_args!(
                "| {} | text or array of texts | all | {} |\n",
                arguments::NAMES,
                arguments::DESCRIPTION
            ),
        );
    }
    if has_options {
        page.push('\n');
    }
    let endings: Vec<_> = format
        .extensions()
        .iter()
        .map(|e| format!("`{e}`"))
        .collect();
    if endings.is_empty() {
        return;
    }
    put(
        page,
        format_args!("A directory is searched for {}.\n\n", endings.join(", ")),
    );
}

fn function(page: &mut String, name: &str, kind: &str, documentation: &Documentation) {
    put(page, format_args!("### `{name}`{kind}\n\n"));
    put(
        page,
        format_args!("```sql\n{}\n```\n\n", documentation.syntax_example),
    );
    put(
        page,
        format_args!("{}\n\n", documentation.description.trim()),
    );
    for (argument, description) in documentation.arguments.iter().flatten() {
        put(
            page,
            format_args!("- `{argument}`: {}\n", description.trim()),
        );
    }
    if documentation.arguments.is_some() {
        page.push('\n');
    }
    if let Some(example) = &documentation.sql_example {
        put(page, format_args!("{}\n\n", example.trim()));
    }
}

/// Our functions by name: name, kind, documentation.
fn documented(context: &SessionContext) -> Vec<(String, &'static str, Documentation)> {
    let state = context.state();
    let mut found = Vec::new();
    let mut add = |name: &str, kind, documentation: Option<&Documentation>| {
        if let Some(documentation) = documentation
            && SECTIONS.contains(&documentation.doc_section.label)
        {
            found.push((name.to_string(), kind, documentation.clone()));
        }
    };
    for name in state.udfs() {
        add(
            &name,
            "",
            state
                .udf(&name)
                .ok()
                .as_ref()
                .and_then(|f| f.documentation()),
        );
    }
    for name in state.udafs() {
        let function = state.udaf(&name).ok();
        add(
            &name,
            " (aggregate)",
            function.as_ref().and_then(|f| f.documentation()),
        );
    }
    for name in state.udwfs() {
        let function = state.udwf(&name).ok();
        add(
            &name,
            " (window)",
            function.as_ref().and_then(|f| f.documentation()),
        );
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Writing to a string cannot fail.
fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}
