//! Values at some times, wanted at others: which one to take, or which two to mix.
//!
//! Times are whole nanoseconds, so that ties and limits are decided exactly.

/// How the value at a time follows from the known ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The last at or before it.
    Previous,
    /// The nearest; the earlier of two as near (pandas `merge_asof`, direction nearest).
    Nearest,
    /// On the straight line between its neighbours; nothing outside of them.
    Linear,
}

impl Method {
    /// The names that [`Method::from_name`] knows.
    pub const NAMES: [&'static str; 3] = ["previous", "nearest", "linear"];

    /// The method of that name, `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "previous" => Some(Self::Previous),
            "nearest" => Some(Self::Nearest),
            "linear" => Some(Self::Linear),
            _ => None,
        }
    }
}

/// Where the value at one time comes from: positions among the known times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// Nothing is near enough.
    Missing,
    /// One of the known values.
    One(usize),
    /// `(1 − weight) · first + weight · second`, with `0 < weight < 1`.
    Between(usize, usize, f64),
}

/// For each of `wanted` its source among `known`; both ascending, in nanoseconds.
///
/// Of several known values at the same time, looking back finds the last and looking
/// ahead the first, as pandas does. A value farther away than `tolerance` is not used;
/// one exactly that far is.
pub fn sources(
    known: &[i64],
    wanted: &[i64],
    method: Method,
    tolerance: Option<i64>,
) -> Vec<Source> {
    let near =
        |i: usize, t: i64| tolerance.is_none_or(|limit| distance(known[i], t) <= limit as u64);
    // How many known times are at or before the wanted one, and how many before it.
    let (mut up_to, mut before) = (0, 0);
    wanted
        .iter()
        .map(|&t| {
            while up_to < known.len() && known[up_to] <= t {
                up_to += 1;
            }
            while before < known.len() && known[before] < t {
                before += 1;
            }
            let back = up_to.checked_sub(1).filter(|&i| near(i, t));
            let ahead = Some(before).filter(|&i| i < known.len() && near(i, t));
            let source = match (method, back, ahead) {
                (Method::Previous, back, _) => back.map(Source::One),
                (Method::Nearest, Some(back), Some(ahead)) => {
                    let ahead_is_nearer = distance(known[ahead], t) < distance(known[back], t);
                    Some(Source::One(if ahead_is_nearer { ahead } else { back }))
                }
                (Method::Nearest, back, ahead) => back.or(ahead).map(Source::One),
                (Method::Linear, Some(back), _) if known[back] == t => Some(Source::One(back)),
                (Method::Linear, Some(back), Some(ahead)) => {
                    let weight = distance(known[back], t) as f64
                        / distance(known[back], known[ahead]) as f64;
                    Some(Source::Between(back, ahead, weight))
                }
                (Method::Linear, _, _) => None,
            };
            source.unwrap_or(Source::Missing)
        })
        .collect()
}

fn distance(a: i64, b: i64) -> u64 {
    a.abs_diff(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_back_and_the_limit_is_inclusive() {
        let known = [0, 10, 10, 20];
        let wanted = [-5, 0, 5, 10, 15, 16, 30];
        let one = |i| Source::One(i);
        assert_eq!(
            sources(&known, &wanted, Method::Previous, None),
            [
                Source::Missing,
                one(0),
                one(0),
                one(2),
                one(2),
                one(2),
                one(3)
            ]
        );
        assert_eq!(
            sources(&known, &wanted, Method::Nearest, None),
            [one(0), one(0), one(0), one(2), one(2), one(3), one(3)]
        );
        assert_eq!(
            sources(&known, &wanted, Method::Nearest, Some(5)),
            [
                one(0),
                one(0),
                one(0),
                one(2),
                one(2),
                one(3),
                Source::Missing
            ]
        );
        assert_eq!(
            sources(&known, &wanted, Method::Linear, None)[..5],
            [
                Source::Missing,
                one(0),
                Source::Between(0, 1, 0.5),
                one(2),
                Source::Between(2, 3, 0.5)
            ]
        );
        assert_eq!(
            sources(&[], &wanted, Method::Nearest, None),
            [Source::Missing; 7]
        );
    }
}
