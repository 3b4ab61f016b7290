"""The Compose file: as its specification has it, and wired as the sidecars' files say."""

import itertools
import re
import unittest

import compose_spec
import yaml

import tree

FILE = tree.DEPLOYMENTS / "compose.yaml"


def interpolated(text):
    """`${NAME:-default}` by its default: what a fresh machine gets."""
    assert not re.search(r"\$\{[A-Z_]+\}", text), "a variable without a default"
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = yaml.safe_load(interpolated(FILE.read_text()))
        cls.services = cls.file["services"]
        cls.refrains = {name: s for name, s in cls.services.items() if s["image"].startswith("refrain:")}

    def test_it_is_what_the_specification_says(self):
        parsed = compose_spec.PyCompose.from_yaml(yaml.safe_dump(self.file))
        parsed.validate()
        self.assertEqual(set(parsed.service_names()), set(self.services))

    def test_what_is_wrong_is_refused(self):
        with self.assertRaises(ValueError):
            compose_spec.PyCompose.from_yaml("services: {a: {image: b, imagee: c}}")

    def test_what_each_refrain_is_given_passes_check(self):
        self.assertEqual(set(self.refrains), {"edge", *tree.SERVICES})
        for name, service in self.refrains.items():
            with self.subTest(service=name):
                variables = {key: str(value) for key, value in service["environment"].items()}
                sources = dict(volume.removesuffix(":ro").split(":")[::-1] for volume in service["volumes"])
                folder, file = variables["REFRAIN_CONFIG"].rsplit("/", 1)
                variables["REFRAIN_CONFIG"] = str((FILE.parent / sources[folder]).resolve() / file)
                tree.run(tree.built("refrain"), "check", environment=variables)

    def test_every_file_that_is_mounted_is_there(self):
        for name, service in self.services.items():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((FILE.parent / source).exists(), f"{name}: {source}")
                    self.assertTrue(volume.endswith(":ro"), f"{name}: {volume}")
                else:
                    self.assertIn(source, self.file["volumes"])

    def test_every_container_is_read_only_no_root_and_checked(self):
        for name, service in self.services.items():
            self.assertIs(service["read_only"], True, name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertFalse(service["user"].startswith(("0", "root")), name)
            self.assertIn("no-new-privileges:true", service["security_opt"], name)
            if not service.get("profiles"):
                self.assertIn("healthcheck", service, name)

    def test_only_its_own_refrain_and_the_database_share_a_network_with_a_service(self):
        networks = {name: set(service["networks"]) for name, service in self.services.items()}
        for name in tree.SERVICES:
            meets = {other for other in networks if networks[other] & networks[f"{name}-service"]} - {f"{name}-service"}
            databases = {"postgres", *(f"{other}-service" for other in tree.SERVICES)} - {f"{name}-service"}
            self.assertEqual(meets, databases | {name})
            self.assertIs(self.file["networks"][name]["internal"], True)

    def test_only_loopback_of_this_machine_is_published(self):
        published = [port for service in self.services.values() for port in service.get("ports", [])]
        self.assertTrue(published)
        for port in published:
            self.assertTrue(port.startswith("127.0.0.1:"), port)
        outside = [port.split(":")[1] for port in published]
        self.assertEqual(len(outside), len(set(outside)))

    def test_who_is_called_can_be_reached_by_that_name(self):
        for name, service in self.refrains.items():
            for url in service["environment"]["REFRAIN_UPSTREAM"].split():
                host, port = re.fullmatch(r"(?:[a-z]+=)?http://([a-z-]+):(\d+)", url).groups()
                called = self.services[host]
                self.assertTrue(set(called["networks"]) & set(service["networks"]), f"{name} and {host} meet nowhere")
                listens = called.get("environment", {}).get("REFRAIN_LISTEN") or called["command"][-1]
                self.assertEqual(listens, f"0.0.0.0:{port}", host)

    def test_what_somebody_waits_for_has_a_health(self):
        for name, service in self.services.items():
            for other, how in service.get("depends_on", {}).items():
                self.assertEqual(how, {"condition": "service_healthy"}, name)
                self.assertIn("healthcheck", self.services[other])

    def test_no_two_refrains_share_a_store(self):
        stores = [s["environment"]["REFRAIN_STORE"] for s in self.refrains.values() if "REFRAIN_STORE" in s["environment"]]
        self.assertEqual(len(stores), 5)
        for one, other in itertools.combinations(stores, 2):
            self.assertNotEqual(one, other)
