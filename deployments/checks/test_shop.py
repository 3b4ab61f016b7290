"""The shop as it is deployed: what each Refrain would read passes `refrain check`, and nobody gets around it."""

import base64
import re
import tempfile
import unittest
from pathlib import Path

import rendered
import tree

MADE_UP = base64.b64encode(b"0" * 32).decode()


def environment(container):
    """A container's variables, with something for each secret, and `$(NAME)` as the kubelet puts it in."""
    known = {}
    for variable in container.get("env", []):
        value = variable.get("value", "dev" if "PASSWORD" in variable["name"] else MADE_UP)
        known[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda name: known[name.group(1)], value)
    return known


def calls(variables):
    """(upstream, host, port) of each NAME=URL of a Refrain."""
    words = (word.split("=", 1) for word in variables["REFRAIN_UPSTREAM"].split() if "=" in word)
    return [(name, *re.fullmatch(r"http://([a-z-]+):(\d+)", url).groups()) for name, url in words]


class Shop(unittest.TestCase):
    @rendered.in_each_form
    def test_every_pod_of_the_shop_has_a_refrain(self, manifests):
        names = [workload["metadata"]["name"] for workload, _ in rendered.refrains(manifests)]
        self.assertEqual(sorted(names), sorted(("edge", *tree.SERVICES)))

    @rendered.in_each_form
    def test_what_each_refrain_is_given_passes_check(self, manifests):
        checked = 0
        for workload, container in rendered.refrains(manifests):
            with tempfile.TemporaryDirectory() as folder:
                (volume,) = rendered.pod(workload)["volumes"]
                data = rendered.named(rendered.of(manifests, "ConfigMap"), volume["configMap"]["name"])["data"]
                for item in volume["configMap"]["items"]:
                    path = Path(folder) / item["path"]
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(data[item["key"]])
                variables = environment(container)
                (mount,) = container["volumeMounts"]
                self.assertTrue(variables["REFRAIN_CONFIG"].startswith(mount["mountPath"] + "/"))
                variables["REFRAIN_CONFIG"] = variables["REFRAIN_CONFIG"].replace(mount["mountPath"], folder, 1)
                # Nothing else: no home, no state folder, as in the container.
                tree.run(tree.built("refrain"), "check", environment=variables)
                checked += 1
        self.assertEqual(checked, 6)

    def test_a_refrain_with_an_upstream_that_its_file_does_not_name_is_refused(self):
        container = rendered.containers(rendered.named(rendered.workloads(rendered.helm()), "orders"))[0]
        variables = environment(container) | {"REFRAIN_CONFIG": str(tree.SAMPLES / "sidecars" / "orders.yaml")}
        tree.run(tree.built("refrain"), "check", environment=variables)
        wrong = variables | {"REFRAIN_UPSTREAM": variables["REFRAIN_UPSTREAM"] + " stock=http://stock:8106"}
        self.assertIn("stock", tree.run(tree.built("refrain"), "check", environment=wrong, ok=False))

    @rendered.in_each_form
    def test_what_is_mounted_is_the_sample_to_the_letter(self, manifests):
        compared = 0
        for workload, _ in rendered.refrains(manifests):
            (volume,) = rendered.pod(workload)["volumes"]
            data = rendered.named(rendered.of(manifests, "ConfigMap"), volume["configMap"]["name"])["data"]
            for item in volume["configMap"]["items"]:
                self.assertEqual(data[item["key"]], (tree.SAMPLES / item["path"]).read_text(), item)
                compared += 1
            self.assertEqual(set(data), {item["key"] for item in volume["configMap"]["items"]}, "all that is there is mounted")
        self.assertEqual(compared, 10)

    @rendered.in_each_form
    def test_who_is_called_is_there_and_lets_the_caller_in(self, manifests):
        for workload, container in rendered.refrains(manifests):
            name = workload["metadata"]["name"]
            labels = workload["spec"]["template"]["metadata"]["labels"]
            policies = rendered.of(manifests, "NetworkPolicy")
            for upstream, host, port in calls(environment(container)):
                self.assertEqual(upstream, host)
                service = rendered.named(rendered.of(manifests, "Service"), host)
                self.assertIn(int(port), [entry["port"] for entry in service["spec"]["ports"]])
                self.assertIn(name, self.let_in(policies, host, {name: labels}), f"{name} may not call {host}")

    @rendered.in_each_form
    def test_who_does_not_call_is_not_let_in(self, manifests):
        pods = {w["metadata"]["name"]: w["spec"]["template"]["metadata"]["labels"] for w in rendered.workloads(manifests)}
        callers = {name: set() for name in tree.SERVICES}
        for workload in rendered.workloads(manifests):
            for container in rendered.containers(workload):
                if container["name"] == "refrain":
                    for _, host, _ in calls(environment(container)):
                        callers[host].add(workload["metadata"]["name"])
        for name in tree.SERVICES:
            self.assertEqual(self.let_in(rendered.of(manifests, "NetworkPolicy"), name, pods), callers[name], name)

    @rendered.in_each_form
    def test_a_service_listens_on_loopback_and_its_refrain_is_a_native_sidecar(self, manifests):
        for workload, container in rendered.refrains(manifests):
            name = workload["metadata"]["name"]
            spec = rendered.pod(workload)
            if name == "edge":
                self.assertEqual(len(rendered.containers(workload)), 1)
                continue
            (sidecar,) = spec["initContainers"]
            self.assertEqual((sidecar["name"], sidecar["restartPolicy"]), ("refrain", "Always"))
            (service,) = spec["containers"]
            self.assertNotIn("ports", service)
            listen = service["args"][service["args"].index("--listen") + 1]
            self.assertTrue(listen.startswith("127.0.0.1:"))
            self.assertIn(f"http://{listen}", environment(container)["REFRAIN_UPSTREAM"].split())
            # The last request, the service's own drain (5 s) and Refrain's (30 s).
            self.assertGreater(spec["terminationGracePeriodSeconds"], service["lifecycle"]["preStop"]["sleep"]["seconds"] + 5 + 30)

    @rendered.in_each_form
    def test_no_two_refrains_share_a_database_of_redis(self, manifests):
        stores = [environment(c).get("REFRAIN_STORE") for w in rendered.workloads(manifests)
                  for c in rendered.containers(w) if c["name"] == "refrain"]
        stores = [store for store in stores if store]
        self.assertEqual((len(stores), len(set(stores))), (5, 5))

    def test_the_chart_and_the_overlays_run_the_same(self):
        """Of each container what it is told and how it is probed; how many there are and where is their own affair."""

        def in_order(container):
            return container | {"env": sorted(container.get("env", []), key=lambda variable: variable["name"])}

        def said(manifests):
            keys = ("name", "image", "args", "restartPolicy", "ports", "env", "startupProbe", "readinessProbe", "livenessProbe",
                    "lifecycle", "securityContext", "volumeMounts")
            return {
                (w["metadata"]["name"], c["name"]): in_order({key: c[key] for key in keys if key in c})
                for w in rendered.workloads(manifests) if w["metadata"]["name"] in ("edge", *tree.SERVICES)
                for c in rendered.containers(w)
            }

        self.maxDiff = None
        of_chart, of_overlay = said(rendered.helm()), said(rendered.kustomize(tree.DEPLOYMENTS / "shop" / "overlays" / "redis-ha"))
        self.assertEqual(len(of_chart), 11)
        for name, container in of_chart.items():
            self.assertEqual(container, of_overlay[name], name)

    def let_in(self, policies, host, pods):
        """Who of `pods` may reach the port `http` of `host`."""
        own = [p for p in policies if p["metadata"]["name"] == host]
        self.assertEqual(len(own), 1)
        rules = [rule for rule in own[0]["spec"]["ingress"] if {"port": "http"} in rule["ports"]]
        peers = [peer["podSelector"] for rule in rules for peer in rule["from"]]
        return {name for name, labels in pods.items() if any(rendered.selects(peer, labels) for peer in peers)}
