//! What the SQL reference says of the tables about models.

/// Their sections of "Brain Functions".
pub const DOCUMENTATION: &str = "\
### `model_scores`

```sql
model_scores('enc')
```

How well cross-validation predicted each target of a model made by `CREATE MODEL … USING ridge`: `subject` (if it was fitted per
subject), `target` (from 0), `alpha` (the best one), `score` (its mean over the folds), `gammas` (the scale of each feature space, 1 where there is one), `deltas`
(`ln(gamma / alpha)`, himalaya's `deltas_`) and `intercept`, which is added to the features times `model_weights`.

```sql
SELECT alpha, count(*) FROM model_scores('enc') GROUP BY alpha ORDER BY alpha;
```

### `model_weights`

```sql
model_weights('m')
```

The numbers of a model, each row one brain map.

Of a shared response model (`srm`, `detsrm`, `rsrm`): a row per `subject` and `feature` of the shared space, from 0, with the `weights` of the
subject's voxels, the orthonormal map W.

Of an encoding model (`ridge`): a row per `subject` (if it was fitted per subject), `space` (the column of features) and `feature` (its place in the
space, from 0), with the `weights` of the targets: the coefficients for features as they are, himalaya's `coef_`. A prediction of `ridge_predict` is
the sum of features times weights, plus the target's `intercept` in `model_scores`.

```sql
COPY (SELECT feature AS tr, weights FROM model_weights('enc') WHERE subject = '01' AND space = 'embedding')
TO 'maps.nii.gz' STORED AS NIFTI OPTIONS (mask 'mask.nii.gz');
```

";
