//! A file's video stream: where it is and who decodes it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rust_h264::nal::{SpsInfo, parse_avcc_config, parse_sps_info};

use super::colour::Colour;
use super::decode::{self, guard};
use super::external::External;
use super::wanted::MAX_SIDE;
use crate::access::scope;
use crate::readers::matroska::VIDEO;
use crate::readers::matroska::samples::{MAGIC, Matroska, timeline};
use crate::readers::mp4::{Movie, Sample, Timeline, Track, name};
use crate::readers::trouble::Trouble;

/// A video stream, as the file's headers describe it.
pub struct Stream {
    source: Source,
    pub colour: Colour,
    /// Clockwise quarter turns for showing; `None` if the matrix is no such turn.
    pub turns: Option<u8>,
    /// Width and height as shown: cropping and rotation applied.
    pub size: (u32, u32),
}

enum Source {
    Mp4 {
        movie: Movie,
        track: usize,
        avcc: Vec<u8>,
    },
    Mkv {
        file: Matroska,
        track: usize,
        avcc: Vec<u8>,
    },
    External(External),
}

/// The largest picture of any level of H.264 (6.2): 139,264 macroblocks.
const MAX_PIXELS: u32 = 139_264 * 256;

/// The bytes of a video sample description before its boxes.
const VISUAL_FIELDS: usize = 78;

impl Stream {
    /// Video stream `number` of a file, or its first that is decoded in the process.
    pub fn open(path: &Path, number: Option<usize>) -> Result<Self, String> {
        match Self::in_process(path, number) {
            Ok(stream) => Ok(stream),
            Err(Trouble::Damaged(message)) => Err(message),
            Err(Trouble::Foreign(why)) => {
                let external = External::open(path, number, &why)?;
                Ok(Self {
                    size: turned(external.size, external.turns),
                    turns: external.turns,
                    // ffmpeg gives RGB.
                    colour: Colour::of_h264(None),
                    source: Source::External(external),
                })
            }
        }
    }

    /// The same without ffmpeg.
    pub fn in_process(path: &Path, number: Option<usize>) -> Result<Self, Trouble> {
        let mut magic = [0; 4];
        let begins = scope::open(path).and_then(|mut file| file.read_exact(&mut magic));
        match begins.is_ok() && magic == MAGIC {
            true => Self::open_mkv(path, number),
            false => Self::open_mp4(path, number),
        }
    }

    fn open_mp4(path: &Path, number: Option<usize>) -> Result<Self, Trouble> {
        let movie = Movie::try_open(path)?;
        let index = h264_track(&movie, number)?;
        let track = &movie.tracks[index];
        let avcc = track
            .description_box(VISUAL_FIELDS, b"avcC")?
            .ok_or("its H.264 track has no decoder configuration (avcC box)")?
            .to_vec();
        let info = parameters(&avcc)?;
        let stored = match &info {
            Some(info) => (info.width, info.height),
            None => described_size(track), // avc3: they stand in the stream
        };
        check_size(stored)?;
        let turns = quarter_turns(track.matrix);
        Ok(Self {
            colour: Colour::of_h264(info.as_ref()),
            turns,
            size: turned(stored, turns),
            source: Source::Mp4 {
                movie,
                track: index,
                avcc,
            },
        })
    }

