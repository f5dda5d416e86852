-- From recordings to aligned Parquet: what four people saw, heard and read, and what
-- their brains did, as one row per subject and TR.
--
--     voxql -f sql/align_movie.sql            (in the root of the repository)
--
-- Copy this file and change the paths, the TR (1.5) and the number of TRs (78).
-- Run it with `--db study/` to keep the tables.

-- 1. Seen: decode the film and average its frames within each TR
--
-- read_video gives a row per frame: its time in seconds, from the file's own timestamps,
-- and its pixels as one vector of 32 × 24 × 3 numbers. tr_index says in which TR a time
-- lies: TR k lasts from k × 1.5 s up to, not including, (k + 1) × 1.5 s.
CREATE OR REPLACE TABLE video AS
SELECT tr_index(time, tr => 1.5) AS tr, vector_avg(frame) AS frame
FROM read_video('examples/demo/clip.mp4', fps => 25, width => 32, height => 24)
GROUP BY tr;

-- 2. Heard: the mel spectrogram of the same file, in decibels, averaged within each TR
--
-- The sound is resampled to 22,050 Hz; a frame every 256 samples is 86 rows per second,
-- the film has 25. They meet on the TR grid, so their rates need not agree. power_to_db
-- clips 80 dB below the maximum of what it is given, here one frame; NULL turns that off.
CREATE OR REPLACE TABLE audio AS
SELECT tr_index(time, tr => 1.5) AS tr, vector_avg(power_to_db(mel, top_db => NULL)) AS mel
FROM read_mel('examples/demo/clip.mp4', n_fft => 1024, hop_length => 256, n_mels => 80, fmax => 8000)
GROUP BY tr;

-- 3. Read: every sentence and its embedding
--
-- 'hashing' is built in and knows spelling, not meaning. Put the name or folder of a
-- sentence-transformers model here, such as 'all-MiniLM-L6-v2', for vectors that do.
CREATE OR REPLACE TABLE sentences AS
SELECT subtitle, onset, duration, text, embed(text, model => 'hashing') AS embedding
FROM read_subtitles('examples/demo/clip.srt');

-- 4. Onto the TR grid: the sentence that was the last to begin when a TR was half over
--
-- Sentences come at times of their own. Put the grid's times and theirs into one
-- sequence, fill forward, and keep the grid's rows: an as-of join without a join.
-- Before the first sentence there is none, and text and embedding are NULL.
CREATE OR REPLACE TABLE language AS
SELECT tr, text, embedding
FROM (
    SELECT tr,
           interpolate(text, time, method => 'previous') OVER (ORDER BY time) AS text,
           interpolate(embedding, time, method => 'previous') OVER (ORDER BY time) AS embedding
    FROM (
        SELECT NULL AS tr, onset AS time, text, embedding FROM sentences
        UNION ALL
        SELECT tr, time + 0.75 AS time, NULL AS text, NULL AS embedding FROM tr_grid(n => 78, tr => 1.5)
    )
)
WHERE tr IS NOT NULL;

-- 5. From what happened to what a brain would show: the haemodynamic response
--
-- The response peaks about five seconds after its cause, so features move into the
-- brain's time, not the brain into theirs. A window function, because it looks back:
-- rows must be one per TR, in order and without holes, or the query stops and says where.
-- The film is the same for all subjects. With several films or runs, add PARTITION BY run.
CREATE OR REPLACE TABLE stimulus AS
SELECT g.tr, g.time, l.text, l.embedding,
       hrf_convolve(v.frame, tr => 1.5, model => 'glover') OVER (ORDER BY g.tr) AS video,
       hrf_convolve(a.mel, tr => 1.5, model => 'glover') OVER (ORDER BY g.tr) AS audio,
       hrf_convolve(l.embedding, tr => 1.5, model => 'glover') OVER (ORDER BY g.tr) AS language
FROM tr_grid(n => 78, tr => 1.5) AS g
LEFT JOIN video AS v ON v.tr = g.tr
LEFT JOIN audio AS a ON a.tr = g.tr
LEFT JOIN language AS l ON l.tr = g.tr;

-- 6. The brains: each run through its own subject's mask
--
-- One row per volume. Subject, task and the like are columns taken from the BIDS file
-- name, and {subject} stands for the same in the mask's name. Every subject has another
-- number of voxels, so `bold` is a list here, not a vector of one fixed length.
CREATE OR REPLACE TABLE bold AS
SELECT subject, task, tr, time, bold
FROM read_bold(
    'examples/demo/bids/sub-*/func/*_bold.nii.gz',
    mask => 'examples/demo/bids/derivatives/masks/sub-{subject}/func/sub-{subject}_task-movie_desc-brain_mask.nii.gz'
);

-- 7. A space that all brains share: fit the shared response model to the first 46 TRs
--
-- Voxel 100 of one person is not voxel 100 of another. The model finds, for each subject,
-- the map from their voxels to ten responses that are common to all. It must not see
-- the TRs on which anything is tested later: TRs 46 to 77 are kept from it.
CREATE OR REPLACE MODEL movie_srm USING srm OPTIONS (features 10, iterations 10) AS
SELECT subject, tr, bold FROM bold WHERE tr < 46;

-- 8. Together: one row per subject and TR, as Parquet, a folder per subject
--
-- COPY refuses a folder that holds something; `overwrite` replaces it, when all is written.
COPY (
    SELECT b.subject, b.task, b.tr, b.time, b.tr >= 46 AS held_out,
           s.text, s.embedding, s.video, s.audio, s.language,
           srm_transform(b.bold, b.subject, model => 'movie_srm') AS brain
    FROM bold AS b
    JOIN stimulus AS s ON s.tr = b.tr
    ORDER BY b.subject, b.tr
)
TO 'target/demo/aligned/' STORED AS PARQUET PARTITIONED BY (subject) OPTIONS (overwrite true);
