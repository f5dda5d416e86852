//! What is written is what was asked for.

use super::*;
use nifti::NiftiType;

#[tokio::test]
async fn a_run_comes_back() {
    let place = Place::new().await;
    let (values, mask) = run_and_mask(&place);
    let all = "SELECT tr, bold, repetition_time FROM read_bold('$/run.nii.gz')";
    for name in ["a.nii", "a.nii.gz", "new/folder/a.nii.gz"] {
        let rows = place.copy(all, name, "like '$/run.nii.gz'").await;
        assert_eq!(rows, 6);
        assert_eq!(place.floats(name), values);
        let header = Volumes::open(&place.at(name)).unwrap().header;
        let like = Volumes::open(&place.at("run.nii.gz")).unwrap().header;
        assert_eq!(header.affine, like.affine);
        assert_eq!(header.repetition_time, Some(0.72));
        assert_eq!((header.dimensions, header.volumes), (4, 6));
        assert_eq!(header.encoding.data_type, NiftiType::Float32);
    }
    // Masked, it is zero outside. The field remembers the mask, and the mask its grid.
    let some = "SELECT * FROM read_bold('$/run.nii.gz', mask => '$/mask.nii')";
    place.copy(some, "b.nii.gz", "").await;
    let want = values.iter().zip(mask.iter().cycle());
    let want: Vec<f32> = want.map(|(v, inside)| v * *inside as f32).collect();
    assert_eq!(place.floats("b.nii.gz"), want);
    assert_eq!(
        place.raw("b.nii.gz").sform_code,
        place.raw("mask.nii").sform_code
    );
    let again = "SELECT tr, bold FROM read_bold('$/b.nii.gz', mask => '$/mask.nii', tr => 1.0)";
    assert_eq!(
        place.ask(&format!("{again} ORDER BY tr")).await.column(1),
        place
            .ask(&format!("{} ORDER BY tr", some.replace('*', "tr, bold")))
            .await
            .column(1)
    );
}

#[tokio::test]
async fn volumes_come_in_any_order() {
    let place = Place::new().await;
    let (values, _) = run_and_mask(&place);
    for (name, order) in [
        ("a", "tr"),
        ("b", "tr DESC"),
        ("c", "(tr * 5) % 7"),
        ("d", "tr % 2, tr"),
    ] {
        let query = format!("SELECT bold, tr FROM read_bold('$/run.nii.gz') ORDER BY {order}");
        place
            .copy(&query, &format!("{name}.nii.gz"), "like '$/run.nii.gz'")
            .await;
        assert_eq!(place.floats(&format!("{name}.nii.gz")), values, "{order}");
        assert_eq!(
            fs::read(place.at(&format!("{name}.nii.gz"))).unwrap(),
            fs::read(place.at("a.nii.gz")).unwrap()
        );
    }
    assert_eq!(place.names().len(), 6);
}

#[tokio::test]
async fn one_volume_without_a_number_is_3d() {
    let place = Place::new().await;
    let (values, _) = run_and_mask(&place);
    let query = "SELECT vector_sum(bold) AS total FROM read_bold('$/run.nii.gz')";
    place
        .copy(query, "a.nii", "like '$/run.nii.gz', tr 9")
        .await;
    let header = Volumes::open(&place.at("a.nii")).unwrap().header;
    assert_eq!((header.dimensions, header.offset), (3, 352));
    let raw = place.raw("a.nii");
    assert_eq!((raw.pixdim[4], raw.xyzt_units), (0.0, 2));
    let want: Vec<f32> = (0..60)
        .map(|at| values[at..].iter().step_by(60).sum())
        .collect();
    assert_eq!(place.floats("a.nii"), want);
}

#[tokio::test]
async fn voxels_come_back_whatever_their_type() {
    let place = Place::new().await;
    for code in [2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280] {
        let mut image = Image::new([3, 4, 2], 0, 0.0);
        image.code = code;
        place.make("map.nii", &image);
        // `value` is float64; of other types, it is CAST.
        let kind = match code {
            2 => "TINYINT UNSIGNED",
            4 => "SMALLINT",
            8 => "INT",
            16 => "REAL",
            256 => "TINYINT",
            512 => "SMALLINT UNSIGNED",
            768 => "INT UNSIGNED",
            1024 => "BIGINT",
            1280 => "BIGINT UNSIGNED",
            _ => "DOUBLE",
        };
        let query = format!(
            "SELECT i, j, k, CAST(value AS {kind}) AS value FROM read_voxels('$/map.nii') ORDER BY random()"
        );
        assert_eq!(place.copy(&query, "new.nii.gz", "").await, 24);
        let raw = place.raw("new.nii.gz");
        assert_eq!(
            (raw.datatype, raw.dim[..5].to_vec()),
            (code, vec![3, 3, 4, 2, 1])
        );
        assert_eq!(place.floats("new.nii.gz"), place.floats("map.nii"));
        assert_eq!(raw.srow, place.raw("map.nii").srow);
    }
}

#[tokio::test]
async fn masks_of_conditions() {
    let place = Place::new().await;
    let (_, mask) = run_and_mask(&place);
    let want: Vec<f32> = mask.iter().map(|&v| v as f32).collect();
    let rows = "SELECT i, j, k FROM read_voxels('$/mask.nii') WHERE value > 0";
    assert_eq!(place.copy(rows, "a.nii.gz", "").await, 20);
    assert_eq!(place.raw("a.nii.gz").datatype, 2);
    assert_eq!(place.floats("a.nii.gz"), want);
    let truth = "SELECT k, j, i, value > 0 AS inside FROM read_voxels('$/mask.nii')";
    assert_eq!(place.copy(truth, "b.nii", "").await, 60);
    assert_eq!(place.raw("b.nii").datatype, 2);
    assert_eq!(place.floats("b.nii"), want);
    // Nothing is inside: a map without survivors is one all the same.
    let none = format!("{rows} AND false");
    assert_eq!(
        place.copy(&none, "c.nii.gz", "like '$/run.nii.gz'").await,
        0
    );
    assert_eq!(place.floats("c.nii.gz"), [0.0; 60]);
}

