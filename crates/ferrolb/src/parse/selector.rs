//! Label selectors, with the rule that nothing may be there twice.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use planner::selector::{Expression, Labels, Selector};

use super::Findings;

/// Reads one selector; `None` if something is wrong with it.
pub(super) fn read(
    selector: &LabelSelector,
    field: &str,
    findings: &mut Findings,
) -> Option<Selector> {
    let expressions = selector.match_expressions.iter().flatten().map(|expression| Expression {
        key: expression.key.clone(),
        operator: expression.operator.clone(),
        values: expression.values.clone().unwrap_or_default(),
    });
    let labels = selector.match_labels.clone().unwrap_or_default();
    Selector::new(labels.into(), expressions)
        .map_err(|error| findings.problem(field, error.to_string(), error.help()))
        .ok()
}

/// Reads a list of selectors of which any may match. None of them may be there twice, nor an
/// expression in one of them, nor a value in an expression.
pub(super) fn read_list(
    list: &[LabelSelector],
    field: &str,
    findings: &mut Findings,
) -> Vec<Selector> {
    let mut selectors: Vec<Selector> = Vec::new();
    for (index, selector) in list.iter().enumerate() {
        let field = format!("{field}[{index}]");
        refuse_inner_duplicates(selector, &field, findings);
        let Some(selector) = read(selector, &field, findings) else { continue };
        if selectors.contains(&selector) {
            let message = format!("the selector `{selector}` is there twice");
            findings.problem(&field, message, "remove one of them");
        }
        selectors.push(selector);
    }
    selectors
}

fn refuse_inner_duplicates(selector: &LabelSelector, field: &str, findings: &mut Findings) {
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    for (index, expression) in expressions.iter().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        let values = expression.values.as_deref().unwrap_or_default();
        findings.refuse_duplicates(&format!("{field}.values"), values);
        if expressions[..index].contains(expression) {
            let message = "the expression is there twice".to_owned();
            findings.problem(field, message, "remove one of them");
        }
    }
}

/// Warns of selectors that match none of the objects there are; of nothing if there are none,
/// because then nobody has written them down.
pub(super) fn warn_of_no_match(
    selectors: &[Selector],
    field: &str,
    kind: &str,
    objects: &[Labels],
    findings: &mut Findings,
) {
    if objects.is_empty() {
        return;
    }
    for (index, selector) in selectors.iter().enumerate() {
        if !objects.iter().any(|labels| selector.matches(labels)) {
            let message = format!("no {kind} has `{selector}`");
            findings.warning(format!("{field}[{index}]"), message, "check the labels");
        }
    }
}
