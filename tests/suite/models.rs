//! `voxql models`: from a server that behaves as Hugging Face does, and what is here.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The path of a request, and its token.
type Request = (String, Option<String>);

/// A server with one repository.
struct Hub {
    address: String,
    /// Paths and the token of each request.
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Hub {
    /// `files` of the repository `id`, and what the server says to all who have no token.
    fn serve(
        id: &'static str,
        files: BTreeMap<String, Vec<u8>>,
        to_strangers: Option<&'static str>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hub = Hub {
            address,
            seen: Arc::clone(&seen),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away ends its connection, not the server.
                let _ = answer(stream, id, &files, to_strangers, &seen);
            }
        });
        hub
    }

    fn paths(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|(path, _)| path.clone())
            .collect()
    }
}

fn answer(
    mut stream: TcpStream,
    id: &str,
    files: &BTreeMap<String, Vec<u8>>,
    to_strangers: Option<&str>,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or_default().to_string();
    let (mut range, mut token) = (None, None);
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_lowercase().as_str() {
            "range" => range = Some(value.trim_start_matches("bytes=").to_string()),
            "authorization" => token = Some(value.to_string()),
            _ => {}
        }
    }
    seen.lock().unwrap().push((path.clone(), token.clone()));
    if let (Some(status), None) = (to_strangers, &token) {
        return respond(&mut stream, status, &[], b"no");
    }
    if path == format!("/api/models/{id}/revision/main") {
        let siblings: Vec<_> = files
            .keys()
            .map(|f| serde_json::json!({"rfilename": f}))
            .collect();
        let info = serde_json::json!({"siblings": siblings, "sha": COMMIT});
        return respond(&mut stream, "200 OK", &[], info.to_string().as_bytes());
    }
    let file = path
        .strip_prefix(&format!("/{id}/resolve/{COMMIT}/"))
        .and_then(|file| Some((file, files.get(file)?)));
    let Some((name, content)) = file else {
        return respond(&mut stream, "404 Not Found", &[], b"no");
    };
    let range = range.unwrap_or_default();
    let (start, end) = range.split_once('-').unwrap_or_default();
    let start: usize = start.parse().unwrap_or(0);
    let end = end
        .parse()
        .map_or(content.len(), |end: usize| (end + 1).min(content.len()));
    let headers = [
        format!("ETag: \"{}-{}\"", name.replace('/', "-"), content.len()),
        format!("X-Repo-Commit: {COMMIT}"),
        format!(
            "Content-Range: bytes {start}-{}/{}",
            end.saturating_sub(1),
            content.len()
        ),
    ];
    respond(
        &mut stream,
        "206 Partial Content",
        &headers,
        &content[start..end],
    )
}

fn respond(
    stream: &mut TcpStream,
    status: &str,
    headers: &[String],
    body: &[u8],
) -> std::io::Result<()> {
    let mut head = vec![
        format!("HTTP/1.1 {status}"),
        format!("Content-Length: {}", body.len()),
    ];
    head.extend_from_slice(headers);
    head.push("Connection: close\r\n\r\n".to_string());
    stream.write_all(head.join("\r\n").as_bytes())?;
    stream.write_all(body)?;
    stream.flush()
}

/// A repository as it is on Hugging Face: the model, its other weights, and what nobody needs.
fn repository() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new("tests/data/embedding/bert");
    let mut files = BTreeMap::new();
    for name in [
        "config.json",
        "config_sentence_transformers.json",
        "modules.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "1_Pooling/config.json",
        "onnx/model.onnx",
    ] {
        files.insert(name.to_string(), std::fs::read(folder.join(name)).unwrap());
    }
    let graph = files["onnx/model.onnx"].clone();
    files.insert("onnx/model_quantized.onnx".to_string(), graph);
    for name in [
        "README.md",
        "pytorch_model.bin",
        "model.safetensors",
        "train_script.py",
        "vocab.txt",
    ] {
        files.insert(name.to_string(), b"not needed".to_vec());
    }
    files.insert(
        "onnx/model.onnx_data".to_string(),
        b"beside the graph".to_vec(),
    );
    files
}

/// `voxql` with its own cache of Hugging Face.
fn voxql(home: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxql"));
    for variable in [
        "VOXQL_MODELS",
        "HF_TOKEN",
        "HF_HUB_CACHE",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(variable);
    }
    command
        .env("HF_HOME", home)
        .env("HF_ENDPOINT", endpoint)
        .env("VOXQL_BACKEND", "tract")
        .timeout(std::time::Duration::from_secs(60));
    command
}

