//! What the SQL reference says of `word_timing_report`.

/// Its section of "Text Functions".
pub const DOCUMENTATION: &str = "\
### `word_timing_report`

```sql
word_timing_report((SELECT onset, duration, word FROM …) [, media => 'a.wav' | media_end => seconds]
    [, max_gap => 2.0] [, tolerance => 0.001] [, keys => ['speaker']])
```

What is wrong with the times of words, as a table: no rows, no problems. The first argument is a query for `onset` and `duration` in seconds, and
the words, if there are any, in a column `word`, else `text`, `label` or `trial_type`; rows of `read_textgrid`, `read_subtitles` and
`read_events` do as they are. Recordings are looked at one by one: the columns `subject`, `session`, `task`, `acquisition`, `direction`, `run`,
`path`, `stream` and `tier`, and those that `keys` names, tell them apart and lead the table. Other columns are left alone.

- `media`: the recording, whose end the words may not pass: of an MP4 or MOV when the last picture and the last sound of all tracks are
  over (edit lists applied; subtitles do not count), of other files when the sound is. Or `media_end`, in seconds. Without either
  nothing is past the end.
- `max_gap`: pauses longer than this many seconds are gaps; also before the first word, and from the last one to the end of the media.
- `tolerance`: how many seconds times may be off, for `overlap`, `before_start`, `past_end` and `out_of_order`.

Times are compared as whole nanoseconds: 1.19 + 0.18 touches 1.37.

| `problem` | `seconds` | `other_word` |
| --- | --- | --- |
| `missing_onset` | NULL: `onset` is NULL or no finite number; the word is left out of the rest | |
| `missing_duration` | NULL: the same of `duration`, which then counts as 0 | |
| `negative_duration` | by how much it ends before it begins | |
| `before_start` | how long before 0 it begins | |
| `past_end` | how long after the end of the media it ends | |
| `out_of_order` | how much earlier it begins than the row before it in the query | that row's |
| `overlap` | how long both are heard | of the earlier words the one that ends last |
| `gap` | how long nothing is heard before it; `word` is NULL at the end of the media | the word before the gap |

| column | |
| --- | --- |
| `problem` | as above |
| `word`, `onset`, `end_time` | the word, and when it begins and ends, in seconds |
| `other_word`, `other_onset` | the other word that is concerned |
| `seconds` | how large the problem is |
| `media_end` | the end of the media, if it is known |

Rows stand in the order of the keys, then of the onsets, words without one first. The query runs when the statement is planned, as that of
`design_matrix` does.

```sql
SELECT * FROM word_timing_report((SELECT * FROM read_subtitles('film.srt')), media => 'film.mp4');
SELECT * FROM word_timing_report((SELECT * FROM read_textgrid('a.TextGrid') WHERE tier = 'words' AND text <> ''),
    media => 'a.wav', max_gap => 0.5);
```

";
