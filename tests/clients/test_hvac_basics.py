"""hvac, the Python client, against all that this server does."""
import json
import os

import hvac
import hvac.exceptions
import pytest

import servers
from conftest import EVERYTHING_IN_S3


def test_a_server_is_initialised_unsealed_and_sealed_again(fresh_server):
    vault = hvac.Client(url=fresh_server.url)
    assert vault.sys.is_initialized() is False
    assert vault.sys.is_sealed() is True
    made = vault.sys.initialize(secret_shares=5, secret_threshold=3)
    assert len(set(made["keys"])) == 5
    with pytest.raises(hvac.exceptions.InvalidRequest, match="already initialized"):
        vault.sys.initialize()
    assert vault.sys.submit_unseal_key(made["keys"][0])["progress"] == 1
    assert vault.sys.submit_unseal_key(made["keys"][4])["progress"] == 2
    assert vault.sys.submit_unseal_key(reset=True)["progress"] == 0
    assert vault.sys.submit_unseal_keys(made["keys"][1:4])["sealed"] is False
    vault.token = made["root_token"]
    assert vault.is_authenticated()
    vault.sys.seal()
    assert vault.sys.is_sealed() is True
    with pytest.raises(hvac.exceptions.VaultDown):
        vault.auth.token.lookup_self()
    vault.sys.submit_unseal_keys(made["keys"][:3])
    assert vault.is_authenticated()


def test_what_is_written_outlives_the_process():
    with servers.tempfile.TemporaryDirectory(prefix="store-") as folder:
        config = {"storage": {"embedded": {"path": os.path.join(folder, "store")}}}
        with servers.Leasehold(config=config) as first:
            first.initialise()
            vault = hvac.Client(url=first.url, token=first.root)
            vault.sys.enable_secrets_engine("kv", path="kept", options={"version": "1"})
            vault.secrets.kv.v1.create_or_update_secret("a", {"b": "c"}, mount_point="kept")
            token = vault.auth.token.create(policies=["default"], ttl="1h")["auth"]["client_token"]
            root, key = first.root, first.unseal_key
        with servers.Leasehold(config=config) as second:
            vault = hvac.Client(url=second.url, token=root)
            assert vault.sys.is_sealed() is True
            vault.sys.submit_unseal_key(key)
            assert vault.secrets.kv.v1.read_secret("a", mount_point="kept")["data"] == {"b": "c"}
            assert hvac.Client(url=second.url, token=token).lookup_token()["data"]["policies"] == ["default"]


def test_an_application_logs_in_and_may_do_what_its_policy_says(server, vault):
    vault.sys.enable_auth_method("approle")
    vault.sys.enable_secrets_engine("kv", path="kv1", options={"version": "1"})
    vault.secrets.kv.v1.create_or_update_secret("app/db", {"user": "u", "password": "p"}, mount_point="kv1")
    vault.secrets.kv.v1.create_or_update_secret("other", {"x": "y"}, mount_point="kv1")
    vault.sys.create_or_update_policy("app", 'path "kv1/app/*" { capabilities = ["read", "list"] }')
    vault.auth.approle.create_or_update_approle("app", token_policies=["app"], token_ttl="20m", secret_id_num_uses=2)
    role_id = vault.auth.approle.read_role_id("app")["data"]["role_id"]
    secret_id = vault.auth.approle.generate_secret_id("app", metadata={"host": "one"})["data"]["secret_id"]

    app = hvac.Client(url=server.url)
    auth = app.auth.approle.login(role_id=role_id, secret_id=secret_id)["auth"]
    assert (auth["lease_duration"], auth["metadata"]["host"]) == (1200, "one")
    assert sorted(auth["policies"]) == ["app", "default"]
    assert app.secrets.kv.v1.read_secret("app/db", mount_point="kv1")["data"]["password"] == "p"
    for forbidden in (lambda: app.secrets.kv.v1.read_secret("other", mount_point="kv1"),
                      lambda: app.secrets.kv.v1.create_or_update_secret("app/db", {"a": "b"}, mount_point="kv1"),
                      lambda: app.sys.list_policies()):
        with pytest.raises(hvac.exceptions.Forbidden):
            forbidden()

    hvac.Client(url=server.url).auth.approle.login(role_id=role_id, secret_id=secret_id)
    with pytest.raises(hvac.exceptions.InvalidRequest):
        hvac.Client(url=server.url).auth.approle.login(role_id=role_id, secret_id=secret_id)  # its third use


def test_values_are_kept_listed_and_deleted(vault):
    vault.sys.enable_secrets_engine("kv", path="kv1", options={"version": "1"})
    kv = vault.secrets.kv.v1
    kv.create_or_update_secret("foo", {"n": 1, "deep": {"list": [1, "two", None]}}, mount_point="kv1")
    kv.create_or_update_secret("bar/inner", {"a": "b"}, mount_point="kv1")
    assert kv.read_secret("foo", mount_point="kv1")["data"] == {"n": 1, "deep": {"list": [1, "two", None]}}
    assert kv.list_secrets("", mount_point="kv1")["data"]["keys"] == ["bar/", "foo"]
    kv.delete_secret("foo", mount_point="kv1")
    kv.delete_secret("foo", mount_point="kv1")
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.read_secret("foo", mount_point="kv1")


