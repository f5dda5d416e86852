-- From an embedding back to the words. Run sql/align_movie.sql first, with the same `--db`.

-- 1. The sentence that belongs to the embedding of each aligned TR
--
-- The exact nearest neighbour by cosine distance, among all sentences.
SELECT count(*) AS trs, count(*) FILTER (WHERE found = text) AS right_sentence
FROM (
    SELECT g.tr, g.text,
           first_value(s.text ORDER BY cosine_distance(g.embedding, s.embedding)) AS found
    FROM stimulus AS g CROSS JOIN sentences AS s
    WHERE g.text IS NOT NULL
    GROUP BY g.tr, g.text
);

-- 2. The sentences nearest to words of your own: "black clouds far away"
SELECT text, onset, round(cosine_distance(embedding, embed('black clouds far away', model => 'hashing')), 3) AS distance
FROM sentences
ORDER BY distance
LIMIT 3;
