//! The arguments that all readers of sound share.

use datafusion::common::{Result, plan_err};

use super::super::format::{Options, Parameter, ParameterKind};
use super::decode::SAMPLE_RATES;

/// Which sound of a file is wanted, and at which rate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WaveformOptions {
    /// Samples per second; None for the file's own.
    pub sample_rate: Option<u32>,
    pub choice: Choice,
}

/// One channel of one sound stream, or the mean of its channels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// From 0 among the file's sound streams; None for the one flagged as default, or else
    /// the first.
    pub stream: Option<usize>,
    pub channel: Channel,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Channel {
    /// The mean of all channels, as librosa has it.
    #[default]
    Mix,
    /// One of them, from 0.
    Number(usize),
}

pub const SAMPLE_RATE: Parameter = Parameter {
    name: "sample_rate",
    kind: ParameterKind::Integer,
    default: "the file's own",
    description: "Samples per second, from 100 to 768000.",
};

pub const STREAM: Parameter = Parameter {
    name: "stream",
    kind: ParameterKind::Integer,
    default: "the one flagged as default, or the first",
    description: "Which sound stream, from 0 among the file's sound streams; `media_streams` lists them.",
};

pub const CHANNEL: Parameter = Parameter {
    name: "channel",
    // A name or a number.
    kind: ParameterKind::Texts,
    default: "mix",
    description: "mix (the mean of all channels), left, right, or a channel's number from 0.",
};

impl WaveformOptions {
    /// Reads `sample_rate`, `stream` and `channel` of the table function `function`.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub fn new(function: &str, options: &Options) -> Result<Self> {
        let stream = match options.integer(STREAM.name).map(usize::try_from) {
            None => None,
            Some(Ok(stream)) => Some(stream),
            Some(Err(_)) => {
                return plan_err!(
                    "{function}: stream must be 0 or more, not {}",
                    options.integer(STREAM.name).unwrap_or_default()
                );
            }
        };
        Ok(Self {
            sample_rate: sample_rate(function, options)?,
            choice: Choice {
                stream,
                channel: channel(function, options)?,
            },
        })
    }
}

fn sample_rate(function: &str, options: &Options) -> Result<Option<u32>> {
    let Some(rate) = options.integer(SAMPLE_RATE.name) else {
        return Ok(None);
    };
    match u32::try_from(rate) {
        Ok(rate) if SAMPLE_RATES.contains(&rate) => Ok(Some(rate)),
        _ => plan_err!(
            "{function}: sample_rate must be from {} to {} Hz, not {rate}",
            SAMPLE_RATES.start(),
            SAMPLE_RATES.end()
        ),
    }
}

fn channel(function: &str, options: &Options) -> Result<Channel> {
    let Some(texts) = options.texts(CHANNEL.name) else {
        return Ok(Channel::Mix);
    };
    let channel = match texts {
        [text] => match text.trim().to_lowercase().as_str() {
            "mix" => Some(Channel::Mix),
            "left" => Some(Channel::Number(0)),
            "right" => Some(Channel::Number(1)),
            number => number.parse().ok().map(Channel::Number),
        },
        _ => None,
    };
    match channel {
        Some(channel) => Ok(channel),
        None => plan_err!(
            "{function}: channel must be 'mix', 'left', 'right' or a number from 0, not {}",
            texts.join(", ")
        ),
    }
}

impl Channel {
    /// Appends the channel of interleaved samples to `out`.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn pick(
        self,
        interleaved: &[f32],
        channels: usize,
        out: &mut Vec<f32>,
    ) -> Result<(), String> {
        match self {
            Self::Mix if channels == 1 => out.extend_from_slice(interleaved),
            // The usual case, several frames at once.
            Self::Mix if channels == 2 => {
                let (frames, _) = interleaved.as_chunks::<2>();
                out.extend(frames.iter().map(|[left, right]| (left + right) / 2.0));
            }
            Self::Mix => {
                let count = channels as f32;
                let frames = interleaved.chunks_exact(channels);
                out.extend(frames.map(|frame| frame.iter().sum::<f32>() / count));
            }
            Self::Number(n) if n < channels => {
                out.extend(interleaved.iter().skip(n).step_by(channels));
            }
            Self::Number(n) => {
                return Err(format!(
                    "there is no channel {n}: the sound has {channels}, numbered from 0"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::format::Value;
    use super::*;
    use rstest::rstest;

    fn given(name: &str, value: Value) -> Result<WaveformOptions> {
        WaveformOptions::new("f", &Options([(name.to_owned(), value)].into()))
    }

    #[rstest]
    #[case("mix", Channel::Mix)]
    #[case("Left", Channel::Number(0))]
    #[case("right", Channel::Number(1))]
    #[case("5", Channel::Number(5))]
    fn channels(#[case] text: &str, #[case] want: Channel) {
        let got = given("channel", Value::Text(text.to_owned())).unwrap();
        assert_eq!(got.choice.channel, want);
    }

    #[test]
    fn what_makes_no_sense() {
        let error = |name, value| given(name, value).unwrap_err().to_string();
        let text = |t: &str| Value::Text(t.to_owned());
        assert!(error("channel", text("centre")).contains("not centre"));
        assert!(error("channel", text("-1")).contains("not -1"));
        assert!(error("stream", Value::Integer(-1)).contains("stream must be 0 or more"));
        assert!(error("sample_rate", Value::Integer(99)).contains("not 99"));
    }

    #[test]
    fn channels_of_interleaved_samples() {
        let pick = |channel: Channel, count| {
            let mut out = Vec::new();
            channel
                .pick(&[1.0, 3.0, 2.0, 6.0], count, &mut out)
                .map(|()| out)
        };
        assert_eq!(pick(Channel::Mix, 2).unwrap(), [2.0, 4.0]);
        assert_eq!(pick(Channel::Number(1), 2).unwrap(), [3.0, 6.0]);
        assert_eq!(pick(Channel::Mix, 1).unwrap(), [1.0, 3.0, 2.0, 6.0]);
        assert!(
            pick(Channel::Number(2), 2)
                .unwrap_err()
                .contains("no channel 2")
        );
    }
}
