//! etcd and the API server, as a host of the LAN; and their faults.
//!
//! The API server is as in a cluster: roles decide who may do what, and service accounts have
//! tokens that it signed. Only the admission of ServiceAccounts is off: it waits for the
//! controller manager, which is not here.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::api::{Api, Patch};
use super::directory::Directory;
use super::gateway::Gateway;
use super::pki::{Authority, Identity, make_account_key};
use super::programs;
use crate::process::Process;
use crate::topology::{Host, Lan};

/// The last part of its address in the LAN, `192.0.2.90` and `fd00::90`.
const NUMBER: u8 = 90;

/// The API server's port.
pub const PORT: u16 = 6443;

/// The port of a [`Gateway`] before it.
const GATEWAY_PORT: u16 = 7443;

/// Where Services have their cluster addresses.
pub const SERVICE_CIDRS: &str = "10.96.0.0/16,fd00:96::/112";

/// The API server's own Service.
const KUBERNETES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 1)),
];

/// How long the API server may take to be ready. It takes about five seconds.
const READY: Duration = Duration::from_secs(60);

/// How long `kubectl` may take.
const KUBECTL: Duration = Duration::from_secs(60);

/// How long a token lasts.
const TOKEN_SECONDS: u32 = 24 * 3600;

const LOOK: Duration = Duration::from_millis(10);

/// etcd and the API server. Dropping it ends both.
pub struct ControlPlane {
    api: Api,
    api_server: Process,
    etcd: Process,
    host: Host,
    authority: Authority,
    admin: PathBuf,
    directory: Directory,
}

impl ControlPlane {
    /// Starts both on a new host `control-plane` of the network and waits until the API server is
    /// ready, which takes some seconds.
    ///
    /// # Errors
    ///
    /// When a program is missing or does not become ready; with its log.
    pub fn start(lan: &Lan) -> Result<Self> {
        let host = lan.attach("control-plane", NUMBER)?;
        let directory = Directory::new()?;
        let authority = Authority::new(directory.path())?;
        let user = authority.client(directory.path(), "admin", Some("system:masters"))?;
        let address = SocketAddr::from((host.ipv4, PORT));
        let api = Api::new(&host.netns, &address.to_string(), &authority, &user)?;
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
        let [v4, v6] = KUBERNETES;
        let own = [host.ipv4.into(), host.ipv6.into(), Ipv4Addr::LOCALHOST.into(), v4, v6];
        let server = authority.server(directory.path(), &own, &names)?;
        make_account_key(directory.path())?;
        let etcd = start_etcd(&host, &directory)?;
        let api_server = start_api_server(&host, &directory, &authority, &server)?;
        let admin = directory.write(
            "admin.kubeconfig",
            &kubeconfig(address, &authority, &by_certificate(&user)).to_string(),
        )?;
        let mut started = Self { api, api_server, etcd, host, authority, admin, directory };
        started.wait_ready()?;
        Ok(started)
    }

    /// The host that both are on.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// A client with all rights.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A kubeconfig with all rights. It works in every host of the network.
    #[must_use]
    pub fn admin(&self) -> &Path {
        &self.admin
    }

