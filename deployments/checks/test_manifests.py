"""What would be applied to a cluster: valid, complete, and no more than the restricted standard lets it be."""

import re
import unittest

import kubernetes_validate

import rendered
import tree

# The oldest Kubernetes that has all that is used (a preStop that sleeps is there since 1.30), and a new one.
VERSIONS = ("1.30", "1.34")
# What an overlay without secrets of its own expects, as deployments/README.md says.
SECRETS = {
    "shop-refrain": {"saga-key", "store-key"},
    "shop-redis": {"password"},
    "shop-databases": {"postgres", *tree.SERVICES},
}


class Manifests(unittest.TestCase):
    @rendered.in_each_form
    def test_every_manifest_is_what_its_schema_says(self, manifests):
        checked = 0
        for manifest in manifests:
            if not rendered.is_foreign(manifest):
                for version in VERSIONS:
                    kubernetes_validate.validate(manifest, version, strict=True)
                    checked += 1
        self.assertGreater(checked, 80)

    def test_a_manifest_with_a_wrong_key_is_refused(self):
        wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"prot": 1}]}}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)

    @rendered.in_each_form
    def test_every_name_is_there_once_and_in_the_namespace_of_the_shop(self, manifests):
        names = [(m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in manifests]
        self.assertEqual(len(names), len(set(names)))
        outside = [m for m in manifests if m["kind"] != "Namespace" and m["metadata"].get("namespace", "shop") != "shop"]
        self.assertEqual(outside, [])

    @rendered.in_each_form
    def test_every_pod_meets_the_restricted_standard(self, manifests):
        for workload in rendered.workloads(manifests):
            spec = rendered.pod(workload)
            at = workload["metadata"]["name"]
            for key in ("hostNetwork", "hostPID", "hostIPC"):
                self.assertFalse(spec.get(key), f"{at}: {key}")
            kinds = {key for volume in spec.get("volumes", []) for key in volume if key != "name"}
            self.assertLessEqual(kinds, {"configMap", "emptyDir", "projected", "secret", "persistentVolumeClaim"}, at)
            for container in rendered.containers(workload):
                security = container["securityContext"]
                at = f"{workload['metadata']['name']}/{container['name']}"
                self.assertIs(security["allowPrivilegeEscalation"], False, at)
                self.assertEqual(security["capabilities"], {"drop": ["ALL"]}, at)
                self.assertIs(security["runAsNonRoot"], True, at)
                self.assertNotEqual(security.get("runAsUser"), 0, at)
                self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"}, at)
                # More than the standard asks.
                self.assertIs(security["readOnlyRootFilesystem"], True, at)
                for bound in ("requests", "limits"):
                    self.assertEqual(set(container["resources"][bound]), {"cpu", "memory"}, at)

    @rendered.in_each_form
    def test_no_pod_has_a_token_of_the_cluster(self, manifests):
        accounts = rendered.of(manifests, "ServiceAccount")
        for workload in rendered.workloads(manifests):
            spec = rendered.pod(workload)
            self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertIs(rendered.named(accounts, spec["serviceAccountName"])["automountServiceAccountToken"], False)

    @rendered.in_each_form
    def test_every_container_says_whether_it_is_ready(self, manifests):
        for workload in rendered.workloads(manifests):
            for container in rendered.containers(workload):
                self.assertIn("readinessProbe", container, workload["metadata"]["name"])

    @rendered.in_each_form
    def test_what_a_pod_takes_from_secrets_and_config_maps_is_there(self, manifests):
        maps = {m["metadata"]["name"]: set(m["data"]) for m in rendered.of(manifests, "ConfigMap")}
        made = {m["metadata"]["name"]: set(m["data"]) for m in rendered.of(manifests, "Secret")}
        # Generated names end with a hash of what is in them.
        secrets = made or SECRETS
        for workload in rendered.workloads(manifests):
            for volume in rendered.pod(workload).get("volumes", []):
                if "configMap" in volume:
                    keys = maps[volume["configMap"]["name"]]
                    self.assertLessEqual({item["key"] for item in volume["configMap"].get("items", [])}, keys)
            for container in rendered.containers(workload):
                for variable in container.get("env", []):
                    reference = variable.get("valueFrom", {}).get("secretKeyRef")
                    if reference:
                        self.assertIn(reference["key"], secrets[reference["name"]])
                volumes = {volume["name"] for volume in rendered.pod(workload).get("volumes", [])}
                volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
                self.assertLessEqual({mount["name"] for mount in container.get("volumeMounts", [])}, volumes)
        self.assertEqual({key for keys in SECRETS.values() for key in keys} - {k for v in secrets.values() for k in v}, set())

    @rendered.in_each_form
    def test_a_variable_is_used_only_after_it_was_set(self, manifests):
        for workload in rendered.workloads(manifests):
            for container in rendered.containers(workload):
                known = set()
                for variable in container.get("env", []):
                    used = set(re.findall(r"\$\(([A-Z_]+)\)", variable.get("value", "")))
                    self.assertLessEqual(used, known, f"{workload['metadata']['name']}/{variable['name']}")
                    known.add(variable["name"])
                used = set(re.findall(r"\$\(([A-Z_]+)\)", " ".join(container.get("args", []))))
                self.assertLessEqual(used, known)

    @rendered.in_each_form
    def test_every_port_that_is_named_is_a_port_of_the_pod(self, manifests):
        pods = rendered.workloads(manifests)
        for service in rendered.of(manifests, "Service"):
            taken = self.taken(service["spec"]["selector"], pods)
            self.assertEqual(len(taken), 1, f"{service['metadata']['name']} leads to {len(taken)} workloads")
            for port in service["spec"]["ports"]:
                self.assertIn("appProtocol", port)
                target = self.port(taken[0], port["targetPort"])
                self.assertEqual(target, port["port"], f"{service['metadata']['name']}: the same port inside and outside")
        for workload in pods:
            for container in rendered.containers(workload):
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    if "httpGet" in container.get(probe, {}):
                        names = {port["name"] for port in container["ports"]}
                        self.assertIn(container[probe]["httpGet"]["port"], names)

    @rendered.in_each_form
    def test_every_policy_and_budget_is_for_a_pod_that_is_there(self, manifests):
        pods = rendered.workloads(manifests)
        for manifest in rendered.of(manifests, "PodDisruptionBudget", "NetworkPolicy"):
            spec = manifest["spec"]
            selector = spec.get("podSelector", spec.get("selector"))
            taken = [pod for pod in pods if rendered.selects(selector, pod["spec"]["template"]["metadata"]["labels"])]
            self.assertTrue(taken, manifest["metadata"]["name"])
            for rule in spec.get("ingress", []):
                for port in rule["ports"]:
                    for workload in taken:
                        self.port(workload, port["port"])

    def taken(self, labels, pods):
        return [pod for pod in pods if rendered.selects({"matchLabels": labels}, pod["spec"]["template"]["metadata"]["labels"])]

    def port(self, workload, name):
        ports = [port for container in rendered.containers(workload) for port in container.get("ports", [])]
        return rendered.named(ports, name)["containerPort"]
