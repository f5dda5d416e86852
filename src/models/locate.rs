//! Where models are: folders by path, and by name.

use std::env;
use std::path::{Path, PathBuf};

use datafusion::common::{Result, plan_datafusion_err, plan_err};

use super::graphs::graphs;
use super::{embedding, image_embedding, vocoder};

/// The organisation whose models may be named without it.
const USUAL_ORGANISATION: &str = "sentence-transformers";

/// A model's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name by which SQL finds it, or the folder's own where it was given by path.
    pub name: String,
    pub path: PathBuf,
}

/// Models of one kind: those that a function takes.
pub struct Kind {
    /// As `SHOW MODELS` and messages call it.
    pub name: &'static str,
    /// Those that need no folder.
    pub built_in: &'static [&'static str],
    /// Whether the folder holds one, as its files say.
    pub is_in: fn(&Path) -> bool,
    /// How a user gets one, for messages.
    pub how_to_get: &'static str,
}

/// The kinds of models that come in folders.
const KINDS: [&Kind; 3] = [&vocoder::KIND, &embedding::KIND, &image_embedding::KIND];

/// The kind of model that `folder` holds, if its files say one.
pub fn kind_of(folder: &Path) -> Option<&'static Kind> {
    KINDS.into_iter().find(|kind| (kind.is_in)(folder))
}

/// What a session's functions know of models besides the places of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Shelf {
    /// The database's folder of models.
    pub folder: Option<PathBuf>,
    /// Whether a model cannot be given by the path of its folder.
    pub names_only: bool,
}

impl From<Option<&Path>> for Shelf {
    fn from(folder: Option<&Path>) -> Self {
        Self {
            folder: folder.map(Path::to_path_buf),
            names_only: false,
        }
    }
}

/// The folder of the model `name`: a path if it has a slash and is a folder, else a
/// name looked for in the database's folder, in the folders of `VOXQL_MODELS`, in
/// `./models`, and in the cache of Hugging Face.
pub fn find(name: &str, shelf: &Shelf, kind: &Kind) -> Result<Place> {
    let mut places = Places::of_process(shelf.folder.as_deref());
    places.names_only = shelf.names_only;
    places.find(name, kind)
}

/// The models of this machine that [`find`] finds by name, of all kinds: those in the database's folder
/// `shelf`, in the folders of `VOXQL_MODELS`, in `./models`, and in the cache of Hugging Face.
pub fn available(shelf: Option<&Path>) -> Vec<Place> {
    Places::of_process(shelf).list()
}

/// The cache of Hugging Face: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in `huggingface` in the user's
/// folder of caches.
pub fn hub_cache() -> Option<PathBuf> {
    variable("HF_HUB_CACHE").or_else(|| Some(hub_home()?.join("hub")))
}

/// Where Hugging Face's programs keep the cache and the token.
pub fn hub_home() -> Option<PathBuf> {
    let caches = || variable("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache")));
    variable("HF_HOME").or_else(|| Some(caches()?.join("huggingface")))
}

