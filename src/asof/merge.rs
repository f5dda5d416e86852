//! The merge of two sorted sides, batch by batch. It knows arrays only: whoever drives it
//! gives it batches when it asks, and gets joined ones.
//!
//! Of the right side it keeps the batches that rows not yet given out point to, the current
//! one, and the ones with the last candidates: a few, however long the sides are.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::OwnedRow;
use datafusion::common::Result;
use datafusion::common::utils::memory::get_record_batch_memory_size;

use super::gather::gather;
use super::matching::{Direction, Matching};
use super::side::{Group, Prepared};

/// Rows are given out before more right batches than this are kept for them.
const MOST_BATCHES: usize = 32;

/// Or more bytes than this, where more than two are kept.
const MOST_BYTES: usize = 16 << 20;

/// A column of the joined rows: an index among those of the left or the right side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Left(usize),
    Right(usize),
}

/// What the merge needs, or gives.
pub enum Step {
    NeedLeft,
    NeedRight,
    Joined(RecordBatch),
}

/// Where the row for a left row is: slot and row. The first slot is no batch but NULLs.
pub type Pick = (usize, usize);

const NOTHING: Pick = (0, 0);

/// A right row that a left row may get.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    at: Pick,
    time: i64,
}

/// The right rows that were passed, newest last. Only as much as is needed of them.
#[derive(Debug, Clone, Copy, Default)]
struct Passed {
    last: Option<Candidate>,
    /// The last one at an earlier time than `last`; kept for strict nearest only.
    before: Option<Candidate>,
}

struct Kept {
    batch: RecordBatch,
    bytes: usize,
}

struct Left {
    rows: Prepared,
    group: usize,
    /// The next row without a pick.
    row: usize,
    /// The first row that was not given out.
    start: usize,
    bytes: usize,
}

enum Right {
    Missing,
    Finished,
    Here {
        rows: Prepared,
        slot: usize,
        group: usize,
        /// The next row of the group's timed ones.
        row: usize,
    },
}

pub struct Merge {
    matching: Matching,
    tolerance: Option<u64>,
    outputs: Vec<Output>,
    schema: SchemaRef,
    right_schema: SchemaRef,
    left: Option<Left>,
    /// The key of the last left batch's last group.
    last_key: Option<OwnedRow>,
    right: Right,
    passed: Passed,
    /// Slot `i + 1` of picks.
    slots: Vec<Option<Kept>>,
    picks: Picks,
}

/// What was picked for the left rows that were not given out.
struct Picks {
    rows: Vec<Pick>,
    /// Whether a slot is among them.
    slots: Vec<bool>,
}

impl Picks {
    fn push(&mut self, pick: Pick) {
        self.rows.push(pick);
        self.slots[pick.0] = true;
    }

    fn fill(&mut self, rows: usize) {
        self.rows.resize(rows, NOTHING);
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.slots.fill(false);
    }
}

impl Merge {
    /// `schema` is that of the joined rows, which `outputs` describes column by column.
    pub fn new(
        matching: Matching,
        tolerance: Option<u64>,
        outputs: Vec<Output>,
        schema: SchemaRef,
        right_schema: SchemaRef,
    ) -> Self {
        Self {
            matching,
            tolerance,
            outputs,
            schema,
            right_schema,
            left: None,
            last_key: None,
            right: Right::Missing,
            passed: Passed::default(),
            slots: vec![],
            picks: Picks {
                rows: vec![],
                slots: vec![false],
            },
        }
    }

    /// The next left batch, after [`Step::NeedLeft`].
    pub fn push_left(&mut self, rows: Prepared) {
        let last_key = self.last_key.as_ref().map(OwnedRow::row);
        if !rows.groups.is_empty() && rows.key(0) != last_key {
            self.passed = Passed::default();
        }
        self.picks.rows.reserve(rows.batch.num_rows());
        self.left = Some(Left {
            bytes: get_record_batch_memory_size(&rows.batch),
            rows,
            group: 0,
            row: 0,
            start: 0,
        });
    }

    /// The next right batch, after [`Step::NeedRight`].
    pub fn push_right(&mut self, rows: Prepared) {
        self.forget();
        let kept = Kept {
            batch: rows.batch.clone(),
            bytes: get_record_batch_memory_size(&rows.batch),
        };
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.picks.slots.push(false);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(kept);
        let row = rows.groups.first().map_or(0, |g| g.timed.start);
        self.right = Right::Here {
            rows,
            slot: slot + 1,
            group: 0,
            row,
        };
    }

    /// There are no more right batches, after [`Step::NeedRight`].
    pub fn finish_right(&mut self) {
        self.right = Right::Finished;
    }

