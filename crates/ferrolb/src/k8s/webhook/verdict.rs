//! Whether a setting may be as somebody wants it: the one place that says so, and in which words.
//!
//! The check is [`parse::facts`] over all settings with the incoming one among them. MetalLB's words
//! are in the messages of [`parse`], and [`sentence`] keeps them whole: its tests look for parts of
//! them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::ResourceExt as _;

use crate::parse::{self, Problem};
use crate::source::object::{Object, ObjectName, Objects};

/// What to answer. Allowed if nothing is wrong.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Verdict {
    /// What is wrong, a line each.
    wrong: Vec<String>,
    /// What is not wrong enough.
    warnings: Vec<String>,
}

impl Verdict {
    /// Nobody reads settings in other namespaces.
    pub(super) fn elsewhere(namespace: &str) -> Self {
        Self::refused(format!("resource must be created in {namespace} namespace"))
    }

    /// It is there already, so it may be edited.
    pub(super) fn without_effect(namespace: &str) -> Self {
        let warning = format!("it is without effect: only objects in {namespace} count");
        Self { warnings: vec![warning], ..Self::default() }
    }

    /// The object is not of its kind.
    pub(super) fn misfit(misfit: &str) -> Self {
        Self::refused(misfit.to_owned())
    }

    fn refused(why: String) -> Self {
        Self { wrong: vec![why], ..Self::default() }
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.wrong.is_empty()
    }

    /// All that is wrong, a line each.
    pub(super) fn refusal(&self) -> String {
        self.wrong.join("\n")
    }

    /// As the API server wants them.
    pub(super) fn warnings(self) -> Option<Vec<String>> {
        (!self.warnings.is_empty()).then_some(self.warnings)
    }
}

/// Whether a BFDProfile may be removed.
pub(super) fn of_removal(profile: &str, existing: &Objects) -> Verdict {
    let users = existing
        .bgp_peers
        .iter()
        .filter(|peer| peer.spec.bfd_profile.as_deref() == Some(profile))
        .map(|peer| {
            let peer = peer.name_any();
            format!("failed to delete BFDProfile {profile}, used by BGPPeer {peer}")
        });
    Verdict { wrong: users.collect(), ..Verdict::default() }
}

/// Whether `incoming` may be beside `existing`, and in the place of what has its name there.
///
/// What was wrong before with others does not count; what becomes wrong with others does.
pub(super) fn of(existing: &Objects, incoming: &Object) -> Verdict {
    let Some(name) = incoming.name() else { return Verdict::default() };
    let before = parse::facts(existing);
    let broken: BTreeSet<_> = before.problems.iter().map(|problem| &problem.object).collect();
    let objects = with(existing, incoming);
    let after = parse::facts(&objects);
    let mut verdict = Verdict::default();
    for problem in &after.problems {
        let is_own = problem.object == name;
        let text = match is_own {
            true => sentence(problem),
            false => format!("{}, which is good now: {}", problem.object, sentence(problem)),
        };
        match (is_own, may_come_later(problem, &objects)) {
            (true, true) => verdict.warnings.push(text),
            (true, false) => verdict.wrong.push(text),
            (false, _) if broken.contains(&problem.object) => (),
            (false, true) => verdict.warnings.push(text),
            (false, false) => verdict.wrong.push(text),
        }
    }
    let is_about_it = |warning: &&Problem| warning.object == name && !is_usual(warning);
    verdict.warnings.extend(after.warnings.iter().filter(is_about_it).map(sentence));
    verdict
}

/// `field: what is wrong; what to do about it`, in one line.
fn sentence(problem: &Problem) -> String {
    let message = problem.message.replace('\n', ", ");
    let field = match problem.field.as_str() {
        "" => String::new(),
        field => format!("{field}: "),
    };
    match &problem.help {
        Some(help) => format!("{field}{message}; {help}"),
        None => format!("{field}{message}"),
    }
}

/// Whether a problem is that something else is not there, or is not good. Manifests may be applied
/// in any order.
fn may_come_later(problem: &Problem, objects: &Objects) -> bool {
    match (problem.object.kind, problem.field.as_str()) {
        ("BGPPeer", "spec.bfdProfile" | "spec.passwordSecret.name") => true,
        ("BFDProfile", field) => field.starts_with("spec.authentication.secret."),
        ("BGPAdvertisement", field) => {
            let index = field.strip_prefix("spec.communities[").and_then(|f| f.strip_suffix(']'));
            let index = index.and_then(|index| index.parse::<usize>().ok());
            index.is_some_and(|index| is_alias(&problem.object, index, objects))
        }
        _ => false,
    }
}

/// Whether a BGPAdvertisement has the name of a community there, rather than its value.
fn is_alias(advertisement: &ObjectName, index: usize, objects: &Objects) -> bool {
    let mut all = objects.bgp_advertisements.iter();
    let object =
        all.find(|object| ObjectName::of(advertisement.kind, &object.metadata) == *advertisement);
    let text = object.and_then(|object| object.spec.communities.get(index));
    text.is_some_and(|text| !text.contains(':'))
}

/// Whether a warning is about what everybody writes next: the object that uses this one.
fn is_usual(warning: &Problem) -> bool {
    warning.field.is_empty()
}

/// The settings with `incoming` among them.
fn with(existing: &Objects, incoming: &Object) -> Objects {
    fn put<T: kube::Resource>(list: &mut Vec<Arc<T>>, object: &Arc<T>) {
        let key = |object: &T| (object.meta().namespace.clone(), object.meta().name.clone());
        list.retain(|other| key(other) != key(object));
        list.push(Arc::clone(object));
    }
    let mut objects = existing.clone();
    match incoming {
        Object::BFDProfile(profile) => put(&mut objects.bfd_profiles, profile),
        Object::BGPAdvertisement(object) => put(&mut objects.bgp_advertisements, object),
        Object::BGPPeer(peer) => put(&mut objects.bgp_peers, peer),
        Object::Community(community) => put(&mut objects.communities, community),
        Object::IPAddressPool(pool) => put(&mut objects.pools, pool),
        Object::L2Advertisement(object) => put(&mut objects.l2_advertisements, object),
        // Nobody asks about these.
        Object::EndpointSlice(_)
        | Object::Namespace(_)
        | Object::Node(_)
        | Object::Secret(_)
        | Object::Service(_) => (),
    }
    objects
}

#[cfg(test)]
mod tests;
