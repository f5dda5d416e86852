//! Spatio-temporal energy: how much of a picture moves where, how fast, and in which direction.
//!
//! A filter is a Gabor function of space and time: a sine wave that drifts in one
//! direction under a Gaussian envelope. A pair of them, a quarter of a wave apart, has the
//! energy `√(sin² + cos²)`, which does not depend on where the wave stands (Adelson &
//! Bergen 1985, J. Opt. Soc. Am. A 2:284). The pyramid of filters is that of Nishimoto et al. 2011
//! (Curr. Biol. 21:1641), with the constants and the order of pymoten's default pyramid.
//!
//! Space is measured in heights of the picture, so a circle stays one; x runs to the right
//! from 0 to width/height, y down from 0 to 1. Directions are degrees anticlockwise from
//! the right, and are those of what moves: a filter of direction 0 answers to motion to the right.
//! pymoten 0.1.3 says the same of its filters and reverses them in time when it applies them, so that
//! its direction 0 answers to motion to the left; [`Pyramid::is_reversed`] has its labels.

use std::collections::{HashMap, VecDeque};
use std::f64::consts::{PI, SQRT_2, TAU};

/// Standard deviation of a filter's envelope in waves, and its greatest in heights.
const SPATIAL_ENVELOPE: (f64, f64) = (0.6, 0.3);
/// The same in time, the greatest in lengths of the filter.
const TEMPORAL_ENVELOPE: (f64, f64) = (10.0, 0.3);
/// From one filter to the next, in standard deviations.
const SPACING: f64 = 3.5;
/// Where both of a pair are smaller than this together, they count as 0.
const NEGLIGIBLE: f64 = 1e-3;
/// What is added before the logarithm.
const OFFSET: f64 = 1e-5;

/// Which filters there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Pyramid {
    /// Height and width of the pictures in pixels.
    pub height: usize,
    pub width: usize,
    /// Pictures per second.
    pub fps: f64,
    /// Cycles per second.
    pub temporal_frequencies: Vec<f64>,
    /// Cycles per height of the picture.
    pub spatial_frequencies: Vec<f64>,
    /// Degrees; 0 is to the right, 90 up.
    pub directions: Vec<f64>,
    /// Directions are those that something moves from, as pymoten's.
    pub is_reversed: bool,
}

/// One filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    pub x: f64,
    pub y: f64,
    pub direction: f64,
    pub spatial_frequency: f64,
    spatial_envelope: f64,
    pub temporal_frequency: f64,
    temporal_envelope: f64,
}

impl Pyramid {
    /// Pictures that a filter is long: two thirds of a second.
    pub fn length(&self) -> usize {
        // As many as there are, where two thirds of a frame rate are whole.
        ((self.fps * (2.0 / 3.0)) as usize).max(1)
    }

    /// The filters in order: by spatial frequency, direction, place (x, then y), temporal
    /// frequency. Where 0 is a spatial frequency, each filter of the first direction 0 is followed by
    /// one of its place and size that has no waves in space.
    ///
    /// Without motion a direction and its opposite are the same, and only that below 180 is there.
    pub fn filters(&self) -> Vec<Filter> {
        let aspect = self.aspect();
        let flat = self.spatial_frequencies.contains(&0.0);
        let mut filters = vec![];
        for &spatial_frequency in self.spatial_frequencies.iter().filter(|f| **f != 0.0) {
            let spatial_envelope = envelope(spatial_frequency, SPATIAL_ENVELOPE);
            let step = spatial_envelope * SPACING;
            let centres = |extent: f64| {
                let beside = (((extent - step) / step) / 2.0).floor().max(0.0) as i64;
                (-beside..=beside).map(move |k| step * k as f64 + extent / 2.0)
            };
            for &direction in &self.directions {
                for x in centres(aspect) {
                    for y in centres(1.0) {
                        for &temporal_frequency in &self.temporal_frequencies {
                            if temporal_frequency == 0.0 && direction >= 180.0 {
                                continue;
                            }
                            let filter = Filter {
                                x,
                                y,
                                direction,
                                spatial_frequency,
                                spatial_envelope,
                                temporal_frequency,
                                temporal_envelope: envelope(temporal_frequency, TEMPORAL_ENVELOPE),
                            };
                            filters.push(filter);
                            if direction == 0.0 && flat {
                                filters.push(Filter {
                                    spatial_frequency: 0.0,
                                    ..filter
                                });
                            }
                        }
                    }
                }
            }
        }
        filters
    }

