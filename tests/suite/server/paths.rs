//! Which files statements may name: those under the server's folders, links followed, and no others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::AsArray;
use voxql::access::Access;
use voxql::readers;
use voxql::session::{Session, Settings};

use super::{Client, ask, connect, fetch, number, on_a_free_port, refusal, refused, serve_session};

/// A folder `data` that the server may read and write, a folder `elsewhere`, and a database.
struct Place {
    folder: tempfile::TempDir,
    client: Client,
}

impl Place {
    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Everything by which the file `name` of `elsewhere` can be called. There need not be one.
    fn ways_to(&self, name: &str) -> Vec<String> {
        let (data, elsewhere) = (self.at("data"), self.at("elsewhere"));
        let mut ways = vec![
            format!("{elsewhere}/{name}"),
            format!("{data}/../elsewhere/{name}"),
            format!("{data}/sub/../../elsewhere/{name}"),
            format!("file://{elsewhere}/{name}"),
            format!("{elsewhere}/*"),
            format!("{elsewhere}/"),
            format!("{data}/*/../../elsewhere/{name}"),
        ];
        if cfg!(unix) {
            ways.extend([
                format!("{data}/away/{name}"),
                format!("{data}/away/*"),
                format!("{data}/away/"),
            ]);
        }
        ways
    }

    async fn refused(&mut self, sql: &str) {
        let (_, text) = refusal(&mut self.client, sql).await;
        assert!(text.contains("--allow-path"), "{sql}: {text}");
    }

    async fn done(&mut self, sql: &str) {
        if let Err(error) = ask(&mut self.client, sql).await {
            panic!("{sql}: {error}");
        }
    }
}

/// The demonstration's data set, and models and media of the tests: more folders that the server may read.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

async fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["data/sub", "elsewhere"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::write(at("elsewhere/secret.csv"), "word\nsecret\n").unwrap();
    std::fs::write(at("data/sub/open.csv"), "word\nopen\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(at("elsewhere"), at("data/away")).unwrap();
    let settings = Settings {
        db: Some(at("study")),
        access: Access::within(&[at("data"), here("examples/demo")]).unwrap(),
        ..Settings::default()
    };
    let session = Arc::new(Session::open(settings).await.unwrap());
    let client = connect(serve_session(session, &on_a_free_port()).await).await;
    Place { folder, client }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_the_folders_are_read_and_written() {
    let mut place = place().await;
    let data = place.at("data");
    #[cfg(unix)]
    std::os::unix::fs::symlink("sub/open.csv", place.folder.path().join("data/link.csv")).unwrap();
    for name in [
        "sub/open.csv",
        "sub/../sub/open.csv",
        "sub/*.csv",
        "sub/",
        "link.csv",
    ] {
        if name == "link.csv" && !cfg!(unix) {
            continue;
        }
        let sql = format!("SELECT word FROM '{data}/{name}'");
        let found = ask(&mut place.client, &sql).await.unwrap();
        assert_eq!(
            found.column(0).as_string::<i32>().value(0),
            "open",
            "{name}"
        );
    }
    for (target, stored) in [
        ("sub/a.parquet", "PARQUET"),
        ("sub/new/b.csv", "CSV"),
        ("parts/", "PARQUET"),
    ] {
        place
            .done(&format!(
                "COPY (SELECT 1 AS n) TO '{data}/{target}' STORED AS {stored}"
            ))
            .await;
        let sql = format!("SELECT CAST(n AS BIGINT) FROM '{data}/{target}'");
        assert_eq!(number(&mut place.client, &sql).await, 1, "{target}");
    }
    place
        .done(&format!(
            "CREATE EXTERNAL TABLE kept STORED AS PARQUET LOCATION '{data}/parts/'"
        ))
        .await;
    place.done("INSERT INTO kept VALUES (2)").await;
    assert_eq!(
        number(&mut place.client, "SELECT sum(n) FROM kept").await,
        3
    );
    let demo = here("examples/demo/bids").display().to_string();
    let sql =
        format!("SELECT count(*) FROM read_bold('{demo}/', subject => '01', brain_mask => 'epi')");
    assert_eq!(number(&mut place.client, &sql).await, 78);
    // The tables of the database need no folder.
    place.done("CREATE TABLE own AS SELECT 1 AS n").await;
    place.done("INSERT INTO own SELECT 2").await;
    place
        .done("CREATE VIEW seen AS SELECT sum(n) AS n FROM own")
        .await;
    assert_eq!(number(&mut place.client, "SELECT n FROM seen").await, 3);
}

/// Every table function that reads files, and every kind of external table.
#[tokio::test(flavor = "multi_thread")]
async fn no_reader_reads_elsewhere() {
    let mut place = place().await;
    let formats = readers::formats();
    assert!(formats.len() > 15);
    for format in formats {
        let ending = format.extensions().first().unwrap_or(&"");
        let name = format!("sub-01_task-x{ending}");
        let function = format.function();
        let stored = format.stored_as();
        // The same whether there is such a file or not.
        for is_there in [false, true] {
            if is_there {
                std::fs::write(place.at(&format!("elsewhere/{name}")), "secret").unwrap();
            }
            for way in place.ways_to(&name) {
                place
                    .refused(&format!("SELECT * FROM {function}('{way}')"))
                    .await;
                place
                    .refused(&format!("SELECT * FROM {function}(['{way}'])"))
                    .await;
                let create = format!("CREATE EXTERNAL TABLE x STORED AS {stored} LOCATION '{way}'");
                place.refused(&create).await;
            }
        }
        // A link that lies where it may be read. `read_bids` lists names, and opens no such file.
        #[cfg(unix)]
        if function != "read_bids" {
            let link = place.at(&format!("data/{name}"));
            std::os::unix::fs::symlink(place.at(&format!("elsewhere/{name}")), &link).unwrap();
            for way in [
                link.clone(),
                format!("{}/*{ending}", place.at("data")),
                place.at("data/"),
            ] {
                place
                    .refused(&format!("SELECT * FROM {function}('{way}')"))
                    .await;
            }
            std::fs::remove_file(link).unwrap();
        }
        let encoded = format!("file://{}/%2e%2e/elsewhere/{name}", place.at("data"));
        let sql = format!("SELECT * FROM {function}('{encoded}')");
        assert!(ask(&mut place.client, &sql).await.is_err(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_argument_names_a_file_elsewhere() {
    let mut place = place().await;
    let demo = here("examples/demo").display().to_string();
    let bold = format!("{demo}/bids/sub-01/func/sub-01_task-movie_bold.nii.gz");
    let inside = format!("{demo}/bids/derivatives/masks/task-movie_desc-shared_mask.nii.gz");
    let secret = place.at("elsewhere/mask.nii.gz");
    std::fs::copy(&inside, &secret).unwrap();
    std::fs::copy(
        here("tests/data/audio/pcm_s16le.wav"),
        place.at("elsewhere/a.wav"),
    )
    .unwrap();
    std::fs::copy(
        here("tests/data/audio/pcm_s16le.wav"),
        place.at("data/a.wav"),
    )
    .unwrap();
    let target = place.at("data/out.nii.gz");
    let words = "(SELECT 0.1 AS onset, 0.2 AS duration, 'sea' AS word)";
    let with_file = |file: &str, sound: &str| {
        [
            format!("SELECT count(*) FROM read_bold('{bold}', mask => '{file}')"),
            format!("SELECT count(*) FROM read_bold('{bold}', atlas => '{file}')"),
            format!("SELECT count(*) FROM read_voxels('{bold}', mask => '{file}')"),
            format!("SELECT count(*) FROM intersect_masks(['{inside}', '{file}'])"),
            format!("SELECT count(*) FROM word_timing_report({words}, media => '{sound}')"),
            format!(
                "COPY (SELECT i, j, k, value FROM read_voxels('{inside}')) TO '{target}' STORED AS NIFTI OPTIONS (like '{file}')"
            ),
            format!(
                "COPY (SELECT vector_avg(bold) AS mean FROM read_bold('{bold}', mask => '{inside}')) TO '{target}' \
                 STORED AS NIFTI OPTIONS (mask '{file}')"
            ),
        ]
    };
    for sql in with_file(&inside, &place.at("data/a.wav")) {
        place.done(&sql).await;
    }
    for file in place
        .ways_to("mask.nii.gz")
        .into_iter()
        .filter(|way| way.ends_with(".gz"))
    {
        // Arguments are files, not patterns or URLs; those are names of files that are not there.
        if file.contains('*') || file.contains("://") {
            continue;
        }
        let sound = file.replace("mask.nii.gz", "a.wav");
        for sql in with_file(&file, &sound) {
            place.refused(&sql).await;
        }
    }
    place
        .refused(&format!(
            "SELECT * FROM word_timing_report({words}, media => 'file://{}')",
            place.at("elsewhere/a.wav")
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_names_a_file_elsewhere() {
    let mut place = place().await;
    let mut ways = place.ways_to("secret.csv");
    ways.push(format!(
        "file://{}/%2e%2e/elsewhere/secret.csv",
        place.at("data")
    ));
    place.done("CREATE TABLE t AS SELECT 1 AS n").await;
    place
        .done("CREATE MODEL m USING srm OPTIONS (features 1, iterations 1) AS
            SELECT subject, tr, [sin(tr), cos(tr), tr * 1.0] AS bold
            FROM (SELECT unnest(['a', 'b']) AS subject) CROSS JOIN (SELECT value AS tr FROM generate_series(1, 9))")
        .await;
    for way in &ways {
        for sql in [
            format!("SELECT * FROM '{way}'"),
            format!("DESCRIBE '{way}'"),
            format!("EXPLAIN SELECT * FROM '{way}'"),
            format!("CREATE TABLE u AS SELECT * FROM '{way}'"),
            format!("CREATE VIEW v AS SELECT * FROM '{way}'"),
            format!("SELECT n FROM t WHERE n IN (SELECT word FROM '{way}')"),
            format!("INSERT INTO '{way}' SELECT 1"),
            format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{way}'"),
            format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{way}'"),
            format!("CREATE EXTERNAL TABLE x STORED AS JSON LOCATION '{way}'"),
        ] {
            place.refused(&sql).await;
        }
    }
    // Written is less: no patterns, but whatever ends as its format wants.
    let before = names(&place.at("elsewhere"));
    for name in ["new.csv", "new.nii.gz", "new.wav", "new/", "deep/new.csv"] {
        for way in place
            .ways_to(name)
            .into_iter()
            .filter(|way| !way.contains('*'))
        {
            let stored = match name {
                "new.nii.gz" => "NIFTI",
                "new.wav" => "WAV",
                _ => "CSV",
            };
            let copy =
                format!("COPY (SELECT 1 AS i, 1 AS j, 1 AS k) TO '{way}' STORED AS {stored}");
            place.refused(&copy).await;
            place.refused(&format!("EXPLAIN ANALYZE {copy}")).await;
        }
    }
    for way in place
        .ways_to("m.npz")
        .into_iter()
        .filter(|way| way.ends_with(".npz") && !way.contains(['*', ':']))
    {
        place.refused(&format!("COPY MODEL m TO '{way}'")).await;
        place.refused(&format!("CREATE MODEL n FROM '{way}'")).await;
    }
    assert_eq!(names(&place.at("elsewhere")), before);
    // Of the other stores that there are none.
    for url in [
        "s3://bucket/a.csv",
        "http://127.0.0.1:9/a.csv",
        "memory:///a.csv",
    ] {
        for sql in [
            format!("SELECT * FROM '{url}'"),
            format!("COPY t TO '{url}' STORED AS CSV"),
            format!("SELECT * FROM read_events('{url}')"),
        ] {
            assert!(ask(&mut place.client, &sql).await.is_err(), "{sql}");
        }
    }
}

/// All names below a folder.
fn names(folder: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path.display().to_string()));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn links_in_a_folder_are_not_followed_out_of_it() {
    use std::os::unix::fs::symlink;
    let mut place = place().await;
    let at = |name: &str| place.folder.path().join(name);
    symlink(at("elsewhere/secret.csv"), at("data/sub/link.csv")).unwrap();
    symlink(at("elsewhere/new.csv"), at("data/sub/new.csv")).unwrap();
    symlink(at("elsewhere/new.nii"), at("data/sub/new.nii")).unwrap();
    let sub = place.at("data/sub");
    place
        .refused(&format!("SELECT * FROM '{sub}/link.csv'"))
        .await;
    for stored in ["CSV", "NIFTI"] {
        let ending = if stored == "CSV" { "csv" } else { "nii" };
        place
            .refused(&format!(
                "COPY (SELECT 1 AS i, 1 AS j, 1 AS k) TO '{sub}/new.{ending}' STORED AS {stored}"
            ))
            .await;
    }
    // Where a folder has one among others, nothing of it is read.
    for way in [format!("{sub}/"), format!("{sub}/*.csv")] {
        let sql = format!("SELECT * FROM '{way}'");
        assert!(ask(&mut place.client, &sql).await.is_err(), "{sql}");
        place
            .refused(&format!(
                "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{way}'"
            ))
            .await;
    }
    // A file that becomes a link when its query is planned already.
    std::fs::remove_file(format!("{sub}/link.csv")).unwrap();
    std::fs::remove_file(format!("{sub}/new.csv")).unwrap();
    let text = "onset\tduration\ttrial_type\n1\t1\topen\n";
    std::fs::write(format!("{sub}/a_events.tsv"), text).unwrap();
    std::fs::write(
        place.at("elsewhere/a_events.tsv"),
        text.replace("open", "secret"),
    )
    .unwrap();
    for sql in [
        format!("SELECT * FROM read_events('{sub}/a_events.tsv')"),
        format!("SELECT * FROM '{sub}/open.csv'"),
    ] {
        let info = place.client.execute(sql.clone(), None).await.unwrap();
        let file = sql.split('\'').nth(1).unwrap();
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        let target = if name == "open.csv" {
            "secret.csv"
        } else {
            name
        };
        std::fs::remove_file(file).unwrap();
        symlink(place.at(&format!("elsewhere/{target}")), file).unwrap();
        let (_, text) = refused(fetch(&mut place.client, info).await.unwrap_err());
        assert!(text.contains("--allow-path"), "{sql}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_s_own_files_are_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("data/study");
    std::fs::create_dir_all(&db).unwrap();
    // Even where the database lies in a folder that may be read.
    for roots in [vec![folder.path().join("data")], vec![]] {
        let settings = Settings {
            db: Some(db.clone()),
            access: Access::within(&roots).unwrap(),
            ..Settings::default()
        };
        let session = Arc::new(Session::open(settings).await.unwrap());
        let mut client = connect(serve_session(session, &on_a_free_port()).await).await;
        ask(&mut client, "CREATE OR REPLACE TABLE t AS SELECT 1 AS n")
            .await
            .unwrap();
        assert_eq!(number(&mut client, "SELECT n FROM t").await, 1);
        let db = db.display();
        for sql in [
            format!("SELECT * FROM '{db}/tables/t/data.parquet'"),
            format!("SELECT * FROM '{db}/tables/t/'"),
            format!("SELECT * FROM '{db}/voxql.json'"),
            format!("SELECT * FROM '{db}/**'"),
            format!("COPY t TO '{db}/tables/t/more.parquet' STORED AS PARQUET"),
            format!("COPY t TO '{db}/.staging/x/data.parquet' STORED AS PARQUET"),
            format!("COPY t TO '{db}/tables/u/' STORED AS PARQUET"),
            format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{db}/tables/t/'"),
        ] {
            let (_, text) = refusal(&mut client, &sql).await;
            assert!(text.contains("--allow-path"), "{sql}: {text}");
        }
        assert_eq!(number(&mut client, "SELECT count(*) FROM t").await, 1);
    }
}

/// What was defined in the shell, where everything may be read, is no way to it either.
#[tokio::test(flavor = "multi_thread")]
async fn views_and_external_tables_are_looked_at_when_they_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret.csv");
    std::fs::write(&file, "word\nsecret\n").unwrap();
    let events = folder.path().join("a_events.tsv");
    std::fs::write(&events, "onset\tduration\n1\t1\n").unwrap();
    let db = Some(folder.path().join("study"));
    let settings = Settings {
        db: db.clone(),
        ..Settings::default()
    };
    let session = Session::open(settings).await.unwrap();
    let (file, events) = (file.display(), events.display());
    for sql in [
        format!("CREATE VIEW one AS SELECT * FROM '{file}'"),
        format!("CREATE EXTERNAL TABLE two STORED AS CSV LOCATION '{file}'"),
        format!("CREATE VIEW three AS SELECT * FROM read_events('{events}')"),
        format!("CREATE EXTERNAL TABLE four STORED AS EVENTS LOCATION '{events}'"),
    ] {
        session.sql(&sql).await.unwrap();
    }
    let settings = Settings {
        db,
        access: Access::within(&[]).unwrap(),
        ..Settings::default()
    };
    let session = Arc::new(Session::open(settings).await.unwrap());
    let mut client = connect(serve_session(session, &on_a_free_port()).await).await;
    for name in ["one", "two", "three", "four"] {
        let (_, text) = refusal(&mut client, &format!("SELECT * FROM {name}")).await;
        assert!(text.contains("no files by their path"), "{name}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_called_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let bert = here("tests/data/embedding/bert");
    let clip = here("tests/data/images/clip");
    let settings = Settings {
        db: Some(db.clone()),
        // Not even from a folder that may be read.
        access: Access::within(&[here("tests/data")]).unwrap(),
        ..Settings::default()
    };
    let session = Arc::new(Session::open(settings).await.unwrap());
    let mut client = connect(serve_session(session, &on_a_free_port()).await).await;
    let everything = Session::open(Settings::default()).await.unwrap();
    let calls = |model: &str, pictures: &str| {
        [
            format!("SELECT embed('the sea', model => '{model}')"),
            format!("SELECT embed_tokens('the sea', model => '{model}')"),
            format!(
                "SELECT embed_span(named_struct('text', 'the sea', 'start', 1, 'length', 3), model => '{model}')"
            ),
            format!("SELECT embed(text, model => '{model}') FROM (VALUES ('sea')) AS t(text)"),
            format!(
                "SELECT embed_image([0.5, 0.5, 0.5], model => '{pictures}', width => 1, height => 1)"
            ),
            format!("SELECT vocode([1.0, 2.0], model => '{pictures}', preset => 'hifigan')"),
        ]
    };
    for sql in calls(&bert.display().to_string(), &clip.display().to_string()) {
        let (_, text) = refusal(&mut client, &sql).await;
        assert!(text.contains("called by name"), "{sql}: {text}");
    }
    // The paths are those of models.
    for sql in &calls(&bert.display().to_string(), &clip.display().to_string())[..4] {
        everything.sql(sql).await.unwrap();
    }
    for model in ["../study", "./bert", "~/bert", "..", "models/../../etc"] {
        for sql in calls(model, model) {
            assert!(ask(&mut client, &sql).await.is_err(), "{sql}");
        }
    }
    // On the database's shelf it has a name.
    let shelf = db.join("pretrained/bert");
    copy(&bert, &shelf);
    for sql in &calls("bert", "bert")[..4] {
        if let Err(error) = ask(&mut client, sql).await {
            panic!("{sql}: {error}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, target).unwrap()),
        }
    }
}

/// A playlist is a text that has ffmpeg open other files; one can be written with COPY.
#[tokio::test(flavor = "multi_thread")]
async fn playlists_lead_nowhere() {
    let mut place = place().await;
    let film = place.at("elsewhere/film.avi");
    std::fs::copy(here("tests/data/video/mpeg4.avi"), &film).unwrap();
    std::fs::copy(&film, place.at("data/film.avi")).unwrap();
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{film}\n#EXT-X-ENDLIST\n");
    let concat = "ffconcat version 1.0\nfile film.avi\n".to_string();
    for (name, text) in [("hls.mp4", hls), ("concat.mp4", concat)] {
        let path = place.at(&format!("data/{name}"));
        std::fs::write(&path, text).unwrap();
        for function in ["read_video", "read_audio"] {
            let sql = format!("SELECT count(*) FROM {function}('{path}')");
            assert!(ask(&mut place.client, &sql).await.is_err(), "{sql}");
        }
    }
}

/// Arguments that name files: what is tried above.
const TRIED: [&str; 6] = [
    "embed.model",
    "embed_image.model",
    "read_bold.atlas",
    "read_bold.mask",
    "read_voxels.mask",
    "vocode.model",
];

/// Arguments that only speak of files.
const SPEAK: [&str; 21] = [
    // Within the folder of a model that is called by name.
    "embed.file_name",
    "embed.normalize",
    "embed_image.frame",
    "epi_mask.ensure_finite",
    "epi_mask.exclude_zeros",
    "epi_mask.opening",
    "multi_epi_mask.ensure_finite",
    "multi_epi_mask.exclude_zeros",
    "multi_epi_mask.opening",
    "read_audio.chunk_duration",
    "read_audio.end",
    "read_audio.start",
    "read_audio.stream",
    "read_bold.tr",
    "read_confounds.compcor",
    "read_confounds.ica_aroma",
    "read_mel.log",
    "read_mel.stream",
    "read_textgrid.tier",
    "read_video.start",
    "read_video.stream",
];

/// A new argument whose documentation speaks of files has to be in one of the lists.
#[tokio::test]
async fn functions_that_take_paths_are_known() {
    let session = Session::open(Settings::default()).await.unwrap();
    let state = session.context().state();
    let scalar = state.scalar_functions().values().map(|f| f.documentation());
    let aggregate = state
        .aggregate_functions()
        .values()
        .map(|f| f.documentation());
    let window = state.window_functions().values().map(|f| f.documentation());
    let of_functions = scalar
        .chain(aggregate)
        .chain(window)
        .flatten()
        .flat_map(|documentation| {
            let name = documentation
                .syntax_example
                .split('(')
                .next()
                .unwrap_or_default();
            let arguments = documentation.arguments.iter().flatten();
            arguments.map(move |(argument, text)| (format!("{name}.{argument}"), text.clone()))
        });
    let of_readers = readers::formats().into_iter().flat_map(|format| {
        let parameters = format.parameters().iter();
        parameters.map(move |p| {
            (
                format!("{}.{}", format.function(), p.name),
                p.description.to_string(),
            )
        })
    });
    let speaks = |text: &str| {
        let text = text.to_lowercase();
        ["path", "folder", "file", "image", "nifti"]
            .iter()
            .any(|word| text.contains(word))
    };
    let all = of_functions.chain(of_readers);
    let mut found: Vec<String> = all
        .filter(|(_, text)| speaks(text))
        .map(|(name, _)| name)
        .collect();
    found.sort();
    found.dedup();
    let mut known: Vec<&str> = TRIED.iter().chain(&SPEAK).copied().collect();
    known.sort();
    assert_eq!(found, known);
}
