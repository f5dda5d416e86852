//! Running statistics of vectors by group: sum, mean, standard deviation, minimum, maximum.
//!
//! The state of all groups lies in flat `f64` buffers, one stretch of `width` values a
//! group, so that adding a row is one pass over two slices. Groups may differ in
//! width; the rows of one group may not.

/// What is computed, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// Arithmetic mean.
    Avg,
    /// Sum.
    Sum,
    /// Standard deviation with divisor `count - ddof`.
    Std { ddof: usize },
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
}

/// Two rows of one group have these widths.
#[derive(Debug, PartialEq, Eq)]
pub struct UnequalWidths(pub usize, pub usize);

/// The statistics of `groups` groups.
#[derive(Debug)]
pub struct VectorStats {
    statistic: Statistic,
    groups: Vec<Group>,
    /// The sum (Avg, Sum), the mean (Std), the least or the greatest value so far.
    values: Vec<f64>,
    /// Std only: the sum of squared deviations from the mean.
    squares: Vec<f64>,
    /// How many rows missed the element. Empty until one does.
    missing: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    start: usize,
    width: usize,
    /// The rows added; 0 where the group has no stretch yet.
    rows: u64,
}

/// The state of one group, as it travels between partial and final aggregation.
#[derive(Clone, Copy, Debug)]
pub struct Partial<'a> {
    /// Rows added.
    pub rows: u64,
    /// One value an element; what it is depends on the statistic.
    pub values: &'a [f64],
    /// Squared deviations; empty unless the statistic is `Std`.
    pub squares: &'a [f64],
    /// Missing counts; empty if nothing was missing.
    pub missing: &'a [u64],
}

impl VectorStats {
    /// No groups yet.
    pub fn new(statistic: Statistic) -> Self {
        Self {
            statistic,
            groups: Vec::new(),
            values: Vec::new(),
            squares: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Makes room for groups up to `groups`; new ones are empty.
    pub fn resize(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.groups.resize(groups, Group::default());
        }
    }

    /// Adds a row to `group`. `present` says which elements are there, if not all.
    ///
    /// # Errors
    /// When an earlier row of the group has another width.
    pub fn add<V: Copy + Into<f64>>(
        &mut self,
        group: usize,
        row: &[V],
        present: Option<&dyn Fn(usize) -> bool>,
    ) -> Result<(), UnequalWidths> {
        let Group { start, rows, .. } = self.grow(group, row.len(), 1)?;
        let stretch = start..start + row.len();
        if present.is_some() {
            self.missing.resize(self.values.len(), 0);
        }
        let values = &mut self.values[stretch.clone()];
        let elements = values.iter_mut().zip(row.iter().map(|x| (*x).into()));

        if self.missing.is_empty() {
            match self.statistic {
                Statistic::Avg | Statistic::Sum => elements.for_each(|(sum, x)| *sum += x),
                Statistic::Min => elements.for_each(|(least, x)| lower(least, x)),
                Statistic::Max => elements.for_each(|(most, x)| raise(most, x)),
                Statistic::Std { .. } => {
                    let share = 1.0 / rows as f64;
                    for ((mean, x), square) in elements.zip(&mut self.squares[stretch]) {
                        deviate(mean, square, x, share);
                    }
                }
            }
            return Ok(());
        }

        let missing = &mut self.missing[stretch.clone()];
        for (i, ((value, x), missing)) in elements.zip(missing).enumerate() {
            if present.is_some_and(|present| !present(i)) {
                *missing += 1;
                continue;
            }
            match self.statistic {
                Statistic::Avg | Statistic::Sum => *value += x,
                Statistic::Min => lower(value, x),
                Statistic::Max => raise(value, x),
                Statistic::Std { .. } => {
                    let share = 1.0 / (rows - *missing) as f64;
                    deviate(value, &mut self.squares[start + i], x, share);
                }
            }
        }
        Ok(())
    }

    /// Adds the rows behind a partial state to `group`.
    ///
    /// # Errors
    /// When the group has another width.
    pub fn merge(&mut self, group: usize, partial: Partial) -> Result<(), UnequalWidths> {
        if partial.rows == 0 {
            return Ok(());
        }
        let Group { start, rows, .. } = self.grow(group, partial.values.len(), partial.rows)?;
        let rows_before = rows - partial.rows;
        if !partial.missing.is_empty() {
            self.missing.resize(self.values.len(), 0);
        }
        for (i, theirs) in partial.values.iter().enumerate() {
            let value = &mut self.values[start + i];
            match self.statistic {
                Statistic::Avg | Statistic::Sum => *value += theirs,
                Statistic::Min => lower(value, *theirs),
                Statistic::Max => raise(value, *theirs),
                Statistic::Std { .. } => {
                    let mut ours = rows_before as f64;
                    if let Some(missing) = self.missing.get(start + i) {
                        ours -= *missing as f64;
                    }
                    let mut count = partial.rows as f64;
                    if let Some(missing) = partial.missing.get(i) {
                        count -= *missing as f64;
                    }
                    if count > 0.0 {
                        // Chan, Golub and LeVeque 1983: the pairwise update.
                        let delta = theirs - *value;
                        *value += delta * (count / (ours + count));
                        self.squares[start + i] +=
                            partial.squares[i] + delta * delta * (ours * count / (ours + count));
                    }
                }
            }
        }
        let ours = self.missing.iter_mut().skip(start);
        for (ours, theirs) in ours.zip(partial.missing) {
            *ours += theirs;
        }
        Ok(())
    }

    /// The result of `group`, None for an element that too few rows had; None as a
    /// whole if the group got no row.
    pub fn result(&self, group: usize) -> Option<impl ExactSizeIterator<Item = Option<f32>>> {
        let Group { start, width, rows } = *self.groups.get(group)?;
        (rows > 0).then(|| {
            (start..start + width).map(move |at| {
                let count = rows - self.missing.get(at).unwrap_or(&0);
                let value = self.values[at];
                let result = match self.statistic {
                    Statistic::Avg => value / count as f64,
                    Statistic::Std { ddof } => {
                        let divisor = count.checked_sub(ddof as u64).filter(|n| *n > 0)?;
                        (self.squares[at] / divisor as f64).sqrt()
                    }
                    Statistic::Sum | Statistic::Min | Statistic::Max => value,
                };
                (count > 0).then_some(result as f32)
            })
        })
    }

    /// The state of `group`.
    pub fn partial(&self, group: usize) -> Partial<'_> {
        let Group { start, width, rows } = self.groups[group];
        let stretch = start..start + width;
        Partial {
            rows,
            values: &self.values[stretch.clone()],
            squares: self.squares.get(stretch.clone()).unwrap_or_default(),
            missing: self.missing.get(stretch).unwrap_or_default(),
        }
    }

