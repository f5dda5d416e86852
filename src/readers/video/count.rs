//! When a film's coded pictures are shown, as its container has it: to number pictures without
//! decoding those before them.

use std::io::{BufRead, BufReader, Lines};

use super::asked::Asked;
use super::external::External;
use crate::readers::ffmpeg::Output;

/// Reads the film from its start until the first row that is asked for is certain.
pub struct Count {
    packets: Lines<BufReader<Output>>,
    numerator: i64,
    /// Time stamps in order of decoding.
    starts: Vec<i64>,
    /// That of the first coded picture, which may be hidden.
    first: Option<i64>,
    /// Refreshes that were seen after the first row asked for.
    after: usize,
}

pub enum Counted {
    /// More is to be read.
    NotYet,
    /// The time stamps of the first pictures in order.
    Starts(Vec<i64>),
    /// It cannot be told from the container.
    Unknown,
}

impl Count {
    pub fn start(external: &External) -> Result<Self, String> {
        Ok(Self {
            packets: BufReader::new(external.packets()?).lines(),
            numerator: external.time_base.0,
            starts: vec![],
            first: None,
            after: 0,
        })
    }

    /// Reads of one coded picture.
    pub fn step(&mut self, asked: &Asked, external: &External) -> Counted {
        let packet = match self.packets.next() {
            None => return self.counted(),
            Some(Err(_)) => return Counted::Unknown,
            Some(Ok(line)) if line.is_empty() => return Counted::NotYet,
            Some(Ok(line)) => Packet::parse(&line, self.numerator),
        };
        // What is empty repeats the picture before, or is nothing.
        let Some(packet) = packet.filter(|packet| packet.size > 0) else {
            return Counted::Unknown;
        };
        if self.first.is_none() && !packet.is_refresh {
            return Counted::Unknown;
        }
        let first = *self.first.get_or_insert(packet.start);
        // All pictures before one refresh are shown before all pictures after the next.
        let next = self.starts.len() as i64;
        if packet.is_refresh && !asked.is_early(next - 1, external.seconds(packet.start)) {
            self.after += 1;
            if self.after == 2 {
                return self.counted();
            }
        }
        match packet.is_hidden {
            true => {}
            // It refers to what is before the film's start, and is not decoded.
            false if packet.start < first => return Counted::Unknown,
            false => self.starts.push(packet.start),
        }
        Counted::NotYet
    }

    fn counted(&mut self) -> Counted {
        let mut starts = std::mem::take(&mut self.starts);
        starts.sort_unstable();
        match starts.windows(2).all(|pair| pair[0] < pair[1]) {
            true => Counted::Starts(starts),
            false => Counted::Unknown,
        }
    }
}

/// A coded picture.
#[derive(Debug, PartialEq)]
struct Packet {
    start: i64,
    size: u64,
    /// Whether decoding can begin with it.
    is_refresh: bool,
    /// Whether it is decoded only for the sake of others, as edit lists have it.
    is_hidden: bool,
}

impl Packet {
    /// A line of ffprobe: `512,1044,K_`.
    fn parse(line: &str, numerator: i64) -> Option<Self> {
        let mut fields = line.split(',');
        let start: i64 = fields.next()?.parse().ok()?;
        let size = fields.next()?.parse().ok()?;
        let flags = fields.next()?;
        Some(Self {
            start: start.checked_mul(numerator)?,
            size,
            is_refresh: flags.contains('K'),
            is_hidden: flags.contains('D'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        let packet = |start, is_refresh, is_hidden| Packet {
            start,
            size: 10,
            is_refresh,
            is_hidden,
        };
        assert_eq!(
            Packet::parse("-512,10,K_", 1),
            Some(packet(-512, true, false))
        );
        assert_eq!(Packet::parse("3,10,KD_,", 2), Some(packet(6, true, true)));
        assert_eq!(Packet::parse("3,10,___", 1), Some(packet(3, false, false)));
        for line in ["N/A,10,K_", "3,N/A,K_", "3,10", ""] {
            assert_eq!(Packet::parse(line, 1), None, "{line}");
        }
    }
}
