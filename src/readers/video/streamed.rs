//! Rows of a film that ffmpeg decodes: times and pictures are known as they come.
//!
//! Where the film's format has an index and rows from some time on are asked for, ffmpeg begins at the
//! last picture before them that refers to no earlier one, and what it gives is checked: it must
//! have begun early enough. Where pictures have to be numbered, the container's time stamps up to there are
//! counted first, and ffmpeg's must be those. Else it begins anew at the start of the film.

use std::time::Instant;

use super::asked::{Asked, grid_time, is_reached};
use super::batches::{Row, Step};
use super::count::{Count, Counted};
use super::external::{External, LEAD};
use super::paint::{Painter, Picture};
use super::rows::first_row;
use super::run::{Run, Shown};

/// ffmpeg is sent to no later times.
const MOST_SECONDS: f64 = 1e9;

pub struct Streamed {
    external: External,
    asked: Asked,
    /// Whether `frame_index` is asked for.
    has_numbers: bool,
    painter: Option<Painter>,
    stage: Stage,
}

enum Stage {
    NotBegun,
    Counting(Count),
    Playing(Box<Playing>),
    Over,
}

impl Streamed {
    /// Nothing is started before the first step.
    pub fn new(
        external: External,
        asked: Asked,
        has_numbers: bool,
        painter: Option<Painter>,
    ) -> Self {
        Self {
            external,
            asked,
            has_numbers,
            painter,
            stage: Stage::NotBegun,
        }
    }

    /// The next row, if it comes in time.
    pub fn step(&mut self, until: Instant) -> Result<Step, String> {
        while Instant::now() < until {
            self.stage = match &mut self.stage {
                Stage::NotBegun => self.begin()?,
                Stage::Counting(count) => match count.step(&self.asked, &self.external) {
                    Counted::NotYet => continue,
                    Counted::Unknown => self.play(None)?,
                    Counted::Starts(starts) => self.play(self.sought_in(starts))?,
                },
                Stage::Playing(playing) => match playing.step(&self.asked, &self.external)? {
                    Played::Row(row) => return Ok(Step::Row(row)),
                    Played::NoRow => continue,
                    Played::NotAsSought => self.play(None)?,
                    Played::End => Stage::Over,
                },
                Stage::Over => return Ok(Step::End),
            };
        }
        Ok(Step::NotYet)
    }

    /// Appends the numbers of the picture in the row given last.
    pub fn append(&mut self, values: &mut Vec<f32>) -> Result<(), String> {
        let (Some(painter), Stage::Playing(playing)) = (&mut self.painter, &self.stage) else {
            return Err("its pictures were not asked for".to_string());
        };
        let (width, height) = self.external.size;
        let rgb = &playing.current.rgb;
        if rgb.len() != width as usize * height as usize * 3 {
            return Err("ffmpeg gave no picture of this time".to_string());
        }
        painter.paint_numbers(Picture::Rgb { width, height, rgb }, values)
    }

    fn begin(&self) -> Result<Stage, String> {
        if self.asked.is_nothing() {
            return Ok(Stage::Over);
        }
        let (time, number) = self.asked.from;
        let can_seek = |time| self.external.is_seekable && is_reachable(time);
        match self.asked.fps {
            Some(fps) => {
                let time = grid_time(first_on_grid(&self.asked, fps), fps);
                self.play(can_seek(time).then(|| self.sought(time)))
            }
            None if !self.has_numbers => self.play(can_seek(time).then(|| self.sought(time))),
            None if self.external.is_countable && (can_seek(time) || number > 0.0) => {
                Ok(Stage::Counting(Count::start(&self.external)?))
            }
            None => self.play(None),
        }
    }

    fn sought(&self, time: f64) -> Sought {
        Sought {
            from: self.external.stamp(time),
            starts: None,
        }
    }

    /// The first picture asked for, among those counted.
    fn sought_in(&self, starts: Vec<i64>) -> Option<Sought> {
        let is_early = |at: usize| {
            let time = self.external.seconds(starts[at]);
            self.asked.is_early(at as i64, time)
        };
        let first = first_row(starts.len(), |at| !is_early(at));
        // Where the film ends before, its last picture tells.
        let from = *starts.get(first).or(starts.last())?;
        let time = self.external.seconds(from);
        is_reachable(time).then_some(Sought {
            from,
            starts: Some(starts),
        })
    }

    fn play(&self, sought: Option<Sought>) -> Result<Stage, String> {
        let from = sought.as_ref().map(|sought| sought.from);
        let first = || match (self.asked.fps, from) {
            // The picture on screen at the first row may be of any time before.
            (Some(_), _) => i64::MIN,
            (None, Some(from)) => from,
            (None, None) => match self.asked.from.0 {
                time if time.abs() < MOST_SECONDS => self.external.stamp(time),
                _ => i64::MIN,
            },
        };
        let pictures = self.painter.as_ref().map(|_| first());
        let run = self.external.play(from, pictures)?;
        let row = self.asked.fps.map(|fps| first_on_grid(&self.asked, fps));
        Ok(Stage::Playing(Box::new(Playing {
            run,
            sought,
            number: -1,
            row: row.unwrap_or(0),
            current: Shown::default(),
            next: None,
            has_ended: false,
        })))
    }
}

