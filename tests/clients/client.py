"""A program on hvac: what an application does in its life, against our server.

VAULT_ADDR, ROLE_ID and SECRET_ID are in its environment; languages.py says what they may do.
"""
import os

import hvac
import hvac.exceptions


def refused(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError("not refused")


vault = hvac.Client(url=os.environ["VAULT_ADDR"])
login = vault.auth.approle.login(os.environ["ROLE_ID"], os.environ["SECRET_ID"])
assert sorted(login["auth"]["policies"]) == ["client", "default"], login["auth"]["policies"]

kv = vault.secrets.kv.v2
assert kv.create_or_update_secret("client/python", {"user": "u", "password": "one"}, cas=0)["data"]["version"] == 1
refused(hvac.exceptions.InvalidRequest, lambda: kv.create_or_update_secret("client/python", {"password": "late"}, cas=0))
kv.create_or_update_secret("client/python", {"password": "two"}, cas=1)
kv.patch("client/python", {"port": 5432})
latest = kv.read_secret_version("client/python", raise_on_deleted_version=True)["data"]
assert latest["data"] == {"password": "two", "port": 5432} and latest["metadata"]["version"] == 3, latest
assert kv.read_secret_version("client/python", version=1, raise_on_deleted_version=True)["data"]["data"]["password"] == "one"
assert kv.list_secrets("client")["data"]["keys"] == ["python"]
kv.delete_metadata_and_all_versions("client/python")
refused(hvac.exceptions.InvalidPath, lambda: kv.read_secret_version("client/python", raise_on_deleted_version=True))

wrapping = vault.read("auth/token/lookup-self", wrap_ttl="60s")["wrap_info"]["token"]
assert vault.sys.unwrap(wrapping)["data"]["display_name"] == "approle"
refused(hvac.exceptions.InvalidRequest, lambda: vault.sys.unwrap(wrapping))

key = vault.secrets.aws.generate_credentials("deploy")
assert key["data"]["access_key"].startswith("AKIA") and key["renewable"], key["lease_id"]
assert vault.sys.renew_lease(key["lease_id"], increment=1800)["lease_duration"] == 1800
vault.sys.revoke_lease(key["lease_id"])
refused(hvac.exceptions.InvalidRequest, lambda: vault.sys.renew_lease(key["lease_id"]))

assert vault.auth.token.renew_self(increment=1200)["auth"]["lease_duration"] == 1200
vault.auth.token.revoke_self()
refused(hvac.exceptions.Forbidden, vault.auth.token.lookup_self)
print("done")