    /// The bytes of all batches that are kept.
    pub fn bytes(&self) -> usize {
        let right: usize = self.slots.iter().flatten().map(|kept| kept.bytes).sum();
        right + self.left.as_ref().map_or(0, |left| left.bytes)
    }

    /// Goes on as far as the batches reach.
    pub fn advance(&mut self) -> Result<Step> {
        loop {
            let Some(left) = &mut self.left else {
                return Ok(Step::NeedLeft);
            };
            let Some(group) = left.rows.groups.get(left.group).cloned() else {
                return self.finish_left();
            };
            if left.row < group.timed.start {
                left.row = group.timed.start;
                self.picks.fill(left.row - left.start);
            }
            if group.null_key || left.row >= group.timed.end {
                self.next_left_group(&group);
                continue;
            }
            let order = match &mut self.right {
                Right::Missing => return self.need_right(),
                Right::Finished => Ordering::Greater,
                Right::Here {
                    rows,
                    group: at,
                    row,
                    ..
                } => {
                    let order = match rows.groups.get(*at) {
                        None => return self.need_right(),
                        Some(there) => {
                            let order = rows.key(*at).cmp(&left.rows.key(left.group));
                            match order == Ordering::Equal && *row >= there.timed.end {
                                // Its rows are through; the next batch may have more.
                                true => Ordering::Less,
                                false => order,
                            }
                        }
                    };
                    if order == Ordering::Less {
                        *at += 1;
                        *row = rows.groups.get(*at).map_or(0, |g| g.timed.start);
                        continue;
                    }
                    order
                }
            };
            match order {
                Ordering::Equal => self.merge_groups(group.timed.end),
                _ => self.without_right(group.timed.end),
            }
        }
    }

    fn need_right(&mut self) -> Result<Step> {
        let kept = self.slots.iter().flatten().count();
        let bytes: usize = self.slots.iter().flatten().map(|kept| kept.bytes).sum();
        let many = kept >= MOST_BATCHES || (kept > 2 && bytes > MOST_BYTES);
        match many && !self.picks.rows.is_empty() {
            true => self.give_out(),
            false => Ok(Step::NeedRight),
        }
    }

    fn finish_left(&mut self) -> Result<Step> {
        if !self.picks.rows.is_empty() {
            return self.give_out();
        }
        if let Some(left) = self.left.take()
            && let Some(last) = left.rows.groups.len().checked_sub(1)
        {
            self.last_key = left.rows.key(last).map(|key| key.owned());
        }
        Ok(Step::NeedLeft)
    }

    /// The rest of a left group gets nothing, and the next one starts anew.
    fn next_left_group(&mut self, group: &Group) {
        if let Some(left) = &mut self.left {
            left.row = group.rows.end;
            left.group += 1;
            self.picks.fill(left.row - left.start);
            // The last group may go on in the next batch.
            if left.group < left.rows.groups.len() {
                self.passed = Passed::default();
            }
        }
    }

    /// Goes through a left and a right group with the same key, until one is through.
    fn merge_groups(&mut self, left_end: usize) {
        let (
            Some(left),
            Right::Here {
                rows,
                slot,
                group,
                row,
            },
        ) = (&mut self.left, &mut self.right)
        else {
            return;
        };
        let picked = self.picks.rows.len();
        let mut run = Run {
            left: &left.rows.ticks[left.row..left_end],
            right: &rows.ticks,
            rows: *row..rows.groups[*group].timed.end,
            slot: *slot,
            passed: &mut self.passed,
            tolerance: self.tolerance,
            picks: &mut self.picks,
        };
        match (self.matching.direction, self.matching.strict) {
            (Direction::Backward, false) => run.backward::<false>(),
            (Direction::Backward, true) => run.backward::<true>(),
            (Direction::Forward, false) => run.forward::<false>(),
            (Direction::Forward, true) => run.forward::<true>(),
            (Direction::Nearest, false) => run.nearest(),
            (Direction::Nearest, true) => run.nearest_strict(),
        }
        *row = run.rows.start;
        left.row += self.picks.rows.len() - picked;
    }

    /// Left rows after which no right row comes: what was passed is all there is.
    fn without_right(&mut self, left_end: usize) {
        let Some(left) = &mut self.left else {
            return;
        };
        let (direction, strict) = (self.matching.direction, self.matching.strict);
        for &time in &left.rows.ticks[left.row..left_end] {
            let candidate = match direction {
                Direction::Forward => None,
                Direction::Backward => self.passed.last,
                Direction::Nearest => self.passed.back(time, strict),
            };
            let candidate = candidate.filter(|c| within(self.tolerance, c.time, time));
            self.picks.push(candidate.map_or(NOTHING, |c| c.at));
        }
        left.row = left_end;
    }

