//! The loop: Pods and statuses as they are seen go in, what they come to goes out.

use kube::api::{Api, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;

use super::listing::Listing;
use super::pods::{self, Component, PodFacts};
use super::statuses::{self, Said};
use super::{Known, Me};
use crate::api::ServiceL2Status;
use crate::k8s::pod::Pod;
use crate::source::kube::changes;

/// Objects of one answer to a list.
const PAGE: u32 = 100;

/// Follows a MetalLB beside us, until the receiver is dropped. It has [`None`] until all was seen
/// once.
pub fn follow(client: Client, me: Me) -> watch::Receiver<Option<Known>> {
    let (tell, told) = watch::channel(None);
    tokio::spawn(Follower::new(client, me).run(tell));
    told
}

struct Follower {
    client: Client,
    me: Me,
    /// Pods with the labels of MetalLB's manifests, and with those of its chart.
    pods: [Listing<PodFacts>; 2],
    /// While there are rivals that may have written some.
    statuses: Option<Listing<Said>>,
}

impl Follower {
    fn new(client: Client, me: Me) -> Self {
        let api: Api<Pod> = Api::namespaced(client.clone(), &me.namespace);
        let component = me.component;
        let pods = component.selectors().map(|labels| {
            let api = api.clone();
            let config = watcher::Config::default().page_size(PAGE).labels(&labels);
            Listing::new(
                "Pods",
                move || changes(api.clone(), config.clone()),
                move |pod: Pod| (pod.name_any(), PodFacts::of(&pod, component)),
            )
        });
        Self { client, me, pods, statuses: None }
    }

    async fn run(mut self, tell: watch::Sender<Option<Known>>) {
        loop {
            if let Some(known) = self.known() {
                tell.send_if_modified(|told| {
                    let is_news = told.as_ref() != Some(&known);
                    *told = Some(known);
                    is_news
                });
            }
            let [manifests, chart] = &mut self.pods;
            let has_statuses = self.statuses.is_some();
            tokio::select! {
                () = manifests.changed() => {}
                () = chart.changed() => {}
                () = changed(&mut self.statuses), if has_statuses => {}
                () = tell.closed() => return,
            }
        }
    }

    /// What the lists come to; [`None`] while one of them has not been seen.
    fn known(&mut self) -> Option<Known> {
        let [manifests, chart] = &self.pods;
        let pods: Vec<_> = manifests.objects()?.chain(chart.objects()?).collect();
        let mut known = pods::read(&pods, &self.me);
        self.follow_statuses(&known);
        if let Some(statuses) = &self.statuses {
            known.services = statuses::announced(statuses.objects()?, &known.rivals);
        }
        Some(known)
    }

    fn follow_statuses(&mut self, known: &Known) {
        let is_needed = self.me.component == Component::Speaker && !known.rivals.is_empty();
        if !is_needed {
            self.statuses = None;
        } else if self.statuses.is_none() {
            let api: Api<PartialObjectMeta<ServiceL2Status>> =
                Api::namespaced(self.client.clone(), &self.me.namespace);
            let config = watcher::Config::default().page_size(PAGE);
            self.statuses = Some(Listing::new(
                "ServiceL2Statuses",
                move || changes(api.clone(), config.clone()),
                |status: PartialObjectMeta<ServiceL2Status>| {
                    (status.name_any(), Said::of(&status.metadata))
                },
            ));
        }
    }
}

async fn changed(listing: &mut Option<Listing<Said>>) {
    match listing {
        Some(listing) => listing.changed().await,
        None => std::future::pending().await,
    }
}
