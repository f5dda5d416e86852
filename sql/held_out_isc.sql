-- How alike do people's brains respond to the same film, before and after the shared
-- response model? Run sql/align_movie.sql first, with the same `--db`.
--
-- Inter-subject correlation, leaving one out: each subject's time course at a place is
-- correlated with the mean of the other subjects' there, then averaged over places. Only
-- TRs 46 to 77 count, which the model was not fitted to.
--
-- Before: the voxels inside all four masks, matched by where they lie in the scanner.
-- After: the model's ten features. Each is a sum over hundreds of voxels, so part of the
-- gain is noise that averages out, not only voxels that now correspond.
WITH places AS (
    SELECT 'voxels' AS space, subject, tr, unnest(bold) AS x,
           unnest(range(array_length(bold)::BIGINT)) AS place
    FROM read_bold(
        'examples/demo/bids/sub-*/func/*_bold.nii.gz',
        mask => 'examples/demo/bids/derivatives/masks/task-movie_desc-shared_mask.nii.gz'
    )
    WHERE tr >= 46
    UNION ALL
    SELECT 'features' AS space, subject, tr, unnest(brain) AS x,
           unnest(range(array_length(brain)::BIGINT)) AS place
    FROM (SELECT subject, tr, srm_transform(bold, subject, model => 'movie_srm') AS brain FROM bold)
    WHERE tr >= 46
),
paired AS (
    SELECT space, subject, place, x::DOUBLE AS x,
           (sum(x::DOUBLE) OVER same - x::DOUBLE) / (count(*) OVER same - 1) AS others
    FROM places
    WINDOW same AS (PARTITION BY space, tr, place)
),
correlated AS (
    SELECT space, subject, place, corr(x, others) AS r FROM paired GROUP BY space, subject, place
)
SELECT subject,
       round(avg(r) FILTER (WHERE space = 'voxels'), 3) AS voxels_before,
       round(avg(r) FILTER (WHERE space = 'features'), 3) AS features_after
FROM correlated
GROUP BY subject
ORDER BY subject;