const ID: &str = "sentence-transformers/tiny-model";

#[test]
fn a_model_is_pulled_once_listed_and_used() {
    let hub = Hub::serve(ID, repository(), None);
    let home = tempfile::tempdir().unwrap();
    voxql(home.path(), &hub.address)
        .args(["models", "pull", "tiny-model"])
        .assert()
        .success()
        .stdout(contains("tiny-model is in "));
    let paths = hub.paths();
    for needed in [
        "onnx/model.onnx",
        "onnx/model.onnx_data",
        "1_Pooling/config.json",
        "tokenizer.json",
    ] {
        assert!(
            paths
                .iter()
                .any(|path| path.ends_with(&format!("/{needed}"))),
            "{needed}: {paths:?}"
        );
    }
    for left in [
        "README",
        "quantized",
        ".bin",
        ".safetensors",
        ".py",
        "vocab",
    ] {
        assert!(
            !paths.iter().any(|path| path.contains(left)),
            "{left}: {paths:?}"
        );
    }

    // A second time only the list of files is asked for.
    let before = paths.len();
    voxql(home.path(), &hub.address)
        .args(["models", "pull", "tiny-model"])
        .assert()
        .success();
    assert_eq!(hub.paths().len(), before + 1);

    voxql(home.path(), "http://127.0.0.1:9")
        .args(["models", "list"])
        .assert()
        .success()
        .stdout(
            contains("hashing")
                .and(contains("tiny-model"))
                .and(contains("16"))
                .and(contains("tract 0.")),
        );
    voxql(home.path(), "http://127.0.0.1:9")
        .args([
            "-c",
            "SELECT array_length(embed('a', model => 'tiny-model')) AS n",
        ])
        .assert()
        .success()
        .stdout(contains("16"));
}

/// A folder with those empty files.
fn folder_of(root: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(root).unwrap();
    for (name, text) in files {
        std::fs::write(root.join(name), text).unwrap();
    }
}