    /// Lets batches go that no pick and no candidate points to. The current one is
    /// through when this is called.
    fn forget(&mut self) {
        let candidates = [self.passed.last, self.passed.before];
        let wanted = |slot: usize| candidates.iter().flatten().any(|c| c.at.0 == slot + 1);
        for (i, slot) in self.slots.iter_mut().enumerate() {
            if !self.picks.slots[i + 1] && !wanted(i) {
                *slot = None;
            }
        }
    }

    /// The left rows that have their picks, joined.
    fn give_out(&mut self) -> Result<Step> {
        let Some(left) = &mut self.left else {
            return Ok(Step::NeedLeft);
        };
        let batches: Vec<_> = self
            .slots
            .iter()
            .map(|s| s.as_ref().map(|k| &k.batch))
            .collect();
        let rows = left.start..left.start + self.picks.rows.len();
        let joined = gather(
            &left.rows.batch,
            rows.clone(),
            &self.right_schema,
            &batches,
            &self.picks.rows,
            &self.outputs,
            &self.schema,
        )?;
        left.start = rows.end;
        self.picks.clear();
        Ok(Step::Joined(joined))
    }
}

impl Passed {
    /// The last one at `time` or before it, or before it only.
    fn back(&self, time: i64, strict: bool) -> Option<Candidate> {
        match self.last {
            Some(last) if strict && last.time == time => self.before,
            last => last,
        }
    }
}

fn within(tolerance: Option<u64>, a: i64, b: i64) -> bool {
    tolerance.is_none_or(|limit| a.abs_diff(b) <= limit)
}

/// A left and a right run of times with the same key. Each method goes on until one of
/// them is through: a left row waits if the right row that decides is not here yet.
struct Run<'a> {
    left: &'a [i64],
    right: &'a [i64],
    /// The right rows that were not passed.
    rows: Range<usize>,
    slot: usize,
    passed: &'a mut Passed,
    tolerance: Option<u64>,
    picks: &'a mut Picks,
}

impl Run<'_> {
    fn candidate(&self, row: usize) -> Candidate {
        Candidate {
            at: (self.slot, row),
            time: self.right[row],
        }
    }

    fn pick(&mut self, time: i64, candidate: Option<Candidate>) {
        let candidate = candidate.filter(|c| within(self.tolerance, c.time, time));
        self.picks.push(candidate.map_or(NOTHING, |c| c.at));
    }

    /// Passes right rows while `goes_on`. The row at which it stops; None if it is not here.
    fn pass(&mut self, goes_on: impl Fn(i64) -> bool) -> Option<usize> {
        while self.rows.start < self.rows.end && goes_on(self.right[self.rows.start]) {
            self.rows.start += 1;
        }
        (!self.rows.is_empty()).then_some(self.rows.start)
    }

    /// The same, and the last one that it passed is a candidate.
    fn pass_candidates(&mut self, goes_on: impl Fn(i64) -> bool) -> Option<usize> {
        let from = self.rows.start;
        let stop = self.pass(goes_on);
        if self.rows.start > from {
            self.passed.last = Some(self.candidate(self.rows.start - 1));
        }
        stop
    }

    fn backward<const STRICT: bool>(&mut self) {
        for &time in self.left {
            let before = |t| if STRICT { t < time } else { t <= time };
            if self.pass_candidates(before).is_none() {
                return;
            }
            self.pick(time, self.passed.last);
        }
    }

    fn forward<const STRICT: bool>(&mut self) {
        for &time in self.left {
            let before = |t| if STRICT { t <= time } else { t < time };
            let Some(row) = self.pass(before) else {
                return;
            };
            self.pick(time, Some(self.candidate(row)));
        }
    }

    fn nearest(&mut self) {
        for &time in self.left {
            let Some(row) = self.pass_candidates(|t| t <= time) else {
                return;
            };
            let nearer = self.nearer(time, self.passed.last, self.candidate(row));
            self.pick(time, Some(nearer));
        }
    }

    fn nearest_strict(&mut self) {
        for &time in self.left {
            while self.rows.start < self.rows.end && self.right[self.rows.start] <= time {
                let next = self.candidate(self.rows.start);
                if let Some(last) = self.passed.last
                    && last.time < next.time
                {
                    self.passed.before = Some(last);
                }
                self.passed.last = Some(next);
                self.rows.start += 1;
            }
            if self.rows.is_empty() {
                return;
            }
            let back = self.passed.back(time, true);
            let nearer = self.nearer(time, back, self.candidate(self.rows.start));
            self.pick(time, Some(nearer));
        }
    }

    /// The earlier one if both are as near.
    fn nearer(&self, time: i64, back: Option<Candidate>, ahead: Candidate) -> Candidate {
        match back {
            Some(back) if back.time.abs_diff(time) <= ahead.time.abs_diff(time) => back,
            _ => ahead,
        }
    }
}
