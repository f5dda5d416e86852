//! The step Dense of a sentence-transformers model: a linear map and an activation.

use std::path::{Path, PathBuf};

use datafusion::common::{Result, exec_err};
use serde::Deserialize;

use super::json::read_json;
use super::safetensors::Tensors;

/// What `2_Dense/config.json` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Elements that go in.
    pub inputs: usize,
    /// Elements that come out.
    pub outputs: usize,
    activation: Activation,
    weights: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Activation {
    Identity,
    Tanh,
    Relu,
    /// By the error function, as torch does by default.
    Gelu,
    Silu,
    Sigmoid,
}

#[derive(Deserialize)]
struct Config {
    in_features: usize,
    out_features: usize,
    activation_function: Option<String>,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

impl Dense {
    /// The step in `folder`. Its weights are read by [`Self::load`].
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let Some(config) = read_json::<Config>(&path)? else {
            return exec_err!("'{}' is missing; modules.json asks for it", path.display());
        };
        for name in [&config.module_input_name, &config.module_output_name]
            .into_iter()
            .flatten()
        {
            if name != "sentence_embedding" {
                return exec_err!(
                    "'{}' is about {name}; embed knows Dense for sentence_embedding",
                    path.display()
                );
            }
        }
        // torch's path: torch.nn.modules.activation.Tanh.
        let name = config.activation_function.as_deref().unwrap_or("Tanh");
        let activation = match name.rsplit('.').next().unwrap_or_default() {
            "Identity" => Activation::Identity,
            "Tanh" => Activation::Tanh,
            "ReLU" => Activation::Relu,
            "GELU" => Activation::Gelu,
            "SiLU" => Activation::Silu,
            "Sigmoid" => Activation::Sigmoid,
            _ => {
                return exec_err!(
                    "'{}' asks for the activation {name}; embed knows Identity, Tanh, ReLU, GELU, SiLU and \
                     Sigmoid",
                    path.display()
                );
            }
        };
        let weights = folder.join("model.safetensors");
        if !weights.is_file() {
            return exec_err!(
                "'{}' is missing{}",
                weights.display(),
                match folder.join("pytorch_model.bin").is_file() {
                    true =>
                        ". pytorch_model.bin is there, which only Python reads; convert it once with \
                         SentenceTransformer('…').save('…', safe_serialization=True)",
                    false => "; modules.json asks for it",
                }
            );
        }
        Ok(Self {
            inputs: config.in_features,
            outputs: config.out_features,
            activation,
            weights,
        })
    }

    /// The files that decide what it gives, besides the activation.
    pub fn weights(&self) -> &Path {
        &self.weights
    }

    /// For [`content_hash`](super::folder::Folder::content_hash).
    pub fn describe(&self) -> String {
        format!(
            "dense {} {} {:?}",
            self.inputs, self.outputs, self.activation
        )
    }

    /// Reads the weights.
    pub fn load(&self) -> Result<Layer> {
        let tensors = Tensors::read(&self.weights)?;
        let (inputs, outputs) = (self.inputs, self.outputs);
        let weights = match tensors.get("linear.weight")? {
            Some((shape, weights)) if shape == [outputs, inputs] => weights,
            Some((shape, _)) => {
                return exec_err!(
                    "'{}': linear.weight has the shape {shape:?}, and config.json says [{outputs}, {inputs}]",
                    self.weights.display()
                );
            }
            None => return exec_err!("'{}' has no tensor linear.weight", self.weights.display()),
        };
        let bias = match tensors.get("linear.bias")? {
            None => vec![0.0; outputs],
            Some((shape, bias)) if shape == [outputs] => bias,
            Some((shape, _)) => {
                return exec_err!(
                    "'{}': linear.bias has the shape {shape:?}, and config.json says [{outputs}]",
                    self.weights.display()
                );
            }
        };
        Ok(Layer {
            weights,
            bias,
            activation: self.activation,
        })
    }
}

/// A step with its weights.
pub struct Layer {
    /// One row per output.
    weights: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

impl Layer {
    /// activation(W · vector + b)
    pub fn apply(&self, vector: &[f32]) -> Vec<f32> {
        let rows = self.weights.chunks_exact(vector.len().max(1));
        rows.zip(&self.bias)
            .map(|(row, bias)| {
                let products = row
                    .iter()
                    .zip(vector)
                    .map(|(w, v)| f64::from(*w) * f64::from(*v));
                self.activation.of(products.sum::<f64>() + f64::from(*bias)) as f32
            })
            .collect()
    }
}

impl Activation {
    fn of(self, x: f64) -> f64 {
        match self {
            Self::Identity => x,
            Self::Tanh => x.tanh(),
            Self::Relu => x.max(0.0),
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::Silu => x / (1.0 + (-x).exp()),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::safetensors::tests::file;
    use super::*;

    fn folder(activation: &str, weights: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            r#"{{"in_features": 2, "out_features": 3, "bias": true,
                "activation_function": "torch.nn.modules.activation.{activation}"}}"#
        );
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        std::fs::write(folder.path().join("model.safetensors"), weights).unwrap();
        folder
    }

    fn weights() -> Vec<u8> {
        file(&[
            ("linear.weight", &[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
            ("linear.bias", &[3], &[0.0, 0.5, -3.0]),
        ])
    }

    #[test]
    fn maps_two_values_to_three() {
        // The values of torch.nn.functional at 1.0, 1.5 and -1.0.
        for (activation, want) in [
            ("Identity", [1.0, 1.5, -1.0]),
            ("Tanh", [0.7615942, 0.9051483, -0.7615942]),
            ("ReLU", [1.0, 1.5, 0.0]),
            ("GELU", [0.8413447, 1.3997892, -0.15865526]),
            ("SiLU", [0.7310586, 1.2263617, -0.26894143]),
            ("Sigmoid", [0.7310586, 0.8175745, 0.26894143]),
        ] {
            let folder = folder(activation, &weights());
            let dense = Dense::read(folder.path()).unwrap();
            let got = dense.load().unwrap().apply(&[1.0, 1.0]);
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-6, "{activation}: {got} {want}");
            }
        }
    }

    #[test]
    fn what_it_does_not_know_is_named() {
        let unknown = folder("Mish", &weights());
        let message = Dense::read(unknown.path()).unwrap_err().to_string();
        assert!(message.contains("activation.Mish"), "{message}");

        let torch = folder("Tanh", &weights());
        std::fs::rename(
            torch.path().join("model.safetensors"),
            torch.path().join("pytorch_model.bin"),
        )
        .unwrap();
        let message = Dense::read(torch.path()).unwrap_err().to_string();
        assert!(message.contains("safe_serialization=True"), "{message}");

        let wrong = folder("Tanh", &file(&[("linear.weight", &[2, 3], &[0.0; 6])]));
        let message = Dense::read(wrong.path())
            .unwrap()
            .load()
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.contains("shape [2, 3]") && message.contains("[3, 2]"),
            "{message}"
        );
    }
}
