"""The pods of an overlay as processes of this machine: the same programs, arguments, variables and probes, on free ports."""

import contextlib
import glob
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import rendered
import test_shop
import tree

# How long a container may take to be ready. Making an RSA key takes seconds in a build without optimisation.
MAX_START = 60
MAX_STOP = 40
ADDRESS = re.compile(r"(?<![\w.-])(?:redis|postgres|edge|orders|billing|users|auth|notifications|127\.0\.0\.1|0\.0\.0\.0):(\d{4})\b")


def postgres_programs():
    """The folder of initdb and postgres, or None."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for pattern in ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/opt/homebrew/opt/postgresql@*/bin"):
        for folder in sorted(glob.glob(pattern), reverse=True):
            if Path(folder, "initdb").exists():
                return Path(folder)
    return None


class Pods:
    """Use as a context: what was started is gone at the end."""

    def __init__(self, manifests):
        self.manifests = manifests
        self.ports = {}
        self.running = {}
        self.folder = Path(tempfile.mkdtemp(prefix="shop-pods-"))
        self.end = contextlib.ExitStack()

    def __enter__(self):
        self.end.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.end.callback(self.kill)
        try:
            self.postgres()
            self.redis("redis")
            self.redis("redis-replica")
            for name in (*tree.SERVICES, "edge"):
                self.pod(name)
        except BaseException:
            self.end.close()
            raise
        return self

    def __exit__(self, *error):
        self.end.close()

    def port(self, number, host=""):
        """The free port that stands for a port of the manifests."""
        key = (host if int(number) == 6379 else "", int(number))
        if key not in self.ports:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.ports[key] = free.getsockname()[1]
        return self.ports[key]

    def here(self, text):
        """A text of the manifests, with addresses of this machine."""
        def address(found):
            return f"127.0.0.1:{self.port(found.group(1), 'redis')}"

        text = text.replace("/etc/refrain/", f"{tree.SAMPLES}/").replace("/etc/redis/", f"{tree.DEPLOYMENTS}/redis/")
        return ADDRESS.sub(address, text)

    def start(self, name, command, ready, **how):
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)
        self.running[name] = process
        until = time.monotonic() + MAX_START
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                said = (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]
                raise AssertionError(f"{name} is not ready; exit code {process.poll()}; it said:\n{said}")
            time.sleep(0.05)

    def pod(self, name):
        """The containers of a pod, one after the other, as the kubelet starts them."""
        workload = rendered.named(rendered.workloads(self.manifests), name)
        for container in rendered.containers(workload):
            program = tree.built(container["image"].split(":")[0])
            variables = {key: self.here(value) for key, value in test_shop.environment(container).items()}
            command = [program, *(self.here(word) for word in container["args"])]
            # The next one starts when the startup probe is content; a sidecar that is not ready holds nobody up.
            for probe in ("startupProbe", "readinessProbe"):
                if probe == "startupProbe":
                    self.start(f"{name}/{container['name']}".replace("/", "-"), command, self.probe(container, probe, variables),
                               env=variables, cwd="/")
                else:
                    self.wait(f"{name}: {container['name']} to be ready", self.probe(container, probe, variables))

    def probe(self, container, which, variables):
        probe = container[which]
        if "exec" in probe:
            program, *words = probe["exec"]["command"]
            command = [tree.built(program.removeprefix("/usr/local/bin/")), *(self.here(word) for word in words)]
            return lambda: subprocess.run(command, env=variables, capture_output=True, timeout=30).returncode == 0
        (port,) = [entry["containerPort"] for entry in container["ports"] if entry["name"] == probe["httpGet"]["port"]]
        return lambda: self.ask("GET", port, probe["httpGet"]["path"])[0] == 200

    def wait(self, what, condition):
        until = time.monotonic() + MAX_START
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"waited for {what}")
            time.sleep(0.05)

    def ask(self, method, port, path, body=None, **headers):
        """(status, headers, body) of what listens on that port of the manifests; (0, …) if nobody does."""
        data = None if body is None else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()} | {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port(port)}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, head, text = answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as answer:
            status, head, text = answer.code, answer.headers, answer.read().decode()
        except OSError:
            return 0, {}, None
        is_json = "json" in head.get("Content-Type", "")
        return status, head, json.loads(text) if is_json and text else text

    def redis(self, name):
        (container,) = rendered.containers(rendered.named(rendered.workloads(self.manifests), name))
        folder = self.folder / name
        folder.mkdir()
        variables = test_shop.environment(container)
        words = [re.sub(r"\$\((\w+)\)", lambda found: variables[found.group(1)], word) for word in container["args"]]
        for at, word in enumerate(words):
            if word == "--replicaof":
                words[at + 1 : at + 3] = ["127.0.0.1", str(self.port(6379, words[at + 1]))]
        port = self.port(6379, name)
        command = [*container["command"], *map(self.here, words), "--port", port, "--dir", folder, "--bind", "127.0.0.1"]
        check = container["readinessProbe"]["exec"]["command"]
        ping = [check[0], "-p", str(port), *check[1:]]
        self.start(name, command, lambda: subprocess.run(ping, env=os.environ | variables, capture_output=True).returncode == 0)

    def postgres(self):
        (container,) = rendered.containers(rendered.named(rendered.workloads(self.manifests), "postgres"))
        programs = postgres_programs()
        folder = self.folder / "postgres"
        folder.mkdir()
        self.folder.chmod(0o755)
        how = {"env": os.environ | test_shop.environment(container) | {"LC_ALL": "C"}, "cwd": folder}
        if os.geteuid() == 0:
            # The server refuses to be root.
            user = next(name for name in ("postgres", "nobody") if any(entry.pw_name == name for entry in pwd.getpwall()))
            shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
            how |= {"user": user, "group": pwd.getpwnam(user).pw_gid}
        data = folder / "data"
        # As the image does it: whoever comes by TCP needs the password.
        made = [programs / "initdb", "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "--pgdata", data]
        subprocess.run([str(word) for word in made], check=True, capture_output=True, timeout=120, **how)
        settings = ["-D", data, "-k", folder, "-p", self.port(5432), "-h", "127.0.0.1", "-c", "fsync=off"]
        check = container["readinessProbe"]["exec"]["command"]
        ping = [str(programs / check[0]), "--port", str(self.port(5432)), *check[1:]]
        self.start("postgres-server", [programs / "postgres", *settings, *container["args"]],
                   lambda: subprocess.run(ping, capture_output=True).returncode == 0, **how)
        # The variables of the image's script, and where its server is.
        own = {"PGHOST": str(folder), "PGPORT": str(self.port(5432)), "PATH": f"{programs}:{os.environ['PATH']}"}
        script = shutil.copy(tree.DEPLOYMENTS / "postgres" / "databases.sh", folder)
        Path(script).chmod(0o755)
        said = subprocess.run([script], capture_output=True, text=True, timeout=60, **(how | {"env": how["env"] | own}))
        if said.returncode != 0:
            raise AssertionError(said.stderr)
        self.psql = lambda role, database, statement: subprocess.run(
            [str(programs / "psql"), "--no-psqlrc", "--host", "127.0.0.1", "--username", role, "--dbname", database, "--command", statement],
            env=os.environ | {"PGPORT": own["PGPORT"], "PGPASSWORD": "dev"}, capture_output=True, text=True, timeout=30)

    def stop(self):
        """SIGTERM to the containers of the shop, sidecars last; their exit codes."""
        names = sorted((name for name in self.running if name not in ("redis", "redis-replica", "postgres-server")),
                       key=lambda name: name.endswith("-refrain"))
        for name in names:
            self.running[name].send_signal(signal.SIGTERM)
        return {name: self.running[name].wait(MAX_STOP) for name in names}

    def kill(self):
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.kill()
            process.wait()
