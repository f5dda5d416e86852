//! Whether a summary of correlations, or the difference of two groups, is more than chance:
//! signs flipped, or subjects dealt to groups anew.

use super::bootstrap::subjects;
use super::draws::{Draws, permutation, signs};
use super::pairs;
use super::summary::Summary;
use super::threads::{in_ranges, join_rows};

/// On which side of chance is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Greater than chance.
    Right,
    /// Less than chance.
    Left,
    /// Further from 0 than chance.
    TwoSided,
}

impl Side {
    /// The names that [`Self::from_name`] knows, BrainIAK's.
    pub const NAMES: [&'static str; 3] = ["right", "left", "two-sided"];

    /// The side that BrainIAK calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "right" => Some(Self::Right),
            "left" => Some(Self::Left),
            "two-sided" => Some(Self::TwoSided),
            _ => None,
        }
    }
}

/// How often chance reaches what was observed.
pub(super) struct Tail {
    observed: f64,
    side: Side,
    reached: usize,
    total: usize,
}

impl Tail {
    pub fn new(observed: f64, side: Side) -> Self {
        Self {
            observed,
            side,
            reached: 0,
            total: 0,
        }
    }

    pub fn add(&mut self, value: f64) {
        let reached = match self.side {
            Side::Right => value >= self.observed,
            Side::Left => value <= self.observed,
            Side::TwoSided => value.abs() >= self.observed.abs(),
        };
        self.reached += usize::from(reached);
        self.total += 1;
    }

    /// The p value where chance was drawn at random: what was observed counts as one more draw,
    /// so it is never 0 (Phipson and Smyth 2010).
    pub fn p_of_sample(&self) -> f64 {
        (self.reached + 1) as f64 / (self.total + 1) as f64
    }

    /// The p value where all that could have been is there.
    pub fn p_of_all(&self) -> f64 {
        self.reached as f64 / self.total as f64
    }
}

/// How a permutation test is made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether the rows are pairs of subjects; else they are subjects.
    pub pairwise: bool,
    pub summary: Summary,
    /// How many permutations are drawn. If there are no more than that, each is made once.
    pub permutations: usize,
    pub side: Side,
    pub seed: u32,
    pub threads: usize,
}

/// What it gives, per voxel.
#[derive(Debug, Clone, PartialEq)]
pub struct Permutation {
    /// The summary, or the first group's minus the second's.
    pub observed: Vec<f64>,
    pub p: Vec<f64>,
}

/// What is done to the rows: each is multiplied by its sign, or goes into a group.
enum Shuffle {
    /// A sign a row.
    Signs(Vec<f64>),
    /// The rows of the first and of the second group; pairs between groups are in neither.
    Groups(Vec<usize>, Vec<usize>),
}

/// Tests `iscs`, rows of voxels per subject or per pair. `second` says of each subject whether it
/// is in the second of two groups; without it the test is of one group, by flipping signs.
///
/// # Errors
/// When the rows cannot be all pairs, or groups are not of all subjects.
pub fn permutation_test(
    iscs: &[&[f64]],
    second: Option<&[bool]>,
    options: &Options,
) -> Result<Permutation, String> {
    let subjects = subjects(iscs.len(), options.pairwise)?;
    if let Some(second) = second
        && second.len() != subjects
    {
        return Err(format!(
            "groups of {} subjects are given, and there are {subjects}",
            second.len()
        ));
    }
    let voxels = iscs.first().map_or(0, |row| row.len());
    let (shuffles, all) = shuffles(subjects, second, options);
    let as_it_is = match second {
        None => Shuffle::Signs(vec![1.0; iscs.len()]),
        Some(second) => grouped(second, options.pairwise),
    };
    let pieces = in_ranges(voxels, options.threads, 1, |range| {
        let width = range.len();
        let mut out = vec![f64::NAN; 2 * width];
        let mut scratch = Vec::with_capacity(iscs.len());
        for (at, voxel) in range.enumerate() {
            let prepared: Vec<f64> = iscs
                .iter()
                .map(|row| options.summary.prepare(row[voxel]))
                .collect();
            let observed = shuffled(&prepared, &as_it_is, options.summary, &mut scratch);
            let mut tail = Tail::new(observed, options.side);
            for shuffle in &shuffles {
                // A group may get only subjects whose correlation is not defined: NaN reaches
                // nothing.
                tail.add(shuffled(&prepared, shuffle, options.summary, &mut scratch));
            }
            out[at] = observed;
            out[width + at] = match (observed.is_nan(), all) {
                (true, _) => f64::NAN,
                (_, true) => tail.p_of_all(),
                (_, false) => tail.p_of_sample(),
            };
        }
        out
    });
    let mut rows = join_rows(2, voxels, pieces).into_iter();
    let mut next = || rows.next().unwrap_or_default();
    Ok(Permutation {
        observed: next(),
        p: next(),
    })
}

