//! A PostgreSQL server of this process's own: started when first asked for, gone when the process is, however that ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

/// How long the server may take to come up.
const MAX_START: Duration = Duration::from_secs(60);

/// What it says when it is up.
const READY: &str = "database system is ready to accept connections";

/// Runs its arguments until its input ends, which it does when this process has ended; then ends them and removes the folder.
const WHILE_THIS_PROCESS_LIVES: &str = r#"
    folder=$1; shift
    "$@" & server=$!
    read -r nothing
    kill -QUIT "$server"; wait "$server"
    rm -rf "$folder"
"#;

/// Where systems have the server's programs, apart from the PATH; below a `*` lie versions.
const ELSEWHERE: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

static SERVER: LazyLock<Result<Server, String>> = LazyLock::new(Server::start);

struct Server {
    /// Where its socket is.
    folder: PathBuf,
    /// Open while the server shall run.
    _alive: ChildStdin,
}

/// The URL of a database on the server.
pub(crate) fn url(database: &str) -> String {
    match &*SERVER {
        Ok(server) => format!("postgres://shop@localhost/{database}?host={}", server.folder.display()),
        Err(reason) => panic!("no PostgreSQL for this test, see scripts/test for what the tests need: {reason}"),
    }
}

impl Server {
    fn start() -> Result<Self, String> {
        let programs = programs().ok_or("initdb is neither in the PATH nor where PostgreSQL is usually installed")?;
        let folder = tempfile::Builder::new().prefix("shop-postgres-").tempdir().map_err(|error| error.to_string())?;
        let user = User::without_privileges()?;
        user.own(folder.path())?;

        let data = folder.path().join("data");
        let mut initdb = user.command(&programs.join("initdb"), folder.path());
        initdb.args(["--username=shop", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--pgdata"]).arg(&data);
        let made = initdb.output().map_err(|error| format!("initdb does not start: {error}"))?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }

        let mut server = user.command(Path::new("/bin/sh"), folder.path());
        server.args(["-c", WHILE_THIS_PROCESS_LIVES, "sh"]).arg(folder.path());
        server.arg(programs.join("postgres")).arg("-D").arg(&data).arg("-k").arg(folder.path());
        // Only its socket, nothing kept over a loss of power, and room for the pools of all tests at once.
        for setting in ["listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=500"] {
            server.args(["-c", setting]);
        }
        let server = server.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut server = server.map_err(|error| format!("sh does not start: {error}"))?;
        let alive = server.stdin.take().expect("it is piped");
        until_ready(BufReader::new(server.stderr.take().expect("it is piped")))?;
        Ok(Self { folder: folder.keep(), _alive: alive })
    }
}

/// Waits until the server says that it is ready, and has what it says later thrown away.
fn until_ready(log: impl BufRead + Send + 'static) -> Result<(), String> {
    let (ready, until_ready) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = String::new();
        for line in log.lines().map_while(Result::ok) {
            if line.contains(READY) {
                let _ = ready.send(Ok(()));
            }
            if said.len() < 10_000 {
                said.push_str(&line);
                said.push('\n');
            }
        }
        let _ = ready.send(Err(format!("postgres ended: {said}")));
    });
    until_ready.recv_timeout(MAX_START).unwrap_or_else(|_| Err(format!("postgres is not up within {MAX_START:?}")))
}

/// Where `initdb` and `postgres` are; of several, those of the latest version.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file());
    in_path.or_else(|| {
        let versions = ELSEWHERE.iter().flat_map(|&(folder, prefix, below)| versions(folder, prefix, below));
        versions.filter(|(_, programs)| programs.join("initdb").is_file()).max().map(|(_, programs)| programs)
    })
}

/// The folders in `folder` that are called `prefix` and a number.
fn versions(folder: &str, prefix: &str, below: &str) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let version = |name: &str| name.strip_prefix(prefix)?.parse().ok();
    entries.filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path().join(below)))).collect()
}

/// As whom the server runs: it refuses to be root.
struct User(Option<(u32, u32)>);

impl User {
    fn without_privileges() -> Result<Self, String> {
        if id(&["-u"]) != Some(0) {
            return Ok(Self(None));
        }
        let user = ["postgres", "nobody"].into_iter().find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)));
        user.map(|user| Self(Some(user))).ok_or_else(|| "neither a user `postgres` nor `nobody` to run it as".to_owned())
    }

    fn own(&self, folder: &Path) -> Result<(), String> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        chown(folder, Some(user), Some(group)).map_err(|error| format!("chown {}: {error}", folder.display()))
    }

    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("LC_ALL", "C");
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}

/// What the program `id` says.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