    /// Takes the first `n` groups out; the others move to the front.
    pub fn split_first(&mut self, n: usize) -> Self {
        if n >= self.groups.len() {
            return std::mem::replace(self, Self::new(self.statistic));
        }
        let head = self.gather(0..n);
        *self = self.gather(n..self.groups.len());
        head
    }

    /// The bytes allocated.
    pub fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Group>()
            + (self.values.capacity() + self.squares.capacity() + self.missing.capacity())
                * size_of::<f64>()
    }

    fn gather(&self, groups: std::ops::Range<usize>) -> Self {
        let mut gathered = Self::new(self.statistic);
        for group in groups {
            let Partial {
                rows,
                values,
                squares,
                missing,
            } = self.partial(group);
            gathered.groups.push(Group {
                start: gathered.values.len(),
                width: values.len(),
                rows,
            });
            gathered.values.extend_from_slice(values);
            gathered.squares.extend_from_slice(squares);
            gathered.missing.extend_from_slice(missing);
        }
        gathered
    }

    /// Counts `rows` more rows of `width` into `group`, and gives it its stretch if
    /// they are the first.
    fn grow(&mut self, group: usize, width: usize, rows: u64) -> Result<Group, UnequalWidths> {
        self.resize(group + 1);
        let entry = &mut self.groups[group];
        if entry.rows == 0 {
            entry.start = self.values.len();
            entry.width = width;
            let end = entry.start + width;
            let empty = match self.statistic {
                Statistic::Min => f64::INFINITY,
                Statistic::Max => f64::NEG_INFINITY,
                _ => 0.0,
            };
            self.values.resize(end, empty);
            if matches!(self.statistic, Statistic::Std { .. }) {
                self.squares.resize(end, 0.0);
            }
            if !self.missing.is_empty() {
                self.missing.resize(end, 0);
            }
        } else if entry.width != width {
            return Err(UnequalWidths(entry.width, width));
        }
        entry.rows += rows;
        Ok(*entry)
    }
}

/// NaN wins, and stays.
fn lower(least: &mut f64, x: f64) {
    *least = if x < *least || x.is_nan() { x } else { *least };
}

/// NaN wins, and stays.
fn raise(most: &mut f64, x: f64) {
    *most = if x > *most || x.is_nan() { x } else { *most };
}

