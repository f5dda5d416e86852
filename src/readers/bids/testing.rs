//! Trees of files for tests.

use std::fs;
use std::path::Path;

use crate::readers::nifti::testing::{Image, gzip};

/// Writes files into a new directory.
pub fn files(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        put(root.path(), name, text);
    }
    root
}

/// Writes one file, with the directories above it.
pub fn put(root: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

const RAW: &str = r#"{"Name": "made", "BIDSVersion": "1.10.0", "DatasetType": "raw"}"#;
const DERIVATIVE: &str =
    r#"{"Name": "made", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}"#;

/// A raw data set with the derivatives of fMRIPrep in it, named as people's are: every trap
/// that names have, and images of 2 × 2 × 2 voxels and 3 volumes.
///
/// - sub-01, ses-A: the film in 11 runs without zero padding (run-3 with events of its own, run-04's events padded
///   otherwise), and rest; ses-B: two echoes. sub-02: no sessions, run-01 that fMRIPrep calls run-1, events at the subject.
///   sub-03: a broken sidecar. sub-04: an empty image, and no sidecar but that at the root.
/// - fMRIPrep, in `derivatives/fmriprep`: run 1 in two spaces and two resolutions, with everything that lies beside; run 6 with the
///   confounds of older versions, run 7 without any, run 5 without a mask; two masks for sub-02's rest.
pub fn fmriprep() -> tempfile::TempDir {
    let tree = Tree(tempfile::tempdir().unwrap());
    tree.raw();
    tree.derivatives();
    tree.0
}

struct Tree(tempfile::TempDir);

impl Tree {
    fn text(&self, name: &str, text: &str) {
        put(self.0.path(), name, text);
    }

    fn bold(&self, name: &str) {
        // The header's time is not that of any sidecar.
        put(
            self.0.path(),
            name,
            self.bytes(name, Image::new([2, 2, 2], 3, 9.0)),
        );
    }

    fn mask(&self, name: &str) {
        let inside = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        put(
            self.0.path(),
            name,
            self.bytes(name, Image::mask([2, 2, 2], &inside)),
        );
    }

    fn bytes(&self, name: &str, image: Image) -> Vec<u8> {
        match name.ends_with(".gz") {
            true => gzip(&image.bytes()),
            false => image.bytes(),
        }
    }

    fn raw(&self) {
        self.text("dataset_description.json", RAW);
        self.text("participants.tsv", "participant_id\nsub-01\n");
        self.text("task-movie_bold.json", r#"{"RepetitionTime": 1.5}"#);
        self.text("task-rest_bold.json", r#"{"RepetitionTime": 2.0}"#);
        self.text(
            "task-movie_events.tsv",
            "onset\tduration\tfrom\n1\t1\troot\n2\t1\troot\n",
        );
        let a = "sub-01/ses-A/func/sub-01_ses-A_task-movie";
        for run in 1..=11 {
            self.bold(&format!("{a}_run-{run}_bold.nii.gz"));
        }
        self.text(
            &format!("{a}_run-3_events.tsv"),
            "onset\tduration\tfrom\n3\t1\trun 3\n",
        );
        self.text(
            &format!("{a}_run-04_events.tsv"),
            "onset\tduration\tfrom\n4\t1\trun 4\n",
        );
        self.text(
            &format!("{a}_run-2_bold.json"),
            r#"{"RepetitionTime": 1.25}"#,
        );
        self.text(&format!("{a}_run-2_sbref.json"), r#"{"RepetitionTime": 7}"#);
        self.bold("sub-01/ses-A/func/sub-01_ses-A_task-rest_bold.nii.gz");
        for echo in 1..=2 {
            let name = "sub-01/ses-B/func/sub-01_ses-B_task-movie_run-1";
            self.bold(&format!("{name}_echo-{echo}_bold.nii.gz"));
        }
        self.bold("sub-02/func/sub-02_task-movie_run-01_bold.nii.gz");
        self.bold("sub-02/func/sub-02_task-rest_bold.nii");
        self.text(
            "sub-02/sub-02_task-movie_events.tsv",
            "onset\tduration\tfrom\n5\t1\tsub-02\n",
        );
        self.bold("sub-03/func/sub-03_task-rest_bold.nii.gz");
        self.text(
            "sub-03/func/sub-03_task-rest_bold.json",
            "{\n  \"RepetitionTime\": 2.0,\n}",
        );
        self.text("sub-04/func/sub-04_task-rest_bold.nii.gz", "");
        self.bold("sub-04/func/sub-04_task-movie_bold.nii.gz");
        // What is no part of the data set.
        for place in ["sourcedata", "code", ".heudiconv", "sub-01/ses-A/func/.tmp"] {
            self.bold(&format!("{place}/sub-01_task-rest_run-99_bold.nii.gz"));
        }
    }

    fn derivatives(&self) {
        let root = "derivatives/fmriprep";
        self.text(&format!("{root}/dataset_description.json"), DERIVATIVE);
        self.text("derivatives/freesurfer/sub-01/stats/aseg.stats", "x");
        let figure = "sub-01/figures/sub-01_ses-A_task-movie_run-1_desc-carpetplot_bold.svg";
        self.text(&format!("{root}/{figure}"), "<svg/>");
        let a = format!("{root}/sub-01/ses-A/func/sub-01_ses-A_task-movie");
        for run in 1..=11 {
            self.space(&format!("{a}_run-{run}"), "space-T1w", run != 5);
            match run {
                6 => self.text(
                    &format!("{a}_run-6_desc-confounds_regressors.tsv"),
                    "csf\n1\n",
                ),
                7 => {}
                _ => self.text(
                    &format!("{a}_run-{run}_desc-confounds_timeseries.tsv"),
                    "csf\n1\n",
                ),
            }
        }
        let first = format!("{a}_run-1");
        for space in [
            "space-MNI152NLin2009cAsym",
            "space-MNI152NLin2009cAsym_res-2",
        ] {
            self.space(&first, space, true);
        }
        for native in [
            "desc-brain_mask",
            "desc-preproc_mask",
            "space-T1w_res-2_label-GM_desc-brain_mask",
        ] {
            self.mask(&format!("{first}_{native}.nii.gz"));
        }
        self.text(
            &format!("{first}_space-fsLR_den-91k_bold.dtseries.nii"),
            "surface",
        );
        self.text(
            &format!("{first}_hemi-L_space-fsaverage5_bold.func.gii"),
            "surface",
        );
        self.text(&format!("{first}_desc-confounds_timeseries.json"), "{");
        let echoes = format!("{root}/sub-01/ses-B/func/sub-01_ses-B_task-movie_run-1");
        for desc in ["desc-preproc", "echo-1_desc-preproc", "echo-2_desc-preproc"] {
            self.bold(&format!("{echoes}_{desc}_bold.nii.gz"));
            self.text(
                &format!("{echoes}_{desc}_bold.json"),
                r#"{"RepetitionTime": 1.5}"#,
            );
        }
        self.mask(&format!("{echoes}_desc-brain_mask.nii.gz"));
        self.text(
            &format!("{echoes}_desc-confounds_timeseries.tsv"),
            "csf\n1\n",
        );
        let two = format!("{root}/sub-02/func/sub-02_task");
        self.space(&format!("{two}-movie_run-1"), "space-T1w", true);
        self.text(
            &format!("{two}-movie_run-1_desc-confounds_timeseries.tsv"),
            "csf\n1\n",
        );
        self.space(&format!("{two}-rest"), "space-T1w", true);
        self.mask(&format!("{two}-rest_space-T1w_desc-brain_mask.nii"));
    }

    /// What fMRIPrep writes for one run in one space.
    fn space(&self, run: &str, space: &str, with_mask: bool) {
        self.bold(&format!("{run}_{space}_desc-preproc_bold.nii.gz"));
        self.text(
            &format!("{run}_{space}_desc-preproc_bold.json"),
            r#"{"RepetitionTime": 1.5}"#,
        );
        self.mask(&format!("{run}_{space}_boldref.nii.gz"));
        self.mask(&format!("{run}_{space}_desc-aseg_dseg.nii.gz"));
        if with_mask {
            self.mask(&format!("{run}_{space}_desc-brain_mask.nii.gz"));
        }
    }
}
