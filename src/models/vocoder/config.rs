//! What a vocoder's `config.json` says of the mel it wants.

use std::path::Path;

use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use serde_json::{Map, Value};
use voxql_udfs::kernels::mel::{Log, MelOptions, Norm, PadMode, Preset};

/// How many frames to each side of it the sound of a frame depends on, where the configuration does not
/// say it (`context_frames`): measured, HiFi-GAN V1 sees 13.
const CONTEXT: usize = 16;

/// A vocoder's configuration.
pub struct Config {
    /// The mel it was trained on.
    pub mel: MelOptions,
    /// How many frames to each side of it the sound of a frame depends on.
    pub context: usize,
}

impl Config {
    /// The configuration in `folder`; None if there is none, or that of something else.
    ///
    /// # Errors
    /// Name the file, the key and the value that is not understood: a vocoder that is given another mel than it was
    /// trained on makes noise.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("config.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            return Ok(None);
        };
        let Ok(Value::Object(keys)) = serde_json::from_str(&text) else {
            return Ok(None);
        };
        if keys.get("kind").and_then(Value::as_str) != Some("vocoder") {
            return Ok(None);
        }
        let keys = Keys { path: &path, keys };
        let n_fft = keys.count("n_fft")?;
        let hop_length = keys.count("hop_length")?;
        let (log, log_floor) = keys.log()?;
        let mel = MelOptions {
            sample_rate: keys.number("sample_rate")?,
            n_fft,
            hop_length,
            win_length: Some(keys.count("win_length")?),
            power: keys.number("magnitude_power")?,
            n_mels: keys.count("n_mels")?,
            fmin: keys.number("fmin")?,
            fmax: Some(keys.number("fmax")?),
            htk: match keys.text("mel_scale")? {
                "slaney" => false,
                "htk" => true,
                _ => return Err(keys.unknown("mel_scale", "'slaney' or 'htk'")),
            },
            norm: match keys.text("mel_norm")?.parse() {
                Ok(norm) => norm,
                Err(_) => return Err(keys.unknown("mel_norm", "'slaney', 'none' or '1'")),
            },
            log,
            log_floor,
            ..keys.padding(n_fft, hop_length)?
        };
        mel.validate()
            .map_err(|e| exec_datafusion_err!("{}: {e}", path.display()))?;
        let context = match keys.keys.get("context_frames") {
            None => CONTEXT,
            Some(_) => keys.count("context_frames")?,
        };
        Ok(Some(Self { mel, context }))
    }
}

struct Keys<'a> {
    path: &'a Path,
    keys: Map<String, Value>,
}

impl Keys<'_> {
    fn number(&self, key: &str) -> Result<f64> {
        let value = self.keys.get(key).and_then(Value::as_f64);
        value.ok_or_else(|| self.unknown(key, "a number"))
    }

    fn count(&self, key: &str) -> Result<usize> {
        let value = self.keys.get(key).and_then(Value::as_u64);
        value
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n <= 1 << 20)
            .ok_or_else(|| self.unknown(key, "a whole number up to 1048576"))
    }

    fn text(&self, key: &str) -> Result<&str> {
        let value = self.keys.get(key).and_then(Value::as_str);
        value.ok_or_else(|| self.unknown(key, "a text"))
    }

    /// The defaults with the padding that `pad` describes. HiFi-GAN's kind comes with its epsilon, which the
    /// training code adds and configurations do not mention.
    fn padding(&self, n_fft: usize, hop_length: usize) -> Result<MelOptions> {
        const REFLECTED: &str = "reflect, (n_fft-hop)/2 each side, center=false";
        if self.text("pad")? != REFLECTED {
            return Err(self.unknown("pad", &format!("'{REFLECTED}'")));
        }
        Ok(MelOptions {
            center: false,
            pad: Some(Preset::hifigan_pad(n_fft, hop_length)),
            pad_mode: PadMode::Reflect,
            epsilon: Preset::HifiGan.options().epsilon,
            norm: Norm::Slaney,
            ..MelOptions::default()
        })
    }

    /// `ln(max(x, 1e-5))`
    fn log(&self) -> Result<(Log, f64)> {
        let text = self.text("log")?;
        let floor = |rest: &str| {
            let inner = rest.strip_prefix("(max(x,")?.strip_suffix("))")?;
            inner.trim().parse::<f64>().ok()
        };
        for (name, log) in [("ln", Log::Ln), ("log10", Log::Log10)] {
            if let Some(floor) = text.strip_prefix(name).and_then(floor) {
                return Ok((log, floor));
            }
        }
        Err(self.unknown("log", "'ln(max(x, FLOOR))' or 'log10(max(x, FLOOR))'"))
    }

    fn unknown(&self, key: &str, wanted: &str) -> DataFusionError {
        let given = self
            .keys
            .get(key)
            .map_or("is missing".to_string(), |v| format!("is {v}"));
        exec_datafusion_err!(
            "{}: {key} {given}; it must be {wanted}",
            self.path.display()
        )
    }
}

