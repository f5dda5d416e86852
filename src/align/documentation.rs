//! What the SQL reference says of `EXPLAIN ALIGN`.

/// Its section of "Statements".
pub const DOCUMENTATION: &str = "\
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
