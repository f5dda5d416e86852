//! What the SQL reference says of these functions.

/// Their sections of "Brain Functions".
pub const DOCUMENTATION: &str = "\
### `isc`

```sql
isc((SELECT subject, run, tr, bold FROM …) [, pairwise => false] [, summary_statistic => 'mean' | 'median']
    [, tolerate_nans => true | false | 0.8])
```

Inter-subject correlation (Hasson et al. 2004), as BrainIAK's `isc`: how alike subjects respond, voxel by voxel. The query
gives `subject`, one vector column, and the time in all its other columns (`tr`; `run, tr`); rows may come in any order. All
subjects need the same times, each once, and vectors of one width: the voxels of a shared mask, parcels, or what
`srm_transform` gives. Runs are put one after another, so clean or z-score them within runs first.

| call | a row for each | columns |
| --- | --- | --- |
| as it is | subject, in order of names | `subject`, `isc`: the correlation with the mean of all others, a vector over voxels |
| `pairwise => true` | pair: (1, 2), (1, 3), …, (2, 3), … | `subject`, `other`, `isc` |
| `summary_statistic => …` | only one | `isc`: the mean (by Fisher's z) or the median over subjects or pairs |

Correlations are `FixedSizeList<Float64, voxels>`. That of a series that does not vary is NaN, and summaries leave it out. Of two subjects, each one's
correlation with the other is their pair's (BrainIAK then gives one row).

- `tolerate_nans`: what becomes of missing values (NULL, NaN, infinite; a NULL vector is missing in all voxels). A subject's own
  correlation, or a pair's, is NaN where one of its values is missing. With `true` the mean of the others
  is over those that have a value, TR by TR; with `false` it is NaN; with a number, as `true`, and a voxel is NaN for all
  where fewer than that share of the subjects are without missing values.

```sql
SELECT isc FROM isc((SELECT subject, run, tr, bold FROM bold WHERE run = '2'), summary_statistic => 'median');
```

### `isfc`

```sql
isfc((SELECT subject, run, tr, bold FROM …) [, targets => (SELECT subject, run, tr, other FROM …)] [, pairwise => false]
     [, summary_statistic => 'mean' | 'median'] [, tolerate_nans => true | false | 0.8])
```

Inter-subject functional correlation (Simony et al. 2016), as BrainIAK's `isfc`: each voxel of one subject with every voxel of the
mean of the others, or of the other of a pair. A row is a voxel: `subject` (and `other`; neither with a summary), `voxel` from 0, and
`isfc`, its correlations with all voxels. A matrix is the mean of both directions, so it is symmetric, and its diagonal,
`isfc[voxel + 1]`, is `isc`. With `targets` (the same subjects and times, any width) each voxel is correlated with the targets of the others,
in this direction only, and never by pairs. Computed in Float64; BrainIAK computes in Float32.

Rows are computed as they are read, a few MB at a time: what is held is the data, twice. There is no `vectorize_isfcs`; the
triangle above the diagonal is

```sql
SELECT subject, voxel, array_slice(isfc, voxel + 2, array_length(isfc)) FROM isfc((SELECT subject, tr, parcels FROM bold));
```

### `bootstrap_isc`

```sql
bootstrap_isc((SELECT subject, isc FROM isc(…)) [, pairwise => true] [, summary_statistic => 'median' | 'mean']
    [, n_bootstraps => 1000] [, ci_percentile => 95] [, side => 'right' | 'left' | 'two-sided'] [, random_state => 0])
```

Whether subjects are alike, by drawing them again with replacement (Chen et al. 2016), as BrainIAK's `bootstrap_isc`. The query gives
`subject`, or for pairs `subject` and `other` of all pairs, and a vector column, or a number `isc`. Other columns tell tests apart:
there is a row of results for each of their values, such as each `voxel` of `isfc`.

The result has one row: `observed`, the summary; `ci_low` and `ci_high`, the interval that holds `ci_percentile` per cent of the resamples; and `p`, how often
resamples, moved to where there is no correlation, reach what was observed. They are vectors over voxels, or numbers where `isc` is
one. Of pairs, subjects are drawn, not pairs, and pairs of a subject with itself left out. The same `random_state` gives
the same numbers, and BrainIAK's; where it is left out it is 0. As in BrainIAK the interval is NaN where a resample has nothing that is defined: of five subjects' pairs,
one resample in 625 draws one subject only, which has no pairs.

### `permutation_isc`

```sql
permutation_isc((SELECT subject, isc FROM isc(…)) [, group_assignment => (SELECT subject, diagnosis FROM …)] [, pairwise => true]
    [, summary_statistic => 'median' | 'mean'] [, n_permutations => 1000] [, side => 'right' | 'left' | 'two-sided']
    [, random_state => 0])
```

Whether subjects are alike, or two groups differ, as BrainIAK's `permutation_isc`; the query and the result (`observed`, `p`) are as of
`bootstrap_isc`. Without groups, the signs of subjects are flipped at random. With `group_assignment`, a query for `subject` and one more column of two
values, `observed` is the summary of the group that is first in order minus that of the second, and subjects are dealt to the groups anew; pairs
between groups are left out. If there are no more than `n_permutations` ways (2^n of signs, n! of groups), each counts once and `p` is exact.

```sql
CREATE TABLE pairs AS SELECT * FROM isc((SELECT subject, tr, bold FROM bold), pairwise => true);
SELECT observed, p FROM permutation_isc((SELECT * FROM pairs), side => 'two-sided',
    group_assignment => (SELECT subject, diagnosis FROM participants));
```

### `time_segment_matching`

```sql
time_segment_matching((SELECT subject, run, tr, shared FROM …) [, window_size => 10])
```

How well a moment of one subject is recognised among the moments of the others (Haxby et al. 2011; Chen et al. 2015), which says how good a shared space is. The query is as
of `isc`. Elements are z-scored per subject, and every `window_size` TRs in a row of a subject are compared with all of the mean of the others,
by the correlation over TRs and elements; those that overlap the true segment do not stand for choice. Segments do not cross
runs (`session`, `task`, `acquisition`, `direction`, `run`), nor holes in a whole-numbered `tr`.

A row for each subject: `subject`, `accuracy`, the share of segments that are most like the others' of the same time; `segments`, their number; and `chance`, what
guessing gets. Fit the shared space on other runs than those that are matched: on the same, accuracy comes out near 1 whatever the data.

```sql
CREATE MODEL m USING srm OPTIONS (features 50) AS SELECT subject, run, tr, bold FROM bold WHERE run <> '2';
SELECT * FROM time_segment_matching((
    SELECT subject, run, tr, srm_transform(bold, subject, model => 'm') AS shared FROM bold WHERE run = '2'));
```

";