fn home() -> Option<PathBuf> {
    variable("HOME").or_else(|| variable("USERPROFILE"))
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

/// The repository on Hugging Face that a name without an organisation means.
pub fn repository(name: &str) -> String {
    match name.contains('/') {
        true => name.to_string(),
        false => format!("{USUAL_ORGANISATION}/{name}"),
    }
}

/// The folders that hold models.
struct Places {
    /// Folders with one folder per model.
    shelves: Vec<PathBuf>,
    /// The cache of Hugging Face, where there is one.
    hub: Option<PathBuf>,
    home: Option<PathBuf>,
    /// Whether paths are no names.
    names_only: bool,
}

impl Places {
    fn of_process(shelf: Option<&Path>) -> Self {
        let listed = env::var_os("VOXQL_MODELS").unwrap_or_default();
        let listed = env::split_paths(&listed).filter(|shelf| !shelf.as_os_str().is_empty());
        let shelves = shelf.map(Path::to_path_buf).into_iter().chain(listed);
        Self {
            shelves: shelves.chain([PathBuf::from("models")]).collect(),
            hub: hub_cache(),
            home: home(),
            names_only: false,
        }
    }

    fn find(&self, name: &str, kind: &Kind) -> Result<Place> {
        // A cache often holds a model without its ONNX graph: another place may have it.
        // If none does, the reader of the folder says what is missing.
        let best = self
            .candidates(name)
            .into_iter()
            .min_by_key(|place| (!has_graph(&place.path), !(kind.is_in)(&place.path)));
        let available = || {
            let folders = self.list();
            let folders = folders.iter().filter(|place| (kind.is_in)(&place.path));
            let folders = folders.map(|place| place.name.as_str());
            let names: Vec<&str> = kind.built_in.iter().copied().chain(folders).collect();
            match names.is_empty() {
                true => "none".to_string(),
                false => names.join(", "),
            }
        };
        if let Some(place) = &best
            && !(kind.is_in)(&place.path)
            && let Some(other) = kind_of(&place.path)
        {
            return plan_err!(
                "'{}' is a model of the kind {}, and here one of the kind {} is wanted. Available: {}. {}",
                place.path.display(),
                other.name,
                kind.name,
                available(),
                kind.how_to_get
            );
        }
        best.ok_or_else(|| {
            if self.names_only && name.contains(['/', '\\']) {
                return plan_datafusion_err!(
                    "there is no {} model '{name}': a server's models are called by name, not by the path of a folder; \
                     put it on a shelf of the server's (voxql models pull NAME --db DIR, or the environment \
                     variable VOXQL_MODELS), and SHOW MODELS lists it",
                    kind.name
                );
            }
            plan_datafusion_err!(
                "there is no {} model '{name}'. Searched: {}. Available: {}. {}",
                kind.name,
                self.describe(),
                available(),
                kind.how_to_get
            )
        })
    }

    /// The folders that may be meant by `name`, best first.
    fn candidates(&self, name: &str) -> Vec<Place> {
        let mut found = Vec::new();
        let is_path = name.contains(['/', '\\']) && !self.names_only;
        if name.is_empty() || (name.starts_with('.') && !is_path) {
            return found;
        }
        if is_path {
            let path = match (name.strip_prefix("~/"), &self.home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => PathBuf::from(name),
            };
            if path.is_dir() {
                let own = hub_name(&path).or_else(|| own_name(&path));
                let name = own.unwrap_or_else(|| name.to_string());
                found.push(Place { name, path });
            }
        }
        let place = |path: PathBuf| Place {
            name: name.to_string(),
            path,
        };
        let is_plain = Path::new(name).is_relative() && !name.contains("..");
        if is_plain {
            let on_shelves = self.shelves.iter().map(|shelf| shelf.join(name));
            found.extend(on_shelves.filter(|path| path.is_dir()).map(place));
            if let Some(hub) = &self.hub {
                let usual = format!("models--{}", repository(name).replace('/', "--"));
                found.extend(snapshots(&hub.join(usual)).into_iter().map(place));
                // bge-large-en-v1.5 for BAAI/bge-large-en-v1.5.
                let ending = format!("--{name}");
                let of_others = folders_in(hub).into_iter().filter(|folder| {
                    own_name(folder).is_some_and(|folder| {
                        folder
                            .strip_prefix("models--")
                            .and_then(|f| f.strip_suffix(&ending))
                            .is_some_and(|organisation| {
                                organisation != USUAL_ORGANISATION && !organisation.contains("--")
                            })
                    })
                });
                found.extend(of_others.flat_map(|folder| snapshots(&folder)).map(place));
            }
        }
        found
    }

    /// Every model that can be run, by name.
    fn list(&self) -> Vec<Place> {
        let mut found: Vec<Place> = Vec::new();
        let mut add = |place: Place| {
            if has_graph(&place.path) && !found.iter().any(|known| known.name == place.name) {
                found.push(place);
            }
        };
        for shelf in &self.shelves {
            for path in folders_in(shelf) {
                if let Some(name) = own_name(&path) {
                    add(Place { name, path });
                }
            }
        }
        for repository in self.hub.iter().flat_map(|hub| folders_in(hub)) {
            let Some(name) = own_name(&repository)
                .and_then(|name| Some(name.strip_prefix("models--")?.replacen("--", "/", 1)))
            else {
                continue;
            };
            let short = name
                .strip_prefix(USUAL_ORGANISATION)
                .and_then(|rest| rest.strip_prefix('/'));
            let name = short.unwrap_or(&name).to_string();
            for path in snapshots(&repository) {
                add(Place {
                    name: name.clone(),
                    path,
                });
            }
        }
        found
    }

    fn describe(&self) -> String {
        let shelves = self.shelves.iter().map(|path| path.display().to_string());
        let hub = self.hub.iter().map(|path| path.display().to_string());
        let mut places: Vec<String> = shelves.chain(hub).collect();
        if variable("VOXQL_MODELS").is_none() {
            places.insert(0, "VOXQL_MODELS (which is not set)".to_string());
        }
        places.join(", ")
    }
}

/// Whether `folder` holds a graph: what tells a model from any other folder.
fn has_graph(folder: &Path) -> bool {
    !graphs(folder).is_empty()
}

/// The versions of a repository in the cache of Hugging Face, that of `refs/main` first.
fn snapshots(repository: &Path) -> Vec<PathBuf> {
    let mut versions = folders_in(&repository.join("snapshots"));
    let main = std::fs::read_to_string(repository.join("refs/main")).unwrap_or_default();
    versions.sort_by_key(|path| own_name(path).as_deref() != Some(main.trim()));
    versions
}

/// The folders in `folder`, by name; none where it cannot be read.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    paths.sort();
    paths
}

/// The model's name, of a version in the cache of Hugging Face, which is called by its hash.
fn hub_name(version: &Path) -> Option<String> {
    let snapshots = version.parent()?;
    let repository = own_name(snapshots.parent()?)?;
    let name = repository.strip_prefix("models--")?.replacen("--", "/", 1);
    snapshots.ends_with("snapshots").then_some(name)
}

