//! Running ONNX graphs: onnxruntime where the machine has it, else the embedded tract.
//!
//! `VOXQL_BACKEND=onnxruntime` or `VOXQL_BACKEND=tract` forces the choice. Both
//! give the same numbers to about seven digits; onnxruntime is two to four times
//! faster, and knows every operator.

mod library;
mod ort;
mod tract;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use ndarray::{ArrayD, ArrayView2, ArrayViewD};

/// A loaded graph that maps matrices of token ids to one tensor of floats.
pub trait Network: Send + Sync {
    /// The names of the graph's inputs.
    fn inputs(&self) -> &[String];

    /// The names of the graph's outputs.
    fn outputs(&self) -> &[String];

    /// The output that [`run`](Self::run) gives.
    fn output(&self) -> &str;

    /// Runs the graph once. Every input of [`inputs`](Self::inputs) must be given,
    /// all of one shape.
    fn run(&self, inputs: &[(&str, ArrayView2<i64>)]) -> Result<ArrayD<f32>>;

    /// How many calls of [`run`](Self::run) may usefully go on at once: one, where
    /// a run already uses every core.
    fn concurrent_runs(&self) -> usize;
}

/// A loaded graph that maps one tensor of floats to another, as a vocoder or an encoder of pictures does.
pub trait SignalNetwork: Send + Sync {
    /// Whether [`run`](Self::run) takes inputs of that shape.
    fn takes(&self, shape: &[usize]) -> bool;

    /// The output that [`run`](Self::run) gives.
    fn output(&self) -> &str;

    /// Runs the graph once.
    fn run(&self, input: ArrayViewD<f32>) -> Result<ArrayD<f32>>;
}

/// A library that runs graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Microsoft's onnxruntime, a shared library found at run time.
    OnnxRuntime,
    /// tract, pure Rust, inside this binary.
    Tract,
}

impl Backend {
    /// What `VOXQL_BACKEND` says, else onnxruntime if this machine has it, else tract.
    pub fn chosen() -> Result<Backend> {
        match std::env::var("VOXQL_BACKEND") {
            Err(_) => Ok(Self::found()),
            Ok(name) => match name.as_str() {
                "" => Ok(Self::found()),
                "onnxruntime" => match ort::runtime() {
                    Ok(_) => Ok(Backend::OnnxRuntime),
                    Err(why) => exec_err!("VOXQL_BACKEND asks for onnxruntime, but {why}"),
                },
                "tract" => Ok(Backend::Tract),
                other => plan_err!(
                    "VOXQL_BACKEND is '{other}'; it can be 'onnxruntime' or 'tract', or unset"
                ),
            },
        }
    }

    fn found() -> Backend {
        match ort::runtime() {
            Ok(_) => Backend::OnnxRuntime,
            Err(_) => Backend::Tract,
        }
    }

    /// Whether graphs can be loaded: tract always can, onnxruntime where it was found.
    pub fn is_available(self) -> bool {
        self == Backend::Tract || ort::runtime().is_ok()
    }

    /// Loads the graph at `path`. Its result is the first of its outputs that has a
    /// name in `outputs`, else its first output.
    ///
    /// A graph this backend cannot run is an error that says which backend can.
    pub fn open(self, path: &Path, outputs: &[&str]) -> Result<Box<dyn Network>> {
        self.try_open(path, outputs).or_else(|reason| {
            exec_err!(
                "{self} cannot run '{}': {reason}; {}",
                path.display(),
                self.other().advice(path, outputs)
            )
        })
    }

    fn try_open(self, path: &Path, outputs: &[&str]) -> Result<Box<dyn Network>, String> {
        guard(|| match self {
            Backend::OnnxRuntime => {
                ort::Session::open(path, outputs).map(|n| Box::new(n) as Box<dyn Network>)
            }
            Backend::Tract => {
                tract::Plan::open(path, outputs).map(|n| Box::new(n) as Box<dyn Network>)
            }
        })
    }

    /// Loads the graph at `path` whose one input is a tensor of floats of that shape. tract is given
    /// the very shape, which makes convolutions more than twice as fast; onnxruntime takes any other too.
    /// Its result is the first of its outputs that has a name in `outputs`, else its first output.
    pub fn open_signal(
        self,
        path: &Path,
        shape: &[usize],
        outputs: &[&str],
    ) -> Result<Box<dyn SignalNetwork>> {
        let opened = guard(|| match self {
            Backend::OnnxRuntime => {
                ort::Session::open(path, outputs).map(|n| Box::new(n) as Box<dyn SignalNetwork>)
            }
            Backend::Tract => tract::SignalPlan::open(path, shape, outputs)
                .map(|n| Box::new(n) as Box<dyn SignalNetwork>),
        });
        opened.or_else(|reason| exec_err!("{self} cannot run '{}': {reason}", path.display()))
    }

    fn other(self) -> Backend {
        match self {
            Backend::OnnxRuntime => Backend::Tract,
            Backend::Tract => Backend::OnnxRuntime,
        }
    }

    /// What to do when the other backend failed at `path`.
    fn advice(self, path: &Path, outputs: &[&str]) -> String {
        let name = match self {
            Backend::OnnxRuntime => "onnxruntime",
            Backend::Tract => "tract",
        };
        if !self.is_available() {
            return format!("{self} may: {}", library::HOW_TO_GET);
        }
        match self.try_open(path, outputs) {
            Ok(_) => format!("{self} can: set VOXQL_BACKEND={name}"),
            Err(reason) => format!("nor can {self}: {reason}"),
        }
    }
}

/// Name and version, as `voxql --version` and `SHOW MODELS` print it:
/// `onnxruntime 1.32.0 (/usr/lib/libonnxruntime.so)` or `tract 0.23.9 (embedded)`.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, ort::runtime()) {
            (Backend::Tract, _) => write!(f, "tract {} (embedded)", tract::VERSION),
            (Backend::OnnxRuntime, Ok(runtime)) => write!(
                f,
                "onnxruntime {} ({})",
                runtime.version,
                runtime.path.display()
            ),
            (Backend::OnnxRuntime, Err(_)) => write!(f, "onnxruntime (not found)"),
        }
    }
}

/// The backend that runs models in this process, with its version.
pub fn in_use() -> Result<Backend> {
    Backend::chosen()
}

/// Loads the graph at `path` with the backend in use. See [`Backend::open`].
pub fn open(path: &Path, outputs: &[&str]) -> Result<Box<dyn Network>> {
    Backend::chosen()?.open(path, outputs)
}

/// Threads that one run may use: as many as the process has cores.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Runs code that reads files of unknown origin in libraries that may panic, and
/// makes a panic an error.
pub(crate) fn guard<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(format!("the library stopped: {text}"))
    })
}

fn failed_run(
    backend: &str,
    path: &Path,
    reason: impl fmt::Display,
) -> datafusion::common::DataFusionError {
    exec_datafusion_err!("{backend} failed to run '{}': {reason}", path.display())
}
