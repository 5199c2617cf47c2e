"""A Flask application whose files are in S3 and whose keys are lent; over HTTP, as a process of its own."""
import os
import sys
import time

import pytest
import requests

import servers
from conftest import EVERYTHING_IN_S3, REGION

HERE = os.path.dirname(os.path.abspath(__file__))
POLICY = """
path "aws/creds/webapp" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
"""


class App:
    def __init__(self, account, server, folder, role_id, secret_id):
        port = servers.free_port()
        self.url = "http://127.0.0.1:%d" % port
        self.log = str(folder / "app.log")
        env = servers.clean_environment(
            str(folder), VAULT_ADDR=server.url, VAULT_ROLE_ID=role_id, VAULT_SECRET_ID=secret_id, AWS_ROLE="webapp",
            S3_BUCKET="files", AWS_ENDPOINT_URL=account.url, AWS_DEFAULT_REGION=REGION, PORT=str(port))
        self.process = servers.Process([sys.executable, os.path.join(HERE, "app.py")], env,
                                       lambda: requests.get(self.url + "/health", timeout=5), self.log)

    def health(self):
        return requests.get(self.url + "/health", timeout=10).json()

    def names(self):
        reply = requests.get(self.url + "/files", timeout=10)
        with open(self.log, encoding="utf-8") as log:
            assert reply.status_code == 200, log.read()[-4000:]
        return [f["name"] for f in reply.json()["files"]]

    def upload(self, name, data):
        return requests.post(self.url + "/files", files={"file": (name, data, "text/plain")}, timeout=10)


@pytest.fixture
def start(checked_account, server, vault, lend, tmp_path):
    """start(**role): the application under an AppRole with these settings."""
    lend(checked_account).create_or_update_role("webapp", "iam_user", policy_document=EVERYTHING_IN_S3)
    vault.sys.create_or_update_policy("webapp-policy", POLICY)
    vault.sys.enable_auth_method("approle")
    running = []

    def start(**role):
        vault.auth.approle.create_or_update_approle("webapp", token_policies=["webapp-policy"], bind_secret_id=True, **role)
        role_id = vault.auth.approle.read_role_id("webapp")["data"]["role_id"]
        secret_id = vault.auth.approle.generate_secret_id("webapp")["data"]["secret_id"]
        running.append(App(checked_account, server, tmp_path, role_id, secret_id))
        return running[-1]

    yield start
    for app in running:
        app.process.stop()


def test_files_are_uploaded_and_listed_with_a_lent_key(start, checked_account):
    app = start(token_ttl="1h", token_max_ttl="4h")
    assert app.health() == {"status": "healthy", "vault_authenticated": True, "aws_role": "webapp", "logins": 1, "renewals": 0}
    assert checked_account.lent_users() == []  # nothing is borrowed before it is needed
    assert app.names() == []
    assert app.upload("a.txt", b"first").status_code == 201
    assert app.upload("b.txt", b"second").status_code == 201
    assert app.names() == ["uploads/a.txt", "uploads/b.txt"]
    assert len(checked_account.lent_users()) == 1  # one key served them all
    stored = checked_account.client("s3").get_object(Bucket="files", Key="uploads/a.txt")
    assert (stored["Body"].read(), stored["ContentType"]) == (b"first", "text/plain")
    assert requests.post(app.url + "/files", timeout=10).status_code == 400


def test_the_application_outlives_its_token(start, checked_account):
    """The one test that waits for time to pass: a token of 3 s, of 6 s at most, and an application that runs longer."""
    app = start(token_ttl="3s", token_max_ttl="6s")
    app.upload("a.txt", b"first")
    [first_user] = checked_account.lent_users()
    end = time.monotonic() + 30
    while (health := app.health())["logins"] < 3:
        assert app.names() == ["uploads/a.txt"]
        assert time.monotonic() < end, health
        time.sleep(0.2)
    assert health["renewals"] >= 2, health
    assert app.names() == ["uploads/a.txt"]
    # with the first token its key is gone
    while first_user in (users := checked_account.lent_users()):
        assert time.monotonic() < end, users
        time.sleep(0.2)


def test_a_key_that_is_revoked_is_refused(start, checked_account, vault):
    app = start(token_ttl="1h", token_max_ttl="4h")
    assert app.names() == []
    vault.sys.revoke_prefix("aws/creds/webapp")
    assert checked_account.lent_users() == []
    assert requests.get(app.url + "/files", timeout=10).status_code == 500
    with open(app.log, encoding="utf-8") as log:
        assert "InvalidAccessKeyId" in log.read()