    /// About how many bytes the filters take.
    pub fn bytes(&self) -> f64 {
        let (height, width) = (self.height as f64, self.width as f64);
        let places = |envelope: f64| {
            let step = envelope * SPACING;
            let along = |extent: f64| (extent / step).max(1.0);
            along(self.aspect()) * along(1.0)
        };
        let patch = |envelope: f64| {
            let across = 2.0 * reach(envelope) * height;
            across.min(height) * across.min(width)
        };
        let frequencies = self.spatial_frequencies.iter().filter(|f| **f != 0.0);
        let numbers: f64 = frequencies
            .map(|&frequency| {
                let envelope = envelope(frequency, SPATIAL_ENVELOPE);
                places(envelope) * patch(envelope)
            })
            .sum();
        numbers * self.directions.len() as f64 * 2.0 * size_of::<f32>() as f64
    }

    fn aspect(&self) -> f64 {
        self.width as f64 / self.height as f64
    }
}

fn envelope(frequency: f64, (waves, most): (f64, f64)) -> f64 {
    (waves / frequency).min(most)
}

/// How far from its centre a filter counts: no pair is greater than √2 times the bell.
fn reach(envelope: f64) -> f64 {
    envelope * (2.0 * (SQRT_2 / NEGLIGIBLE).ln()).sqrt()
}

/// The spatial half of a pair of filters, where it is not negligible.
#[derive(Debug)]
struct Patch {
    left: usize,
    top: usize,
    width: usize,
    sin: Vec<f32>,
    cos: Vec<f32>,
}

impl Patch {
    fn new(filter: &Filter, pyramid: &Pyramid) -> Self {
        let (height, width, aspect) = (pyramid.height, pyramid.width, pyramid.aspect());
        let turn = if pyramid.is_reversed { 0.0 } else { 180.0 };
        let angle = (filter.direction + turn) / 180.0 * PI;
        let fx = -filter.spatial_frequency * angle.cos() * TAU;
        let fy = filter.spatial_frequency * angle.sin() * TAU;
        let place = |i: usize, n: usize, extent: f64| match n {
            0 | 1 => 0.0,
            n => i as f64 * (extent / (n - 1) as f64),
        };
        let pair = |row: usize, column: usize| {
            let x = place(column, width, aspect) - filter.x;
            let y = place(row, height, 1.0) - filter.y;
            let spread = 2.0 * filter.spatial_envelope * filter.spatial_envelope;
            let bell = (-(x * x + y * y) / spread).exp();
            let (sin, cos) = (x * fx + y * fy).sin_cos();
            let (sin, cos) = (bell * sin, bell * cos);
            match sin.abs() + cos.abs() > NEGLIGIBLE {
                true => (sin as f32, cos as f32),
                false => (0.0, 0.0),
            }
        };
        let reach = reach(filter.spatial_envelope);
        let range = |centre: f64, n: usize, extent: f64| {
            let near = |i: &usize| (place(*i, n, extent) - centre).abs() <= reach;
            let first = (0..n).find(near).unwrap_or(0);
            let last = (0..n).rfind(near).map_or(first, |last| last + 1);
            first..last
        };
        let (rows, columns) = (range(filter.y, height, 1.0), range(filter.x, width, aspect));
        let (mut sin, mut cos) = (vec![], vec![]);
        for row in rows.clone() {
            for column in columns.clone() {
                let (s, c) = pair(row, column);
                sin.push(s);
                cos.push(c);
            }
        }
        Self {
            left: columns.start,
            top: rows.start,
            width: columns.len(),
            sin,
            cos,
        }
    }

