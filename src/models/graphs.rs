//! The graphs of a model folder: ONNX files, and the weights beside them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use datafusion::common::{Result, exec_datafusion_err};

/// Where the graph is, as Hugging Face and sentence-transformers write it.
const GRAPHS: [&str; 2] = ["onnx/model.onnx", "model.onnx"];

/// The files beside a graph that hold its weights: graphs above 2 GB have such (`model.onnx_data`,
/// `model.onnx.data`).
pub fn external_data(graph: &Path) -> Vec<PathBuf> {
    let Some(name) = graph.file_name().and_then(OsStr::to_str) else {
        return Vec::new();
    };
    let beside = graph.parent().map(Path::read_dir);
    let Some(Ok(entries)) = beside else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let file = entry.file_name();
            file.to_str().is_some_and(|file| is_data_of(name, file))
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// Whether the file of that name holds weights of the graph called `graph`.
pub fn is_data_of(graph: &str, file: &str) -> bool {
    let rest = file.strip_prefix(graph);
    rest.is_some_and(|rest| rest.starts_with("_data") || rest.starts_with(".data"))
}

fn graph_in(folder: &Path) -> Option<PathBuf> {
    GRAPHS
        .iter()
        .map(|graph| folder.join(graph))
        .find(|path| path.is_file())
}

/// The usual graph of a folder whose transformer is in the folder `transformer` of it.
pub fn find_graph(root: &Path, transformer: &Path) -> Result<PathBuf> {
    graph_in(root)
        .or_else(|| graph_in(transformer))
        .ok_or_else(|| {
            let others = graphs(root);
            exec_datafusion_err!(
                "model folder '{}' has no {}; {}",
                root.display(),
                GRAPHS.join(" and no "),
                match others.is_empty() {
                    true => "models on Hugging Face keep it in the folder onnx/, and `optimum-cli export \
                             onnx` makes it of other weights"
                        .to_string(),
                    false => format!("it has {}: say which by file_name =>", others.join(", ")),
                }
            )
        })
}

/// The graph that the user names, from the folder or from its `onnx`.
pub fn named_graph(root: &Path, name: &str) -> Result<PathBuf> {
    let is_inside = Path::new(name)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    [root.join(name), root.join("onnx").join(name)]
        .into_iter()
        .find(|path| is_inside && path.is_file())
        .ok_or_else(|| {
            exec_datafusion_err!(
                "model folder '{}' has no graph '{name}'; it has {}",
                root.display(),
                graphs(root).join(", ")
            )
        })
}

/// The graphs in the folder and in its `onnx`, as `file_name` calls them.
pub fn graphs(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for (folder, prefix) in [(root.join("onnx"), "onnx/"), (root.to_path_buf(), "")] {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut graphs: Vec<String> = files.filter(|file| file.ends_with(".onnx")).collect();
        graphs.sort();
        names.extend(graphs.iter().map(|file| format!("{prefix}{file}")));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_named_by_its_file() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir(root.join("onnx")).unwrap();
        for name in ["model.onnx", "model_quantized.onnx", "model.onnx_data"] {
            std::fs::write(root.join("onnx").join(name), "graph").unwrap();
        }
        let graph = root.join("onnx/model_quantized.onnx");
        for name in ["onnx/model_quantized.onnx", "model_quantized.onnx"] {
            assert_eq!(named_graph(root, name).unwrap(), graph);
        }
        for wrong in ["model_O4.onnx", "../model.onnx", "/etc/passwd"] {
            let message = named_graph(root, wrong).unwrap_err().to_string();
            assert!(
                message.contains("it has onnx/model.onnx, onnx/model_quantized.onnx"),
                "{message}"
            );
        }
        let usual = root.join("onnx/model.onnx");
        assert_eq!(find_graph(root, root).unwrap(), usual);
        assert_eq!(external_data(&usual), [root.join("onnx/model.onnx_data")]);
        std::fs::remove_file(usual).unwrap();
        let message = find_graph(root, root).unwrap_err().to_string();
        assert!(
            message.contains("it has onnx/model_quantized.onnx: say which by file_name =>"),
            "{message}"
        );
    }
}
