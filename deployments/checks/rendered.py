"""The manifests as a cluster would get them: of Kustomize and of Helm, in every form that deployments/ offers."""

import functools
import shutil

import tree

# Kinds that are not Kubernetes's own have no schema here.
FOREIGN = ("security.istio.io/", "networking.istio.io/", "monitoring.coreos.com/")

EVERYTHING = [
    "--set=istio.enabled=true",
    "--set=podMonitor.enabled=true",
    "--set=ingress.enabled=true",
    "--set=ingress.className=nginx",
    "--set=ingress.tlsSecret=shop-tls",
    "--set=redis.tls=true",
    "--set=redis.user=refrain",
]


@functools.cache
def kustomize(folder):
    return tree.load_all(tree.run(tree.program("kubectl"), "kustomize", folder))


@functools.cache
def helm(*more):
    chart = tree.DEPLOYMENTS / "helm" / "shop"
    return tree.load_all(tree.run(tree.program("helm"), "template", "shop", chart, "--namespace=shop", *more))


@functools.cache
def with_components(overlay, *components):
    """An overlay of somebody else's: it takes one of ours and adds components."""
    folder = tree.WORK / "overlays" / "-".join((overlay, *components))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    up = "../" * len(folder.relative_to(tree.ROOT).parts) + "deployments/shop"
    lines = ["resources:", f"  - {up}/overlays/{overlay}", "components:", *(f"  - {up}/components/{name}" for name in components)]
    (folder / "kustomization.yaml").write_text("namespace: shop\n" + "\n".join(lines) + "\n")
    return kustomize(folder)


def all_forms():
    """(name, manifests) of each."""
    overlays = tree.DEPLOYMENTS / "shop" / "overlays"
    forms = [(f"overlay {folder.name}", kustomize(folder)) for folder in sorted(overlays.iterdir())]
    forms.append(("overlay redis-ha with Istio", with_components("redis-ha", "istio")))
    forms.append(("overlay redis-ha with Jaeger and Istio", with_components("redis-ha", "jaeger", "istio")))
    forms.append(("chart", helm()))
    forms.append(("chart with everything", helm(*EVERYTHING)))
    return forms


def in_each_form(test):
    """A test of manifests, run for each form by itself."""

    @functools.wraps(test)
    def run(self):
        forms = all_forms()
        self.assertGreaterEqual(len(forms), 6)
        for name, manifests in forms:
            with self.subTest(form=name):
                test(self, manifests)

    return run


def refrains(manifests):
    """(workload, container) of each Refrain."""
    return [(workload, c) for workload in workloads(manifests) for c in containers(workload) if c["name"] == "refrain"]


def of(manifests, *kinds):
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def workloads(manifests):
    return of(manifests, "Deployment", "StatefulSet")


def pod(workload):
    return workload["spec"]["template"]["spec"]


def containers(workload):
    spec = pod(workload)
    return spec.get("initContainers", []) + spec["containers"]


def named(items, name):
    found = [item for item in items if (item.get("metadata") or item)["name"] == name]
    assert len(found) == 1, f"{len(found)} of the name {name}"
    return found[0]


def is_foreign(manifest):
    return manifest["apiVersion"].startswith(FOREIGN)


def selects(selector, labels):
    """Whether a label selector takes these labels; of expressions `In`, which is all that is used here."""
    matches = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", rule
        matches = matches and labels.get(rule["key"]) in rule["values"]
    return matches