/// Welford's update; `share` is one over the count with `x`.
fn deviate(mean: &mut f64, square: &mut f64, x: f64, share: f64) {
    let delta = x - *mean;
    *mean += delta * share;
    *square += delta * (x - *mean);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Statistic; 6] = [
        Statistic::Avg,
        Statistic::Sum,
        Statistic::Std { ddof: 0 },
        Statistic::Std { ddof: 1 },
        Statistic::Min,
        Statistic::Max,
    ];

    fn row() -> impl Strategy<Value = Vec<Option<f64>>> {
        prop::collection::vec(prop::option::weighted(0.9, -1e3f64..1e3), 3)
    }

    fn add(stats: &mut VectorStats, group: usize, row: &[Option<f64>]) {
        let values: Vec<f64> = row.iter().map(|x| x.unwrap_or(99.0)).collect();
        let present = |i: usize| row[i].is_some();
        let whole = row.iter().all(Option::is_some);
        let present: Option<&dyn Fn(usize) -> bool> = if whole { None } else { Some(&present) };
        stats.add(group, &values, present).unwrap();
    }

    fn result(stats: &VectorStats, group: usize) -> Option<Vec<Option<f32>>> {
        stats.result(group).map(Iterator::collect)
    }

    /// The textbook, two passes.
    fn expected(statistic: Statistic, column: &[f64]) -> Option<f64> {
        let n = column.len() as f64;
        let sum: f64 = column.iter().sum();
        let squares: f64 = column.iter().map(|x| (x - sum / n).powi(2)).sum();
        match statistic {
            _ if column.is_empty() => None,
            Statistic::Avg => Some(sum / n),
            Statistic::Sum => Some(sum),
            Statistic::Std { ddof } if column.len() <= ddof => None,
            Statistic::Std { ddof } => Some((squares / (n - ddof as f64)).sqrt()),
            Statistic::Min => column.iter().copied().reduce(f64::min),
            Statistic::Max => column.iter().copied().reduce(f64::max),
        }
    }

    proptest! {
        /// Every statistic is the textbook's, whatever the order of the rows, what is
        /// missing, and where the rows were split between partial states.
        #[test]
        fn whole_parts_and_textbook_agree(
            rows in prop::collection::vec(row(), 1..20),
            cut in 0usize..20,
        ) {
            let cut = cut.min(rows.len());
            for statistic in ALL {
                let mut whole = VectorStats::new(statistic);
                rows.iter().for_each(|row| add(&mut whole, 1, row));

                let mut backwards = VectorStats::new(statistic);
                rows.iter().rev().for_each(|row| add(&mut backwards, 0, row));

                let mut parts = VectorStats::new(statistic);
                for part in [&rows[cut..], &rows[..cut]] {
                    let mut stats = VectorStats::new(statistic);
                    stats.resize(1);
                    part.iter().for_each(|row| add(&mut stats, 0, row));
                    parts.merge(0, stats.partial(0)).unwrap();
                }

                prop_assert!(whole.result(0).is_none());
                for stats in [(&whole, 1), (&backwards, 0), (&parts, 0)] {
                    let got = result(stats.0, stats.1).unwrap();
                    for i in 0..3 {
                        let column: Vec<f64> = rows.iter().filter_map(|row| row[i]).collect();
                        match (got[i], expected(statistic, &column)) {
                            (Some(g), Some(w)) => prop_assert!(
                                (f64::from(g) - w).abs() <= 1e-3 + 1e-6 * w.abs(),
                                "{statistic:?}: {g} {w}"
                            ),
                            (g, w) => prop_assert_eq!(g.is_some(), w.is_some()),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn nan_stays() {
        for statistic in ALL {
            let mut stats = VectorStats::new(statistic);
            for x in [1.0f32, f32::NAN, 2.0] {
                stats.add(0, &[x], None).unwrap();
            }
            assert!(result(&stats, 0).unwrap()[0].unwrap().is_nan());
        }
    }

    #[test]
    fn widths_may_differ_between_groups_only() {
        let mut stats = VectorStats::new(Statistic::Avg);
        stats.add(1, &[1.0, 2.0], None).unwrap();
        stats.add(0, &[5.0], None).unwrap();
        assert_eq!(stats.add(1, &[1.0], None), Err(UnequalWidths(2, 1)));

        let head = stats.split_first(1);
        assert_eq!(result(&head, 0), Some(vec![Some(5.0)]));
        assert_eq!(stats.groups(), 1);
        stats.add(0, &[3.0, 4.0], None).unwrap();
        assert_eq!(result(&stats, 0), Some(vec![Some(2.0), Some(3.0)]));
    }
}
