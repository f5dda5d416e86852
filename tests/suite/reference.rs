//! `docs/sql-reference.md` says what the functions say.

use voxql::session::{Session, Settings};

#[tokio::test]
async fn the_reference_is_fresh() {
    let session = Session::open(Settings::default()).await.unwrap();
    let fresh = voxql::reference::markdown(session.context());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sql-reference.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == fresh,
        "docs/sql-reference.md is stale; UPDATE=1 cargo test --release --test reference writes it anew"
    );
}

#[tokio::test]
async fn every_function_is_documented() {
    let session = Session::open(Settings::default()).await.unwrap();
    let page = voxql::reference::markdown(session.context());
    let scalars = voxql_udfs::register::scalars();
    let aggregates = voxql_udfs::register::aggregates();
    let windows = voxql_udfs::register::windows();
    let names = scalars
        .iter()
        .map(|f| f.name())
        .chain(aggregates.iter().map(|f| f.name()))
        .chain(windows.iter().map(|f| f.name()))
        .chain([
            "embed",
            "embed_image",
            "embed_span",
            "embed_tokens",
            "srm_transform",
            "ridge_predict",
            "model_scores",
            "model_weights",
            "encoding_scores",
            "tr_grid",
            "bootstrap_isc",
            "design_matrix",
            "knn",
            "isc",
            "isfc",
            "permutation_isc",
            "time_segment_matching",
            "word_timing_report",
        ]);
    for name in names {
        assert!(
            page.contains(&format!("### `{name}`")),
            "{name} is not in the reference"
        );
    }
}
