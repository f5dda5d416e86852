//! File formats as tables: `read_bold('…')` and `CREATE EXTERNAL TABLE … STORED AS NIFTI`.
//!
//! One format is one file here and implements [`Format`]; everything that all
//! of them share (globs, BIDS keys, pruning, limits, threads) is in [`scan`].

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::CreateExternalTable;

pub mod audio;
pub mod bids;
pub mod bids_tree;
pub mod bold;
pub mod bounds;
pub mod call;
pub mod cifti;
pub mod confounds;
pub mod documentation;
mod ebml;
pub mod events;
mod ffmpeg;
pub mod files;
pub mod format;
pub mod gifti;
pub mod images;
pub mod masks;
mod matroska;
pub mod media_end;
pub mod media_streams;
pub mod mel;
pub mod mp4;
pub mod nifti;
pub mod scan;
pub mod subtitles;
#[cfg(test)]
mod testing;
pub mod textgrid;
mod trouble;
mod tsv;
mod values;
mod vectors;
pub mod video;
pub mod voxels;
mod xml;

use crate::access::Access;
use format::{Format, Options};
use scan::FileTable;

/// Every format, in the order of the reference.
pub fn formats() -> Vec<Arc<dyn Format>> {
    vec![
        Arc::new(bids_tree::BidsTree),
        Arc::new(bold::Bold),
        Arc::new(nifti::NiftiHeader),
        Arc::new(cifti::CiftiElements),
        Arc::new(masks::EpiMasks),
        Arc::new(masks::MultiEpiMask),
        Arc::new(masks::IntersectMasks),
        Arc::new(voxels::Voxels),
        Arc::new(audio::Audio),
        Arc::new(mel::Mel),
        Arc::new(media_streams::MediaStreams),
        Arc::new(events::Events),
        Arc::new(confounds::Confounds),
        Arc::new(tsv::Tsv),
        Arc::new(subtitles::Subtitles),
        Arc::new(textgrid::TextGrid),
        Arc::new(video::Video),
        Arc::new(images::Images),
    ]
}

/// The format whose table function is `function`.
pub fn by_function(function: &str) -> Option<Arc<dyn Format>> {
    formats().into_iter().find(|f| f.function() == function)
}

/// Looks at the files, off the async threads.
pub async fn open(
    access: Access,
    format: Arc<dyn Format>,
    paths: Vec<String>,
    options: Options,
) -> Result<Arc<dyn TableProvider>> {
    let look = move || access.scope(|| FileTable::open(format, &paths, options));
    let table = tokio::task::spawn_blocking(look)
        .await
        .map_err(|error| DataFusionError::External(Box::new(error)))??;
    Ok(Arc::new(table))
}

/// `CREATE EXTERNAL TABLE … STORED AS NIFTI LOCATION '…' OPTIONS (…)`.
#[derive(Debug)]
pub struct ExternalTables(pub Arc<dyn Format>);

#[async_trait]
impl TableProviderFactory for ExternalTables {
    async fn create(
        &self,
        state: &dyn Session,
        table: &CreateExternalTable,
    ) -> Result<Arc<dyn TableProvider>> {
        if !table.schema.fields().is_empty() {
            return plan_err!(
                "CREATE EXTERNAL TABLE {}: leave the columns out; {} files say themselves which they have",
                table.name,
                table.file_type
            );
        }
        let options = call::external_options(self.0.as_ref(), &table.options)?;
        let access = Access::of(state.config());
        open(
            access,
            Arc::clone(&self.0),
            table.locations.clone(),
            options,
        )
        .await
    }
}