fn shuffled(prepared: &[f64], shuffle: &Shuffle, summary: Summary, scratch: &mut Vec<f64>) -> f64 {
    let mut of = |values: &mut dyn Iterator<Item = f64>| {
        scratch.clear();
        scratch.extend(values);
        summary.of_prepared(scratch)
    };
    match shuffle {
        Shuffle::Signs(signs) => of(&mut prepared.iter().zip(signs).map(|(v, sign)| v * sign)),
        Shuffle::Groups(first, second) => {
            of(&mut first.iter().map(|row| prepared[*row]))
                - of(&mut second.iter().map(|row| prepared[*row]))
        }
    }
}

/// The shuffles, and whether they are all that there are.
fn shuffles(subjects: usize, second: Option<&[bool]>, options: &Options) -> (Vec<Shuffle>, bool) {
    let pairwise = options.pairwise;
    let mut draws = Draws::new(options.seed);
    let wanted = options.permutations;
    let Some(second) = second else {
        let of = |signs: Vec<f64>| Shuffle::Signs(row_signs(signs, pairwise));
        return match 1_usize.checked_shl(subjects as u32) {
            Some(all) if subjects < 64 && all <= wanted => {
                let sign = |i: usize, s: usize| if i >> s & 1 == 1 { 1.0 } else { -1.0 };
                let pattern = |i| of((0..subjects).map(|s| sign(i, s)).collect());
                ((0..all).map(pattern).collect(), true)
            }
            _ => {
                let drawn = |_| of(draws.next(|random| signs(random, subjects)));
                ((0..wanted).map(drawn).collect(), false)
            }
        };
    };
    let orders = (1..=subjects).try_fold(1_usize, |n, k| n.checked_mul(k));
    if orders.is_some_and(|orders| orders <= wanted) {
        // Of all orders of the subjects, those that deal the same groups are equally many.
        let size = second.iter().filter(|s| **s).count();
        let dealt = (0..1_usize << subjects).filter(|i| i.count_ones() as usize == size);
        let groups = |i: usize| (0..subjects).map(|s| i >> s & 1 == 1).collect::<Vec<_>>();
        let of = |i| grouped(&groups(i), pairwise);
        return (dealt.map(of).collect(), true);
    }
    // BrainIAK shuffles subjects that stand in order of their groups, if it has pairs.
    let mut sorted: Vec<usize> = (0..subjects).collect();
    sorted.sort_by_key(|s| second[*s]);
    let mut place = vec![0; subjects];
    for (at, s) in sorted.iter().enumerate() {
        place[*s] = at;
    }
    let drawn = |_| {
        let order = draws.next(|random| permutation(random, subjects));
        let of = |s: usize| match pairwise {
            true => second[sorted[order[place[s]]]],
            false => second[order[s]],
        };
        grouped(&(0..subjects).map(of).collect::<Vec<_>>(), pairwise)
    };
    ((0..wanted).map(drawn).collect(), false)
}

/// A pair's sign is the product of its subjects'.
fn row_signs(signs: Vec<f64>, pairwise: bool) -> Vec<f64> {
    match pairwise {
        false => signs,
        true => pairs(signs.len())
            .map(|(i, j)| signs[i] * signs[j])
            .collect(),
    }
}

/// The rows within each group.
fn grouped(second: &[bool], pairwise: bool) -> Shuffle {
    let row_of = |group: bool| -> Vec<usize> {
        let inside = |s: usize| second[s] == group;
        match pairwise {
            false => (0..second.len()).filter(|s| inside(*s)).collect(),
            true => pairs(second.len())
                .enumerate()
                .filter(|(_, (i, j))| inside(*i) && inside(*j))
                .map(|(row, _)| row)
                .collect(),
        }
    };
    Shuffle::Groups(row_of(false), row_of(true))
}