def test_policies_come_back_as_written(vault):
    text = '# why\npath "a/*" {\n  capabilities = ["read"]\n}\n'
    vault.sys.create_or_update_policy("Reader", text)
    assert "reader" in vault.sys.list_policies()["data"]["policies"]
    assert vault.sys.read_policy("reader")["data"]["rules"] == text
    with pytest.raises(hvac.exceptions.InvalidRequest):
        vault.sys.create_or_update_policy("bad", 'path "a" { capabilities = ["fly"] }')
    vault.sys.delete_policy("reader")
    with pytest.raises(hvac.exceptions.InvalidPath):
        vault.sys.read_policy("reader")


def test_tokens_are_made_looked_up_renewed_and_end_with_their_parent(server, vault):
    parent = vault.auth.token.create(policies=["default"], ttl="1h", display_name="ci", meta={"team": "red"})["auth"]
    other = hvac.Client(url=server.url, token=parent["client_token"])
    seen = other.auth.token.lookup_self()["data"]
    assert (seen["display_name"], seen["meta"], seen["num_uses"]) == ("token-ci", {"team": "red"}, 0)
    assert other.auth.token.renew_self(increment="30m")["auth"]["lease_duration"] == 1800
    child = vault.auth.token.create(policies=["default"], ttl="1h", num_uses=2)["auth"]["client_token"]
    counted = hvac.Client(url=server.url, token=child)
    counted.auth.token.lookup_self()
    counted.auth.token.lookup_self()
    with pytest.raises(hvac.exceptions.Forbidden):
        counted.auth.token.lookup_self()

    vault.sys.create_or_update_policy("maker", 'path "auth/token/create" { capabilities = ["update"] }')
    maker = vault.auth.token.create(policies=["maker"], ttl="1h")["auth"]["client_token"]
    grandchild = hvac.Client(url=server.url, token=maker).auth.token.create(ttl="1h")["auth"]["client_token"]
    vault.auth.token.revoke(maker)
    for ended in (maker, grandchild):
        with pytest.raises(hvac.exceptions.Forbidden):
            hvac.Client(url=server.url, token=ended).auth.token.lookup_self()

    assert vault.auth.token.lookup_accessor(parent["accessor"])["data"]["id"] == ""
    vault.auth.token.revoke_accessor(parent["accessor"])
    assert not other.is_authenticated()


def test_a_wrapped_reply_is_opened_once(server, vault):
    vault.sys.enable_secrets_engine("kv", path="kv1", options={"version": "1"})
    vault.secrets.kv.v1.create_or_update_secret("a", {"b": "c"}, mount_point="kv1")
    wrapped = vault.read("kv1/a", wrap_ttl="60s")["wrap_info"]
    assert (wrapped["ttl"], wrapped["creation_path"]) == (60, "kv1/a")
    # who has no token but this one
    stranger = hvac.Client(url=server.url, token=wrapped["token"])
    assert stranger.sys.unwrap()["data"] == {"b": "c"}
    for holder in (stranger, vault):
        with pytest.raises(hvac.exceptions.InvalidRequest, match="wrapping token is not valid or does not exist"):
            holder.sys.unwrap(token=wrapped["token"])


def test_a_cubbyhole_belongs_to_its_token(server, vault):
    vault.write("cubbyhole/mine", a="b")
    assert vault.read("cubbyhole/mine")["data"] == {"a": "b"}
    other = vault.auth.token.create(policies=["default"], ttl="1h")["auth"]["client_token"]
    assert hvac.Client(url=server.url, token=other).read("cubbyhole/mine") is None


def test_leases_are_listed_looked_up_renewed_and_revoked(account, vault, lend):
    aws = lend(account)
    aws.create_or_update_role("r", "iam_user", policy_document=EVERYTHING_IN_S3)
    vault.write("aws/config/lease", lease="1h", lease_max="2h")
    lease = aws.generate_credentials("r")["lease_id"]
    assert vault.sys.list_leases("aws/creds/r")["data"]["keys"] == [lease.rsplit("/", 1)[1]]
    assert 3590 <= vault.sys.read_lease(lease)["data"]["ttl"] <= 3600
    assert vault.sys.renew_lease(lease, increment=5400)["lease_duration"] == 5400
    assert vault.sys.renew_lease(lease, increment=999999)["lease_duration"] <= 7200
    vault.sys.revoke_lease(lease)
    with pytest.raises(hvac.exceptions.InvalidPath):
        vault.sys.list_leases("aws/creds/r")


def test_audit_lines_tell_who_did_what_and_no_secret(server, vault, tmp_path):
    path = str(tmp_path / "audit.log")
    vault.sys.enable_audit_device("file", options={"file_path": path})
    vault.sys.enable_secrets_engine("kv", path="kv1", options={"version": "1"})
    vault.secrets.kv.v1.create_or_update_secret("a", {"password": "told-to-nobody"}, mount_point="kv1")
    vault.secrets.kv.v1.read_secret("a", mount_point="kv1")
    expected = vault.sys.calculate_hash("file", "told-to-nobody")["data"]["hash"]
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert "told-to-nobody" not in text
    assert server.root not in text
    lines = [json.loads(line) for line in text.splitlines()]
    written = [x for x in lines if x["type"] == "request" and x["request"]["path"] == "kv1/a" and x["request"].get("data")]
    assert [x["request"]["data"] for x in written] == [{"password": expected}]
