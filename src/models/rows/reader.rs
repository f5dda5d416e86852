//! One subject's vectors in time order, a panel at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::Ordering;

use datafusion::common::{Result, exec_err};
use faer::{Mat, MatMut, MatRef};

use super::Rows;
use super::columns::Element;

/// Bytes of a panel.
const PANEL: usize = 4 << 20;

/// A view of the file that one thread reads.
pub struct Reader<'a> {
    rows: &'a Rows,
    file: File,
    bytes: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub fn open(rows: &'a Rows) -> Result<Self> {
        let Some(path) = rows.file.path() else {
            return exec_err!("CREATE MODEL needs temporary files on disk");
        };
        Ok(Self {
            rows,
            file: File::open(path)?,
            bytes: Vec::new(),
        })
    }

    /// Elements that make a panel of the usual size, for vectors in `trs` rows.
    pub fn usual_panel(trs: usize) -> usize {
        (PANEL / 8 / trs.max(1)).max(16)
    }

    /// Calls `f` with panels of the vector column `column`: at most `size` elements × all
    /// TRs, column-major.
    pub fn panels(
        &mut self,
        subject: usize,
        column: usize,
        size: usize,
        f: &mut dyn FnMut(MatRef<'_, f64>),
    ) -> io::Result<()> {
        let trs = self.rows.subjects[subject].trs();
        let width = self.rows.subjects[subject].widths[column];
        let mut panel = Mat::zeros(size.min(width), trs);
        for first in (0..width).step_by(size.max(1)) {
            let mut part = panel.subrows_mut(0, size.min(width - first));
            self.read(subject, column, first, part.as_mut())?;
            f(part.as_ref());
        }
        Ok(())
    }

    /// Reads the elements from `first` on, as many as `panel` has rows.
    pub fn read(
        &mut self,
        subject: usize,
        column: usize,
        first: usize,
        mut panel: MatMut<'_, f64>,
    ) -> io::Result<()> {
        if self.rows.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("the statement was cancelled"));
        }
        let vectors = &self.rows.columns.vectors;
        let subject = &self.rows.subjects[subject];
        let before = vectors.iter().zip(&subject.widths).take(column);
        let before: usize = before.map(|(v, width)| v.element.bytes() * width).sum();
        let element = vectors[column].element;
        let start = (before + first * element.bytes()) as u64;
        self.bytes.resize(panel.nrows() * element.bytes(), 0);
        for (offset, column) in subject.offsets.iter().zip(panel.as_mut().col_iter_mut()) {
            self.file.seek(SeekFrom::Start(offset + start))?;
            self.file.read_exact(&mut self.bytes)?;
            match element {
                Element::F32 => {
                    let (values, _) = self.bytes.as_chunks();
                    let values = column.iter_mut().zip(values);
                    values.for_each(|(to, from)| *to = f32::from_ne_bytes(*from).into());
                }
                Element::F64 => {
                    let (values, _) = self.bytes.as_chunks();
                    let values = column.iter_mut().zip(values);
                    values.for_each(|(to, from)| *to = f64::from_ne_bytes(*from));
                }
            }
        }
        Ok(())
    }
}
