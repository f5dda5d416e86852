//! The arguments that choose a mel spectrogram, the same in every function and reader that has them.

use datafusion::common::{Result, plan_datafusion_err, plan_err};

use crate::args::{Arguments, Kind};
use crate::kernels::mel::{MelOptions, Preset};

/// The field metadata in which a mel column remembers how it was made: [`MelOptions::describe`].
pub const MEL_METADATA: &str = "voxql.mel";

/// Names and kinds of the arguments, in order.
pub const MEL_PARAMETERS: [(&str, Kind); 19] = [
    ("sample_rate", Kind::Number),
    ("n_fft", Kind::Integer),
    ("hop_length", Kind::Integer),
    ("win_length", Kind::Integer),
    ("window", Kind::Text),
    ("center", Kind::Flag),
    ("pad_mode", Kind::Text),
    ("power", Kind::Number),
    ("n_mels", Kind::Integer),
    ("fmin", Kind::Number),
    ("fmax", Kind::Number),
    ("htk", Kind::Flag),
    ("norm", Kind::Text),
    ("pad", Kind::Integer),
    ("epsilon", Kind::Number),
    ("log", Kind::Text),
    ("log_floor", Kind::Number),
    ("drop_last", Kind::Flag),
    ("preset", Kind::Text),
];

/// Where arguments come from: a function's or a reader's. None is "not given".
pub trait MelArguments {
    /// The function's name, for messages.
    fn function(&self) -> &'static str;
    /// A number.
    fn number(&self, name: &str) -> Result<Option<f64>>;
    /// A whole number from 0.
    fn count(&self, name: &str) -> Result<Option<usize>>;
    /// A text.
    fn text(&self, name: &str) -> Result<Option<&str>>;
    /// True or false.
    fn flag(&self, name: &str) -> Result<Option<bool>>;
}

impl MelArguments for Arguments<'_> {
    fn function(&self) -> &'static str {
        Arguments::function(self)
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.f64(name)
    }

    fn count(&self, name: &str) -> Result<Option<usize>> {
        self.usize(name)
    }

    fn text(&self, name: &str) -> Result<Option<&str>> {
        self.str(name)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.bool(name)
    }
}

/// The options, checked: those of the preset, and of librosa without one, except what is given.
///
/// # Errors
/// Name the function, the argument, its value and what it may be.
pub fn mel_options(args: &impl MelArguments, preset: Option<Preset>) -> Result<MelOptions> {
    let base = base(preset);
    checked(
        args,
        MelOptions {
            norm: parsed(args, "norm")?.unwrap_or(base.norm),
            log: parsed(args, "log")?.unwrap_or(base.log),
            log_floor: args.number("log_floor")?.unwrap_or(base.log_floor),
            ..before_log(args, preset)?
        },
    )
}

/// The same for `mfcc`, where decibels follow: `norm` is called `mel_norm`, and there is no `log`.
///
/// # Errors
/// As [`mel_options`].
pub fn mel_options_without_log(
    args: &impl MelArguments,
    preset: Option<Preset>,
) -> Result<MelOptions> {
    checked(
        args,
        MelOptions {
            norm: parsed(args, "mel_norm")?.unwrap_or(base(preset).norm),
            ..before_log(args, preset)?
        },
    )
}

fn base(preset: Option<Preset>) -> MelOptions {
    preset.unwrap_or(Preset::Librosa).options()
}

fn before_log(args: &impl MelArguments, preset: Option<Preset>) -> Result<MelOptions> {
    let base = base(preset);
    let n_fft = args.count("n_fft")?.unwrap_or(base.n_fft);
    let hop_length = args.count("hop_length")?.unwrap_or(base.hop_length);
    let center = args.flag("center")?.unwrap_or(base.center);
    let pad = match args.count("pad")? {
        None if preset == Some(Preset::HifiGan) && !center => {
            Some(Preset::hifigan_pad(n_fft, hop_length))
        }
        given => given,
    };
    Ok(MelOptions {
        sample_rate: args.number("sample_rate")?.unwrap_or(base.sample_rate),
        n_fft,
        hop_length,
        win_length: args.count("win_length")?,
        window: parsed(args, "window")?.unwrap_or(base.window),
        center,
        pad,
        pad_mode: parsed(args, "pad_mode")?.unwrap_or(base.pad_mode),
        power: args.number("power")?.unwrap_or(base.power),
        epsilon: args.number("epsilon")?.unwrap_or(base.epsilon),
        n_mels: args.count("n_mels")?.unwrap_or(base.n_mels),
        fmin: args.number("fmin")?.unwrap_or(base.fmin),
        fmax: args.number("fmax")?.or(base.fmax),
        htk: args.flag("htk")?.unwrap_or(base.htk),
        drop_last: args.flag("drop_last")?.unwrap_or(base.drop_last),
        ..base
    })
}

fn checked(args: &impl MelArguments, options: MelOptions) -> Result<MelOptions> {
    match options.validate() {
        Ok(()) => Ok(options),
        Err(e) => plan_err!("{}: {e}", args.function()),
    }
}

/// The preset, if one is given.
///
/// # Errors
/// When there is none of that name.
pub fn preset(args: &impl MelArguments) -> Result<Option<Preset>> {
    parsed(args, "preset")
}

fn parsed<T>(args: &impl MelArguments, name: &str) -> Result<Option<T>>
where
    T: std::str::FromStr<Err = String>,
{
    let Some(text) = args.text(name)? else {
        return Ok(None);
    };
    let invalid = |e: String| plan_datafusion_err!("{}: {e}", args.function());
    text.parse().map(Some).map_err(invalid)
}
