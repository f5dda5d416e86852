//! Which right row a left row gets.

use std::fmt;

/// Where to look for a match, seen from the left row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
pub enum Direction {
    /// The last row before it; of several at that time the last.
    Backward,
    /// The first row after it; of several at that time the first.
    Forward,
    /// The nearer of both; the earlier one where they are as near.
    Nearest,
}

/// The match condition without its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
pub struct Matching {
    pub direction: Direction,
    /// Rows at the very same time do not match.
    pub strict: bool,
}

impl Matching {
    /// The condition with its operands, as in `a.time >= b.onset`.
    pub fn display<'a>(
        self,
        left: &'a dyn fmt::Display,
        right: &'a dyn fmt::Display,
    ) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| match (self.direction, self.strict) {
            (Direction::Backward, false) => write!(f, "{left} >= {right}"),
            (Direction::Backward, true) => write!(f, "{left} > {right}"),
            (Direction::Forward, false) => write!(f, "{left} <= {right}"),
            (Direction::Forward, true) => write!(f, "{left} < {right}"),
            (Direction::Nearest, false) => write!(f, "nearest({left}, {right})"),
            (Direction::Nearest, true) => write!(f, "nearest({left}, {right}, exact => false)"),
        })
    }
}