    /// The products of the pair with a picture.
    fn response(&self, picture: &[f32], width: usize) -> (f64, f64) {
        let (mut sin, mut cos) = (0.0, 0.0);
        if self.width == 0 {
            return (sin, cos);
        }
        let lines = picture.chunks_exact(width).skip(self.top);
        let pairs = self
            .sin
            .chunks_exact(self.width)
            .zip(self.cos.chunks_exact(self.width));
        for (line, (s, c)) in lines.zip(pairs) {
            let line = &line[self.left..self.left + self.width];
            let (a, b) = products(line, s, c);
            sin += a;
            cos += b;
        }
        (sin, cos)
    }
}

/// The inner products of a line with two others, in lanes that the compiler makes into SIMD.
fn products(line: &[f32], sin: &[f32], cos: &[f32]) -> (f64, f64) {
    const LANES: usize = 8;
    let (mut s, mut c) = ([0f32; LANES], [0f32; LANES]);
    let (line, line_rest) = line.as_chunks::<LANES>();
    let (sin, sin_rest) = sin.as_chunks::<LANES>();
    let (cos, cos_rest) = cos.as_chunks::<LANES>();
    for ((line, sin), cos) in line.iter().zip(sin).zip(cos) {
        for lane in 0..LANES {
            s[lane] += line[lane] * sin[lane];
            c[lane] += line[lane] * cos[lane];
        }
    }
    let sum = |lanes: [f32; LANES]| lanes.iter().map(|v| f64::from(*v)).sum::<f64>();
    let rest = |other: &[f32]| {
        let pairs = line_rest.iter().zip(other);
        pairs.map(|(a, b)| f64::from(a * b)).sum::<f64>()
    };
    (sum(s) + rest(sin_rest), sum(c) + rest(cos_rest))
}

/// A filter as the parts that it shares with others.
#[derive(Debug)]
struct Channel {
    patch: usize,
    /// The opposite direction has the same cosine and the negative sine.
    sign: f64,
    tempo: usize,
}

/// All filters of a pyramid, made once, and the responses of the pictures that are in reach.
#[derive(Debug)]
pub struct MotionEnergy {
    width: usize,
    length: usize,
    patches: Vec<Patch>,
    /// The temporal halves, sine and cosine.
    tempi: Vec<(Vec<f64>, Vec<f64>)>,
    channels: Vec<Channel>,
    is_log: bool,
    /// The responses of all patches to the last pictures, the number of the first of which
    /// is `first`.
    responses: VecDeque<Vec<(f64, f64)>>,
    first: usize,
}

impl MotionEnergy {
    /// `is_log` gives the natural logarithm of the energies (plus 1e-5), as pymoten does.
    pub fn new(pyramid: &Pyramid, is_log: bool) -> Self {
        let length = pyramid.length();
        let mut patches = vec![];
        let mut known = HashMap::new();
        let mut tempi = vec![];
        let mut known_tempi = HashMap::new();
        let channels = pyramid.filters().into_iter().map(|filter| {
            let opposite = filter.direction - 180.0;
            let is_opposite = pyramid.directions.contains(&opposite);
            let filter = match is_opposite {
                true => Filter {
                    direction: opposite,
                    ..filter
                },
                false => filter,
            };
            let key = [
                filter.x,
                filter.y,
                filter.direction,
                filter.spatial_frequency,
                filter.spatial_envelope,
            ]
            .map(f64::to_bits);
            let patch = *known.entry(key).or_insert_with(|| {
                patches.push(Patch::new(&filter, pyramid));
                patches.len() - 1
            });
            let frequency = filter.temporal_frequency.to_bits();
            let tempo = *known_tempi.entry(frequency).or_insert_with(|| {
                tempi.push(tempo(&filter, length, pyramid.fps));
                tempi.len() - 1
            });
            Channel {
                patch,
                sign: if is_opposite { -1.0 } else { 1.0 },
                tempo,
            }
        });
        let channels = channels.collect();
        Self {
            width: pyramid.width,
            length,
            patches,
            tempi,
            channels,
            is_log,
            responses: VecDeque::new(),
            first: 0,
        }
    }

