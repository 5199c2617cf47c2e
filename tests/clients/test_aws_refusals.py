"""Fifteen misconfigurations of logins by AWS: the command line, hvac and curl each show the code of its own, the doctor names the
check that fails, and nothing is left behind. STS and IAM are the server's own stand-in, EC2 is moto."""
import base64
import datetime
import http.server
import json
import re
import subprocess
import threading
import unittest.mock

import hvac
import hvac.exceptions
import pytest

import servers
from conftest import ACCOUNT, Account, clean_env_of
from instance import Metadata, Notary
from test_aws_auth import Aws, presign_or_sign

SERVER_ID = "vault.example.com"
REGION = "us-east-1"
IMAGE = "ami-12c6146b"  # one that moto knows
OF_USERS = "arn:aws:iam::%s:user/" % ACCOUNT
# AWS keeps a session for 15 minutes at least; this is what STS says after its end
EXPIRED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error>
  <RequestId>00000000-0000-0000-0000-000000000000</RequestId>
</ErrorResponse>
"""


class Sts:
    """Answers one thing."""

    def __init__(self, status, text):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class World:
    """A dev server with its stand-in, and moto as EC2."""

    def __init__(self, server, moto):
        self.server, self.aws = server, Aws(server)
        self.ec2 = Account(moto)
        self.expired = Sts(403, EXPIRED)
        self.notary, self.stranger = Notary(), Notary()

    def user(self, name):
        """A new user of IAM and its key."""
        iam = self.aws.client("iam")
        iam.create_user(UserName=name)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"], None

    def call(self, method, path, body=None):
        return servers.http(method, "%s/v1/%s" % (self.server.url, path), body, token=self.server.root)


class Mount:
    """A mount of the method for one misconfiguration."""

    def __init__(self, world, name):
        self.world, self.server, self.aws = world, world.server, world.aws
        self.path = name
        self.server.call("POST", "sys/auth/" + name, {"type": "aws"})
        self.client(access_key=self.aws.admin[0], secret_key=self.aws.admin[1], sts_region=REGION, max_retries=0,
                    endpoint=world.ec2.url, iam_endpoint=self.aws.url, sts_endpoint=self.aws.url)
        self.write("config/certificate/test", {"aws_public_cert": world.notary.pem})
        self.user = world.user(name)
        self.role(name, bound_iam_principal_arn=OF_USERS + name)

    def write(self, path, body):
        return self.server.call("POST", "auth/%s/%s" % (self.path, path), body)

    def client(self, **settings):
        self.write("config/client", settings)

    def role(self, name, **settings):
        self.write("role/" + name, settings)

    def instance(self, **bounds):
        """A running instance, and the role `web` for it."""
        instances = self.world.ec2.client("ec2").run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"]
        self.role("web", auth_type="ec2", bound_ami_id=IMAGE, **bounds)
        return instances[0]["InstanceId"]

    def state(self):
        """All tokens, and the access list entry by entry."""
        status, listed = self.world.call("LIST", "auth/token/accessors")
        assert status == 200
        status, entries = self.world.call("LIST", "auth/%s/identity-accesslist" % self.path)
        names = entries["data"]["keys"] if status == 200 else []
        read = [self.world.call("GET", "auth/%s/identity-accesslist/%s" % (self.path, name))[1]["data"] for name in names]
        return sorted(listed["data"]["keys"]), names, read

    # what a login is, in the three clients

    def by_keys(self, keys=None, role=None, header=None, region=REGION):
        """A login that each client signs by itself."""
        keys, role = keys or self.user, role or self.path
        words = ["role=" + role, "region=" + region, "aws_access_key_id=" + keys[0], "aws_secret_access_key=" + keys[1]]
        words += ["aws_security_token=" + keys[2]] if keys[2] else []
        words += ["header_value=" + header] if header else []
        return Login(
            self, {**presign_or_sign(keys, region, False, header), "role": role}, words=words,
            by_hvac=lambda aws: aws.iam_login(keys[0], keys[1], session_token=keys[2], header_value=header, role=role,
                                              region=region, mount_point=self.path))

    def by_request(self, change=lambda headers: None, header=None, url=None, at=None):
        """A login whose request was signed before, and changed then."""
        with unittest.mock.patch("botocore.auth.get_current_datetime", lambda: at or datetime.datetime.now(datetime.timezone.utc)):
            fields = presign_or_sign(self.user, REGION, False, header)
        headers = json.loads(base64.b64decode(fields["iam_request_headers"]))
        change(headers)
        fields["iam_request_headers"] = base64.b64encode(json.dumps(headers).encode()).decode()
        if url:
            fields["iam_request_url"] = base64.b64encode(url.encode()).decode()
        return Login(self, {**fields, "role": self.path})

    def by_document(self, instance, nonce="first", notary=None):
        """A login of an instance, whose command line asks its metadata service."""
        metadata = Metadata(notary or self.world.notary, instance, IMAGE, ACCOUNT, REGION)
        pkcs7 = metadata.pkcs7.replace("\n", "")
        return Login(
            self, {"role": "web", "pkcs7": pkcs7, "nonce": nonce}, words=["type=ec2", "role=web", "nonce=" + nonce],
            by_hvac=lambda aws: aws.ec2_login(pkcs7, nonce=nonce, role="web", mount_point=self.path), metadata=metadata)


class Login:
    """One login, as curl, hvac and the command line send it. Without `words` the fields are written as they are."""

    def __init__(self, mount, fields, words=None, by_hvac=None, metadata=None):
        self.mount, self.fields, self.words, self.metadata = mount, fields, words, metadata
        self.by_hvac = by_hvac or (lambda aws: aws._adapter.login("/v1/auth/%s/login" % mount.path, json=fields))

    def curl(self):
        """Status and reply."""
        url = "%s/v1/auth/%s/login" % (self.mount.server.url, self.mount.path)
        words = ["curl", "-sS", "--noproxy", "*", "-X", "POST", "--data-binary", "@-", "-w", "\n%{http_code}", url]
        done = subprocess.run(words, input=json.dumps(self.fields), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body)

    def hvac(self):
        """The refusal in words; without one, an error of the test."""
        with pytest.raises(hvac.exceptions.InvalidRequest) as refused:
            self.by_hvac(hvac.Client(url=self.mount.server.url).auth.aws)
        return str(refused.value)

    def command_line(self):
        """`login -method=aws`, or `write auth/<path>/login` of a request that was signed before."""
        if self.words:
            return self._run(["login", "-method=aws", "-path=" + self.mount.path, *self.words])
        return self._run(["write", "auth/%s/login" % self.mount.path, *self._pairs()])

    def doctor(self):
        """The same to the doctor."""
        token = self.mount.server.root
        if self.words:
            return self._run(["login", "-method=aws", "-doctor", "-format=json", "-path=" + self.mount.path, *self.words], token)
        return self._run(["write", "-format=json", "auth/%s/doctor" % self.mount.path, *self._pairs()], token)

    def _pairs(self):
        return ["%s=%s" % pair for pair in self.fields.items()]

    def _run(self, words, token=None):
        more = {"VAULT_TOKEN": token} if token else {}
        if self.metadata:
            more["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = self.metadata.url
        env = clean_env_of(self.mount.server, VAULT_ADDR=self.mount.server.url, **more)
        if self.metadata:
            del env["AWS_EC2_METADATA_DISABLED"]
        return subprocess.run([servers.binary(), *words], env=env, capture_output=True, text=True, timeout=60)

    def stop(self):
        if self.metadata:
            self.metadata.server.shutdown()
            self.metadata.server.server_close()


# ---------------------------------------------------------------- the misconfigurations: code, check, what is wrong

SEEDED = []


def seeded(code, check):
    """What follows makes a login that fails with this code at this check."""

    def keep(function):
        SEEDED.append(pytest.param(check, function, id=code))
        return function

    return keep


@seeded("clock_skew", "sts")
def _(mount):
    hour_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    return mount.by_request(at=hour_ago)


@seeded("region_scope", "endpoint")
def _(mount):
    mount.client(sts_endpoint="")
    return mount.by_request(url="https://sts.eu-west-1.amazonaws.com/")


@seeded("server_id_missing", "server_id")
def _(mount):
    mount.client(iam_server_id_header_value=SERVER_ID)
    return mount.by_keys()


@seeded("server_id_unsigned", "server_id")
def _(mount):
    mount.client(iam_server_id_header_value=SERVER_ID)
    return mount.by_request(change=lambda headers: headers.update({"X-Vault-AWS-IAM-Server-ID": SERVER_ID}))


@seeded("server_id_mismatch", "server_id")
def _(mount):
    mount.client(iam_server_id_header_value=SERVER_ID)
    return mount.by_keys(header="dev.example.com")


@seeded("host_unsigned", "signature")
def _(mount):
    def drop(headers):
        headers["Authorization"] = headers["Authorization"].replace(";host;", ";")

    return mount.by_request(change=drop)


@seeded("client_credentials_expired", "sts")
def _(mount):
    mount.client(sts_endpoint=mount.world.expired.url)
    return mount.by_keys(keys=mount.aws.session)


@seeded("principal_recreated", "bound_principal")
def _(mount):
    iam = mount.aws.client("iam")
    iam.delete_access_key(UserName=mount.path, AccessKeyId=mount.user[0])
    iam.delete_user(UserName=mount.path)
    return mount.by_keys(keys=mount.world.user(mount.path))


@seeded("account_not_bound", "bounds")
def _(mount):
    return mount.by_document(mount.instance(bound_account_id="999999999999"))


@seeded("principal_not_bound", "bound_principal")
def _(mount):
    return mount.by_keys(keys=mount.world.user("somebody-else"))


@seeded("server_permission", "bound_principal")
def _(mount):
    weak = mount.world.user("without-permissions")
    mount.client(access_key=weak[0], secret_key=weak[1])
    mount.role("all", bound_iam_principal_arn=OF_USERS + "*")
    return mount.by_keys(role="all")


@seeded("instance_not_running", "instance")
def _(mount):
    instance = mount.instance()
    mount.world.ec2.client("ec2").stop_instances(InstanceIds=[instance])
    return mount.by_document(instance)


@seeded("nonce_mismatch", "nonce")
def _(mount):
    instance = mount.instance()
    first = mount.by_document(instance)
    first.stop()
    assert first.curl()[0] == 200
    return mount.by_document(instance, nonce="another")


@seeded("document_certificate_unknown", "document")
def _(mount):
    return mount.by_document(mount.instance(), notary=mount.world.stranger)


@seeded("sts_unreachable", "sts")
def _(mount):
    mount.client(sts_endpoint="http://127.0.0.1:%d" % servers.free_port())
    return mount.by_keys()


# what the sentence beside the code has to say, where more than the code is asked of it
SAYS = {
    "clock_skew": [r"signed at \S+Z by its clock and it is \S+Z at AWS"],
    "region_scope": [r"us-east-1", r"eu-west-1"],
    "server_id_mismatch": [r"vault\.example\.com"],
    "principal_recreated": [r"AIDA\w+.*AIDA\w+"],
    "principal_not_bound": [OF_USERS + "somebody-else"],
    "account_not_bound": [ACCOUNT],
    "server_permission": [r"iam:GetUser"],
    "instance_not_running": [r"stopped|stopping"],
    "nonce_mismatch": [r"the nonce is what", r"identity-accesslist"],
    "document_certificate_unknown": [r"us-east-1", r"config/certificate"],
    "sts_unreachable": [r"127\.0\.0\.1:\d+"],
}


@pytest.fixture(scope="module")
def world(moto):
    moto.reset()
    with servers.Leasehold(dev=True, args=["-dev-aws"]) as server:
        made = World(server, moto)
        yield made
        made.expired.stop()


def test_there_is_one_for_each_failure_that_has_a_name():
    assert len(SEEDED) == len({case.id for case in SEEDED}) == 15


@pytest.mark.parametrize("check, seed", SEEDED)
def test_every_client_shows_the_code_and_the_doctor_names_the_check(world, check, seed, request):
    code = request.node.callspec.id
    mount = Mount(world, code.replace("_", "-"))
    login = seed(mount)
    before = mount.state()

    status, reply = login.curl()
    assert status == 400 and "auth" not in reply, reply
    text, advice = reply["errors"]
    assert text and advice.startswith("[%s] " % code), reply
    text = text.partition("<")[0]  # behind it AWS names its own request, another one each time
    for pattern in SAYS.get(code, []):
        assert re.search(pattern, advice), (pattern, advice)

    # the operator finds it by the id in the refusal
    asked = advice.rsplit("(request ", 1)[1].rstrip(")")
    status, trace = world.call("GET", "auth/%s/logins/%s" % (mount.path, asked))
    assert status == 200 and trace["data"]["outcome"] == code, trace

    shown = login.hvac()
    assert text in shown and "[%s] " % code in shown

    done = login.command_line()
    assert done.returncode == 2 and text in done.stderr and "[%s] " % code in done.stderr, done.stderr

    done = login.doctor()
    assert done.returncode == (2 if login.words else 0), done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["verdict"] == code, data
    assert [(c["name"], c["code"]) for c in data["checks"] if c["result"] == "fail"] == [(check, code)], data

    assert mount.state() == before
    login.stop()
