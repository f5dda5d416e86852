//! Rows of a film whose times stand in its file: its pictures are decoded in the process.

use std::ops::Range;

use super::ahead::{Ahead, open_again};
use super::batches::{Row, Step};
use super::decode::Pictures;
use super::paint::{Painter, Picture, append_numbers};
use super::rows::Rows;
use super::stream::Coded;
use crate::readers::format::FileScan;

pub struct Indexed {
    rows: Rows,
    left: Range<usize>,
    /// `None` where no pictures are asked for.
    source: Option<Source>,
}

/// Who decodes and paints.
enum Source {
    InTurn(Box<Pictures>, Box<Painter>),
    Ahead(Ahead),
}

impl Indexed {
    /// `painter` is given where pictures are asked for, of so many numbers each.
    pub fn new(
        mut rows: Rows,
        range: Range<usize>,
        coded: Coded,
        scan: &FileScan,
        painter: Option<(impl Fn() -> Painter, usize)>,
    ) -> Result<Self, String> {
        let mut source = None;
        if let Some((painter, numbers)) = painter
            && !range.is_empty()
        {
            let ahead = match scan.threads {
                0 | 1 => None,
                threads => Ahead::start(
                    rows.samples(range.clone()),
                    threads,
                    numbers,
                    || open_again(&scan.path, coded.length, &coded.samples, &coded.avcc),
                    &painter,
                )?,
            };
            source = Some(match ahead {
                Some(ahead) => Source::Ahead(ahead),
                None => Source::InTurn(Box::new(coded.start()?), Box::new(painter())),
            });
        }
        Ok(Self {
            rows,
            left: range,
            source,
        })
    }

    pub fn step(&mut self) -> Step {
        match self.left.next() {
            Some(row) => Step::Row(Row {
                number: row as i64,
                time: self.rows.time(row),
                picture: self.rows.sample(row),
            }),
            None => Step::End,
        }
    }

    /// Appends the numbers of the picture in the row given last.
    pub fn append(&mut self, sample: usize, values: &mut Vec<f32>) -> Result<(), String> {
        match &mut self.source {
            Some(Source::InTurn(pictures, painter)) => {
                painter.paint_numbers(Picture::Coded(pictures.picture(sample)?), values)
            }
            Some(Source::Ahead(ahead)) => {
                append_numbers(ahead.picture(sample)?, values);
                Ok(())
            }
            None => Err("its pictures were not asked for".to_string()),
        }
    }
}
