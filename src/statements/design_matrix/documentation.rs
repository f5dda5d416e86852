//! What the SQL reference says of `design_matrix`.

/// Its section of "Response Functions".
pub const DOCUMENTATION: &str = "\
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

Events that begin after the run, at `n_scans` × `tr` or later, count nothing, and a warning says how many there are.
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
