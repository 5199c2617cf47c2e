"""Many clients at once on one thing of which only one can have it."""
import concurrent.futures
import http.client
import json
import threading
import urllib.parse

import pytest

import servers

CLIENTS = 32
ROUNDS = 10


class Crowd:
    """Clients with a connection each, who all ask at the same moment."""

    def __init__(self, server):
        self.root, place = server.root, urllib.parse.urlsplit(server.url).netloc
        self.lines = [http.client.HTTPConnection(place, timeout=60) for _ in range(CLIENTS)]
        for line in self.lines:
            line.connect()
        self.pool = concurrent.futures.ThreadPoolExecutor(CLIENTS)

    def ask(self, method, path, body_of, token_of=None):
        """[(status, reply)] of every client; what it sends is made from its number."""
        start = threading.Barrier(CLIENTS)

        def one(number):
            body = json.dumps(body_of(number))
            start.wait()
            self.lines[number].request(method, "/v1/" + path, body, {"X-Vault-Token": token_of or self.root})
            reply = self.lines[number].getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else None

        return list(self.pool.map(one, range(CLIENTS)))

    def close(self):
        self.pool.shutdown()
        for line in self.lines:
            line.close()


@pytest.fixture
def crowd(server):
    crowd = Crowd(server)
    yield crowd
    crowd.close()


def test_each_version_of_a_secret_has_one_writer(server, crowd):
    server.call("POST", "sys/mounts/kv2", {"type": "kv", "options": {"version": "2"}})
    for version in range(ROUNDS):
        asked = crowd.ask("POST", "kv2/data/fought-over", lambda n: {"data": {"by": n}, "options": {"cas": version}})
        winners = [n for n, (status, _) in enumerate(asked) if status == 200]
        assert len(winners) == 1, winners
        for status, reply in asked:
            if status != 200:
                assert (status, reply["errors"]) == (400, ["check-and-set parameter did not match the current version"])
        written = server.call("GET", "kv2/data/fought-over")["data"]
        assert written["metadata"]["version"] == version + 1
        assert written["data"] == {"by": winners[0]}


def test_writes_without_a_condition_all_get_a_version_of_their_own(server, crowd):
    server.call("POST", "sys/mounts/kv2", {"type": "kv", "options": {"version": "2"}})
    server.call("POST", "kv2/metadata/shared", {"max_versions": 100})
    asked = crowd.ask("POST", "kv2/data/shared", lambda n: {"data": {"by": n}})
    assert sorted(reply["data"]["version"] for status, reply in asked) == list(range(1, CLIENTS + 1))
    for n, (_, reply) in enumerate(asked):
        version = reply["data"]["version"]
        assert server.call("GET", "kv2/data/shared?version=%d" % version)["data"]["data"] == {"by": n}


@pytest.mark.parametrize("holder", ["first party", "third party"])
def test_a_wrapping_token_is_opened_once(server, crowd, holder):
    for _ in range(ROUNDS):
        made = servers.http("POST", server.url + "/v1/auth/token/create", {"policies": ["default"]}, server.root)[1]
        token = made["auth"]["client_token"]
        wrapped = wrap(server, {"inside": token})
        if holder == "first party":
            asked = crowd.ask("PUT", "sys/wrapping/unwrap", lambda n: {}, wrapped)
        else:
            asked = crowd.ask("PUT", "sys/wrapping/unwrap", lambda n: {"token": wrapped})
        got = [reply["data"] for status, reply in asked if status == 200]
        assert got == [{"inside": token}]
        others = {(status, *reply["errors"]) for status, reply in asked if status != 200}
        # 403: the token's only use was taken between the look at it and its own request
        assert others <= {(400, "wrapping token is not valid or does not exist"), (403, "permission denied")}


def wrap(server, data):
    request = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=30)
    request.request("PUT", "/v1/sys/wrapping/wrap", json.dumps(data), {"X-Vault-Token": server.root, "X-Vault-Wrap-TTL": "60s"})
    token = json.loads(request.getresponse().read())["wrap_info"]["token"]
    request.close()
    return token


def test_a_secret_id_of_one_use_logs_in_once(server, crowd):
    # those who come late would lock the role out for its next round
    server.call("POST", "sys/auth/approle", {"type": "approle"})
    server.call("POST", "sys/auth/approle/tune", {"user_lockout_config": {"lockout_disable": True}})
    server.call("POST", "auth/approle/role/app", {"token_policies": "default", "secret_id_num_uses": 1})
    role = server.call("GET", "auth/approle/role/app/role-id")["data"]["role_id"]
    for _ in range(ROUNDS):
        secret = server.call("POST", "auth/approle/role/app/secret-id")["data"]["secret_id"]
        asked = crowd.ask("POST", "auth/approle/login", lambda n: {"role_id": role, "secret_id": secret})
        assert sorted(status for status, _ in asked) == [200] + [400] * (CLIENTS - 1)
