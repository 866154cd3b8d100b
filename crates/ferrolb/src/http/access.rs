//! Who may read the metrics: the API server says it, by TokenReview and SubjectAccessReview.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use proto::time::Instant;
use tokio::sync::Semaphore;

use crate::k8s::said::Said;
use crate::net::clock::Clock;

/// How long an answer of the API server counts, as in MetalLB.
const TOKEN: Duration = Duration::from_mins(1);
const ALLOWED: Duration = Duration::from_mins(5);
const DENIED: Duration = Duration::from_secs(30);

/// How many answers are kept: more than there are scrapers.
const ANSWERS: usize = 256;

/// Bytes of the longest token that is looked at; those of Kubernetes have about 1,000.
const LONGEST_TOKEN: usize = 16 * 1024;

/// How many questions are open at the API server at once, whoever asks here.
const QUESTIONS: usize = 4;

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why somebody may not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Refused {
    /// No token, or one that the API server does not know.
    #[error("unauthorized: send a token of Kubernetes, as `Authorization: Bearer TOKEN`")]
    Unauthenticated,
    /// The roles of the user do not allow it.
    #[error(
        "`{user}` may not `{verb}` the path `{path}`: bind a ClusterRole that does, with `nonResourceURLs`"
    )]
    Denied {
        /// Who.
        user: String,
        /// The method, in lower case.
        verb: String,
        /// Of the request.
        path: String,
    },
    /// The API server cannot be asked.
    #[error("asking the API server: {0}")]
    Unavailable(String),
}

impl Refused {
    /// The code that MetalLB answers with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Denied { .. } => StatusCode::FORBIDDEN,
            Self::Unavailable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Answers of the API server, which are kept for a while.
pub(super) struct Access {
    client: Client,
    clock: Clock,
    questions: Semaphore,
    users: Answers<String, Option<UserInfo>>,
    permissions: Answers<Question, bool>,
}

/// Who wants to do what where: all that the answer depends on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Question {
    user: String,
    uid: String,
    groups: Vec<String>,
    verb: String,
    path: String,
}

impl Access {
    /// Nobody has been asked yet.
    pub(super) fn new(client: Client) -> Self {
        let (users, permissions) = (Answers::default(), Answers::default());
        Self {
            client,
            clock: Clock::start(),
            questions: Semaphore::new(QUESTIONS),
            users,
            permissions,
        }
    }

    /// Whether whoever sent `headers` may do this.
    ///
    /// # Errors
    ///
    /// They may not, or it is not known.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        verb: &str,
        path: &str,
    ) -> Result<(), Refused> {
        let token = bearer(headers).ok_or(Refused::Unauthenticated)?;
        let user = self.user(token).await?.ok_or(Refused::Unauthenticated)?;
        let question = Question {
            user: user.username.clone().unwrap_or_default(),
            uid: user.uid.clone().unwrap_or_default(),
            groups: user.groups.clone().unwrap_or_default(),
            verb: verb.to_ascii_lowercase(),
            path: path.to_owned(),
        };
        let Question { user: name, verb, path, .. } = question.clone();
        match self.is_allowed(question, user).await? {
            true => Ok(()),
            false => Err(Refused::Denied { user: name, verb, path }),
        }
    }

    async fn user(&self, token: &str) -> Result<Option<UserInfo>, Refused> {
        let token = token.to_owned();
        if let Some(user) = self.users.get(&token, self.clock.now()) {
            return Ok(user);
        }
        let spec = TokenReviewSpec { token: token.clone(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = self.ask(review).await?.status.unwrap_or_default();
        let user = status.user.filter(|_| status.authenticated == Some(true));
        self.users.put(token, user.clone(), (self.clock.now(), TOKEN));
        Ok(user)
    }

    async fn is_allowed(&self, question: Question, user: UserInfo) -> Result<bool, Refused> {
        if let Some(is_allowed) = self.permissions.get(&question, self.clock.now()) {
            return Ok(is_allowed);
        }
        let spec = SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                verb: Some(question.verb.clone()),
                path: Some(question.path.clone()),
            }),
            resource_attributes: None,
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let is_allowed = self.ask(review).await?.status.is_some_and(|status| status.allowed);
        let counts = if is_allowed { ALLOWED } else { DENIED };
        self.permissions.put(question, is_allowed, (self.clock.now(), counts));
        Ok(is_allowed)
    }

    async fn ask<T>(&self, review: T) -> Result<T, Refused>
    where
        T: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>,
        T: serde::Serialize + serde::de::DeserializeOwned + Clone + std::fmt::Debug,
    {
        let unavailable = |error: String| {
            tracing::warn!(
                "metrics: asking the API server who may read them: {error}; it needs the right to \
                 `create` `tokenreviews` and `subjectaccessreviews`"
            );
            Refused::Unavailable(error)
        };
        let ask = async {
            let _turn = self.questions.acquire().await.map_err(|error| error.to_string())?;
            let api = Api::<T>::all(self.client.clone());
            let answer = api.create(&PostParams::default(), &review).await;
            answer.map_err(|error| Said(&error).to_string())
        };
        match tokio::time::timeout(PATIENCE, ask).await {
            Ok(answer) => answer.map_err(unavailable),
            Err(_) => Err(unavailable("no answer in time".to_owned())),
        }
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let is_token = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    (is_token && token.len() <= LONGEST_TOKEN).then_some(token)
}

/// Answers, each until it counts no more.
struct Answers<K, V>(Mutex<HashMap<K, (V, Instant)>>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn get(&self, key: &K, now: Instant) -> Option<V> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, until) = answers.get(key)?;
        (now < *until).then(|| value.clone())
    }

    /// Keeps an answer that was given at a time and counts for this long.
    fn put(&self, key: K, value: V, (now, counts): (Instant, Duration)) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS {
            answers.retain(|_, (_, until)| now < *until);
        }
        if answers.len() >= ANSWERS {
            // Somebody tries many tokens. Asking again about the good ones is all that it costs.
            answers.clear();
        }
        answers.insert(key, (value, now + counts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_the_header_as_clients_write_it() {
        let rows = [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("Bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer ", None),
            ("Bearer", None),
            ("", None),
        ];
        for (value, token) in rows {
            let headers = [(header::AUTHORIZATION, value.parse().unwrap())].into_iter().collect();
            assert_eq!(bearer(&headers), token, "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
        let long = format!("Bearer {}", "x".repeat(LONGEST_TOKEN + 1));
        let headers = [(header::AUTHORIZATION, long.parse().unwrap())].into_iter().collect();
        assert_eq!(bearer(&headers), None);
    }

    #[test]
    fn an_answer_counts_for_its_time_and_no_longer() {
        let answers = Answers::default();
        let now = Instant::START;
        answers.put("a", true, (now, DENIED));
        assert_eq!(answers.get(&"a", now), Some(true));
        assert_eq!(answers.get(&"a", now + DENIED), None);
        assert_eq!(answers.get(&"b", now), None);
    }

    #[test]
    fn however_many_tokens_are_tried_the_answers_stay_bounded() {
        let answers = Answers::default();
        let now = Instant::START;
        for token in 0..10 * ANSWERS {
            answers.put(token, (), (now, TOKEN));
            assert!(answers.0.lock().unwrap().len() <= ANSWERS);
        }
    }
}
