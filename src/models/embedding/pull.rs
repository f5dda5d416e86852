//! `voxql models pull`: a model from Hugging Face, only the files that are needed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use datafusion::common::{Result, exec_datafusion_err, exec_err};
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::folder::Folder;
use crate::models::backend::guard;
use crate::models::graphs::is_data_of;
use crate::models::locate::{hub_cache, hub_home, repository};

/// Where models come from, unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// Files that say how a model is run, in its folder or in that of a module.
const CONFIGURATION: [&str; 6] = [
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Copied rather than linked up to this size: people edit such files.
const SMALL: u64 = 1 << 20;

/// Fetches the model `name` into the cache of Hugging Face, or into a folder of its own in `to`, and gives
/// the folder. `file_name` is the graph to fetch where it is not the usual one.
///
/// `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT` and `HF_TOKEN` are honoured. What is in the cache already is not
/// fetched again.
///
/// # Errors
/// When there is no such model, no network, or the model cannot be used: what to do about it.
pub fn pull(name: &str, file_name: Option<&str>, to: Option<&Path>) -> Result<PathBuf> {
    let id = repository(name);
    let is_name = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && part.chars().all(plain) && !part.starts_with('.')
    };
    let own = match id.split('/').collect::<Vec<_>>()[..] {
        [organisation, own] if is_name(organisation) && is_name(own) => own,
        _ => return exec_err!("'{name}' is no name of a model; it is NAME or ORGANISATION/NAME"),
    };
    let target = to.map(|to| to.join(own));
    if let Some(target) = target.as_ref().filter(|target| target.exists()) {
        return exec_err!(
            "'{}' is there already; remove it to fetch it anew",
            target.display()
        );
    }
    let Some(cache) = hub_cache() else {
        return exec_err!("there is no home folder to put models into; set HF_HOME to a folder");
    };
    let (snapshot, files) = Hub::open(&id, cache)?.fetch(file_name)?;
    // What cannot be used is said now, and not at the first query.
    Folder::read(&snapshot, file_name)?;
    match target {
        None => Ok(snapshot),
        Some(target) => {
            copy(&snapshot, &files, &target).map_err(|e| {
                exec_datafusion_err!("cannot copy the model to '{}': {e}", target.display())
            })?;
            Ok(target)
        }
    }
}

/// A repository on Hugging Face.
struct Hub {
    id: String,
    endpoint: String,
    cache: Cache,
    api: Api,
}