#[tokio::test]
async fn voxels_by_time_come_back() {
    let place = Place::new().await;
    let (values, _) = run_and_mask(&place);
    let rows = "SELECT * FROM read_voxels('$/run.nii.gz')";
    assert_eq!(place.copy(rows, "a.nii.gz", "").await, 60);
    assert_eq!(place.floats("a.nii.gz"), values);
    let header = Volumes::open(&place.at("a.nii.gz")).unwrap().header;
    assert_eq!((header.dimensions, header.repetition_time), (4, Some(0.72)));
    // The vectors may be lists, in any order, of other numbers.
    let lists = "SELECT i, j, k, array_resize(arrow_cast(bold, 'List(Int32)'), 4) AS v
                 FROM read_voxels('$/run.nii.gz') ORDER BY random()";
    place
        .copy(lists, "b.nii", "like '$/run.nii.gz', tr 2")
        .await;
    let raw = place.raw("b.nii");
    assert_eq!((raw.datatype, raw.dim[4], raw.pixdim[4]), (8, 4, 2.0));
    assert_eq!(place.floats("b.nii"), values[..240]);
}

#[tokio::test]
async fn both_forms_of_an_affine_are_kept() {
    let place = Place::new().await;
    let image = Image::new([2, 3, 4], 0, 0.0);
    let mut bytes = image.bytes();
    // Both forms, which differ; metres and milliseconds; a flipped z.
    bytes[252..254].copy_from_slice(&1i16.to_le_bytes());
    bytes[254..256].copy_from_slice(&4i16.to_le_bytes());
    bytes[76..80].copy_from_slice(&(-1f32).to_le_bytes());
    bytes[256..260].copy_from_slice(&0.25f32.to_le_bytes());
    bytes[268..272].copy_from_slice(&17.5f32.to_le_bytes());
    bytes[280..284].copy_from_slice(&0.1f32.to_le_bytes());
    bytes[123] = 1 | 16;
    fs::write(place.at("like.nii"), &bytes).unwrap();
    let query = "SELECT i, j, k, value FROM read_voxels('$/like.nii')";
    place.copy(query, "a.nii.gz", "like '$/like.nii'").await;
    let (want, got) = (place.raw("like.nii"), place.raw("a.nii.gz"));
    assert_eq!((got.sform_code, got.qform_code), (4, 1));
    assert_eq!(
        (got.srow, got.quatern, got.qoffset),
        (want.srow, want.quatern, want.qoffset)
    );
    assert_eq!(got.pixdim[..4], want.pixdim[..4]);
    assert_eq!(got.xyzt_units, 1);
    // Without `like`, the sform that counted.
    place.copy(query, "b.nii.gz", "").await;
    let got = place.raw("b.nii.gz");
    assert_eq!(
        (got.sform_code, got.qform_code, got.srow),
        (2, 0, want.srow)
    );
}

#[tokio::test]
async fn missing_numbers_are_nan() {
    let place = Place::new().await;
    run_and_mask(&place);
    let query = "SELECT i, j, k, nullif(value, 1) AS value FROM read_voxels('$/mask.nii')";
    place.copy(query, "a.nii", "").await;
    let nans = place.floats("a.nii").iter().filter(|v| v.is_nan()).count();
    assert_eq!(nans, 20);
    let query = "SELECT tr, CASE WHEN tr <> 2 THEN bold END AS bold FROM read_bold('$/run.nii.gz')";
    place.copy(query, "b.nii", "like '$/run.nii.gz'").await;
    let values = place.floats("b.nii");
    assert!(values[120..180].iter().all(|v| v.is_nan()));
    assert_eq!(values.iter().filter(|v| v.is_nan()).count(), 60);
}

#[tokio::test]
async fn a_run_longer_than_nifti_1_can_say() {
    let place = Place::new().await;
    place.make("like.nii", &Image::new([1, 2, 1], 0, 0.0));
    let query =
        "SELECT value AS tr, arrow_cast(make_array(value, -value), 'FixedSizeList(2, Int32)') AS v
                 FROM generate_series(0, 32767)";
    place
        .copy(query, "a.nii.gz", "like '$/like.nii', tr 0.1")
        .await;
    let header = Volumes::open(&place.at("a.nii.gz")).unwrap().header;
    assert_eq!((header.volumes, header.offset), (32768, 544));
    assert_eq!(place.raw("a.nii.gz").version, 2);
    assert_eq!(place.floats("a.nii.gz")[65534..], [32767.0, -32767.0]);
}

/// What CREATE EXTERNAL TABLE calls NIFTI is still `read_bold`.
#[tokio::test]
async fn external_tables_are_read() {
    let place = Place::new().await;
    run_and_mask(&place);
    place
        .ask("CREATE EXTERNAL TABLE run STORED AS NIFTI LOCATION '$/run.nii.gz'")
        .await;
    assert_eq!(place.ask("SELECT tr FROM run").await.num_rows(), 6);
    place
        .copy("SELECT tr, bold FROM run", "a.nii", "like '$/run.nii.gz'")
        .await;
    let plan = format!(
        "EXPLAIN {}",
        copy_sql(
            "SELECT tr, bold FROM run",
            "never.nii",
            "like '$/run.nii.gz'"
        )
    );
    let text = format!("{:?}", place.ask(&plan).await);
    assert!(text.contains("sink=ImageSink("), "{text}");
    assert!(!place.at("never.nii").exists());
}
