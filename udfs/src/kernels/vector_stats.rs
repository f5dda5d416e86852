//! Running statistics of vectors by group: sum, mean, standard deviation, minimum, maximum,
//! and the number of values. Sum, mean and standard deviation may be weighted.
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
    /// Number of values that were there; read it by [`VectorStats::counts`].
    Count,
}

/// Two rows of one group have these widths.
#[derive(Debug, PartialEq, Eq)]
pub struct UnequalWidths(pub usize, pub usize);

/// The statistics of `groups` groups.
#[derive(Debug)]
pub struct VectorStats {
    statistic: Statistic,
    weighted: bool,
    groups: Vec<Group>,
    /// The sum (Avg, Sum), the mean (Std), the least or the greatest value so far.
    values: Vec<f64>,
    /// Std only: the sum of squared deviations from the mean.
    squares: Vec<f64>,
    /// How many rows missed the element. Empty until one does.
    missing: Vec<u64>,
    /// Weighted only: the sum of the weights with which the element was there.
    weights: Vec<f64>,
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
    /// Sums of weights; empty unless rows are weighted.
    pub weights: &'a [f64],
}

impl VectorStats {
    /// No groups yet.
    pub fn new(statistic: Statistic) -> Self {
        Self {
            statistic,
            weighted: false,
            groups: Vec::new(),
            values: Vec::new(),
            squares: Vec::new(),
            missing: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// No groups yet, and rows come by [`Self::add_weighted`]. The standard deviation is
    /// that of the population, whatever its `ddof`.
    pub fn weighted(statistic: Statistic) -> Self {
        Self {
            weighted: true,
            ..Self::new(statistic)
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
                        deviate(mean, square, x, 1.0, share);
                    }
                }
                Statistic::Count => {}
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
                    deviate(value, &mut self.squares[start + i], x, 1.0, share);
                }
                Statistic::Count => {}
            }
        }
        Ok(())
    }

    /// Adds a row that counts `weight` times, a finite number from 0. Weight 0 adds
    /// nothing, not even NaN, but the row was there.
    ///
    /// # Errors
    /// When an earlier row of the group has another width.
    pub fn add_weighted<V: Copy + Into<f64>>(
        &mut self,
        group: usize,
        row: &[V],
        weight: f64,
        present: Option<&dyn Fn(usize) -> bool>,
    ) -> Result<(), UnequalWidths> {
        let Group { start, .. } = self.grow(group, row.len(), 1)?;
        if present.is_some() {
            self.missing.resize(self.values.len(), 0);
        }
        let stretch = start..start + row.len();
        if let Some(present) = present {
            let missing = self.missing[stretch.clone()].iter_mut().enumerate();
            missing.for_each(|(i, missing)| *missing += u64::from(!present(i)));
        }
        if weight == 0.0 {
            return Ok(());
        }
        let values = self.values[stretch.clone()].iter_mut();
        let totals = self.weights[stretch.clone()].iter_mut();
        let elements = values.zip(totals).zip(row.iter().map(|x| (*x).into()));
        let there = |i: usize| present.is_none_or(|present| present(i));
        match self.statistic {
            Statistic::Avg | Statistic::Sum if present.is_none() => {
                for ((sum, total), x) in elements {
                    *total += weight;
                    *sum += weight * x;
                }
            }
            Statistic::Std { .. } => {
                let squares = self.squares[stretch].iter_mut();
                for (i, (((mean, total), x), square)) in elements.zip(squares).enumerate() {
                    if there(i) {
                        *total += weight;
                        deviate(mean, square, x, weight, weight / *total);
                    }
                }
            }
            statistic => {
                for (i, ((value, total), x)) in elements.enumerate() {
                    if there(i) {
                        *total += weight;
                        match statistic {
                            Statistic::Min => lower(value, x),
                            Statistic::Max => raise(value, x),
                            _ => *value += weight * x,
                        }
                    }
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
                Statistic::Count => {}
                Statistic::Std { .. } => {
                    let (ours, count) = match partial.weights.get(i) {
                        Some(weight) => (self.weights[start + i], *weight),
                        None => {
                            let ours = self.missing.get(start + i).unwrap_or(&0);
                            let theirs = partial.missing.get(i).unwrap_or(&0);
                            ((rows_before - ours) as f64, (partial.rows - theirs) as f64)
                        }
                    };
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
        let ours = self.weights.iter_mut().skip(start);
        for (ours, theirs) in ours.zip(partial.weights) {
            *ours += theirs;
        }
        Ok(())
    }

    /// The number of values that each element of `group` had; None if the group got no row.
    pub fn counts(&self, group: usize) -> Option<impl ExactSizeIterator<Item = u64>> {
        let Group { start, width, rows } = *self.groups.get(group)?;
        let missing = move |at| self.missing.get(at).unwrap_or(&0);
        (rows > 0).then(|| (start..start + width).map(move |at| rows - missing(at)))
    }

    /// The result of `group`, None for an element that too few rows had, or rows of too
    /// little weight; None as a whole if the group got no row.
    pub fn result(&self, group: usize) -> Option<impl ExactSizeIterator<Item = Option<f32>>> {
        let Group { start, width, rows } = *self.groups.get(group)?;
        (rows > 0).then(|| {
            (start..start + width).map(move |at| {
                let count = rows - self.missing.get(at).unwrap_or(&0);
                let value = self.values[at];
                let weight = self.weights.get(at).copied().unwrap_or(count as f64);
                let over = |divisor: f64| (divisor > 0.0).then_some(divisor);
                let result = match self.statistic {
                    Statistic::Avg => value / over(weight)?,
                    Statistic::Std { .. } if self.weighted => {
                        (self.squares[at] / over(weight)?).sqrt()
                    }
                    Statistic::Std { ddof } => {
                        (self.squares[at] / over(weight - ddof as f64)?).sqrt()
                    }
                    Statistic::Sum | Statistic::Min | Statistic::Max => value,
                    Statistic::Count => weight,
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
            missing: self.missing.get(stretch.clone()).unwrap_or_default(),
            weights: self.weights.get(stretch).unwrap_or_default(),
        }
    }

    /// Takes the first `n` groups out; the others move to the front.
    pub fn split_first(&mut self, n: usize) -> Self {
        if n >= self.groups.len() {
            let empty = self.empty();
            return std::mem::replace(self, empty);
        }
        let head = self.gather(0..n);
        *self = self.gather(n..self.groups.len());
        head
    }

    /// The bytes allocated.
    pub fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Group>()
            + (self.values.capacity()
                + self.squares.capacity()
                + self.missing.capacity()
                + self.weights.capacity())
                * size_of::<f64>()
    }

    fn empty(&self) -> Self {
        match self.weighted {
            true => Self::weighted(self.statistic),
            false => Self::new(self.statistic),
        }
    }

    fn gather(&self, groups: std::ops::Range<usize>) -> Self {
        let mut gathered = self.empty();
        for group in groups {
            let Partial {
                rows,
                values,
                squares,
                missing,
                weights,
            } = self.partial(group);
            gathered.groups.push(Group {
                start: gathered.values.len(),
                width: values.len(),
                rows,
            });
            gathered.values.extend_from_slice(values);
            gathered.squares.extend_from_slice(squares);
            gathered.missing.extend_from_slice(missing);
            gathered.weights.extend_from_slice(weights);
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
            if self.weighted {
                self.weights.resize(end, 0.0);
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

/// Welford's update with `x` counted `weight` times (West 1979); `share` is that over
/// the total with `x`.
fn deviate(mean: &mut f64, square: &mut f64, x: f64, weight: f64, share: f64) {
    let delta = x - *mean;
    *mean += delta * share;
    *square += weight * delta * (x - *mean);
}

#[cfg(test)]
mod tests;
