//! Columns of the file as rows: a block of time points, transposed.

use std::io;
use std::ops::Range;

use super::content::Content;
use super::header::Header;

/// Values of a block, in bytes of float32.
const BLOCK_BYTES: usize = 128 << 20;
/// Elements transposed together: as many float32 as fill a cache line.
const TILE: usize = 16;
/// Read at a time where the rows of the file are read whole.
const READ_BYTES: usize = 1 << 20;
/// Skipping fewer bytes than this between two rows of the file costs more than reading them.
const SMALL_GAP: usize = 4 << 10;

/// Some consecutive rows of the table, in memory.
#[derive(Debug, Default)]
pub struct Block {
    rows: Range<usize>,
    /// Values in a row.
    length: usize,
    values: Vec<f32>,
}

/// The block to read for `row`: blocks of about equal size up to the end of what is wanted, or of the file.
pub fn rows(row: usize, wanted: &Range<usize>, all: usize, length: usize) -> Range<usize> {
    rows_within(BLOCK_BYTES, row, wanted, all, length)
}

fn rows_within(
    bytes: usize,
    row: usize,
    wanted: &Range<usize>,
    all: usize,
    length: usize,
) -> Range<usize> {
    let end = if wanted.contains(&row) {
        wanted.end
    } else {
        all
    };
    let left = end - row;
    // A tile takes room too: as it is on disk, up to 8 bytes a number, and as float32.
    let most = (bytes / size_of::<f32>() / (length + 3 * TILE)).max(1);
    let blocks = left.div_ceil(most);
    row..row + left.div_ceil(blocks)
}

impl Block {
    /// The values of a row, if it is here.
    pub fn get(&self, row: usize) -> Option<&[f32]> {
        if !self.rows.contains(&row) {
            return None;
        }
        let at = row - self.rows.start;
        self.values.get(at * self.length..(at + 1) * self.length)
    }

    /// Takes the numbers `rows` of every row of the file; the content is read once, from front to back.
    pub fn load(
        &mut self,
        content: &mut Content,
        header: &Header,
        rows: Range<usize>,
    ) -> io::Result<()> {
        let [along, length] = header.shape;
        let encoding = header.encoding;
        let width = encoding.width();
        let (stride, range) = (along * width, rows.len() * width);
        self.rows = 0..0;
        self.length = length;
        self.values.clear();
        self.values.resize(rows.len() * length, 0.0);

        // Either whole stretches of the file, or only the ranges that count, one by one.
        let whole = stride - range < SMALL_GAP;
        let step = if whole { stride } else { range };
        let tiles = (READ_BYTES / (TILE * step)).max(1);
        let mut raw = vec![];
        let mut line = vec![];
        for first in (0..length).step_by(TILE * tiles) {
            let elements = (length - first).min(TILE * tiles);
            let place = |element: usize| {
                header.offset + (element * stride) as u64 + (rows.start * width) as u64
            };
            raw.resize((elements - 1) * step + range, 0);
            if whole {
                content.read_at(place(first), &mut raw)?;
            } else {
                for (element, raw) in raw.chunks_mut(range).enumerate() {
                    content.read_at(place(first + element), raw)?;
                }
            }
            for tile in (0..elements).step_by(TILE) {
                line.clear();
                let inside = tile..elements.min(tile + TILE);
                for element in inside.clone() {
                    encoding.decode(&raw[element * step..][..range], &mut line);
                }
                let at = first + tile..first + inside.end;
                transpose(&line, rows.len(), &mut self.values, length, at);
            }
        }
        self.rows = rows;
        Ok(())
    }
}

/// Puts `lines`, one of `rows` values for each element of `at`, into columns `at` of
/// `values`, whose rows have `length` values.
fn transpose(lines: &[f32], rows: usize, values: &mut [f32], length: usize, at: Range<usize>) {
    for (row, out) in values.chunks_exact_mut(length).enumerate() {
        for (value, line) in out[at.clone()].iter_mut().zip(lines.chunks_exact(rows)) {
            *value = line[row];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::nifti::testing::gzip;
    use crate::readers::testing::file;
    use crate::readers::values::Encoding;
    use nifti::NiftiType;
    use rstest::rstest;

    #[test]
    fn blocks_are_even_and_within_bounds() {
        let of =
            |row, wanted: Range<usize>| rows_within(400 + 10 * 4 * 3 * TILE, row, &wanted, 100, 10);
        assert_eq!(of(0, 0..100), 0..10);
        assert_eq!(of(0, 0..11), 0..6);
        assert_eq!(of(6, 0..11), 6..11);
        assert_eq!(of(95, 0..11), 95..100);
        assert_eq!(of(7, 7..8), 7..8);
        assert_eq!(rows_within(400, 3, &(0..100), 100, 1000), 3..4);
    }

    /// Short rows are read whole, long ones by ranges; elements do not fill the last tile.
    #[rstest]
    fn any_block_of_any_shape(
        #[values((5, 3), (40, 16), (3000, 37), (1, 1), (1, 50), (9, 1))] shape: (usize, usize),
        #[values(false, true)] compressed: bool,
    ) {
        let (along, length) = shape;
        let numbers: Vec<i16> = (0..along * length).map(|n| n as i16).collect();
        let mut bytes = vec![7; 100];
        bytes.extend(numbers.iter().flat_map(|n| n.to_be_bytes()));
        let stored = if compressed { gzip(&bytes) } else { bytes };
        let (_directory, path) = file("a", stored);
        let mut content = Content::open(&path).unwrap();
        let header = Header {
            shape: [along, length],
            encoding: Encoding {
                data_type: NiftiType::Int16,
                big_endian: true,
                scaling: None,
            },
            offset: 100,
        };
        let mut block = Block::default();
        for rows in [0..along, along / 2..along, 0..1, along / 3..along / 3 + 1] {
            block.load(&mut content, &header, rows.clone()).unwrap();
            for row in rows.clone() {
                let want: Vec<f32> = (0..length)
                    .map(|element| f32::from(numbers[element * along + row]))
                    .collect();
                assert_eq!(block.get(row), Some(want.as_slice()));
            }
            assert_eq!(block.get(rows.end), None);
            assert_eq!(rows.start.checked_sub(1).and_then(|r| block.get(r)), None);
        }
    }
}
