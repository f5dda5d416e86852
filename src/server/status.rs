//! Errors as gRPC says them.

use datafusion::common::DataFusionError;
use tonic::{Code, Status};

use crate::message::message;

/// Bytes of an error's text: it travels in a header, and clients refuse long headers.
const LONGEST_TEXT: usize = 4096;

/// What a client is told of an error: the text that the shell would print, and a code.
pub fn status(error: &DataFusionError) -> Status {
    Status::new(code(error), shorten(message(error).text))
}

fn code(error: &DataFusionError) -> Code {
    match error.find_root() {
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::ArrowError(..) => Code::InvalidArgument,
        DataFusionError::NotImplemented(_) => Code::Unimplemented,
        DataFusionError::ResourcesExhausted(_) => Code::ResourceExhausted,
        DataFusionError::Execution(_) | DataFusionError::IoError(_) => Code::FailedPrecondition,
        _ => Code::Internal,
    }
}

fn shorten(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let mut end = LONGEST_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_says_whose_fault_it_is() {
        let plan = DataFusionError::Plan("no such column".to_string());
        let wrapped = DataFusionError::Context("in view v".to_string(), Box::new(plan));
        let told = status(&wrapped);
        assert_eq!(told.code(), Code::InvalidArgument);
        assert_eq!(told.message(), "in view v: no such column");
        let full = DataFusionError::ResourcesExhausted("no memory".to_string());
        assert_eq!(status(&full).code(), Code::ResourceExhausted);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cut = shorten("é".repeat(5000));
        assert!(cut.len() <= LONGEST_TEXT + '…'.len_utf8());
        assert!(cut.ends_with("é…"));
    }
}
