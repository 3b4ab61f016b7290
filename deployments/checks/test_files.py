"""Dockerfiles, Skaffold, Prometheus: what has no schema of its own here is held against what is in the repository."""

import re
import tomllib
import unittest

import promql_parser
import yaml

import rendered
import tree

RULES = tree.DEPLOYMENTS / "prometheus" / "refrain.rules.yaml"


class Images(unittest.TestCase):
    def dockerfiles(self):
        files = sorted((tree.DEPLOYMENTS / "images").glob("*.Dockerfile"))
        self.assertEqual([file.name for file in files], ["refrain.Dockerfile", "shop.Dockerfile"])
        return files

    def test_the_dockerfiles_are_sound(self):
        import sys
        from pathlib import Path

        for file in self.dockerfiles():
            tree.run(Path(sys.prefix) / "bin" / "hadolint", file)

    def test_they_are_built_by_the_toolchain_of_the_repository(self):
        toolchain = tomllib.loads(tree.read("rust-toolchain.toml"))["toolchain"]["channel"]
        for file in self.dockerfiles():
            self.assertIn(f"FROM rust:{toolchain}-", file.read_text())

    def test_they_run_without_a_shell_and_without_root(self):
        for file in self.dockerfiles():
            stages = re.split(r"(?m)^FROM ", file.read_text())
            self.assertTrue(stages[-1].startswith("gcr.io/distroless/"))
            self.assertIn("USER 65532:65532", stages[-1])
            self.assertNotIn("\nRUN ", stages[-1])

    def test_what_the_build_needs_is_sent_to_it(self):
        lines = [line for line in tree.read(".dockerignore").splitlines() if line and not line.startswith("#")]
        self.assertEqual(lines[0], "*", "nothing but what is named")
        sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
        self.assertLessEqual({"Cargo.toml", "Cargo.lock", "rust-toolchain.toml"}, sent)
        for name in sent:
            self.assertTrue((tree.ROOT / name).exists(), name)
        for member in tomllib.loads(tree.read("Cargo.toml"))["workspace"]["members"]:
            self.assertIn(member.split("/")[0], sent)


class Skaffold(unittest.TestCase):
    def test_it_builds_the_images_that_its_manifests_name(self):
        file = tree.load("deployments/skaffold.yaml")
        self.assertEqual(file["apiVersion"], "skaffold/v4beta11")
        built = {artifact["image"] for artifact in file["build"]["artifacts"]}
        for artifact in file["build"]["artifacts"]:
            context = tree.DEPLOYMENTS / artifact["context"]
            self.assertTrue((context / artifact["docker"]["dockerfile"]).exists())
        paths = [path for form in (file, *file["profiles"]) for path in form["manifests"]["kustomize"]["paths"]]
        for path in paths:
            manifests = rendered.kustomize(tree.DEPLOYMENTS / path)
            images = {c["image"].split(":")[0] for w in rendered.workloads(manifests) for c in rendered.containers(w)}
            self.assertLessEqual(built, images)
            self.assertEqual({image for image in images if "/" not in image}, built, "all others are pulled")

    def test_what_it_forwards_is_a_port_of_a_service(self):
        file = tree.load("deployments/skaffold.yaml")
        services = rendered.of(rendered.kustomize(tree.DEPLOYMENTS / file["manifests"]["kustomize"]["paths"][0]), "Service")
        for forward in file["portForward"]:
            ports = rendered.named(services, forward["resourceName"])["spec"]["ports"]
            self.assertIn(forward["port"], [port["port"] for port in ports])
            self.assertEqual(forward["namespace"], "shop")
        for profile in file["profiles"]:
            for patch in profile["patches"]:
                self.assertEqual(file["portForward"][int(patch["path"].rsplit("/", 1)[1])]["resourceName"], "jaeger")


class Prometheus(unittest.TestCase):
    def rules(self):
        (group,) = yaml.safe_load(RULES.read_text())["groups"]
        return group["rules"]

    def test_every_alert_is_a_query_over_metrics_that_exist(self):
        listed = set(re.findall(r"(?m)^\| `(refrain_\w+)` \|", tree.read("docs/metrics.md")))
        self.assertGreater(len(self.rules()), 8)
        for rule in self.rules():
            promql_parser.parse(rule["expr"])
            named = set(re.findall(r"\brefrain_\w+", rule["expr"]))
            self.assertLessEqual(named, listed, rule["alert"])
            self.assertTrue(named or rule["expr"].startswith("up "), rule["alert"])

    def test_every_label_that_an_alert_uses_is_one_of_its_metric(self):
        page = tree.read("docs/metrics.md")
        for rule in self.rules():
            for metric, matchers in re.findall(r"(refrain_\w+)\{([^}]*)\}", rule["expr"]):
                (row,) = re.findall(rf"(?m)^\| `{metric}` .*$", page)
                for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
                    self.assertIn(f"`{label}`", row, rule["alert"])
                    known = row if f"`{value}`" in row else page
                    self.assertIn(f"`{value}`", known, rule["alert"])
            by = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"])))) - {"job", "instance"}
            for label in by:
                metrics = re.findall(r"refrain_\w+", rule["expr"])
                self.assertTrue(any(f"`{label}`" in line for m in metrics for line in re.findall(rf"(?m)^\| `{m}` .*$", page)))

    def test_every_alert_says_what_it_means_and_how_bad_it_is(self):
        for rule in self.rules():
            self.assertLessEqual(set(rule), {"alert", "expr", "for", "labels", "annotations"})
            self.assertIn(rule["labels"]["severity"], ("page", "ticket"))
            self.assertEqual(set(rule["annotations"]), {"summary", "description"})

    def test_a_query_that_is_none_is_refused(self):
        with self.assertRaises(ValueError):
            promql_parser.parse("sum by (job (refrain_unknown_open)")

    def test_what_is_scraped_has_that_name_and_port_in_a_cluster_and_under_compose(self):
        services = rendered.of(rendered.kustomize(tree.DEPLOYMENTS / "shop" / "overlays" / "dev"), "Service")
        compose = yaml.safe_load((tree.DEPLOYMENTS / "compose.yaml").read_text())["services"]
        jobs = tree.load("deployments/prometheus/prometheus.yaml")["scrape_configs"]
        self.assertEqual({job["job_name"] for job in jobs}, {"edge", *tree.SERVICES})
        for job in jobs:
            ((found,),) = (entry["names"] for entry in job["dns_sd_configs"])
            port = job["dns_sd_configs"][0]["port"]
            spec = rendered.named(services, found)["spec"]
            self.assertEqual((spec["clusterIP"], [entry["port"] for entry in spec["ports"]]), ("None", [port]))
            aliases = compose[job["job_name"]]["networks"]["sidecars"]["aliases"]
            self.assertIn(found, aliases)
            self.assertEqual(compose[job["job_name"]]["environment"]["REFRAIN_ADMIN"], f"0.0.0.0:{port}")
            self.assertIn("sidecars", compose["prometheus"]["networks"])

    def test_the_rules_are_where_prometheus_looks_for_them(self):
        self.assertEqual(tree.load("deployments/prometheus/prometheus.yaml")["rule_files"], [RULES.name])


if __name__ == "__main__":
    unittest.main()
