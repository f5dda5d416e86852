//! What the SQL reference says of `encoding_scores`.

/// Its section of "Brain Functions".
pub const DOCUMENTATION: &str = "\
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