impl Hub {
    fn open(id: &str, cache: PathBuf) -> Result<Self> {
        let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|e| !e.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| ENDPOINT.to_string());
        let endpoint = endpoint.trim_end_matches('/').to_string();
        let cache = Cache::new(std::path::absolute(cache)?);
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(endpoint.clone())
            .with_token(token())
            .with_retries(3)
            .with_user_agent("voxql", env!("CARGO_PKG_VERSION"))
            .build();
        match api {
            Ok(api) => Ok(Self {
                id: id.to_string(),
                endpoint,
                cache,
                api,
            }),
            Err(e) => exec_err!("cannot make requests: {e}"),
        }
    }

    /// The folder of the newest version, and those of its files that are needed.
    fn fetch(&self, file_name: Option<&str>) -> Result<(PathBuf, Vec<String>)> {
        let main = Repo::new(self.id.clone(), RepoType::Model);
        let info = self.ask("its files", self.api.repo(main.clone()), |repo| repo.info())?;
        let files: Vec<String> = info
            .siblings
            .into_iter()
            .map(|file| file.rfilename)
            .collect();
        let wanted = self.choose(&files, file_name)?;
        // Of one version: a cache may hold another.
        let version = Repo::with_revision(self.id.clone(), RepoType::Model, info.sha.clone());
        let mut folder = None;
        for file in &wanted {
            let path = self.ask(file, self.api.repo(version.clone()), |repo| repo.get(file))?;
            let depth = Path::new(file).components().count();
            folder = path.ancestors().nth(depth).map(Path::to_path_buf);
        }
        let Some(folder) = folder else {
            return exec_err!("{} has no files", self.id);
        };
        // By this, Python's huggingface_hub finds it too.
        self.cache.repo(main).create_ref(&info.sha)?;
        Ok((folder, wanted.into_iter().map(str::to_string).collect()))
    }

    /// The files that are needed.
    fn choose<'a>(
        &self,
        files: &'a [String],
        file_name: Option<&str>,
    ) -> Result<BTreeSet<&'a str>> {
        let id = &self.id;
        let find = |name: &str| files.iter().find(|file| file.as_str() == name);
        let graph = match file_name {
            Some(name) => find(name).or_else(|| find(&format!("onnx/{name}"))),
            None => find("onnx/model.onnx").or_else(|| find("model.onnx")),
        };
        let Some(graph) = graph else {
            let graphs: Vec<&str> = files
                .iter()
                .filter(|f| f.ends_with(".onnx"))
                .map(String::as_str)
                .collect();
            return match graphs.is_empty() {
                true => exec_err!(
                    "{id} has no ONNX graph. `pip install optimum[onnxruntime]`, then `optimum-cli export onnx \
                     --model {id} models/NAME` makes one; copy its folders 1_Pooling and so on beside it"
                ),
                false => exec_err!(
                    "{id} has no graph {}; it has {}: say which by --file-name",
                    file_name.unwrap_or("onnx/model.onnx"),
                    graphs.join(", ")
                ),
            };
        };
        if find("tokenizer.json").is_none() && find("0_Transformer/tokenizer.json").is_none() {
            return exec_err!(
                "{id} has no tokenizer.json; write it in Python with \
                 AutoTokenizer.from_pretrained('{id}').save_pretrained('…') and use that folder"
            );
        }
        let is_needed = |file: &str| {
            let (folder, own) = file.rsplit_once('/').unwrap_or(("", file));
            // 1_Pooling, 2_Dense
            let of_module = folder.split_once('_').is_some_and(|(number, rest)| {
                !number.is_empty()
                    && number.bytes().all(|b| b.is_ascii_digit())
                    && !rest.contains('/')
            });
            let beside_graph = Path::new(graph).parent() == Path::new(file).parent();
            let graph_name = Path::new(graph)
                .file_name()
                .and_then(OsStr::to_str)
                .unwrap_or_default();
            file == graph
                || (beside_graph && is_data_of(graph_name, own))
                || ((folder.is_empty() || of_module) && CONFIGURATION.contains(&own))
                || (folder.ends_with("_Dense") && of_module && own == "model.safetensors")
        };
        let is_inside = |file: &str| {
            Path::new(file)
                .components()
                .all(|c| matches!(c, Component::Normal(_)))
        };
        let needed = files.iter().map(String::as_str);
        Ok(needed
            .filter(|file| is_needed(file) && is_inside(file))
            .collect())
    }

    /// Asks for something of the repository.
    fn ask<T>(
        &self,
        what: &str,
        repo: ApiRepo,
        request: impl FnOnce(&ApiRepo) -> Result<T, ApiError>,
    ) -> Result<T> {
        let (id, endpoint) = (&self.id, &self.endpoint);
        // The crate panics at answers that no server of Hugging Face gives.
        let error = match guard(|| Ok(request(&repo))) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic,
        };
        let status = error
            .split_once("http status: ")
            .map(|(_, status)| status.trim());
        match status.map(|status| status.get(..3).unwrap_or(status)) {
            // Hugging Face says 401 of what is not there, too.
            Some("401" | "404") => exec_err!(
                "there is no model {id} at {endpoint}, or it is private and HF_TOKEN is not set to a token that may \
                 read it. A name without an organisation means sentence-transformers/NAME; others are written whole, \
                 as in BAAI/bge-large-en-v1.5"
            ),
            Some("403") => exec_err!(
                "{id} is given only to those who accepted its conditions: do so at {endpoint}/{id}, and set HF_TOKEN to \
                 your token"
            ),
            Some(_) => exec_err!("{endpoint} did not give {what} of {id}: {error}"),
            None => exec_err!(
                "cannot fetch {what} of {id} from {endpoint}: {error}. Without a network (a proxy is taken from \
                 HTTPS_PROXY, a mirror from HF_ENDPOINT), fetch the model elsewhere with --to DIR and copy the folder here, \
                 into models/ or a folder that VOXQL_MODELS lists"
            ),
        }
    }
}

/// `HF_TOKEN`, or what `hf auth login` has kept.
fn token() -> Option<String> {
    let given = std::env::var("HF_TOKEN").ok();
    let kept = || fs::read_to_string(hub_home()?.join("token")).ok();
    let token = given.or_else(kept)?.trim().to_string();
    (!token.is_empty()).then_some(token)
}

/// Copies files of a folder of links into the cache to `target`, which appears with one rename.
fn copy(snapshot: &Path, files: &[String], target: &Path) -> std::io::Result<()> {
    let parent = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let staged = tempfile::Builder::new()
        .prefix(".pull-")
        .tempdir_in(parent)?;
    for file in files {
        let (real, place) = (
            snapshot.join(file).canonicalize()?,
            staged.path().join(file),
        );
        fs::create_dir_all(place.parent().unwrap_or(staged.path()))?;
        let linked = real.metadata()?.len() > SMALL && fs::hard_link(&real, &place).is_ok();
        if !linked {
            fs::copy(&real, &place)?;
        }
    }
    // A folder for temporary things is nobody else's to read.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(staged.path(), fs::Permissions::from_mode(0o755))?;
    }
    fs::rename(staged.path(), target)?;
    // What it would remove has another name now.
    let _ = staged.keep();
    Ok(())
}
