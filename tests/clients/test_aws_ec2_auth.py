"""Instances of EC2 log in: with the command line as tutorials print it, and with hvac. EC2 is moto, metadata is a stand-in."""
import base64
import concurrent.futures
import json
import os
import subprocess
import tempfile
import urllib.request

import hvac
import hvac.exceptions
import pytest

import servers
from conftest import ACCOUNT, REGION
from instance import Metadata, Notary

IMAGE = "ami-12c6146b"  # one that moto knows


@pytest.fixture(scope="module")
def notary():
    return Notary()


@pytest.fixture
def ec2(account):
    return account.client("ec2")


def launch(ec2):
    return ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]


def configure(server, account, notary):
    server.call("POST", "auth/aws/config/client", {
        "access_key": account.key["aws_access_key_id"], "secret_key": account.key["aws_secret_access_key"],
        "endpoint": account.url, "iam_endpoint": account.url, "sts_endpoint": account.url, "sts_region": REGION,
    })
    server.call("POST", "auth/aws/config/certificate/test", {"aws_public_cert": notary.pem, "type": "pkcs7"})


@pytest.fixture
def aws(server, vault, account, notary):
    """The method at auth/aws, which asks moto and believes the notary."""
    vault.sys.enable_auth_method("aws")
    configure(server, account, notary)
    return vault.auth.aws


def fetch(metadata, name):
    """As an instance's program does (IMDSv2)."""
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    with urllib.request.urlopen(urllib.request.Request(metadata.url + "/latest/api/token", method="PUT", headers=ttl)) as reply:
        token = reply.read().decode()
    url = "%s/latest/dynamic/instance-identity/%s" % (metadata.url, name)
    with urllib.request.urlopen(urllib.request.Request(url, headers={"X-aws-ec2-metadata-token": token})) as reply:
        return reply.read().decode()


