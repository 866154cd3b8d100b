//! Which name was meant.

/// How alike two names are at least for one to be meant by the other, from 0 to 1.
const ALIKE: f64 = 0.6;

/// How many names are offered.
const OFFERED: usize = 3;

/// The names most like `name`, the best first, as help: `did you mean ...?`.
pub(super) fn help<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut alike: Vec<_> = names
        .into_iter()
        .map(|other| (likeness(name, other), other))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    alike.sort_by(|(one, a), (other, b)| other.total_cmp(one).then_with(|| a.cmp(b)));
    let offered: Vec<_> = alike.iter().take(OFFERED).map(|(_, name)| format!("`{name}`")).collect();
    match offered.is_empty() {
        true => "add it or check the name".to_owned(),
        false => format!("did you mean {}?", offered.join(" or ")),
    }
}

/// A Service of the same name in another namespace is the most likely to be meant.
fn likeness(name: &str, other: &str) -> f64 {
    let bare = |name: &str| name.rsplit_once('/').map(|(_, bare)| bare.to_owned());
    match (bare(name), bare(other)) {
        (Some(one), Some(other)) if one == other => 1.0,
        (Some(_) | None, Some(_) | None) => strsim::normalized_damerau_levenshtein(name, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_most_alike_is_offered_first() {
        let rows = [
            ("a slip", "shop/wbe", "did you mean `shop/web`?"),
            ("another namespace", "default/web", "did you mean `shop/web`?"),
            ("nothing like it", "kube-system/dns", "add it or check the name"),
            ("several", "shop/api-3", "did you mean `shop/api-1` or `shop/api-2`?"),
        ];
        for (row, name, want) in rows {
            assert_eq!(help(name, ["shop/web", "shop/api-1", "shop/api-2"]), want, "{row}");
        }
    }
}