    /// The number of filters.
    pub fn filters(&self) -> usize {
        self.channels.len()
    }

    /// How many pictures before a picture, and after it, its energies depend on.
    pub fn reach(length: usize) -> (usize, usize) {
        let middle = length.div_ceil(2);
        (length - middle, middle - 1)
    }

    /// Takes the next picture, as height × width lumas.
    pub fn push(&mut self, picture: &[f32]) {
        let patches = self.patches.iter();
        let responses = patches.map(|patch| patch.response(picture, self.width));
        self.responses.push_back(responses.collect());
        // Those that even the picture before this one's last follower does not need.
        if self.responses.len() > 2 * self.length {
            self.responses.pop_front();
            self.first += 1;
        }
    }

    /// Writes the energies at a picture. Of the pictures in its reach those that were not pushed
    /// count as 0: so it is before a film's first and after its last.
    pub fn energies(&self, picture: usize, out: &mut [f32]) {
        let middle = self.length.div_ceil(2);
        for (out, channel) in out.iter_mut().zip(&self.channels) {
            let (sines, cosines) = &self.tempi[channel.tempo];
            let (mut sin, mut cos) = (0.0, 0.0);
            for step in 0..self.length {
                // The filter's middle lies on the picture.
                let at = (picture + middle - 1)
                    .checked_sub(step + self.first)
                    .and_then(|at| self.responses.get(at));
                let Some(responses) = at else { continue };
                let (s, c) = responses[channel.patch];
                let s = channel.sign * s;
                sin += s * cosines[step] + c * sines[step];
                cos += c * cosines[step] - s * sines[step];
            }
            let energy = sin.hypot(cos);
            *out = match self.is_log {
                true => (energy + OFFSET).ln(),
                false => energy,
            } as f32;
        }
    }
}

