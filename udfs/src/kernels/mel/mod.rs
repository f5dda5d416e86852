//! Mel spectrograms, with the numbers of librosa and of the systems that made other conventions.
//!
//! ```text
//! samples -> padding -> frames x window -> |FFT|^power -> triangular filters -> logarithm
//!            [padding]  [window]           [spectrum]     [filters]             [log]
//! ```
//!
//! [`options`] has what may be chosen, [`preset`] the choices that systems have made.

pub mod filters;
pub mod log;
pub mod options;
pub mod padding;
pub mod preset;
pub mod spectrum;
pub mod stream;

pub use super::window::Window;
pub use filters::Norm;
pub use log::Log;
pub use options::MelOptions;
pub use padding::PadMode;
pub use preset::Preset;
pub use stream::MelSpectrogram;
