//! What cannot be written is said, and leaves nothing behind.

use super::*;

/// Each query's message has each of the parts.
async fn refused(place: &Place, cases: &[(&str, &str, &[&str])]) {
    for (query, options, parts) in cases {
        let message = place.refusal(query, options).await;
        for part in *parts {
            assert!(message.contains(part), "{query}\n{message}\nlacks {part}");
        }
    }
}

#[tokio::test]
async fn voxels() {
    let place = Place::new().await;
    run_and_mask(&place);
    let like = "like '$/run.nii.gz'";
    refused(
        &place,
        &[
            ("SELECT 4 AS i, 0 AS j, 0 AS k", like, &["voxel (4, 0, 0) is outside", "4 × 3 × 5"]),
            ("SELECT 0 AS i, -1 AS j, 0 AS k", like, &["voxel (0, -1, 0) is outside"]),
            ("SELECT 0 AS i, NULL::INT AS j, 0 AS k", like, &["j is NULL"]),
            (
                "SELECT 1 AS i, 2 AS j, 4 AS k FROM generate_series(1, 2)",
                like,
                &["voxel (1, 2, 4) comes twice"],
            ),
            (
                "SELECT 1 AS i, 2 AS j, 4 AS k, NULL::INT AS v",
                like,
                &["the value of voxel (1, 2, 4) is NULL", "coalesce"],
            ),
            (
                "SELECT 1 AS i, 2 AS j, 4 AS k, [1, NULL] AS v",
                like,
                &["element 2 of voxel (1, 2, 4) is NULL"],
            ),
            (
                "SELECT value AS i, 0 AS j, 0 AS k, range(value + 2) AS v FROM generate_series(0, 3)",
                like,
                &["has 3 elements, that of another voxel 2"],
            ),
            ("SELECT 1 AS i, 2 AS j, 4 AS k, []::INT[] AS v", like, &["the vectors are empty"]),
            ("SELECT 1 AS i, 2 AS j, 4 AS k, NULL::INT[] AS v", like, &["vector of voxel (1, 2, 4) is NULL"]),
            ("SELECT 1 AS i, 2 AS j, 4 AS k, [1] AS v WHERE false", like, &["no rows"]),
            ("SELECT 1.5 AS i, 0 AS j, 0 AS k", like, &["i must be whole numbers"]),
            ("SELECT 1 AS i, 0 AS j, 0 AS k", "", &["nothing says how large", "OPTIONS (like"]),
            (
                "SELECT v.i, v.j, m.k FROM read_voxels('$/run.nii.gz') v, read_voxels('$/other.nii') m",
                "",
                &["other.nii", "no such file"],
            ),
        ],
    )
    .await;
    place.make("other.nii", &Image::new([4, 3, 6], 0, 0.0));
    let mixed =
        "SELECT v.i, v.j, m.k FROM read_voxels('$/mask.nii') v, read_voxels('$/other.nii') m";
    refused(&place, &[(mixed, "", &["indices of different grids"])]).await;
}

#[tokio::test]
async fn volumes() {
    let place = Place::new().await;
    run_and_mask(&place);
    let run = "FROM read_bold('$/run.nii.gz')";
    let like = "like '$/run.nii.gz'";
    let query = |columns: &str, from: &str, more: &str| format!("SELECT {columns} {from} {more}");
    let hole = query("tr, bold", run, "WHERE tr <> 2");
    let late = query("tr, bold", run, "WHERE tr >= 2");
    let twice = format!(
        "{} UNION ALL {}",
        query("tr, bold", run, ""),
        query("tr, bold", run, "WHERE tr = 3")
    );
    let null = query("nullif(tr, 4) AS tr, bold", run, "");
    let negative = query("tr - 1 AS tr, bold", run, "");
    let several = query("bold", run, "");
    let none = query("tr, bold", run, "WHERE false");
    let wide = query("tr, bold", run, "");
    let twenty = "array_resize(arrow_cast(bold, 'List(Float32)'), 20)";
    let short = format!("tr, arrow_cast({twenty}, 'FixedSizeList(20, Float32)') AS v");
    let short = query(&short, run, "");
    let lists = query(&format!("tr, {twenty} AS v"), run, "");
    let nulls = query(
        "tr, CASE WHEN tr <> 3 THEN arrow_cast(bold, 'FixedSizeList(60, Int16)') END AS v",
        run,
        "",
    );
    let times = query("tr, bold, 2.0 + tr AS repetition_time", run, "");
    let no_time = query("tr, bold, 0.0 AS repetition_time", run, "");
    refused(
        &place,
        &[
            (&hole, like, &["tr 2 is missing", "there is tr 3"]),
            (
                &late,
                like,
                &["tr 0 is missing", "there is tr 2", "row_number()"],
            ),
            (&twice, like, &["tr 3 comes twice"]),
            (&null, like, &["tr is NULL"]),
            (&negative, like, &["tr is -1"]),
            (&several, like, &["several rows", "no column tr"]),
            (&none, like, &["no rows"]),
            (
                &wide,
                "mask '$/mask.nii'",
                &["vectors have 60 voxels, the mask has 20"],
            ),
            (&wide, "", &["nothing says how large"]),
            (
                &short,
                like,
                &[
                    "vectors have 20 voxels, the image has 4 × 3 × 5 = 60",
                    "OPTIONS (mask",
                ],
            ),
            (&lists, like, &["vectors have 20 voxels", "in tr 0"]),
            (&nulls, like, &["the vector of tr 3 is NULL", "integers"]),
            (
                &times,
                like,
                &["repetition_time is 2 and 3", "OPTIONS (tr 2)"],
            ),
            (&no_time, like, &["repetition_time is 0"]),
            (&wide, "like '$/nowhere.nii'", &["nowhere.nii"]),
            (
                &wide,
                "like '$/run.nii.gz', tr 0",
                &["tr is the time between volumes"],
            ),
            (
                &wide,
                "lik '$/run.nii.gz'",
                &["no option lik", "did you mean like"],
            ),
        ],
    )
    .await;
    // The option is heard before the column.
    place
        .copy(&times, "a.nii", "like '$/run.nii.gz', tr 3")
        .await;
    assert_eq!(place.raw("a.nii").pixdim[4], 3.0);
    place.make(
        "far.nii",
        &Image {
            origin: 5.0,
            ..Image::mask([4, 3, 5], &[1.0; 60])
        },
    );
    refused(
        &place,
        &[(
            &wide,
            "like '$/run.nii.gz', mask '$/far.nii'",
            &["lies elsewhere"],
        )],
    )
    .await;
}