/// The temporal half of a pair of filters.
fn tempo(filter: &Filter, length: usize, fps: f64) -> (Vec<f64>, Vec<f64>) {
    let speed = filter.temporal_frequency * (length as f64 / fps) * TAU;
    let spread = 2.0 * filter.temporal_envelope * filter.temporal_envelope;
    let pairs = (0..length).map(|step| {
        let t = step as f64 / length as f64 - 0.5;
        let bell = (-t * t / spread).exp();
        let (sin, cos) = (t * speed).sin_cos();
        (bell * sin, bell * cos)
    });
    pairs.unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(fps: f64) -> Pyramid {
        Pyramid {
            height: 24,
            width: 32,
            fps,
            temporal_frequencies: vec![0.0, 2.0, 4.0],
            spatial_frequencies: vec![0.0, 2.0, 4.0],
            directions: (0..8).map(|k| 45.0 * f64::from(k)).collect(),
            is_reversed: false,
        }
    }

    /// The energies of each picture of a film.
    fn run(pyramid: &Pyramid, film: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let mut energy = MotionEnergy::new(pyramid, false);
        let (_, after) = MotionEnergy::reach(pyramid.length());
        let mut pushed = 0;
        (0..film.len())
            .map(|picture| {
                while pushed < film.len().min(picture + after + 1) {
                    energy.push(&film[pushed]);
                    pushed += 1;
                }
                let mut out = vec![0.0; energy.filters()];
                energy.energies(picture, &mut out);
                out
            })
            .collect()
    }

    /// tests/data/video/make_pymoten.py: the same film through pymoten.
    #[test]
    fn the_numbers_are_those_of_pymoten() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/data/video/pymoten.bin"
        );
        let Ok(want) = std::fs::read(path) else {
            println!("skipped: {path} is not there");
            return;
        };
        let want: Vec<f32> = want
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let pyramid = Pyramid {
            height: 18,
            width: 24,
            fps: 12.0,
            temporal_frequencies: vec![0.0, 3.0],
            spatial_frequencies: vec![0.0, 2.0, 5.0],
            directions: vec![0.0, 60.0, 180.0, 240.0],
            is_reversed: true,
        };
        let film: Vec<Vec<f32>> = (0..9)
            .map(|t| {
                let pixel = |i: usize| ((i % 24 * 5 + i / 24 * 3 + t * 7) % 17) as f32 / 17.0;
                (0..18 * 24).map(pixel).collect()
            })
            .collect();
        let got: Vec<f32> = run(&pyramid, &film).concat();
        assert_eq!(got.len(), want.len());
        let most = want.iter().copied().fold(0.0, f32::max);
        for (got, want) in got.iter().zip(&want) {
            assert!(
                (got - want).abs() <= 1e-5 * want + 1e-6 * most,
                "{got} for {want}"
            );
        }
    }

    #[test]
    fn a_drifting_wave_excites_the_filter_of_its_direction() {
        let pyramid = small(15.0);
        // 4 cycles a height, 4 a second, to the right.
        let film: Vec<Vec<f32>> = (0..30)
            .map(|t| {
                let wave = |i: usize| {
                    let x = (i % 32) as f64 / 31.0 * pyramid.aspect();
                    (TAU * (4.0 * x - 4.0 * f64::from(t) / 15.0)).cos() as f32
                };
                (0..24 * 32).map(wave).collect()
            })
            .collect();
        let energies = &run(&pyramid, &film)[15];
        let filters = pyramid.filters();
        let best = (0..filters.len()).max_by(|a, b| energies[*a].total_cmp(&energies[*b]));
        let best = filters[best.unwrap()];
        let found = (
            best.direction,
            best.spatial_frequency,
            best.temporal_frequency,
        );
        assert_eq!(found, (0.0, 4.0, 4.0));
        // The opposite filter of the same place hardly answers.
        let of = |direction: f64| {
            let at = filters
                .iter()
                .position(|f| *f == Filter { direction, ..best });
            energies[at.unwrap()]
        };
        assert!(of(0.0) > 10.0 * of(180.0), "{} {}", of(0.0), of(180.0));
    }

    #[test]
    fn energies_scale_with_contrast_and_nothing_moves_in_the_dark() {
        let pyramid = small(12.0);
        let film: Vec<Vec<f32>> = (0..9)
            .map(|t| {
                (0..24 * 32)
                    .map(|i| ((i * 7 + t * 13) % 11) as f32 / 11.0)
                    .collect()
            })
            .collect();
        let double = film
            .iter()
            .map(|p| p.iter().map(|v| 2.0 * v).collect())
            .collect::<Vec<_>>();
        for (a, b) in run(&pyramid, &film)
            .iter()
            .flatten()
            .zip(run(&pyramid, &double).iter().flatten())
        {
            assert!((2.0 * a - b).abs() <= 1e-5 * b.abs() + 1e-5, "{a} {b}");
        }
        let dark = vec![vec![0.0; 24 * 32]; 3];
        assert!(run(&pyramid, &dark).iter().flatten().all(|e| *e == 0.0));
    }

    #[test]
    fn only_pictures_in_reach_matter() {
        let pyramid = small(15.0);
        let (before, after) = MotionEnergy::reach(pyramid.length());
        assert_eq!((pyramid.length(), before, after), (10, 5, 4));
        let film = |seed: usize| -> Vec<f32> {
            (0..24 * 32)
                .map(|i| ((i * 31 + seed * 17) % 23) as f32)
                .collect()
        };
        let mut films: Vec<_> = (0..20).map(film).collect();
        let all = run(&pyramid, &films);
        films[15] = film(99);
        let changed = run(&pyramid, &films);
        for t in 0..20 {
            let sees = (t..=t + before + after).contains(&(15 + before));
            assert_eq!(all[t] != changed[t], sees, "{t}");
        }
    }
}
