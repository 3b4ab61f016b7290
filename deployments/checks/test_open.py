"""The shop of the overlay redis-ha opens: its containers as processes of this machine, as the manifests tell them."""

import shutil
import time
import unittest
import uuid

import pods
import rendered
import tree

MISSING = [name for name, found in (("redis-server", shutil.which("redis-server")), ("initdb", pods.postgres_programs())) if not found]


@unittest.skipIf(MISSING, f"{MISSING} is not here; scripts/test installs it")
class Open(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pods = pods.Pods(rendered.kustomize(tree.DEPLOYMENTS / "shop" / "overlays" / "redis-ha"))
        cls.pods.__enter__()
        cls.addClassCleanup(cls.pods.__exit__)

    def edge(self, method, path, body=None, **headers):
        return self.pods.ask(method, 8080, path, body, **headers)

    def patient(self, *asked, **headers):
        """As a client does who is told to ask again: an edge that was up before the keys of tokens could be had looks for them every second."""
        until = time.monotonic() + 10
        while True:
            answer = self.edge(*asked, **headers)
            if answer[0] != 503 or not answer[2].get("retryable") or time.monotonic() > until:
                return answer
            time.sleep(0.1)

    def customer(self):
        """The headers of a new customer, with 1000 on the account."""
        email = f"{uuid.uuid4()}@example.com"
        person = {"email": email, "first_name": "Ada", "last_name": "L", "password": "correct horse"}
        status, _, user = self.edge("POST", "/register/", person, Idempotency_Key=str(uuid.uuid4()))
        self.assertEqual(status, 201, user)
        caller = {"Authorization": f"Bearer {user['access_token']}"}
        status, _, account = self.patient("GET", "/account/", **caller)
        self.assertEqual((status, account.get("balance")), (200, 0), account)
        charge = {"account_id": account["id"], "type": "charge", "amount": 1000, "currency": "USD"}
        status, _, said = self.edge("POST", "/balance_transactions/", charge, Idempotency_Key=str(uuid.uuid4()), **caller)
        self.assertEqual(status, 201, said)
        return caller

    def test_an_order_twice_with_one_key_is_one_order_and_one_payment(self):
        caller = self.customer()
        key = str(uuid.uuid4())
        order = {"items": [{"product_id": 7, "quantity": 3}]}
        first = self.edge("POST", "/orders/", order, Idempotency_Key=key, **caller)
        again = self.edge("POST", "/orders/", order, Idempotency_Key=key, **caller)
        self.assertEqual((first[0], first[2]["status"]), (201, "complete"), first[2])
        self.assertEqual(again[2], first[2])
        self.assertEqual(again[1]["Idempotency-Status"], "replayed")
        self.assertEqual(self.edge("GET", "/account/", **caller)[2]["balance"], 700)

    def test_nobody_comes_in_without_a_token_or_to_what_is_inside(self):
        self.assertEqual(self.edge("GET", "/account/")[0], 401)
        self.assertEqual(self.edge("POST", "/internal/orders/", {})[0], 404)
        for port, path in ((8101, "/internal/orders/"), (8102, "/accounts/"), (8103, "/users/"), (8104, "/jwt/encode/")):
            self.assertEqual(self.pods.ask("POST", port, path, {})[0], 403, path)

    def test_every_store_says_that_it_keeps_what_it_acknowledges(self):
        for port in range(9101, 9106):
            status, _, readiness = self.pods.ask("GET", port, "/readyz")
            self.assertEqual((status, readiness["store"]["warnings"]), (200, []), readiness)
            self.assertEqual(readiness["store"]["durability"], "redis, AOF always")

    def test_the_health_check_of_a_container_finds_the_admin_side_on_every_address(self):
        for port in range(9101, 9106):
            admin = f"0.0.0.0:{self.pods.port(port)}"
            said = tree.run(tree.built("refrain"), "ready", environment=tree.clean_environment(REFRAIN_ADMIN=admin))
            self.assertIn('"ready":true', said)

    def test_what_the_pages_are_about_is_shown_from_the_first_moment(self):
        _, _, shown = self.pods.ask("GET", 9101, "/metrics")
        for sample in ("refrain_store_ready 1", "refrain_unknown_open 0", "refrain_store_backlog 0", 'refrain_sagas_stored{state="quarantined"} 0'):
            self.assertIn(f"\n{sample}\n", shown)

    def test_no_service_may_enter_the_database_of_another(self):
        self.assertEqual(self.pods.psql("orders", "orders", "SELECT 1").returncode, 0)
        self.assertIn("permission denied", self.pods.psql("orders", "billing", "SELECT 1").stderr)

    def test_z_everything_stops_in_order(self):
        codes = self.pods.stop()
        self.assertEqual(len(codes), 11)
        self.assertEqual({name: code for name, code in codes.items() if code != 0}, {})