    fn open_mkv(path: &Path, number: Option<usize>) -> Result<Self, Trouble> {
        const H264: &str = "V_MPEG4/ISO/AVC";
        let file = Matroska::open(path)?;
        let videos: Vec<usize> = (0..file.tracks.len())
            .filter(|&track| file.tracks[track].kind == VIDEO)
            .collect();
        let codec = |track: usize| file.tracks[track].codec.as_str();
        let track = match number {
            Some(number) => videos.get(number).copied(),
            None => videos
                .iter()
                .find(|&&track| codec(track) == H264)
                .or(videos.first())
                .copied(),
        };
        let Some(index) = track else {
            return Err(match number {
                Some(number) if !videos.is_empty() => format!(
                    "it has no video stream {number}; they are numbered from 0 to {}",
                    videos.len() - 1
                ),
                _ => format!(
                    "it has no video track; its tracks are {}",
                    (0..file.tracks.len())
                        .map(codec)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            }
            .into());
        };
        if codec(index) != H264 {
            return Err(Trouble::Foreign(format!(
                "its video is coded as {}, and only H.264 is decoded in the process",
                codec(index)
            )));
        }
        let track = &file.tracks[index];
        if track.is_encoded {
            return Err(Trouble::Foreign(
                "its video is compressed or encrypted once more (ContentEncodings)".to_string(),
            ));
        }
        let avcc = track.private.clone();
        let info =
            parameters(&avcc)?.ok_or("its H.264 track has no parameter sets (CodecPrivate)")?;
        check_size((info.width, info.height))?;
        // What the container says goes before what the stream says, as in ffmpeg.
        let matrix = match track.matrix {
            None | Some(2) => u64::from(info.matrix),
            Some(matrix) => matrix,
        };
        let is_full = match track.range {
            Some(range @ (1 | 2)) => range == 2,
            _ => info.full_range,
        };
        Ok(Self {
            colour: Colour::new(matrix, is_full),
            turns: Some(0),
            size: (info.width, info.height),
            source: Source::Mkv {
                file,
                track: index,
                avcc,
            },
        })
    }

    /// What is needed to give its pictures and their times.
    pub fn film(self) -> Result<Film, String> {
        match self.source {
            Source::Mp4 { movie, track, avcc } => {
                let track = &movie.tracks[track];
                let samples = movie.samples(track)?;
                let timeline = movie.timeline(track, &samples)?;
                check_length(movie.length(), &timeline, &samples)?;
                let (file, length) = movie.into_file();
                let coded = Coded {
                    file,
                    length,
                    samples,
                    avcc,
                };
                Ok(Film::Indexed(timeline, coded))
            }
            Source::Mkv {
                mut file,
                track,
                avcc,
            } => {
                let samples = file.samples(track)?;
                let timeline = timeline(&samples);
                let (file, length) = file.into_file();
                let coded = Coded {
                    file,
                    length,
                    samples,
                    avcc,
                };
                Ok(Film::Indexed(timeline, coded))
            }
            Source::External(external) => Ok(Film::External(external)),
        }
    }
}

/// Where pictures and their times are had from.
pub enum Film {
    /// The times are known; the pictures are decoded in the process.
    Indexed(Timeline, Coded),
    /// Both come from ffmpeg.
    External(External),
}

/// The coded pictures of a film.
pub struct Coded {
    pub file: File,
    pub length: u64,
    pub samples: Vec<Sample>,
    pub avcc: Vec<u8>,
}

impl Coded {
    /// Begins decoding.
    pub fn start(self) -> Result<decode::Pictures, String> {
        decode::Pictures::new(self.file, self.length, self.samples, &self.avcc)
    }
}

/// The stream's parameters, where they stand before it; an error where they say that it is not
/// decoded in the process.
fn parameters(avcc: &[u8]) -> Result<Option<SpsInfo>, Trouble> {
    let config = parse_avcc_config(avcc)?;
    let Some(nal) = config.sps_nals.first() else {
        return Ok(None);
    };
    let info = guard(|| {
        parse_sps_info(nal).map_err(|e| format!("its H.264 parameters are damaged: {e}"))
    })?;
    let depths = (info.bit_depth_luma, info.bit_depth_chroma);
    if info.chroma_format > 2 {
        return Err(Trouble::Foreign(
            "its video is H.264 with chroma at full size (4:4:4), which is not decoded in the process"
                .to_string(),
        ));
    }
    // With chroma at half size the profile High 4:4:4 Predictive means lossless.
    if matches!(info.profile, 44 | 244) {
        return Err(Trouble::Foreign(
            "its video is lossless H.264, which is not decoded in the process".to_string(),
        ));
    }
    if !matches!(depths, (8, 8) | (10, 10)) {
        return Err(Trouble::Foreign(format!(
            "its video is H.264 of {} bits, and 8 or 10 are decoded in the process",
            depths.0
        )));
    }
    Ok(Some(info))
}

/// Which of the movie's tracks is meant.
fn h264_track(movie: &Movie, number: Option<usize>) -> Result<usize, Trouble> {
    let videos: Vec<usize> = (0..movie.tracks.len())
        .filter(|&track| &movie.tracks[track].handler == b"vide")
        .collect();
    let codec = |track: usize| movie.tracks[track].codec;
    if videos.is_empty() {
        let others: Vec<_> = movie.tracks.iter().map(|t| name(&t.codec)).collect();
        return Err(Trouble::Damaged(match others.is_empty() {
            true => "it has no video track, and no other".to_string(),
            false => format!(
                "it has no video track; its tracks are {}",
                others.join(", ")
            ),
        }));
    }
    let is_h264 = |track: usize| matches!(&codec(track), b"avc1" | b"avc3");
    let track = match number {
        Some(number) => *videos.get(number).ok_or_else(|| {
            format!(
                "it has no video stream {number}; they are numbered from 0 to {}",
                videos.len() - 1
            )
        })?,
        None => videos
            .iter()
            .copied()
            .find(|&track| is_h264(track))
            .unwrap_or(videos[0]),
    };
    match is_h264(track) {
        true => Ok(track),
        false => {
            let known = match &codec(track) {
                b"hvc1" | b"hev1" => " (H.265)",
                b"av01" => " (AV1)",
                b"vp08" | b"vp09" => " (VP8 or VP9)",
                b"mp4v" => " (MPEG-4 part 2)",
                b"apch" | b"apcn" | b"apcs" | b"apco" | b"ap4h" => " (ProRes)",
                b"encv" => " (encrypted)",
                _ => "",
            };
            Err(Trouble::Foreign(format!(
                "its video is coded as {}{known}, and only H.264 ('avc1') is decoded in the process",
                name(&codec(track))
            )))
        }
    }
}

/// Width and height by the sample description; 0 where it is too short.
fn described_size(track: &Track) -> (u32, u32) {
    match track.description.get(24..28) {
        Some(s) => {
            let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
            (side(s[0], s[1]), side(s[2], s[3]))
        }
        None => (0, 0),
    }
}

fn check_size((width, height): (u32, u32)) -> Result<(), String> {
    let sides = 1..=MAX_SIDE as u32;
    match sides.contains(&width) && sides.contains(&height) && width * height <= MAX_PIXELS {
        true => Ok(()),
        false => Err(format!(
            "its pictures claim to be {width} x {height}, a size that H.264 does not have; \
             the file is damaged"
        )),
    }
}

fn check_length(length: u64, timeline: &Timeline, samples: &[Sample]) -> Result<(), String> {
    let is_cut = |s: &Sample| s.offset.saturating_add(u64::from(s.size)) > length;
    let cut = timeline
        .shown
        .iter()
        .find(|shown| is_cut(&samples[shown.sample]));
    match cut {
        Some(first) => Err(format!(
            "the file is cut off: it ends at byte {length}, and its pictures from {} s on lie \
             behind that; get the file again, or save what is there with \
             `ffmpeg -i in.mp4 out.mp4`",
            timeline.seconds(first.start)
        )),
        None => Ok(()),
    }
}

fn turned((width, height): (u32, u32), turns: Option<u8>) -> (u32, u32) {
    match turns {
        Some(1 | 3) => (height, width),
        _ => (width, height),
    }
}

fn quarter_turns(matrix: [i32; 4]) -> Option<u8> {
    match matrix.map(|element| element as f64 / 65536.0) {
        [a, 0.0, 0.0, d] if a > 0.0 && d > 0.0 => Some(0),
        [0.0, b, c, 0.0] if b > 0.0 && c < 0.0 => Some(1),
        [a, 0.0, 0.0, d] if a < 0.0 && d < 0.0 => Some(2),
        [0.0, b, c, 0.0] if b < 0.0 && c > 0.0 => Some(3),
        _ => None,
    }
}
