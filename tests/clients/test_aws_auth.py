"""Logins by AWS, signed by hvac, boto3 and the command line; AWS is the server's own stand-in, which checks signatures, or moto."""
import base64
import json
import re
import subprocess
import time

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import hvac
import pytest

import servers
from conftest import ACCOUNT, Account, clean_env_of

BODY = "Action=GetCallerIdentity&Version=2011-06-15"
SERVER_ID = "vault.example.com"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::%s:root" % ACCOUNT}, "Action": "sts:AssumeRole"}]})
REGIONS = ["us-east-1", "us-west-2", "cn-north-1"]


def host(region):
    return "sts.%s.amazonaws.com%s" % (region, ".cn" if region.startswith("cn-") else "")


def told(server, pattern):
    """What a dev server prints once all is prepared."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with open(server.log, encoding="utf-8") as f:
            found = re.search(pattern, f.read())
        if found:
            return found.group(1)
        time.sleep(0.05)
    raise AssertionError("the server does not say %s" % pattern)


class Aws:
    """The stand-in beside a dev server, and keys of it."""

    def __init__(self, server):
        self.url = told(server, r"A stand-in for AWS answers at (\S+)")
        server.call("POST", "aws/roles/admin", {
            "credential_type": "iam_user", "policy_arns": ["arn:aws:iam::aws:policy/AdministratorAccess"]})
        self.admin = self._key(server, "admin")
        iam = self.client("iam")
        iam.create_user(UserName="app")
        made = iam.create_access_key(UserName="app")["AccessKey"]
        self.user = (made["AccessKeyId"], made["SecretAccessKey"], None)
        iam.create_role(RoleName="web", AssumeRolePolicyDocument=TRUST)
        given = self.client("sts").assume_role(RoleArn="arn:aws:iam::%s:role/web" % ACCOUNT, RoleSessionName="session")["Credentials"]
        self.session = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def _key(self, server, role):
        data = server.call("GET", "aws/creds/" + role)["data"]
        return data["access_key"], data["secret_key"]

    def client(self, service):
        config = botocore.config.Config(retries={"total_max_attempts": 1})
        return boto3.client(service, region_name="us-east-1", endpoint_url=self.url, config=config,
                            aws_access_key_id=self.admin[0], aws_secret_access_key=self.admin[1])


@pytest.fixture(scope="module")
def dev():
    with servers.Leasehold(dev=True, args=["-dev-aws"]) as server:
        aws = Aws(server)
        server.call("POST", "sys/auth/aws", {"type": "aws"})
        server.call("POST", "auth/aws/config/client", {
            "access_key": aws.admin[0], "secret_key": aws.admin[1], "sts_region": "us-east-1",
            "endpoint": aws.url, "iam_endpoint": aws.url, "sts_endpoint": aws.url, "iam_server_id_header_value": SERVER_ID})
        for name, arn in (("app", "user/app"), ("web", "role/web")):
            server.call("POST", "auth/aws/role/" + name, {
                "bound_iam_principal_arn": "arn:aws:iam::%s:%s" % (ACCOUNT, arn), "policies": "app", "max_ttl": "4h"})
        yield server, aws


def keys_of(aws, role):
    return aws.user if role == "app" else aws.session


def presign_or_sign(keys, region, presigned, server_id=SERVER_ID):
    """The login of a request that botocore has signed."""
    credentials = botocore.credentials.Credentials(*keys)
    headers = {"X-Vault-AWS-IAM-Server-ID": server_id} if server_id else {}
    if presigned:
        request = botocore.awsrequest.AWSRequest("GET", "https://%s/?%s" % (host(region), BODY), headers=headers)
        botocore.auth.SigV4QueryAuth(credentials, "sts", region, expires=600).add_auth(request)
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        request = botocore.awsrequest.AWSRequest("POST", "https://%s/" % host(region), headers=headers, data=BODY)
        botocore.auth.SigV4Auth(credentials, "sts", region).add_auth(request)
    sent = request.prepare()
    text = {name: value.decode() if isinstance(value, bytes) else value for name, value in sent.headers.items()}
    login = {
        "iam_http_request_method": sent.method,
        "iam_request_url": base64.b64encode(sent.url.encode()).decode(),
        "iam_request_headers": base64.b64encode(json.dumps(text).encode()).decode(),
    }
    if not presigned:
        login["iam_request_body"] = base64.b64encode(BODY.encode()).decode()
    return login


def log_in(server, login):
    return servers.http("POST", server.url + "/v1/auth/aws/login", login)


def command_line(server, *words, token=None):
    env = clean_env_of(server, VAULT_ADDR=server.url, **({"VAULT_TOKEN": token} if token else {}))
    return subprocess.run([servers.binary(), "login", "-method=aws", *words], env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("role", ["app", "web"])
@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("presigned", [False, True])
def test_a_request_signed_by_boto3_logs_in(dev, region, role, presigned):
    server, aws = dev
    status, reply = log_in(server, {**presign_or_sign(keys_of(aws, role), region, presigned), "role": role})
    assert status == 200, reply
    assert reply["auth"]["metadata"]["account_id"] == ACCOUNT


@pytest.mark.parametrize("role", ["app", "web"])
@pytest.mark.parametrize("region", REGIONS)
def test_hvac_logs_in(dev, region, role):
    server, aws = dev
    client = hvac.Client(url=server.url)
    key, secret, session = keys_of(aws, role)
    reply = client.auth.aws.iam_login(key, secret, session_token=session, header_value=SERVER_ID, role=role, region=region)
    assert sorted(reply["auth"]["policies"]) == ["app", "default"]
    assert client.lookup_token()["data"]["path"] == "auth/aws/login"


@pytest.mark.parametrize("role", ["app", "web"])
@pytest.mark.parametrize("region", REGIONS)
def test_the_command_line_logs_in(dev, region, role):
    server, aws = dev
    key, secret, session = keys_of(aws, role)
    words = ["role=" + role, "region=" + region, "header_value=" + SERVER_ID, "aws_access_key_id=" + key, "aws_secret_access_key=" + secret]
    done = command_line(server, "-token-only", *words, *(["aws_security_token=" + session] if session else []))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("hvs.")


@pytest.mark.parametrize("seeded, code", [
    ({"secret": "wrong"}, "client_signature"),
    ({"key": "AKIAUNKNOWNUNKNOWN00"}, "client_key_unknown"),
])
def test_a_wrong_key_is_told_by_its_code(dev, seeded, code):
    # test_aws_refusals.py has the other misconfigurations
    server, aws = dev
    key, secret = seeded.get("key", aws.user[0]), seeded.get("secret", aws.user[1])

    status, reply = log_in(server, {**presign_or_sign((key, secret, None), "us-east-1", False), "role": "app"})
    assert status == 400 and reply["errors"][1].startswith("[%s] " % code), reply

    with pytest.raises(hvac.exceptions.InvalidRequest) as refused:
        hvac.Client(url=server.url).auth.aws.iam_login(key, secret, header_value=SERVER_ID, role="app")
    assert "[%s] " % code in str(refused.value)

    words = ["role=app", "aws_access_key_id=" + key, "aws_secret_access_key=" + secret, "header_value=" + SERVER_ID]
    done = command_line(server, *words)
    assert done.returncode == 2 and "[%s] " % code in done.stderr, done.stderr

    done = command_line(server, "-doctor", "-format=json", *words, token=server.root)
    assert done.returncode == 2, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["verdict"] == code
    assert [check["code"] for check in data["checks"] if check["result"] == "fail"] == [code]


@pytest.fixture(scope="module")
def beside_moto(moto):
    """A dev server that asks moto, and keys of moto with and without a session token, of each region's partition."""
    moto.reset()
    keys = {}
    for region in REGIONS:
        client = lambda service: boto3.client(service, region_name=region, endpoint_url=moto.url, **Account(moto).key)  # noqa: E731
        partition = "aws-cn" if region.startswith("cn-") else "aws"
        if not any(key[0] == partition for key in keys):
            client("iam").create_user(UserName="app")
            client("iam").create_role(RoleName="web", AssumeRolePolicyDocument=TRUST)
        made = client("iam").create_access_key(UserName="app")["AccessKey"]
        arn = "arn:%s:iam::%s:role/web" % (partition, ACCOUNT)
        given = client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
        keys[partition, region, "app"] = (made["AccessKeyId"], made["SecretAccessKey"], None)
        keys[partition, region, "web"] = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    with servers.Leasehold(dev=True) as server:
        server.call("POST", "sys/auth/aws", {"type": "aws"})
        server.call("POST", "auth/aws/config/client", {
            "access_key": "unchecked", "secret_key": "unchecked", "iam_server_id_header_value": SERVER_ID,
            "endpoint": moto.url, "iam_endpoint": moto.url, "sts_endpoint": moto.url})
        for name, path in (("app", "user/app"), ("web", "role/web")):
            arns = ["arn:%s:iam::%s:%s" % (partition, ACCOUNT, path) for partition in ("aws", "aws-cn")]
            server.call("POST", "auth/aws/role/" + name, {
                "bound_iam_principal_arn": arns, "policies": "app", "resolve_aws_unique_ids": False})
        yield server, {key[1:]: value for key, value in keys.items()}


