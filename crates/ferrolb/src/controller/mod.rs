//! `ferrolb controller`: gives Services their addresses and writes that down.
//!
//! | file | what |
//! | --- | --- |
//! | `desk` | the decisions, and what has to be written: values in, values out |
//! | `shelf` | Services as the API server has them |
//! | `last_pool` | whether there is no pool because somebody wants none |
//! | `attempts` | when a Service is written, and when it is looked at first |
//! | `requests` | what is asked of the API server |
//! | `office` | the loop: watches in, writes out |
//! | `leadership` | which of several controllers decides |
//! | `census` | what a new leader has to have seen before it decides |

mod attempts;
mod census;
mod desk;
mod last_pool;
mod leadership;
mod office;
mod requests;
mod shelf;

use std::process::ExitCode;

use anyhow::Context as _;
use kube::Client;
use tokio::runtime;
use tokio::sync::watch;

use self::leadership::Leadership;
use self::office::{Means, Office};
use crate::args::{Controller, WebhookMode};
use crate::http::{self, tls};
use crate::k8s::events::Recorder;
use crate::k8s::retry::chance;
use crate::k8s::webhook::{self, Webhooks};
use crate::k8s::{client, definitions, memberlist_secret};
use crate::metrics;
use crate::net::clock::Clock;
use crate::rivals::{self, Component, Me};
use crate::source::kube::{Scope, follow};
use crate::terminated::terminated;

/// The source of our Events, as MetalLB names it.
const COMPONENT: &str = "metallb-controller";

/// One thread for decisions, one so that the lease is renewed meanwhile.
const THREADS: usize = 2;

/// Runs until SIGTERM or SIGINT, then lets another controller take over.
///
/// # Errors
///
/// When it cannot start: no cluster is named anywhere.
pub fn run(args: &Controller) -> anyhow::Result<ExitCode> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.context("starting the async runtime")?.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &Controller) -> anyhow::Result<()> {
    let tls = tls::Settings::read(&args.tls)?;
    let (client, own_namespace) = client::connect(args.kubeconfig.as_deref()).await?;
    let namespace = args.namespace.clone().unwrap_or(own_namespace);
    let metrics = metrics::Controller::new().context("making the metrics")?;
    let (ready, is_ready) = watch::channel(args.webhook_mode == WebhookMode::OnlyWebhook);
    tracing::info!(namespace, class = args.lb_class, "started");
    // On each replica, whoever has the lease. They end when these are dropped.
    let _servers = http::start(http::Servers {
        health_reach: http::Reach::Everywhere,
        health_port: args.health_probe_port,
        is_ready,
        metrics_port: args.port,
        metrics: metrics.process().clone(),
        tls: tls.clone(),
        metrics_cert_dir: args.tls.metrics_cert_dir.clone(),
        client: client.clone(),
    })?;
    let _webhooks = match args.webhook_mode {
        WebhookMode::Disabled => None,
        WebhookMode::Enabled | WebhookMode::OnlyWebhook => {
            let at = (client.clone(), namespace.clone());
            Some(webhook::start(Webhooks::new(args, at, metrics.clone(), tls))?)
        }
    };
    match args.webhook_mode {
        WebhookMode::OnlyWebhook => terminated()?.await,
        WebhookMode::Disabled | WebhookMode::Enabled => {
            give_addresses(args, (client, &namespace), metrics, ready).await?;
        }
    }
    Ok(())
}

async fn give_addresses(
    args: &Controller,
    (client, namespace): (Client, &str),
    metrics: metrics::Controller,
    ready: watch::Sender<bool>,
) -> anyhow::Result<()> {
    let terminated = terminated()?;
    let clock = Clock::start();
    let identity = format!("{}_{:016x}", args.pod_name, chance());
    let scope = Scope::controller(namespace);
    let seen = follow(client.clone(), &scope);
    let leadership = Leadership::start(client.clone(), namespace, identity, clock);
    let recorder = Recorder::start(client.clone(), COMPONENT);
    tokio::spawn(definitions::warn(client.clone()));
    let secret = make_secret(args, &client, namespace);
    let permit = leadership.permit();
    let means = Means { client: client.clone(), permit, recorder, clock, metrics };
    let me = Me {
        namespace: namespace.to_owned(),
        pod: args.pod_name.clone(),
        component: Component::Controller,
        class: args.lb_class.clone(),
    };
    let office = Office::new(me.clone(), &scope, means);
    let rivals = rivals::follow(client.clone(), me);
    tokio::select! {
        () = office.run(seen, rivals, ready) => {}
        () = terminated => {}
        () = secret => {}
    }
    tracing::info!("leaving: another controller takes over");
    leadership.leave().await;
    Ok(())
}

/// Makes the Secret of the speakers if that is wished for, then does nothing, for ever.
async fn make_secret(args: &Controller, client: &Client, namespace: &str) {
    if !args.ml_secret_name.is_empty() {
        memberlist_secret::make(client, namespace, &args.ml_secret_name, &args.deployment).await;
    }
    std::future::pending::<()>().await;
}