/// Checks that a mel made as `description` says is what `model` wants.
///
/// # Errors
/// Name both, and what differs.
pub fn compare(model: &str, wanted: &MelOptions, description: &str) -> Result<()> {
    let wanted = wanted.describe();
    if wanted == description {
        return Ok(());
    }
    let parse = |text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(keys)) => keys,
        _ => Map::new(),
    };
    let (wanted, given) = (parse(&wanted), parse(description));
    let preset = |keys: &Map<String, Value>| match keys.get("preset").and_then(Value::as_str) {
        Some(name) => format!("preset '{name}'"),
        None => "no preset".to_string(),
    };
    let missing = Value::Null;
    let differences: Vec<String> = wanted
        .iter()
        .filter(|(key, _)| *key != "preset")
        .map(|(key, value)| (key, value, given.get(key).unwrap_or(&missing)))
        .filter(|(_, wanted, given)| wanted != given)
        .map(|(key, wanted, given)| format!("{key} is {given}, not {wanted}"))
        .collect();
    let remedy = match wanted.get("preset").and_then(Value::as_str) {
        Some(name) => format!("make it with preset => '{name}'"),
        None => "make it so".to_string(),
    };
    exec_err!(
        "vocode: the mel is of {}, and the model {model} wants one of {}: {}; {remedy}",
        preset(&given),
        preset(&wanted),
        differences.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIFIGAN: &str = r#"{"kind": "vocoder", "sample_rate": 22050, "n_fft": 1024, "win_length": 1024,
        "hop_length": 256, "n_mels": 80, "fmin": 0.0, "fmax": 8000.0, "mel_scale": "slaney", "mel_norm": "slaney",
        "magnitude_power": 1.0, "pad": "reflect, (n_fft-hop)/2 each side, center=false", "log": "ln(max(x, 1e-5))"}"#;

    fn read(text: &str) -> Result<Option<Config>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        Config::read(folder.path())
    }

    fn error(text: &str) -> String {
        read(text).err().unwrap().to_string()
    }

    #[test]
    fn hifigan_wants_its_preset() {
        let config = read(HIFIGAN).unwrap().unwrap();
        let preset = Preset::HifiGan.options();
        assert_eq!(config.mel.describe(), preset.describe());
        assert_eq!(config.context, 16);
        assert!(compare("m", &config.mel, &preset.describe()).is_ok());
    }

    #[test]
    fn other_mels_are_refused_with_what_differs() {
        let config = read(HIFIGAN).unwrap().unwrap();
        let message = |mel: MelOptions| {
            let result = compare("voice", &config.mel, &mel.describe());
            result.unwrap_err().to_string()
        };
        let librosa = message(MelOptions::default());
        assert!(
            librosa.contains(
                "the mel is of preset 'librosa', and the model voice wants one of preset 'hifigan'"
            ) && librosa.contains("log is \"none\", not \"ln\"")
                && librosa.contains("make it with preset => 'hifigan'"),
            "{librosa}"
        );
        let nearly = message(MelOptions {
            fmax: Some(7600.0),
            ..Preset::HifiGan.options()
        });
        assert!(
            nearly.contains("of no preset") && nearly.contains(": fmax is 7600, not 8000; make"),
            "{nearly}"
        );
        assert!(compare("voice", &config.mel, "{").is_err());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(read("{}").unwrap().is_none());
        assert!(read("[").unwrap().is_none());
        assert!(read(r#"{"kind": "transformer"}"#).unwrap().is_none());
        assert!(Config::read(Path::new("/nowhere")).unwrap().is_none());
        let odd = |from: &str, to: &str| error(&HIFIGAN.replace(from, to));
        assert!(error(r#"{"kind": "vocoder"}"#).contains("n_fft is missing"));
        assert!(odd("ln(max(x, 1e-5))", "db").contains("log is \"db\"; it must be 'ln(max"));
        assert!(odd("reflect,", "zeros,").contains("pad is \"zeros"));
        assert!(odd("\"mel_scale\": \"slaney\"", "\"mel_scale\": 1").contains("mel_scale is 1"));
        assert!(
            odd("\"n_mels\": 80", "\"n_mels\": 0").contains("config.json: n_mels must be from 1")
        );
        assert!(odd("256", "1e99").contains("hop_length is 1e+99"));
    }
}
