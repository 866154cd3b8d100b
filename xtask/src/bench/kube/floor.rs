//! What the API server alone takes for an address in a status: a client that does nothing else is in
//! the controller's place.

use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lab::kube::Api;
use serde_json::{Value, json};

use super::{LIMIT, SERVICES, address, create_once, milliseconds, service};
use crate::bench::row::{Goal, Row};

/// Services of this class are left to others.
const CLASS: &str = "bench.ferrolb/bare";

/// An address that is in no pool.
const ADDRESS: &str = "192.0.2.1";

/// Services are created one after the other. As soon as a watch shows one, its status is written; as
/// soon as another watch shows that, the next is created.
pub(super) fn run(api: &Api, samples: usize) -> Result<Row> {
    let [seen, given] = [(), ()].map(|()| api.watch(SERVICES));
    let took = thread::scope(|scope| {
        let writer = scope.spawn(move || -> Result<()> {
            for _ in 0..samples {
                let mut service = next(&seen, |service| address(service).is_none())?.1;
                service["status"] = json!({"loadBalancer": {"ingress": [{"ip": ADDRESS}]}});
                let name = service["metadata"]["name"].as_str().context("it has no name")?;
                api.replace(&format!("{SERVICES}/{name}/status"), &service)?;
            }
            Ok(())
        });
        let one = |sample| -> Result<f64> {
            let mut service = service(&format!("bare-{sample}"));
            service["spec"]["loadBalancerClass"] = CLASS.into();
            let begin = Instant::now();
            create_once(api, SERVICES, &service)?;
            let (at, _) = next(&given, |service| address(service).is_some())?;
            Ok(milliseconds(at - begin))
        };
        let took = (0..samples).map(one).collect::<Result<Vec<_>>>();
        // Why a status was not written is the cause of what did not come.
        writer.join().unwrap_or_else(|_| bail!("the client panicked")).and(took)
    })?;
    let name = "Service created to address in status, by a bare client";
    Ok(Row::percentiles("kube", name, "ms", took, Goal::default())
        .by("the same without ferrolb: what the API server takes"))
}

/// The next event about a Service of this class that is like this.
fn next(
    events: &Receiver<(Instant, Value)>,
    is_it: impl Fn(&Value) -> bool,
) -> Result<(Instant, Value)> {
    let end = Instant::now() + LIMIT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let (at, mut event) = events.recv_timeout(left).context("no such event")?;
        if event["type"] == "ERROR" {
            bail!("the watch failed: {event}");
        }
        let object = event["object"].take();
        if object["spec"]["loadBalancerClass"] == CLASS && is_it(&object) {
            return Ok((at, object));
        }
    }
}
