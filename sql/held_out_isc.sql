-- How alike do people's brains respond to the same film, before and after the shared
-- response model? Run sql/align_movie.sql first, with the same `--db`. Only TRs 46 to 77
-- count, which the model was not fitted to.
--
-- Inter-subject correlation, leaving one out: each subject's time course at a place is
-- correlated with the mean of the other subjects' there, then averaged over places.
--
-- Before: the voxels inside all four masks, matched by where they lie in the scanner.
-- After: the model's ten features. Each is a sum over hundreds of voxels, so part of the
-- gain is noise that averages out, not only voxels that now correspond.
--
-- Found: how often a stretch of five TRs of one subject is most like the same stretch of the
-- others, among all stretches, before and after.
WITH voxels AS (
    SELECT subject, tr, bold
    FROM read_bold(
        'examples/demo/bids/sub-*/func/*_bold.nii.gz',
        mask => 'examples/demo/bids/derivatives/masks/task-movie_desc-shared_mask.nii.gz'
    )
    WHERE tr >= 46
),
features AS (
    SELECT subject, tr, srm_transform(bold, subject, model => 'movie_srm') AS brain FROM bold WHERE tr >= 46
),
measured AS (
    SELECT subject, 'voxels' AS what, unnest(isc) AS value FROM isc((SELECT * FROM voxels))
    UNION ALL
    SELECT subject, 'features', unnest(isc) FROM isc((SELECT * FROM features))
    UNION ALL
    SELECT subject, 'found before', accuracy FROM time_segment_matching((SELECT * FROM voxels), window_size => 5)
    UNION ALL
    SELECT subject, 'found after', accuracy FROM time_segment_matching((SELECT * FROM features), window_size => 5)
)
SELECT subject,
       round(avg(value) FILTER (WHERE what = 'voxels'), 3) AS voxels_before,
       round(avg(value) FILTER (WHERE what = 'features'), 3) AS features_after,
       round(avg(value) FILTER (WHERE what = 'found before'), 2) AS found_before,
       round(avg(value) FILTER (WHERE what = 'found after'), 2) AS found_after
FROM measured
GROUP BY subject
ORDER BY subject;