fn own_name(path: &Path) -> Option<String> {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_string());
    name(path).or_else(|| name(&path.canonicalize().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(path: &Path) {
        std::fs::create_dir_all(path.join("onnx")).unwrap();
        std::fs::write(path.join("onnx/model.onnx"), "").unwrap();
    }

    /// A shelf with `a`, and a cache of Hugging Face with two models.
    fn places(root: &Path) -> Places {
        let hub = root.join("hub");
        model(&root.join("shelf/a"));
        model(&hub.join("models--sentence-transformers--b/snapshots/1"));
        model(&hub.join("models--sentence-transformers--b/snapshots/2"));
        std::fs::create_dir_all(hub.join("models--sentence-transformers--b/refs")).unwrap();
        std::fs::write(hub.join("models--sentence-transformers--b/refs/main"), "2").unwrap();
        model(&hub.join("models--org--c--d/snapshots/1"));
        Places {
            shelves: vec![root.join("shelf")],
            hub: Some(hub),
            home: None,
            names_only: false,
        }
    }

    #[test]
    fn finds_by_name_and_by_path() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let first = |name: &str| places.candidates(name).first().map(|p| p.path.clone());
        assert_eq!(first("a"), Some(root.path().join("shelf/a")));
        let main = root
            .path()
            .join("hub/models--sentence-transformers--b/snapshots/2");
        assert_eq!(first("b"), Some(main.clone()));
        assert_eq!(first("sentence-transformers/b"), Some(main));
        assert_eq!(first("c--d"), first("org/c--d"), "of one organisation");
        assert_eq!(
            first("org/c--d"),
            Some(root.path().join("hub/models--org--c--d/snapshots/1"))
        );
        let path = root.path().join("shelf/a");
        assert_eq!(first(path.to_str().unwrap()), Some(path));
        let version = root.path().join("hub/models--org--c--d/snapshots/1");
        let found = places.candidates(version.to_str().unwrap());
        assert_eq!(found[0].name, "org/c--d");
        for missing in ["", ".", "..", "x", "d", "../shelf", "/nowhere/at/all"] {
            assert_eq!(first(missing), None, "{missing}");
        }
    }

    #[test]
    fn paths_are_no_names_where_only_names_are() {
        let root = tempfile::tempdir().unwrap();
        let places = Places {
            names_only: true,
            ..places(root.path())
        };
        for (name, is_there) in [
            ("a", true),
            ("sentence-transformers/b", true),
            ("org/c--d", true),
            ("shelf/a", false),
            ("../shelf/a", false),
            (".", false),
            ("..", false),
            ("", false),
            ("/", false),
        ] {
            assert_eq!(!places.candidates(name).is_empty(), is_there, "{name}");
        }
        let path = root.path().join("shelf/a");
        let found = places.find(path.to_str().unwrap(), &embedding::KIND);
        let error = found.unwrap_err().to_string();
        assert!(error.contains("called by name"), "{error}");
    }

    #[test]
    fn a_function_is_offered_its_own_kind() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let write = |file: &str, text: &str| {
            std::fs::write(root.path().join("shelf").join(file), text).unwrap();
        };
        for name in ["text", "pictures", "voice"] {
            model(&root.path().join("shelf").join(name));
        }
        write("text/tokenizer.json", "{}");
        write("pictures/preprocessor_config.json", "{}");
        // It lacks the rest, and is a vocoder all the same.
        write("voice/config.json", r#"{"kind": "vocoder"}"#);
        for (kind, own, available) in [
            (&embedding::KIND, "text", "Available: hashing, text. "),
            (&image_embedding::KIND, "pictures", "Available: pictures. "),
            (&vocoder::KIND, "voice", "Available: voice. "),
        ] {
            assert!(places.find(own, kind).is_ok(), "{own}");
            let error = |name: &str| places.find(name, kind).unwrap_err().to_string();
            let missing = error("nowhere");
            assert!(missing.contains(available), "{missing}");
            assert!(missing.contains(&format!("no {} model 'nowhere'", kind.name)));
            for other in ["text", "pictures", "voice"]
                .into_iter()
                .filter(|o| *o != own)
            {
                let other_kind = kind_of(&root.path().join("shelf").join(other)).unwrap();
                let says = format!("is a model of the kind {}, and", other_kind.name);
                let message = error(other);
                assert!(
                    message.contains(&says) && message.contains(available),
                    "{message}"
                );
            }
            // The reader of a folder that says nothing says what it lacks.
            assert!(places.find("a", kind).is_ok());
        }
    }

    #[test]
    fn lists_what_has_a_graph() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("shelf/empty")).unwrap();
        let names: Vec<String> = places(root.path())
            .list()
            .into_iter()
            .map(|p| p.name)
            .collect();
        assert_eq!(names, ["a", "org/c--d", "b"]);
    }
}
