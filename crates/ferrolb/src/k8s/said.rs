//! What the API server said, without the rest of its answer.

use std::fmt;

/// An error as one line for people: the words of the API server, if it answered.
pub(crate) struct Said<'a>(pub(crate) &'a kube::Error);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its own `Display` has the whole answer, twice.
        let kube::Error::Api(status) = self.0 else { return self.0.fmt(f) };
        f.write_str(if status.message.is_empty() { &status.reason } else { &status.message })
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
