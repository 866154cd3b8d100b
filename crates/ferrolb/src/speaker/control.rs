//! What a speaker is told by commands on its own node.
//!
//! Commands reach it at a Unix socket that has a name in the network namespace instead of the file
//! system: that is the node, also for a speaker in a container with `hostNetwork`, and nothing is
//! left behind. Only root and the user of the speaker are listened to.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as Listener, UnixStream as Stream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::geteuid;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time;

use super::mesh::status::Status;
use super::{Ending, Speaker, VirtualMacs};

/// The name of the socket.
const NAME: &str = "ferrolb-speaker";

/// How long a command may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a speaker may take to do it: longer than handing over takes.
const ANSWER: Duration = Duration::from_secs(10);

/// Commands that may wait for the speaker.
const WAITING: usize = 16;

/// The longest command, in bytes.
const MAX_COMMAND: u64 = 64;

/// The longest answer, in bytes: that about 10,000 addresses has a tenth of it.
const MAX_ANSWER: u64 = 64 << 20;

const LEAVE: &str = "leave";
const STATUS: &str = "status";
const DONE: &str = "done";

/// What a command asks for.
#[derive(Debug)]
pub enum Request {
    /// Hand all addresses over and announce nothing any more; then say so.
    Leave(oneshot::Sender<()>),
    /// Say who holds what. One that has nothing to say drops this.
    Status(oneshot::Sender<Status>),
}

/// Where commands are listened to.
#[derive(Debug)]
pub struct Control(mpsc::Receiver<Request>);

impl Control {
    /// Listens from now on. Where that is not possible, as beside another speaker in the same network
    /// namespace, it is said, and there are no requests.
    pub fn open() -> Self {
        let (requests, receiver) = mpsc::channel(WAITING);
        match listen() {
            Ok(listener) => _ = tokio::spawn(serve(listener, requests)),
            Err(error) => {
                let error = &error;
                tracing::warn!(%error, "`ferrolb leave` and `ferrolb status --node` cannot reach this speaker");
            }
        }
        Self(receiver)
    }

    /// Waits for a request.
    pub async fn next(&mut self) -> Request {
        match self.0.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }

    /// Ends `speaker` as it was asked to: `left` is who wants everything to be handed over, and is
    /// told when that is done. Then nothing is announced until `terminated`.
    ///
    /// # Errors
    ///
    /// The speaker panicked.
    pub async fn end(
        mut self,
        speaker: Option<Speaker>,
        left: Option<oneshot::Sender<()>>,
        virtual_macs: &VirtualMacs,
        terminated: impl Future<Output = ()>,
    ) -> Result<()> {
        let ending = if left.is_some() { Ending::HandOver } else { Ending::Restart };
        tracing::info!(
            "{}",
            match ending {
                Ending::HandOver => "leaving: the other nodes take over",
                Ending::Restart => {
                    "stopping: the other nodes answer in the name of this one for a while"
                }
            }
        );
        if let Some(speaker) = speaker {
            let end = move || speaker.end(ending);
            tokio::task::spawn_blocking(end).await.context("ending the speaker")?;
        }
        virtual_macs.tidy().await;
        if let Some(left) = left {
            // Who asked may be gone.
            let _ = left.send(());
            self.idle(terminated).await;
        }
        Ok(())
    }

    /// After all was handed over: there is nothing left to hand over, until `terminated`.
    async fn idle(&mut self, terminated: impl Future<Output = ()>) {
        tracing::info!("handed over; nothing is announced until this speaker is started again");
        let answer = async {
            loop {
                match self.next().await {
                    // Who asked may be gone.
                    Request::Leave(done) => _ = done.send(()),
                    Request::Status(_) => (),
                }
            }
        };
        tokio::select! {
            () = terminated => {}
            () = answer => {}
        }
    }
}

fn listen() -> io::Result<UnixListener> {
    let listener = Listener::bind_addr(&SocketAddr::from_abstract_name(NAME)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

async fn serve(listener: UnixListener, requests: mpsc::Sender<Request>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = converse(stream, &requests).await {
                    tracing::warn!("a command on this node was not understood: {error:#}");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "listening to commands");
                time::sleep(PATIENCE).await;
            }
        }
    }
}

/// One command, one answer.
async fn converse(mut stream: UnixStream, requests: &mpsc::Sender<Request>) -> Result<()> {
    let uid = stream.peer_cred().context("asking who it is")?.uid();
    ensure!(uid == 0 || uid == geteuid().as_raw(), "user {uid} may not tell this speaker anything");
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let reader = tokio::io::AsyncReadExt::take(reader, MAX_COMMAND);
    let mut reader = tokio::io::BufReader::new(reader);
    time::timeout(PATIENCE, reader.read_line(&mut line)).await.context("waiting for it")??;
    let answer = match line.trim_end() {
        STATUS => {
            let (asker, status) = oneshot::channel();
            requests.send(Request::Status(asker)).await.context("the speaker has ended")?;
            let status = status.await.context("the speaker does not announce anything")?;
            serde_json::to_string(&status).context("writing the status")?
        }
        LEAVE => {
            let (done, left) = oneshot::channel();
            requests.send(Request::Leave(done)).await.context("the speaker has ended")?;
            left.await.context("the speaker ended meanwhile")?;
            DONE.to_owned()
        }
        other => bail!("`{other}` is no command"),
    };
    writer.write_all(format!("{answer}\n").as_bytes()).await.context("answering")
}

/// Tells the speaker of this node to hand over, and waits until it has.
///
/// # Errors
///
/// No speaker runs on this node, it does not listen to this user, or it does not answer.
pub fn leave() -> Result<()> {
    let answer = ask(LEAVE)?;
    ensure!(answer == DONE, "the speaker refused: its log says why");
    Ok(())
}

/// What the speaker of this node knows of who holds what.
///
/// # Errors
///
/// As for [`leave`].
pub fn status() -> Result<Status> {
    let answer = ask(STATUS)?;
    serde_json::from_str(&answer).context("the speaker has nothing to say yet: its log says why")
}

fn ask(command: &str) -> Result<String> {
    let address = SocketAddr::from_abstract_name(NAME).context("naming the socket")?;
    let mut stream = Stream::connect_addr(&address).context(
        "no speaker runs in this network namespace, or it is of a version that cannot be told: run \
         this on its node, or in its Pod by `kubectl exec`",
    )?;
    stream.set_read_timeout(Some(ANSWER)).context("setting a limit")?;
    stream.write_all(format!("{command}\n").as_bytes()).context("telling the speaker")?;
    let mut answer = String::new();
    BufReader::new(io::Read::take(stream, MAX_ANSWER))
        .read_line(&mut answer)
        .context("waiting for the speaker's answer")?;
    Ok(answer.trim_end().to_owned())
}