#[test]
fn models_of_every_kind_are_listed_without_warnings() {
    let place = tempfile::tempdir().unwrap();
    let shelf = place.path().join("shelf");
    let graph = ("model.onnx", "graph");
    folder_of(
        &shelf.join("pictures"),
        &[graph, ("preprocessor_config.json", "{}")],
    );
    folder_of(
        &shelf.join("voice"),
        &[graph, ("config.json", r#"{"kind": "vocoder"}"#)],
    );
    folder_of(&shelf.join("nobody-knows"), &[graph]);
    let text = [
        graph,
        ("tokenizer.json", "{}"),
        ("config.json", r#"{"hidden_size": 8}"#),
    ];
    folder_of(&shelf.join("plain"), &text);
    let lists = |arguments: &[&str]| {
        let mut command = voxql(&place.path().join("home"), "http://127.0.0.1:9");
        let assert = command.env("VOXQL_MODELS", &shelf).args(arguments).assert();
        let output = assert.success().get_output().clone();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    for arguments in [["models", "list"].as_slice(), &["-c", "SHOW MODELS"]] {
        let (table, warnings) = lists(arguments);
        for (name, kind) in [
            ("hashing", "embedding"),
            ("plain", "embedding"),
            ("pictures", "image embedding"),
            ("voice", "vocoder"),
            ("nobody-knows", "unknown"),
        ] {
            let cells = |row: &str| -> Vec<String> {
                row.split('│').map(|cell| cell.trim().to_string()).collect()
            };
            let row = table.lines().map(cells).find(|cells| cells[0] == name);
            assert_eq!(row.unwrap()[1], kind, "{name}");
        }
        // Of the one that averages its tokens for want of a modules.json.
        let about: Vec<&str> = warnings.lines().filter(|l| l.contains("has no")).collect();
        assert_eq!(about.len(), 1, "{warnings}");
        assert!(
            about[0].contains("plain' has no modules.json"),
            "{warnings}"
        );
    }
}

#[test]
fn a_model_goes_into_a_folder_or_a_database() {
    let hub = Hub::serve(ID, repository(), None);
    let place = tempfile::tempdir().unwrap();
    let home = place.path().join("home");
    let db = place.path().join("study").display().to_string();
    voxql(&home, &hub.address)
        .args(["models", "pull", "tiny-model", "--db", &db])
        .assert()
        .failure()
        .stderr(contains("is no VoxQL database"));
    voxql(&home, &hub.address)
        .args(["--db", &db, "-c", "SELECT 1"])
        .assert()
        .success();
    let mut pull = voxql(&home, &hub.address);
    pull.args([
        "models",
        "pull",
        "tiny-model",
        "--file-name",
        "model_quantized.onnx",
        "--db",
        &db,
    ]);
    pull.assert().success();
    pull.assert()
        .failure()
        .stderr(contains("is there already; remove it"));
    let folder = PathBuf::from(&db).join("pretrained/tiny-model");
    assert!(
        folder.join("onnx/model_quantized.onnx").is_file()
            && !folder.join("onnx/model.onnx").exists()
    );

    // Another cache: the database's own.
    let query = "SELECT array_length(embed('a', model => 'tiny-model', file_name => 'onnx/model_quantized.onnx')) AS n";
    let elsewhere = place.path().join("elsewhere");
    voxql(&elsewhere, "http://127.0.0.1:9")
        .args(["--db", &db, "-c", query])
        .assert()
        .success()
        .stdout(contains("16"));
    voxql(&elsewhere, "http://127.0.0.1:9")
        .args(["-c", query])
        .assert()
        .failure()
        .stderr(
            contains("there is no embedding model 'tiny-model'").and(contains("voxql models pull")),
        );

    let shelf = place.path().join("shelf").display().to_string();
    voxql(&home, &hub.address)
        .args(["models", "pull", "tiny-model", "--to", &shelf])
        .assert()
        .success();
    voxql(&elsewhere, "http://127.0.0.1:9")
        .env("VOXQL_MODELS", &shelf)
        .args([
            "-c",
            "SELECT array_length(embed('a', model => 'tiny-model')) AS n",
        ])
        .assert()
        .success()
        .stdout(contains("16"));
}

#[test]
fn what_cannot_be_pulled_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::serve(ID, repository(), None);
    let fails = |endpoint: &str, name: &str, says: &str| {
        voxql(home.path(), endpoint)
            .args(["models", "pull", name])
            .assert()
            .failure()
            .stderr(contains(says));
    };
    fails(
        &hub.address,
        "org/other",
        "there is no model org/other at http://127.0.0.1",
    );
    fails(&hub.address, "../etc", "is no name of a model");
    fails(&hub.address, "a/b/c", "is no name of a model");
    fails("http://127.0.0.1:9", "tiny-model", "Without a network");
    voxql(home.path(), &hub.address)
        .args([
            "models",
            "pull",
            "tiny-model",
            "--file-name",
            "onnx/model_O4.onnx",
        ])
        .assert()
        .failure()
        .stderr(contains(
            "it has onnx/model.onnx, onnx/model_quantized.onnx: say which by --file-name",
        ));

    let mut no_graph = repository();
    no_graph.retain(|name, _| !name.contains(".onnx"));
    fails(
        &Hub::serve(ID, no_graph, None).address,
        "tiny-model",
        "optimum-cli export onnx",
    );
    let mut no_tokenizer = repository();
    no_tokenizer.remove("tokenizer.json");
    fails(
        &Hub::serve(ID, no_tokenizer, None).address,
        "tiny-model",
        "has no tokenizer.json",
    );

    let mut unknown = repository();
    let modules = String::from_utf8(unknown["modules.json"].clone()).unwrap();
    unknown.insert(
        "modules.json".to_string(),
        modules.replace("Normalize", "LSTM").into_bytes(),
    );
    let other = tempfile::tempdir().unwrap();
    voxql(other.path(), &Hub::serve(ID, unknown, None).address)
        .args(["models", "pull", "tiny-model"])
        .assert()
        .failure()
        .stderr(contains("sentence_transformers.models.LSTM"));
}

#[test]
fn a_token_opens_what_is_not_for_all() {
    let hub = Hub::serve(ID, repository(), Some("403 Forbidden"));
    let home = tempfile::tempdir().unwrap();
    let pull = ["models", "pull", "tiny-model"];
    voxql(home.path(), &hub.address)
        .args(pull)
        .assert()
        .failure()
        .stderr(contains("accepted its conditions").and(contains("HF_TOKEN")));
    voxql(home.path(), &hub.address)
        .env("HF_TOKEN", "hf_secret")
        .args(pull)
        .assert()
        .success();
    let seen = hub.seen.lock().unwrap();
    assert!(
        seen.iter()
            .skip(1)
            .all(|(_, token)| token.as_deref() == Some("Bearer hf_secret")),
        "{seen:?}"
    );
}
