//! Why a media file is not read in the process.

/// The message says what is wrong and what to do; the caller puts the file's name before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The file is damaged or cannot be opened. Another program would hide that, at best.
    Damaged(String),
    /// As far as is known it is whole, and of a kind that is not read here: ffmpeg may.
    Foreign(String),
}

impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Self::Damaged(message)
    }
}

impl From<&str> for Trouble {
    fn from(message: &str) -> Self {
        Self::Damaged(message.to_string())
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Damaged(message) | Trouble::Foreign(message) => message,
        }
    }
}
