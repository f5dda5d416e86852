//! What the SQL reference says of `knn`.

/// Its section of "Search Functions".
pub const DOCUMENTATION: &str = "\
### `knn`

```sql
knn((SELECT … FROM queries), (SELECT … FROM base) [, k => 10] [, metric => 'cosine'] [, radius => 0.5]
    [, query_vector => 'v'] [, vector => 'v'] [, exclude_self => 'id'])
knn((SELECT … FROM rows) [, k => 10] …)
```

The nearest rows of one query, the base, to each row of another: exact, as scikit-learn's `NearestNeighbors(algorithm='brute')`.
With one query, each row's nearest among the other rows. A row comes out for each neighbour: all columns of the query, all
columns of the base, both without the vectors, and

| column | |
| --- | --- |
| `rank` | 1, the nearest, to `k` |
| `distance` | by the metric, Float64 |

A column of the base is called `base_NAME` where the query has a column of its name, or where it would be called `rank` or `distance`.

| argument | default | |
| --- | --- | --- |
| `k` | | how many neighbours; fewer where the base has fewer rows |
| `radius` | | how far they may be, inclusive: all of them, or with `k` the nearest `k`. One of the two must be given |
| `metric` | `'cosine'` | one of those below, as `cosine_distance` and its like compute it |
| `query_vector`, `vector` | the only vector | the vector columns of the query and of the base, where there are several |
| `exclude_self` | | a column of both queries: rows with one value in it are no neighbours of each other, such as a row and itself, or rows of one run. NULL is like nothing |

| metric | also called | distance |
| --- | --- | --- |
| `'cosine'` | | `1 - cos`; a zero vector is at distance 1 from everything |
| `'l2'` | `'euclidean'` | Euclidean |
| `'sqeuclidean'` | `'l2_squared'` | its square |
| `'l1'` | `'manhattan'`, `'cityblock'` | the sum of absolute differences |
| `'correlation'` | | `1 - r`; a vector without variance is at distance 1 from everything |
| `'inner_product'` | `'ip'`, `'dot_product'` | the negative inner product, so that the largest comes first; a `radius` may be negative |

Rows without a vector, or with an element that is missing, NaN or infinite, have no neighbours and are nobody's. **Ties**: of two base rows at one
distance the one is nearer whose columns come first in order, the first column first, NULL last; so the answer does not depend on
threads, files and batches, nor on what is selected from it.

The rows of the query are held in memory, with `k` rows of the base for each; the base streams past them once, in as many threads as
there are partitions. Products of Float32 only rule out what is surely too far: every distance that comes out is
computed in double precision. [search.md](search.md) has examples.

```sql
SELECT q.word, n.base_word, n.rank, n.distance
FROM knn((SELECT word, emb FROM words), k => 3) AS n ORDER BY word, rank;
```

";
