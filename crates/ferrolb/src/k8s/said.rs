//! What the API server said, without the rest of its answer.

use std::fmt;

/// An error as one line for people: the words of the API server, if it answered.
pub(crate) struct Said<'a>(pub(crate) &'a kube::Error);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // Its own `Display` has the whole answer, twice.
            kube::Error::Api(status) if status.message.is_empty() => f.write_str(&status.reason),
            kube::Error::Api(status) => f.write_str(&status.message),
            error => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn the_words_of_the_api_server_are_enough() {
        let error = kube::Error::Api(Status::failure("no such thing", "NotFound").boxed());
        assert_eq!(Said(&error).to_string(), "no such thing");
        let error = kube::Error::Api(Status::failure("", "Conflict").boxed());
        assert_eq!(Said(&error).to_string(), "Conflict");
    }
}
