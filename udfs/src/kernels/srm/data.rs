//! The subjects' data, as the models read them.

use faer::MatRef;

use super::Stop;

/// Reads one subject's panels in order, from the first voxel to the last.
pub type Read<'a> =
    dyn Fn(usize, &mut dyn FnMut(MatRef<'_, f64>)) -> Result<(), String> + Sync + 'a;

/// The data of all subjects. A panel is some voxels × all TRs, column-major (each
/// TR's voxels side by side).
pub struct Data<'a> {
    pub subjects: Vec<Shape<'a>>,
    /// Called with a subject's number from as many threads as there are.
    pub read: &'a Read<'a>,
    /// Subjects that are worked on at the same time.
    pub threads: usize,
}

/// The size of a subject's data.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    pub name: &'a str,
    pub voxels: usize,
    pub trs: usize,
}

impl Data<'_> {
    /// `f` of each subject's number, on the threads, in the subjects' order.
    pub(super) fn each<R: Send>(
        &self,
        f: impl Fn(usize) -> Result<R, String> + Sync,
    ) -> Result<Vec<R>, String> {
        let subjects: Vec<usize> = (0..self.subjects.len()).collect();
        let share = subjects.len().div_ceil(self.threads.max(1)).max(1);
        if share >= subjects.len() {
            return subjects.into_iter().map(f).collect();
        }
        let f = &f;
        std::thread::scope(|scope| {
            let work = |part: &[usize]| -> Vec<_> { part.iter().map(|&i| f(i)).collect() };
            let parts = subjects.chunks(share);
            let running: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
            let done = running.into_iter().map(|thread| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            done.flatten().collect()
        })
    }

    /// Number of TRs.
    pub(super) fn trs(&self) -> usize {
        self.subjects.first().map_or(0, |s| s.trs)
    }

    /// Checks what all models need of their subjects.
    ///
    /// # Errors
    /// Fewer than two subjects, unequal numbers of TRs, more features than TRs or voxels, no
    /// features or iterations.
    pub(super) fn check(&self, features: usize, stop: Stop) -> Result<(), String> {
        if features == 0 {
            return Err("a shared response needs at least one feature".into());
        }
        if stop.iterations == 0 {
            return Err("a shared response needs at least one iteration".into());
        }
        let [first, _, ..] = self.subjects.as_slice() else {
            return Err(format!(
                "a shared response needs at least two subjects, there is {}",
                self.subjects.len()
            ));
        };
        for subject in &self.subjects {
            if subject.trs != first.trs {
                return Err(format!(
                    "subject {} has {} TRs, subject {} has {}; all need the same TRs",
                    subject.name, subject.trs, first.name, first.trs
                ));
            }
            if subject.voxels < features {
                return Err(format!(
                    "{features} features are more than the {} voxels of subject {}; ask for fewer features",
                    subject.voxels, subject.name
                ));
            }
        }
        if first.trs < features {
            return Err(format!(
                "{features} features are more than the {} TRs; ask for fewer features",
                first.trs
            ));
        }
        Ok(())
    }
}
