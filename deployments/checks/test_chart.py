"""The chart by itself: sound, and strict about what it is told."""

import tempfile
import unittest
from pathlib import Path

import rendered
import tree

CHART = tree.DEPLOYMENTS / "helm" / "shop"


class Chart(unittest.TestCase):
    def test_it_is_sound(self):
        tree.run(tree.program("helm"), "lint", "--strict", CHART)
        tree.run(tree.program("helm"), "lint", "--strict", CHART.parent / "refrain")

    def test_a_value_that_does_not_exist_is_refused(self):
        for wrong in ("--set=replica=3", "--set=replicas=0", "--set=redis.port=none", "--set=istio.enable=true"):
            said = tree.run(tree.program("helm"), "template", "shop", CHART, wrong, ok=False)
            self.assertIn("schema", said, wrong)

    def test_a_package_has_the_samples_and_the_library_in_it(self):
        with tempfile.TemporaryDirectory() as folder:
            tree.run(tree.program("helm"), "package", CHART, "--destination", folder)
            (package,) = Path(folder).glob("shop-*.tgz")
            shown = tree.run(tree.program("helm"), "template", "shop", package, "--namespace=shop")
            self.assertEqual(tree.load_all(shown), rendered.helm())

    def test_an_older_cluster_is_told_at_once(self):
        said = tree.run(tree.program("helm"), "template", "shop", CHART, "--kube-version=1.28.0", ok=False)
        self.assertIn("kubeVersion", said)

    def test_the_notes_say_where_the_shop_is(self):
        said = tree.run(tree.program("helm"), "install", "shop", CHART, "--dry-run=client", "--namespace=market", *rendered.EVERYTHING)
        self.assertIn("https://shop.example", said)
        self.assertIn("--namespace market port-forward", said)
