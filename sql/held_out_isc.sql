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
before AS (
    SELECT subject, avg(r) AS r
    FROM (SELECT subject, unnest(isc) AS r FROM isc((SELECT * FROM voxels))) AS places GROUP BY subject
),
after AS (
    SELECT subject, avg(r) AS r
    FROM (SELECT subject, unnest(isc) AS r FROM isc((SELECT * FROM features))) AS places GROUP BY subject
),
found AS (
    SELECT subject, accuracy AS after FROM time_segment_matching((SELECT * FROM features), window_size => 5)
),
lost AS (
    SELECT subject, accuracy AS before FROM time_segment_matching((SELECT * FROM voxels), window_size => 5)
)
SELECT subject,
       round(before.r, 3) AS voxels_before,
       round(after.r, 3) AS features_after,
       round(lost.before, 2) AS found_before,
       round(found.after, 2) AS found_after
FROM before JOIN after USING (subject) JOIN lost USING (subject) JOIN found USING (subject)
ORDER BY subject;
