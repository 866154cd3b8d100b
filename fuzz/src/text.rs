//! Texts that stand in fields: ranges of addresses, selectors.

use planner::range::Range;
use planner::selector::{Expression, Labels, Selector};

/// What can be read as a range is printed so that it is read again, and can be cut anywhere.
pub(crate) fn range(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let range = match Range::parse(text) {
        Ok(range) => range,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal is a sentence");
            return;
        }
    };
    assert_eq!(Range::parse(&range.to_string()), Ok(range), "`{range}` is read again");
    assert!(range.first() <= range.last() && range.contains(range.first()));
    assert!(range.count_buggy() <= range.count());
    for at in [0, 1, range.count() / 2, range.count(), u128::MAX] {
        let (head, tail) = range.split_at(at);
        let counts = [head, tail].map(|part| part.map_or(0, Range::count));
        assert_eq!(counts[0].saturating_add(counts[1]), range.count(), "cut at {at}");
    }
}

/// Lines are expressions `key operator value,value`; the last one is labels `key=value,..` to match.
pub(crate) fn selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines: Vec<_> = text.lines().collect();
    let labels: Labels = lines
        .pop()
        .into_iter()
        .flat_map(|line| line.split(','))
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let expressions: Vec<_> = lines.into_iter().map(expression).collect();
    let backwards = expressions.iter().rev().cloned();
    let selector = Selector::new(Labels::new(), backwards);
    match (Selector::new(Labels::new(), expressions.clone()), selector) {
        (Ok(selector), Ok(backwards)) => {
            assert_eq!(selector, backwards, "the order of expressions means nothing");
            let of_each = expressions.into_iter().all(|expression| {
                Selector::new(Labels::new(), [expression]).is_ok_and(|one| one.matches(&labels))
            });
            assert_eq!(selector.matches(&labels), of_each, "all of them must hold");
            let _ = selector.to_string();
        }
        (Err(one), Err(other)) => {
            assert!(!one.to_string().is_empty() && !other.to_string().is_empty());
        }
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => panic!("only in one order: {error}"),
    }
    if let Ok(exact) = Selector::new(labels.clone(), []) {
        assert!(exact.matches(&labels), "labels match themselves");
    }
}

fn expression(line: &str) -> Expression {
    let mut words = line.split(' ').map(str::to_owned);
    let (key, operator) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let values = words.next().map(|values| values.split(',').map(str::to_owned).collect());
    Expression { key, operator, values: values.unwrap_or_default() }
}
