//! What the SQL reference says of statements.

/// The section "Statements".
pub const DOCUMENTATION: &str = "\
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
`value` and its relative `change`. [`model_weights('m')`](#model_weights) has the maps, a row per `subject` and `feature`, from 0, with the `weights` of
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
