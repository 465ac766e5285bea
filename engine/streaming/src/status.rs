//! How a command ended, as it is written on the error channel.

use serde_json::{Value, json};

/// The end of an exec or attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ended well.
    Success,
    /// The command ended with another code.
    ExitCode {
        /// The command, for the sentence.
        command: Vec<String>,
        /// The code.
        code: i32,
    },
    /// It could not be run or followed.
    Failure(String),
}

impl Outcome {
    /// As a `Status` object, for protocols from the fourth on.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Success => json!({"metadata": {}, "status": "Success"}),
            Self::ExitCode { code, .. } => json!({
                "metadata": {}, "status": "Failure", "message": self.message(), "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failure(why) => json!({
                "metadata": {}, "status": "Failure", "message": self.message(), "reason": "InternalError",
                "details": {"causes": [{"message": why}]}, "code": 500,
            }),
        }
    }

    /// As a sentence, for older protocols; nothing where all is well.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Success => String::new(),
            Self::ExitCode { command, code } => format!(
                "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
                command.join(" ")
            ),
            Self::Failure(why) => format!("Internal error occurred: {why}"),
        }
    }

    /// As bytes for the error channel.
    pub(crate) fn bytes(&self, is_object: bool) -> Vec<u8> {
        if is_object { self.to_value().to_string().into_bytes() } else { self.message().into_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_it_ended() {
        assert_eq!(Outcome::Success.bytes(true), br#"{"metadata":{},"status":"Success"}"#);
        assert_eq!(Outcome::Success.bytes(false), b"");
        let outcome = Outcome::ExitCode { command: vec!["sh".to_owned(), "-c".to_owned()], code: 7 };
        let value = outcome.to_value();
        assert_eq!(value["reason"], "NonZeroExitCode");
        assert_eq!(value["details"]["causes"], json!([{"reason": "ExitCode", "message": "7"}]));
        assert!(outcome.message().ends_with("error executing command [sh -c], exit code 7"));
        assert_eq!(Outcome::Failure("x".to_owned()).to_value()["code"], 500);
    }
}
