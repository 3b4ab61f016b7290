//! The real program as a child process: its file, its ports, its log, its death.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use super::{
    client::{Answer, Call},
    origin::Origin,
    within,
};

/// What a configuration begins with, unless it says so itself.
const BASICS: [(&str, &str); 3] =
    [("listen:", "listen: 127.0.0.1:0\n"), ("admin:", "admin: {listen: 127.0.0.1:0}\n"), ("workers:", "workers: 2\n")];
/// How often is looked at what cannot tell by itself.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A signal, as `kill` calls it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Term,
    Int,
    Stop,
    Cont,
    Hup,
}

/// A Refrain with a configuration file and a folder of its own. Killed when dropped.
pub(crate) struct Refrain {
    folder: TempDir,
    child: Child,
    log: Arc<watch::Sender<Vec<String>>>,
    /// The last of the child's log lines are in once this is gone.
    reader: Option<std::thread::JoinHandle<()>>,
    addresses: Addresses,
    exit: Mutex<Option<ExitStatus>>,
}

#[derive(Clone, Copy)]
struct Addresses {
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Refrain {
    /// Starts one, and waits until it is ready. What the text leaves open: free ports, two cores.
    /// A relative path in the text is in [`Self::folder`].
    pub(crate) async fn start(yaml: &str) -> Self {
        let refrain = Self::start_not_ready(yaml).await;
        refrain.ready().await;
        refrain
    }

    /// Starts one that need not become ready: it serves, and so does its admin side.
    pub(crate) async fn start_not_ready(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), yaml);
        Self::launch(folder, program()).await
    }

    /// As [`Self::start`], begun by another program, which becomes it.
    pub(crate) async fn start_by(launcher: Command, yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), yaml);
        let refrain = Self::launch(folder, by(launcher)).await;
        refrain.ready().await;
        refrain
    }

    async fn launch(folder: TempDir, program: Command) -> Self {
        let (child, log, reader) = spawn(folder.path(), program);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let addresses = Addresses { clients: nowhere, admin: nowhere };
        let mut refrain = Self { folder, child, log, reader: Some(reader), addresses, exit: Mutex::new(None) };
        refrain.find_addresses().await;
        refrain
    }

    /// Kills it, if it runs, and starts it with the same files, on other ports; waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        self.kill9();
        self.join_reader();
        let (child, log, reader) = spawn(self.folder.path(), program());
        (self.child, self.log, self.reader) = (child, log, Some(reader));
        *self.exit.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        self.find_addresses().await;
        self.ready().await;
    }

    /// Writes another configuration. Nobody is told.
    pub(crate) fn rewrite(&self, yaml: &str) {
        write(self.folder.path(), yaml);
    }

    /// Where its file is, and its embedded store.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `path` at the clients' side.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses.clients)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses.clients
    }

    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// Asks the admin side.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        Call::get(&format!("http://{}{path}", self.addresses.admin)).send().await
    }

    /// Waits until `/readyz` says yes.
    pub(crate) async fn ready(&self) {
        self.until_admin("/readyz", |answer| answer.status == 200).await;
    }

    /// Waits until the admin side's answer is as wanted, and gives it.
    pub(crate) async fn until_admin(&self, path: &str, mut wanted: impl FnMut(&Answer) -> bool) -> Answer {
        within(&format!("{path} to be as wanted"), async {
            loop {
                let answer = self.admin(path).await;
                if wanted(&answer) {
                    return answer;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await
    }

    /// A sample of `/metrics`, named with its labels; 0 if there is none.
    pub(crate) async fn metric(&self, sample: &str) -> f64 {
        sample_of(&self.admin("/metrics").await, sample)
    }

    /// Waits until a sample of `/metrics` is at least this.
    pub(crate) async fn until_metric(&self, sample: &str, at_least: f64) {
        self.until_admin("/metrics", |answer| sample_of(answer, sample) >= at_least).await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let signal = match signal {
            Signal::Term => "-TERM",
            Signal::Int => "-INT",
            Signal::Stop => "-STOP",
            Signal::Cont => "-CONT",
            Signal::Hup => "-HUP",
        };
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{signal} cannot be sent");
        if signal == "-STOP" {
            self.until_stopped();
        }
    }

    /// SIGSTOP reaches a process's threads one by one: until all have stopped, one may still act.
    fn until_stopped(&self) {
        let tasks = format!("/proc/{}/task", self.pid());
        let is_stopped = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
        let all_stopped = || {
            let mut threads = std::fs::read_dir(&tasks).unwrap();
            threads.all(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).is_ok_and(is_stopped))
        };
        for _ in 0..1_000_000 {
            if all_stopped() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("refrain did not stop");
    }

    /// SIGKILL, and gone.
    pub(crate) fn kill9(&mut self) {
        // One that has ended cannot be killed.
        let _ended = self.child.kill();
        let status = self.child.wait().unwrap();
        *self.exit.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// Waits until the process has ended.
    pub(crate) async fn wait_exit(&mut self) -> ExitStatus {
        within("the process to end", async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
        .await
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged since it was started, line by line.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits until a line of the log holds all of `texts`, and gives the line.
    pub(crate) async fn logged(&self, texts: &[&str]) -> String {
        line_with(&self.log, texts).await
    }

    async fn find_addresses(&mut self) {
        let admin = tokio::select! {
            line = line_with(&self.log, &["\"admin: /livez"]) => line,
            status = exit_of(&mut self.child) => panic!("refrain ended with {status}:\n{}", self.log.borrow().join("\n")),
        };
        let clients = self.logged(&["\"listening\""]).await;
        self.addresses = Addresses { clients: address_in(&clients), admin: address_in(&admin) };
    }

    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Refrain {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            self.join_reader();
            eprintln!("--- the log of refrain {}:\n{}\n---", self.child.id(), self.log.borrow().join("\n"));
        }
    }
}

/// A store, `origin` as the local upstream `service`, and the rest.
pub(crate) fn yaml(store: &str, origin: &Origin, rest: &str) -> String {
    format!("store: {{url: \"{store}\"}}\nupstreams:\n  service: {{url: \"{}\", local: true}}\n{rest}", origin.url())
}

/// Runs another command of the program, with its admin side's address in the environment where one is given.
pub(crate) fn command(args: &[&str], admin: Option<SocketAddr>) -> std::process::Output {
    let mut command = program();
    command.args(args);
    if let Some(admin) = admin {
        command.env("REFRAIN_ADMIN", admin.to_string());
    }
    command.output().unwrap()
}

/// The program with an environment that says nothing of it.
pub(crate) fn program() -> Command {
    unsaid(Command::new(env!("CARGO_BIN_EXE_refrain")))
}

/// The same, as another program's last arguments.
fn by(mut launcher: Command) -> Command {
    launcher.arg(env!("CARGO_BIN_EXE_refrain"));
    unsaid(launcher)
}

fn unsaid(mut command: Command) -> Command {
    for variable in ["CONFIG", "LISTEN", "UPSTREAM", "STORE", "ADMIN", "PRESET", "WORKERS", "LOG"] {
        command.env_remove(format!("REFRAIN_{variable}"));
    }
    command
}

fn write(folder: &Path, yaml: &str) {
    let given = |name: &str| yaml.lines().any(|line| line.starts_with(name));
    let basics: String = BASICS.into_iter().filter(|(name, _)| !given(name)).map(|(_, text)| text).collect();
    std::fs::write(folder.join("refrain.yaml"), basics + yaml).unwrap();
}

type Started = (Child, Arc<watch::Sender<Vec<String>>>, std::thread::JoinHandle<()>);

fn spawn(folder: &Path, mut program: Command) -> Started {
    let file = folder.join("refrain.yaml");
    let mut child = program
        .arg("run")
        .arg("--config")
        .arg(file)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let log = Arc::new(watch::Sender::new(Vec::new()));
    let to = Arc::clone(&log);
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            to.send_modify(|all| all.push(line));
        }
    });
    (child, log, reader)
}

async fn line_with(log: &watch::Sender<Vec<String>>, texts: &[&str]) -> String {
    let mut log = log.subscribe();
    let fits = |line: &&String| texts.iter().all(|text| line.contains(text));
    let what = format!("a line of the log with {texts:?}");
    let lines = within(&what, log.wait_for(|lines| lines.iter().any(|line| fits(&line)))).await.unwrap();
    lines.iter().find(fits).unwrap().clone()
}

async fn exit_of(child: &mut Child) -> ExitStatus {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn address_in(line: &str) -> SocketAddr {
    let line: Value = serde_json::from_str(line).unwrap();
    line["address"].as_str().unwrap().parse().unwrap()
}

fn sample_of(metrics: &Answer, sample: &str) -> f64 {
    let value = metrics.text().lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0.0)
}
