//! Lists that come in pages.

use kube::Error;
use kube::api::{ListParams, ObjectList};

/// What `keep` makes of the objects of a list, which `list` asks for page by page.
///
/// The rest of a list cannot be had any more once the API server has dropped the state that the list
/// began with. All is asked for at once then, as client-go does it: a list that takes too long for
/// that would never be whole otherwise.
///
/// # Errors
///
/// Those of `list`.
pub async fn all<T, U, F>(
    params: ListParams,
    list: impl Fn(ListParams) -> F,
    keep: impl Fn(T) -> Option<U>,
) -> kube::Result<Vec<U>>
where
    T: Clone,
    F: Future<Output = kube::Result<ObjectList<T>>>,
{
    let mut page = params.clone();
    let mut kept = Vec::new();
    loop {
        let found = match list(page.clone()).await {
            Err(error) if page.continue_token.is_some() && is_expired(&error) => {
                kept.clear();
                page = ListParams { limit: None, ..params.clone() };
                continue;
            }
            found => found?,
        };
        kept.extend(found.items.into_iter().filter_map(&keep));
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(kept),
        }
    }
}

/// Whether the server does not have the state of a list any more.
pub fn is_expired(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 410)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use kube::core::{ListMeta, Status, TypeMeta};

    use super::*;

    type Answer = Result<(&'static [&'static str], &'static str), u16>;

    /// What is listed if these are the answers, and with which limit and token each is asked for.
    async fn listed(answers: &[Answer]) -> (Result<Vec<String>, u16>, Vec<String>) {
        let (asked, left) = (RefCell::new(Vec::new()), RefCell::new(answers.iter()));
        let list = async |page: ListParams| {
            let token = page.continue_token.unwrap_or_default();
            asked.borrow_mut().push(format!("{:?} {token}", page.limit.unwrap_or(0)));
            let (items, token) = left
                .borrow_mut()
                .next()
                .unwrap()
                .map_err(|code| Error::Api(Box::new(Status { code, ..Status::default() })))?;
            let continue_ = Some(token.to_owned());
            let metadata = ListMeta { continue_, ..ListMeta::default() };
            Ok(ObjectList { types: TypeMeta::default(), metadata, items: items.to_vec() })
        };
        let keep = |item: &str| (item != "other").then(|| item.to_owned());
        let all = all(ListParams::default().limit(2), list, keep).await;
        let code = |error| {
            let Error::Api(status) = error else { panic!("{error}") };
            status.code
        };
        (all.map_err(code), asked.into_inner())
    }

    #[tokio::test]
    async fn a_list_whose_rest_has_expired_is_asked_for_at_once() {
        type Row = (
            &'static str,
            &'static [Answer],
            Result<&'static [&'static str], u16>,
            &'static [&'static str],
        );
        let rows: [Row; 6] = [
            ("one page", &[Ok((&["a"], ""))], Ok(&["a"]), &["2 "]),
            (
                "two pages",
                &[Ok((&["a", "other"], "x")), Ok((&["b"], ""))],
                Ok(&["a", "b"]),
                &["2 ", "2 x"],
            ),
            (
                "the rest has expired",
                &[Ok((&["a", "b"], "x")), Err(410), Ok((&["a", "c"], ""))],
                Ok(&["a", "c"]),
                &["2 ", "2 x", "0 "],
            ),
            ("the rest fails", &[Ok((&["a", "b"], "x")), Err(500)], Err(500), &["2 ", "2 x"]),
            ("the first has expired", &[Err(410)], Err(410), &["2 "]),
            (
                "all at once has expired",
                &[Ok((&["a", "b"], "x")), Err(410), Err(410)],
                Err(410),
                &["2 ", "2 x", "0 "],
            ),
        ];
        for (name, answers, want, asks) in rows {
            let (all, asked) = listed(answers).await;
            let want = want.map(|want| want.iter().map(|item| (*item).to_owned()).collect());
            assert_eq!(
                (all, asked),
                (want, asks.iter().map(|ask| (*ask).to_owned()).collect()),
                "{name}"
            );
        }
    }
}
