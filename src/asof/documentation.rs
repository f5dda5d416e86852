//! What the SQL reference says of `ASOF JOIN`.

/// Its section of "Time Functions".
pub const DOCUMENTATION: &str = "\
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