@pytest.mark.parametrize("role", ["app", "web"])
@pytest.mark.parametrize("region", REGIONS)
def test_every_client_logs_in_with_moto_as_sts(beside_moto, region, role):
    server, keys = beside_moto
    key, secret, session = keys[region, role]
    # not presigned: moto finds service and caller in the header Authorization alone, and takes the request for one to S3
    status, reply = log_in(server, {**presign_or_sign((key, secret, session), region, False), "role": role})
    assert status == 200 and reply["auth"]["metadata"]["account_id"] == ACCOUNT, reply
    client = hvac.Client(url=server.url)
    reply = client.auth.aws.iam_login(key, secret, session_token=session, header_value=SERVER_ID, role=role, region=region)
    assert reply["auth"]["metadata"]["auth_type"] == "iam"
    words = ["role=" + role, "region=" + region, "header_value=" + SERVER_ID, "aws_access_key_id=" + key, "aws_secret_access_key=" + secret]
    done = command_line(server, "-token-only", *words, *(["aws_security_token=" + session] if session else []))
    assert done.returncode == 0 and done.stdout.strip().startswith("hvs."), done.stderr


def test_hvac_configures_the_method(server, vault):
    vault.sys.enable_auth_method("aws")
    aws = vault.auth.aws
    aws.configure(max_retries=3, access_key="AKIA", secret_key="s", iam_server_id_header_value=SERVER_ID)
    assert aws.read_config()["access_key"] == "AKIA"
    aws.configure_identity_integration(iam_alias="unique_id", ec2_alias="instance_id")
    assert aws.read_identity_integration()["iam_alias"] == "unique_id"
    aws.create_sts_role(account_id="111111111111", sts_role="arn:aws:iam::111111111111:role/x")
    assert aws.read_sts_role("111111111111")["sts_role"] == "arn:aws:iam::111111111111:role/x"
    assert aws.list_sts_roles()["keys"] == ["111111111111"]
    aws.create_role("r", auth_type="iam", bound_iam_principal_arn=["arn:aws:iam::111111111111:role/*"], resolve_aws_unique_ids=False)
    assert aws.read_role("r")["auth_type"] == "iam"
    assert aws.list_roles()["keys"] == ["r"]
    aws.delete_role("r")
    aws.delete_sts_role("111111111111")
    aws.delete_config()
