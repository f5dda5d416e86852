//! Scrubbing: which volumes go because the head moved.

use super::strategy::Scrub;

/// True where a volume goes. A value that is missing (NaN) is below every threshold.
///
/// First go the volumes whose framewise displacement (`fd`, mm) or standardised DVARS is above
/// its threshold; then the stretches between them, before the first and after the last
/// that are shorter than `shortest`. A run without any such volume stays whole.
///
/// Reference: nilearn's `scrub` component (Power 2014). `fd` and `dvars` are of one length.
pub fn scrubbed(fd: &[f64], dvars: &[f64], scrub: &Scrub) -> Vec<bool> {
    let values = fd.iter().zip(dvars);
    let mut gone: Vec<bool> = values
        .map(|(fd, dvars)| *fd > scrub.fd_threshold || *dvars > scrub.std_dvars_threshold)
        .collect();
    if !gone.contains(&true) {
        return gone;
    }
    let mut start = 0;
    while start < gone.len() {
        let stretch = gone[start..].iter().position(|g| *g);
        let end = stretch.map_or(gone.len(), |length| start + length);
        if end - start < scrub.shortest {
            gone[start..end].fill(true);
        }
        start = end + 1;
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `x` is a volume in which the head moved; the answer marks those that go.
    fn of(run: &str, shortest: usize) -> String {
        let fd: Vec<f64> = run
            .chars()
            .map(|c| if c == 'x' { 0.6 } else { 0.1 })
            .collect();
        let scrub = Scrub {
            shortest,
            fd_threshold: 0.5,
            std_dvars_threshold: 1.5,
        };
        let dvars = vec![f64::NAN; fd.len()];
        let gone = scrubbed(&fd, &dvars, &scrub);
        gone.iter().map(|g| if *g { 'x' } else { '.' }).collect()
    }

    #[test]
    fn short_stretches_go() {
        assert_eq!(of("..x...x.....x..", 3), "xxx...x.....xxx");
        assert_eq!(of("..x...x.....x..", 4), "xxxxxxx.....xxx");
        assert_eq!(of("...x...", 3), "...x...");
        assert_eq!(of("..x...x", 0), "..x...x");
        assert_eq!(of("..x...x", 1), "..x...x");
        assert_eq!(of("xx.xx", 2), "xxxxx");
    }

    #[test]
    fn a_still_run_stays_however_short() {
        assert_eq!(of("...", 5), "...");
        assert_eq!(of("", 5), "");
    }

    #[test]
    fn either_measure_suffices_and_the_threshold_itself_does_not() {
        let scrub = Scrub {
            shortest: 0,
            fd_threshold: 0.5,
            std_dvars_threshold: 1.5,
        };
        let fd = [f64::NAN, 0.5, 0.1, 0.6];
        let dvars = [f64::NAN, 1.5, 1.6, f64::NAN];
        assert_eq!(scrubbed(&fd, &dvars, &scrub), [false, false, true, true]);
    }
}
