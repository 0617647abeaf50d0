//! Remedies for a person at a terminal. They are written for the function, which retries by itself,
//! has a role, and writes dead letters.

use super::visible::visible;
use crate::domain::failure::Failure;

/// The remedy in a terminal, where nobody retries and there is no dead letter.
pub(super) fn for_person(remedy: &str) -> String {
    remedy
        .replace("No action needed: it is retried. If it persists, ", "Run the command again. If it persists, ")
        .replace("redrive the dead letter", "run the command again")
        .replace("Allow the function's role", "Allow your user or role")
}

/// A failure that ends a command, with its remedy on a line of its own.
pub(super) fn in_terminal(failure: &Failure) -> String {
    format!("{}\n  remedy: {}", visible(&failure.message), visible(&for_person(&failure.remedy)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::{Failure, Step, code};

    #[test]
    fn a_person_is_not_promised_what_only_the_function_does() {
        let failure = Failure::new(Step::ListStreams, code::NETWORK_ERROR, &"the account", "cannot reach aws.example");
        let text = in_terminal(&failure);
        let (message, remedy) = text.split_once("\n  remedy: ").expect("two lines");
        assert!(message.contains("cannot reach aws.example"), "{text}");
        assert!(remedy.starts_with("Run the command again. If it persists, check the network"), "{text}");
    }
}