def test_the_flow_of_tutorials_word_by_word(server, account, notary, ec2):
    home = tempfile.mkdtemp(prefix="home-")
    env = servers.clean_environment(home, VAULT_ADDR=server.url, VAULT_TOKEN=server.root)

    def vault(*words, ok=True):
        done = subprocess.run([servers.binary(), *words], env=env, capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done.stdout + done.stderr

    vault("auth", "enable", "aws")
    url = account.url
    vault("write", "auth/aws/config/client", "access_key=" + account.key["aws_access_key_id"],
          "secret_key=" + account.key["aws_secret_access_key"], "endpoint=" + url, "sts_endpoint=" + url, "sts_region=" + REGION)
    vault("write", "auth/aws/config/certificate/test", "aws_public_cert=" + notary.pem, "type=pkcs7")
    instance = launch(ec2)
    vault("write", "auth/aws/role/ec2-webapp", "auth_type=ec2", "policies=webapp-policy", "max_ttl=500h",
          "bound_instance_ids=" + instance)
    role = json.loads(vault("read", "-format=json", "auth/aws/role/ec2-webapp"))["data"]
    assert (role["max_ttl"], role["bound_ec2_instance_id"], role["policies"]) == (1_800_000, [instance], ["webapp-policy"])
    assert "bound_instance_ids" not in role

    with Metadata(notary, instance, IMAGE, ACCOUNT, REGION) as metadata:
        pkcs7 = fetch(metadata, "pkcs7").replace("\n", "")
        # the command line asks the metadata service by itself
        env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.url
        nonce = "nonce=5defbf9e-a8f9-3063-bdfc-54b7a42a1f95"
        token = vault("login", "-method=aws", "-token-only", "type=ec2", "role=ec2-webapp", nonce).strip()
        assert server.call("GET", "auth/token/lookup-self", token=token)["data"]["meta"]["role"] == "ec2-webapp"
        vault("login", "-method=aws", "type=ec2", "role=ec2-webapp", "nonce=another", ok=False)
    login = ["write", "auth/aws/login", "role=ec2-webapp", "pkcs7=" + pkcs7]
    shown = vault(*login, nonce)
    assert "webapp-policy" in shown and "token_meta_role_tag_max_ttl" in shown, shown
    vault(*login, nonce)
    refused = vault(*login, "nonce=another", ok=False)
    assert "client nonce mismatch" in refused and "[nonce_mismatch]" in refused, refused


def test_hvac_logs_an_instance_in(aws, vault, notary, ec2):
    instance = launch(ec2)
    # hvac checks its own parameters; the role is bound by what EC2 says of the instance
    aws.create_role("web", auth_type="ec2", bound_ami_id=IMAGE, bound_region=REGION, policies=["webapp-policy"], max_ttl="500h")
    role = aws.read_role("web")
    assert (role["auth_type"], role["bound_ami_id"], role["max_ttl"]) == ("ec2", [IMAGE], 1_800_000)
    with Metadata(notary, instance, IMAGE, ACCOUNT, REGION) as metadata:
        pkcs7 = fetch(metadata, "rsa2048")
    first = aws.ec2_login(pkcs7, role="web", use_token=False)["auth"]
    assert set(first["policies"]) == {"default", "webapp-policy"}
    nonce = first["metadata"]["nonce"]
    again = aws.ec2_login(pkcs7, nonce=nonce, role="web", use_token=False)["auth"]
    assert "nonce" not in again["metadata"] and again["metadata"]["account_id"] == ACCOUNT
    client = hvac.Client(url=vault.url, token=again["client_token"])
    assert client.lookup_token()["data"]["meta"]["role"] == "web"
    assert client.auth.token.renew_self()["auth"]["renewable"] is True
    with pytest.raises(hvac.exceptions.InvalidRequest, match=r"client nonce mismatch.*\[nonce_mismatch\]"):
        aws.ec2_login(pkcs7, nonce="another", role="web")

    entry = vault.read("auth/aws/identity-accesslist/" + instance)["data"]
    assert (entry["role"], entry["client_nonce"]) == ("web", nonce)
    assert vault.list("auth/aws/identity-whitelist")["data"]["keys"] == [instance]

    # no answer of EC2 is kept
    ec2.stop_instances(InstanceIds=[instance])
    with pytest.raises(hvac.exceptions.InvalidRequest, match="instance is not in 'running' state"):
        aws.ec2_login(pkcs7, nonce=nonce, role="web")
    with pytest.raises(hvac.exceptions.VaultError, match="failed to verify instance ID"):
        client.auth.token.renew_self()


def test_role_tags_are_made_and_denied(aws, vault, notary, ec2):
    instance = launch(ec2)
    aws.create_role("web", auth_type="ec2", bound_ami_id=IMAGE, role_tag="VaultRole", policies=["a", "b"])
    tag = aws.create_role_tags("web", policies=["a"], max_ttl="10h")["data"]
    ec2.create_tags(Resources=[instance], Tags=[{"Key": tag["tag_key"], "Value": tag["tag_value"]}])
    with Metadata(notary, instance, IMAGE, ACCOUNT, REGION) as metadata:
        pkcs7 = metadata.pkcs7
    auth = aws.ec2_login(pkcs7, nonce="n", role="web", use_token=False)["auth"]
    assert set(auth["policies"]) == {"a", "default"} and auth["metadata"]["role_tag_max_ttl"] == "10h0m0s"
    vault.write("auth/aws/roletag-denylist/" + base64.b64encode(tag["tag_value"].encode()).decode())
    with pytest.raises(hvac.exceptions.InvalidRequest, match="role tag is deny listed"):
        aws.ec2_login(pkcs7, nonce="n", role="web")
    assert vault.list("auth/aws/roletag-denylist")["data"]["keys"] == [tag["tag_value"]]


def test_after_kill_9_no_nonce_but_the_stored_one_logs_in(account, notary, ec2):
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        config = {"storage": {"embedded": {"path": os.path.join(folder, "store")}}}
        root = key = None
        entries, denied = {}, []
        for round_number in range(8):
            with servers.Leasehold(config=config) as server:
                if root is None:
                    server.initialise()
                    root, key = server.root, server.unseal_key
                    server.call("POST", "sys/auth/aws", {"type": "aws"})
                    configure(server, account, notary)
                    server.call("POST", "auth/aws/role/web", {"auth_type": "ec2", "bound_ami_id": IMAGE})
                    server.call("POST", "auth/aws/role/tagged", {"auth_type": "ec2", "bound_ami_id": IMAGE, "role_tag": "VaultRole"})
                else:
                    server.root = root
                    server.call("PUT", "sys/unseal", {"key": key})
                instance = launch(ec2)
                with Metadata(notary, instance, IMAGE, ACCOUNT, REGION) as metadata:
                    pkcs7 = metadata.pkcs7

                def login(nonce, role="web"):
                    body = {"role": role, "pkcs7": pkcs7, "nonce": nonce}
                    try:
                        return servers.http("POST", server.url + "/v1/auth/aws/login", body, timeout=30)
                    except OSError:
                        return None, None

                nonces = ["nonce-%d" % n for n in range(50)]
                tag = server.call("POST", "auth/aws/role/tagged/tag", {})["data"]
                with concurrent.futures.ThreadPoolExecutor(50) as pool:
                    running = {nonce: pool.submit(login, nonce) for nonce in nonces}
                    # a tag is denied meanwhile; what was answered is kept
                    server.call("POST", "auth/aws/roletag-denylist/" + base64.b64encode(tag["tag_value"].encode()).decode())
                    denied.append(tag["tag_value"])
                    # the first answers, or the first half second of the last rounds, then the process is gone
                    concurrent.futures.wait(list(running.values()), timeout=0.05 * round_number,
                                            return_when=concurrent.futures.FIRST_COMPLETED)
                    server.process.child.kill()
                    server.process.child.wait()
                won = [nonce for nonce, future in running.items() if future.result()[0] == 200]
                assert len(won) <= 1

            with servers.Leasehold(config=config) as server:
                server.root = root
                server.call("PUT", "sys/unseal", {"key": key})
                status, reply = servers.http("GET", server.url + "/v1/auth/aws/identity-accesslist/" + instance, token=root)
                stored = reply["data"]["client_nonce"] if status == 200 else None
                assert not won or won == [stored]
                if stored is None:
                    stored = nonces[0]
                    assert login(stored)[0] == 200
                for nonce in nonces:
                    assert login(nonce)[0] == (200 if nonce == stored else 400), nonce

                # both lists are as they were, with what came before each kill
                entries[instance] = stored
                assert sorted(server.call("LIST", "auth/aws/identity-accesslist")["data"]["keys"]) == sorted(entries)
                for known, nonce in entries.items():
                    assert server.call("GET", "auth/aws/identity-accesslist/" + known)["data"]["client_nonce"] == nonce
                assert sorted(server.call("LIST", "auth/aws/roletag-denylist")["data"]["keys"]) == sorted(denied)
                ec2.create_tags(Resources=[instance], Tags=[{"Key": tag["tag_key"], "Value": tag["tag_value"]}])
                status, reply = login(stored, role="tagged")
                assert status == 400 and reply["errors"][0] == "role tag is deny listed", reply