#[tokio::test]
async fn places() {
    let place = Place::new().await;
    run_and_mask(&place);
    let fails = async |target: &str, part: &str| {
        let sql = format!(
            "COPY (SELECT tr, bold FROM read_bold('$/run.nii.gz')) TO {target} OPTIONS (like '$/run.nii.gz')"
        );
        let message = place.try_ask(&sql).await.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    fails("'$/a.img' STORED AS NIFTI", "named .nii or .nii.gz").await;
    fails("'$/a/' STORED AS NIFTI", "named .nii or .nii.gz").await;
    fails(
        "'$/a.nii' STORED AS NIFTI PARTITIONED BY (tr)",
        "one file at a time",
    )
    .await;
    fails(
        "'$/run.nii.gz/a.nii' STORED AS NIFTI",
        "a.nii: cannot be written",
    )
    .await;
    fs::create_dir(place.at("b.nii")).unwrap();
    fails("'$/b.nii' STORED AS NIFTI", "this is a folder").await;
    assert_eq!(place.names(), ["b.nii", "mask.nii", "run.nii.gz"]);
    let message = place
        .try_ask("SELECT * FROM '$/x.nifti'")
        .await
        .unwrap_err();
    assert!(!message.to_string().is_empty());
}

/// The error comes when volumes have been written: what was there stays.
#[tokio::test]
async fn a_query_that_fails_leaves_the_old_image() {
    let place = Place::new().await;
    place.make("run.nii", &Image::new([40, 40, 40], 60, 2.0));
    let query =
        |condition: &str| format!("SELECT tr, bold FROM read_bold('$/run.nii') WHERE {condition}");
    let like = "like '$/run.nii'";
    let failing = query("7 / (tr - 50) < 100");
    let message = place.refusal(&failing, like).await;
    assert!(
        message.to_lowercase().contains("divide by zero"),
        "{message}"
    );
    place.copy(&query("tr < 3"), "out.nii.gz", like).await;
    let old = fs::read(place.at("out.nii.gz")).unwrap();
    place.refusal(&failing, like).await;
    assert_eq!(fs::read(place.at("out.nii.gz")).unwrap(), old);
    // An image may take the place of the one that is read.
    place.copy(&query("tr < 5"), "run.nii", like).await;
    assert_eq!(place.raw("run.nii").dim[4], 5);
}

#[tokio::test]
async fn a_large_image_asks_the_pool() {
    let place = Place::new().await;
    place.make("like.nii", &Image::new([100, 100, 100], 0, 0.0));
    let settings = Settings {
        memory_limit: Some(8 << 20),
        ..Settings::default()
    };
    let small = Place {
        session: Session::open(settings).await.unwrap(),
        folder: place.folder,
    };
    let voxel = "SELECT 1 AS i, 1 AS j, 1 AS k";
    small.copy(voxel, "mask.nii", "like '$/like.nii'").await;
    let message = small
        .refusal(&format!("{voxel}, range(50) AS v"), "like '$/like.nii'")
        .await;
    assert!(
        message.contains("Resources exhausted") && message.contains("COPY TO"),
        "{message}"
    );
}
