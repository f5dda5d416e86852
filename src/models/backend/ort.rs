//! Graphs through onnxruntime, a shared library loaded at run time.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ::ort::LoadDynamicError;
use ::ort::environment::Environment;
use ::ort::logging::LogLevel;
use ::ort::session::SessionInputValue;
use ::ort::value::TensorRef;
use datafusion::common::Result;
use ndarray::{ArrayD, ArrayView2, ArrayViewD};

use super::{Network, SignalNetwork, failed_run, guard, library, threads};

/// The loaded library. There is one per process.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    pub version: String,
    pub path: PathBuf,
}

/// The library, looked for once; or why there is none.
///
/// Nothing of `ort` may be called before this gave `Ok`: without a library its
/// functions panic.
pub fn runtime() -> Result<&'static Runtime, &'static str> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| first_usable(library::candidates()))
        .as_ref()
        .map_err(String::as_str)
}

fn first_usable(candidates: Vec<PathBuf>) -> Result<Runtime, String> {
    for path in candidates {
        match guard(|| load(&path)) {
            Ok(runtime) => return Ok(runtime),
            Err(reason) => log::warn!("onnxruntime at '{}' is of no use: {reason}", path.display()),
        }
    }
    Err(format!(
        "no usable library was found in {}; {}",
        library::PLACES,
        library::HOW_TO_GET
    ))
}

fn load(path: &Path) -> Result<Runtime, String> {
    let environment = ::ort::init_from(path)
        .map_err(reason)?
        .with_name("voxql")
        .with_telemetry(false)
        .with_logger(Arc::new(forward_log))
        .build()
        .map_err(|e| e.to_string())?;
    environment.set_log_level(LogLevel::Warning);
    Ok(Runtime {
        environment,
        version: library::version_in_name(path).unwrap_or_else(version_of_build),
        path: path.to_path_buf(),
    })
}

/// Why a file could not be loaded, with the system's own words for it.
fn reason(error: LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => match error.source() {
            Some(source) => source.to_string(),
            None => error.to_string(),
        },
        LoadDynamicError::BadVersion { version_str, .. } => format!(
            "it is version {version_str}, and 1.{} or newer is needed",
            ::ort::MINOR_VERSION
        ),
        other => other.to_string(),
    }
}

/// What the library says of itself: `… git-branch=rel-1.32.0, …`.
fn version_of_build() -> String {
    ::ort::info()
        .split([',', ' '])
        .find_map(|part| part.strip_prefix("git-branch="))
        .map_or("of unknown version", |branch| {
            branch.strip_prefix("rel-").unwrap_or(branch)
        })
        .to_string()
}

/// What goes wrong for good comes back as an error as well, so the library's own
/// messages are for those who look for them.
fn forward_log(level: LogLevel, _category: &str, _id: &str, place: &str, message: &str) {
    log::debug!("onnxruntime {level:?} at {place}: {message}");
}

/// One graph in onnxruntime. One run at a time, each on every core.
pub struct Session {
    path: PathBuf,
    session: Mutex<::ort::session::Session>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    output: String,
}

impl Session {
    pub fn open(path: &Path, outputs: &[&str]) -> Result<Self, String> {
        let session = build(runtime()?, path).map_err(|e| e.to_string())?;
        let inputs = session
            .inputs()
            .iter()
            .map(|i| i.name().to_string())
            .collect();
        let known: Vec<String> = session
            .outputs()
            .iter()
            .map(|o| o.name().to_string())
            .collect();
        let named = |name: &&&str| known.iter().any(|known| known == **name);
        let output = match outputs.iter().find(named) {
            Some(name) => name.to_string(),
            None => known.first().ok_or("the graph has no output")?.clone(),
        };
        Ok(Self {
            path: path.to_path_buf(),
            session: Mutex::new(session),
            inputs,
            outputs: known,
            output,
        })
    }
}

impl Session {
    /// Runs the graph on inputs by name.
    fn result(&self, values: Vec<(&str, SessionInputValue)>) -> Result<ArrayD<f32>> {
        let failed = |e: &dyn std::fmt::Display| failed_run("onnxruntime", &self.path, e);
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let result = session.run(values).map_err(|e| failed(&e))?;
        let Some(output) = result.get(&self.output) else {
            return Err(failed(&format!("no output '{}'", self.output)));
        };
        let output = output.try_extract_array::<f32>().map_err(|e| failed(&e))?;
        Ok(output.to_owned())
    }
}

fn build(runtime: &Runtime, path: &Path) -> ::ort::Result<::ort::session::Session> {
    // Threads that spin while they wait for work would take the cores from the rest
    // of the query.
    ::ort::session::Session::builder(&runtime.environment)?
        .with_intra_threads(threads())?
        .with_intra_op_spinning(false)?
        .commit_from_file(path)
}

impl Network for Session {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn output(&self) -> &str {
        &self.output
    }

    fn run(&self, inputs: &[(&str, ArrayView2<i64>)]) -> Result<ArrayD<f32>> {
        let failed = |e: &dyn std::fmt::Display| failed_run("onnxruntime", &self.path, e);
        let values = inputs
            .iter()
            .map(|(name, values)| {
                let tensor = TensorRef::from_array_view(*values)?;
                Ok((*name, SessionInputValue::from(tensor)))
            })
            .collect::<::ort::Result<Vec<_>>>()
            .map_err(|e| failed(&e))?;
        self.result(values)
    }

    fn concurrent_runs(&self) -> usize {
        1
    }
}

impl SignalNetwork for Session {
    fn takes(&self, _shape: &[usize]) -> bool {
        true
    }

    fn output(&self) -> &str {
        &self.output
    }

    fn run(&self, input: ArrayViewD<f32>) -> Result<ArrayD<f32>> {
        let failed = |e: &dyn std::fmt::Display| failed_run("onnxruntime", &self.path, e);
        let [name] = self.inputs.as_slice() else {
            return Err(failed(&format!(
                "the graph must have one input, and has {}",
                self.inputs.join(", ")
            )));
        };
        let tensor = TensorRef::from_array_view(input).map_err(|e| failed(&e))?;
        self.result(vec![(name.as_str(), SessionInputValue::from(tensor))])
    }
}