/// Whether ffmpeg need and can be sent there.
fn is_reachable(time: f64) -> bool {
    time > f64::from(LEAD) && time < MOST_SECONDS
}

/// The first row that is asked for where there are so many a second.
fn first_on_grid(asked: &Asked, fps: (i128, i128)) -> i64 {
    let is_early = |row: usize| asked.is_early(row as i64, grid_time(row as i64, fps));
    first_row(usize::MAX / 2, |row| !is_early(row)) as i64
}

/// Where ffmpeg was told to begin.
struct Sought {
    /// A picture at this time stamp or before it must come first.
    from: i64,
    /// The time stamps of the film's first pictures, where they were counted.
    starts: Option<Vec<i64>>,
}

/// A film as it is played.
struct Playing {
    run: Run,
    /// `None` where it began at the start, and when it has been seen to begin as it should.
    sought: Option<Sought>,
    /// That of the current picture; -1 before the first. Where it began in the middle and nobody
    /// counted, they count from there.
    number: i64,
    /// The next row, where there are so many a second.
    row: i64,
    current: Shown,
    /// The picture after it, where that has to be known.
    next: Option<Shown>,
    has_ended: bool,
}

enum Played {
    Row(Row),
    NoRow,
    /// ffmpeg did not begin where it should.
    NotAsSought,
    End,
}

impl Playing {
    fn step(&mut self, asked: &Asked, external: &External) -> Result<Played, String> {
        match asked.fps {
            None => self.picture(asked, external),
            Some(fps) => self.on_grid(asked, external, fps),
        }
    }

    /// A row is a picture.
    fn picture(&mut self, asked: &Asked, external: &External) -> Result<Played, String> {
        let used = std::mem::take(&mut self.current.rgb);
        let Some(shown) = self.run.next(used)? else {
            return Ok(self.end());
        };
        match self.numbered(&shown) {
            Some(number) => self.number = number,
            None => return Ok(Played::NotAsSought),
        }
        self.current = shown;
        let time = external.seconds(self.current.start);
        if asked.is_early(self.number, time) {
            return Ok(Played::NoRow);
        }
        // All before the first row were as they should be.
        self.sought = None;
        if asked.is_late(self.number, time) {
            return Ok(Played::End);
        }
        Ok(Played::Row(Row {
            number: self.number,
            time,
            picture: self.number as usize,
        }))
    }

    /// A row holds the picture that is on screen then: the last that is not later.
    fn on_grid(
        &mut self,
        asked: &Asked,
        external: &External,
        fps: (i128, i128),
    ) -> Result<Played, String> {
        let time = grid_time(self.row, fps);
        if asked.is_late(self.row, time) {
            return Ok(Played::End);
        }
        let row = self.row;
        let is_before = |stamp: i64| is_reached(stamp, row, fps, external.time_base.1);
        match self.next.take() {
            Some(next) if self.number < 0 || is_before(next.start) => {
                match self.numbered(&next) {
                    Some(number) => self.number = number,
                    None => return Ok(Played::NotAsSought),
                }
                self.sought = None;
                let used = std::mem::replace(&mut self.current, next);
                self.read_next(used.rgb)?;
                Ok(Played::NoRow)
            }
            None if !self.has_ended => {
                self.read_next(vec![])?;
                Ok(Played::NoRow)
            }
            // The last picture ends as its duration says.
            None if self.number < 0 || is_before(self.current.end) => Ok(self.end()),
            next => {
                self.next = next;
                let row = Row {
                    number: self.row,
                    time,
                    picture: self.number as usize,
                };
                self.row += 1;
                Ok(Played::Row(row))
            }
        }
    }

    fn read_next(&mut self, used: Vec<u8>) -> Result<(), String> {
        self.next = self.run.next(used)?;
        self.has_ended = self.next.is_none();
        Ok(())
    }

    /// The number of a picture that follows the current one; `None` where it is not as was sought.
    fn numbered(&self, shown: &Shown) -> Option<i64> {
        let next = self.number + 1;
        match &self.sought {
            None => Some(next),
            Some(Sought { from, .. }) if next == 0 && shown.start > *from => None,
            Some(Sought { starts: None, .. }) => Some(next),
            Some(Sought {
                starts: Some(starts),
                ..
            }) => {
                let at = starts.binary_search(&shown.start).ok()? as i64;
                (next == 0 || next == at).then_some(at)
            }
        }
    }

    /// What the end of the film means: where nothing came at all, it was not found.
    fn end(&self) -> Played {
        match self.sought.is_some() && self.number < 0 {
            true => Played::NotAsSought,
            false => Played::End,
        }
    }
}
