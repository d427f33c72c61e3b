//! NATS servers of the demo's own, on 127.0.0.1, which end with it.

use std::env;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::Failure;

/// The program; an environment variable may name another one.
const PROGRAM: &str = "nats-server";
const VARIABLE: &str = "FLEET_NATS_SERVER";
/// How long a server may take until it answers, or has ended.
const PATIENCE: Duration = Duration::from_secs(15);

/// Servers, and the directory of their files, which is removed when this is dropped.
pub(crate) struct Servers {
    servers: Vec<Server>,
    #[expect(dead_code, reason = "it is there until this is dropped")]
    directory: TempDir,
}

struct Server {
    name: String,
    port: u16,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Servers {
    /// Starts one server, or several as a cluster.
    pub(crate) async fn start(count: usize) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("fleet-").tempdir()?;
        // All at once, so that no port is found twice; the servers bind them a moment later.
        let listeners = (0..2 * count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<Vec<_>>>()?;
        let ports = listeners.iter().map(|it| Ok(it.local_addr()?.port())).collect::<io::Result<Vec<_>>>()?;
        drop(listeners);
        let (ports, cluster_ports) = ports.split_at(count);
        let routes: Vec<_> = cluster_ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();

        let mut servers = Vec::new();
        for (index, (port, route)) in ports.iter().zip(&routes).enumerate() {
            let name = format!("n{index}");
            let files = directory.path().join(&name);
            let mut arguments =
                vec!["-js".into(), "-sd".into(), files.display().to_string(), "-n".into(), name.clone()];
            arguments.extend(["-a".into(), "127.0.0.1".into(), "-p".into(), port.to_string()]);
            let log = directory.path().join(format!("{name}.log"));
            arguments.extend(["-l".into(), log.display().to_string()]);
            if count > 1 {
                arguments.extend(["--cluster_name".into(), "fleet".into(), "--cluster".into(), route.clone()]);
                arguments.extend(["--routes".into(), routes.join(",")]);
            }
            servers.push(Server { name, port: *port, arguments, log, child: None });
        }
        let mut servers = Self { servers, directory };
        for server in &mut servers.servers {
            server.start()?;
        }
        for server in &mut servers.servers {
            server.answers().await?;
        }
        Ok(servers)
    }

    /// The addresses of all, separated by commas.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.port)).collect();
        urls.join(",")
    }

    /// Stops a server, as its service manager would.
    pub(crate) async fn stop(&mut self, name: &str) -> Result<(), Failure> {
        let server = self.server(name)?;
        let mut child = server.child.take().ok_or("the server was stopped before")?;
        end(&mut child, PATIENCE).await
    }

    /// Starts a server that was stopped, with the files that it had.
    pub(crate) async fn restart(&mut self, name: &str) -> Result<(), Failure> {
        let server = self.server(name)?;
        server.start()?;
        server.answers().await
    }

    fn server(&mut self, name: &str) -> Result<&mut Server, Failure> {
        let found = self.servers.iter_mut().find(|server| server.name == name);
        Ok(found.ok_or_else(|| format!("no server is called {name:?}"))?)
    }
}

impl Server {
    fn start(&mut self) -> Result<(), Failure> {
        let program = env::var_os(VARIABLE).unwrap_or_else(|| PROGRAM.into());
        let mut command = Command::new(program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!(
                "{PROGRAM} is not installed. On Debian and Ubuntu: `apt-get install nats-server`; elsewhere: \
                 https://nats.io/download. Or name a server that runs, with JetStream, by --server URL."
            ),
            _ => format!("{PROGRAM}: {error}"),
        })?;
        self.child = Some(child);
        Ok(())
    }

    async fn answers(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it has logged nothing");
                return Err(format!("{PROGRAM} {} does not answer: {last}", self.name).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Asks a process that this one has started to end, and waits for it. It is killed if it takes too long, which is an error.
pub(crate) async fn end(child: &mut Child, patience: Duration) -> Result<(), Failure> {
    terminate(child)?;
    if timeout(patience, child.wait()).await.is_err() {
        child.kill().await?;
        return Err(format!("a process has not ended within {patience:?} of being asked to").into());
    }
    Ok(())
}

/// Asks a process that this one has started, and has not waited for yet, to end.
pub(crate) fn terminate(child: &Child) -> Result<(), Failure> {
    let id = child.id().ok_or("the process has ended already")?;
    let id = Pid::from_raw(i32::try_from(id)?).ok_or("no process has the id 0")?;
    Ok(kill_process(id, Signal::TERM)?)
}