    /// Where the API server is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host.ipv4, PORT))
    }

    /// Starts a gateway to the API server, on the same host.
    ///
    /// # Errors
    ///
    /// When that is not possible, as when there is one already.
    pub fn start_gateway(&self) -> Result<Gateway> {
        let identity = Identity::of(self.directory.path(), "kube-apiserver");
        let address = SocketAddr::from((self.host.ipv4, GATEWAY_PORT));
        let pki = (&self.authority, &identity);
        Gateway::start(&self.host.netns, address, self.address(), pki)
    }

    /// A kubeconfig for a service account with a token that the API server signs. The account is
    /// made if it is not there; what it may do is up to the roles.
    ///
    /// # Errors
    ///
    /// When the API server refuses.
    pub fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        self.kubeconfig_by_way_of(self.address(), namespace, name)
    }

    /// [`Self::kubeconfig_for_service_account`] for one that reaches the API server at another
    /// address, such as that of a [`Gateway`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn kubeconfig_by_way_of(
        &self,
        server: SocketAddr,
        namespace: &str,
        name: &str,
    ) -> Result<PathBuf> {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace},
        });
        self.api.put(&account)?;
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        });
        let token = &self.api.create(&path, &request)?["status"]["token"];
        ensure!(token.is_string(), "the API server gave no token for `{namespace}/{name}`");
        let file = format!("{namespace}-{name}.kubeconfig");
        self.write_kubeconfig(&file, server, namespace, &json!({"token": token}))
    }

    /// A kubeconfig for a user by certificate, such as `system:kube-proxy`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn kubeconfig_for_user(&self, user: &str) -> Result<PathBuf> {
        let identity = self.authority.client(self.directory.path(), user, None)?;
        let file = format!("{}.kubeconfig", user.replace(':', "-"));
        self.write_kubeconfig(&file, self.address(), "default", &by_certificate(&identity))
    }

    fn write_kubeconfig(
        &self,
        file: &str,
        server: SocketAddr,
        namespace: &str,
        user: &Value,
    ) -> Result<PathBuf> {
        let mut config = kubeconfig(server, &self.authority, user);
        config["contexts"][0]["context"]["namespace"] = namespace.into();
        self.directory.write(file, &config.to_string())
    }

    /// Writes a file beside the cluster's own; it goes with the cluster.
    ///
    /// # Errors
    ///
    /// When that is not possible.
    pub fn write_file(&self, name: &str, content: &str) -> Result<PathBuf> {
        self.directory.write(name, content)
    }

    /// Runs `kubectl` as an administrator and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it fails, with its words.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(programs::find("kubectl")?);
        command.arg("--kubeconfig").arg(&self.admin).args(arguments);
        // Its cache would otherwise be in the user's home.
        command.arg("--cache-dir").arg(self.directory.path().join("kubectl"));
        let mut process = self.host.netns.spawn(&command)?;
        let status = process.wait(KUBECTL)?;
        let said = process.log();
        ensure!(status.success(), "`kubectl {}`: {status}\n{said}", arguments.join(" "));
        Ok(said)
    }

    /// [`Api::apply`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.api.apply(yaml)
    }

    /// [`Api::apply`] of every `*.yaml` of a directory, in the order of their names.
    ///
    /// # Errors
    ///
    /// The same, with the file.
    pub fn apply_directory(&self, directory: &Path) -> Result<()> {
        let reading = || format!("reading `{}`", directory.display());
        let entries = fs::read_dir(directory).with_context(reading)?;
        let files: std::io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut files = files.with_context(reading)?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        files.iter().try_for_each(|file| {
            let yaml = fs::read_to_string(file);
            let applied = yaml.map_err(Into::into).and_then(|yaml| self.api.apply(&yaml));
            applied.with_context(|| format!("applying `{}`", file.display()))
        })
    }

    /// [`Api::get`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.api.get(path)
    }

    /// [`Api::patch`] by RFC 7396.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Value> {
        self.api.patch(path, Patch::Merge, patch)
    }

    /// [`Api::delete`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.api.delete(path)
    }

    /// [`Api::wait`].
    ///
    /// # Errors
    ///
    /// The same.
    pub fn wait(
        &self,
        path: &str,
        what: &str,
        limit: Duration,
        wish: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        self.api.wait(path, what, limit, wish)
    }

    /// The API server dies, at once.
    ///
    /// # Errors
    ///
    /// When it cannot be killed.
    pub fn stop_api_server(&mut self) -> Result<()> {
        self.api_server.kill()
    }

    /// The API server starts again and is ready.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub fn start_api_server(&mut self) -> Result<()> {
        let server = Identity::of(self.directory.path(), "kube-apiserver");
        self.api_server = start_api_server(&self.host, &self.directory, &self.authority, &server)?;
        self.wait_ready()
    }

    /// The API server holds its connections and answers nothing more.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pause_api_server(&self) -> Result<()> {
        self.api_server.signal(Signal::SIGSTOP)
    }

    /// The end of a pause.
    ///
    /// # Errors
    ///
    /// When the API server does not run.
    pub fn resume_api_server(&self) -> Result<()> {
        self.api_server.signal(Signal::SIGCONT)
    }

    /// etcd dies, at once. The API server runs on without it.
    ///
    /// # Errors
    ///
    /// When it cannot be killed.
    pub fn stop_etcd(&mut self) -> Result<()> {
        self.etcd.kill()
    }

    /// etcd starts again with what it had, and the API server is ready.
    ///
    /// # Errors
    ///
    /// When the API server does not become ready.
    pub fn start_etcd(&mut self) -> Result<()> {
        self.etcd = start_etcd(&self.host, &self.directory)?;
        self.wait_ready()
    }

    /// The API server, for its id and its log.
    #[must_use]
    pub fn api_server(&self) -> &Process {
        &self.api_server
    }

    /// etcd, for its id and its log.
    #[must_use]
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    fn wait_ready(&mut self) -> Result<()> {
        let end = Instant::now() + READY;
        while let Err(error) = self.api.get("/readyz") {
            let ended = self.api_server.has_ended()?;
            if ended || Instant::now() > end {
                let log = self.api_server.log();
                bail!(error.context(format!("the API server is not ready\n{log}")));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlPlane({})", self.address())
    }
}

fn start_etcd(host: &Host, directory: &Directory) -> Result<Process> {
    let mut etcd = Command::new(programs::find("etcd")?);
    etcd.arg("--data-dir").arg(directory.path().join("etcd"));
    etcd.args(["--listen-client-urls", "http://127.0.0.1:2379"]);
    etcd.args(["--advertise-client-urls", "http://127.0.0.1:2379"]);
    etcd.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    host.netns.spawn(&etcd)
}

fn start_api_server(
    host: &Host,
    directory: &Directory,
    authority: &Authority,
    server: &Identity,
) -> Result<Process> {
    let mut command = Command::new(programs::find("kube-apiserver")?);
    let mut file = |flag: &str, path: &Path| {
        command.arg(format!("--{flag}={}", path.display()));
    };
    file("client-ca-file", &authority.file);
    file("tls-cert-file", &server.certificate);
    file("tls-private-key-file", &server.key);
    file("service-account-key-file", &directory.path().join("service-accounts.pub"));
    file("service-account-signing-key-file", &directory.path().join("service-accounts.key"));
    file("cert-dir", directory.path());
    command.args([
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=::",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        // It waits for accounts that only the controller manager makes.
        "--disable-admission-plugins=ServiceAccount",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        // Webhooks are called at their Pods: there is no kube-proxy on this host.
        "--enable-aggregator-routing=true",
        "--allow-privileged=true",
    ]);
    command.arg(format!("--secure-port={PORT}"));
    command.arg(format!("--advertise-address={}", host.ipv4));
    command.arg(format!("--service-cluster-ip-range={SERVICE_CIDRS}"));
    host.netns.spawn(&command)
}

fn by_certificate(user: &Identity) -> Value {
    json!({"client-certificate": user.certificate, "client-key": user.key})
}

/// JSON is YAML.
fn kubeconfig(server: SocketAddr, authority: &Authority, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {
            "server": format!("https://{server}"), "certificate-authority": authority.file,
        }}],
        "users": [{"name": "lab", "user": user}],
    })
}
