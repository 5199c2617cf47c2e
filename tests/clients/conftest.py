"""What the tests with real clients share: moto as AWS, and servers of ours beside it."""
import os
import re
import sys

import boto3
import botocore.config
import hvac
import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import servers  # noqa: E402

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's
# nothing of these tests may reach a real account, whoever runs them
for name in [n for n in os.environ if n.startswith(("AWS_", "VAULT_"))]:
    del os.environ[name]
os.environ.update(AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)

EVERYTHING_IN_S3 = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":"*"}]}'
WHAT_A_LENDER_NEEDS = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*","sts:*","s3:*"],"Resource":"*"}]}'
)


class Account:
    """The AWS account of one test."""

    def __init__(self, moto):
        self.moto, self.url = moto, moto.url
        self.key = {"aws_access_key_id": "unchecked", "aws_secret_access_key": "unchecked"}

    def client(self, service, key=None):
        """A client with the given key; without one, with that of the account's administrator."""
        config = botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, config=config, **(key or self.key))

    def check(self):
        """From now on keys, signatures and actions are checked; an administrator is there before."""
        iam = self.client("iam")
        iam.create_user(UserName="administrator")
        iam.put_user_policy(UserName="administrator", PolicyName="all", PolicyDocument=WHAT_A_LENDER_NEEDS)
        made = iam.create_access_key(UserName="administrator")["AccessKey"]
        self.key = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
        self.moto.checking(True)

    def lent_users(self):
        names = [u["UserName"] for u in self.client("iam").list_users()["Users"]]
        return [name for name in names if name.startswith("vault-")]


def assert_seen(text, patterns):
    """All of them are in the text, one behind the other."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern).search(text, at)
        assert found, "%s is not in: %s" % (pattern, text[at:])
        at = found.end()


def clean_env_of(server, **more):
    """The environment of a command line beside a server: its home is the server's own folder."""
    return servers.clean_environment(server.home, **more)


def key_of(reply):
    """The key in a reply of aws/creds, as boto3 takes it."""
    data = reply["data"]
    return {
        "aws_access_key_id": data["access_key"],
        "aws_secret_access_key": data["secret_key"],
        "aws_session_token": data.get("security_token"),
    }


@pytest.fixture(scope="session")
def moto():
    with servers.Moto() as moto:
        yield moto
        moto.reset()


@pytest.fixture
def account(moto):
    """An empty account in which nothing is checked."""
    moto.reset()
    return Account(moto)


@pytest.fixture
def checked_account(account):
    """An account that refuses what AWS would refuse, with an administrator and the bucket `files`."""
    account.check()
    account.client("s3").create_bucket(Bucket="files")
    yield account
    account.moto.checking(False)


@pytest.fixture
def server():
    """A server, initialised and unsealed, for this test alone."""
    with servers.Leasehold() as server:
        yield server.initialise()


@pytest.fixture
def fresh_server():
    """A server that was never initialised."""
    with servers.Leasehold() as server:
        yield server


@pytest.fixture
def vault(server):
    """A client with the root token."""
    return hvac.Client(url=server.url, token=server.root)


@pytest.fixture
def lend(server, vault):
    """lend(account): the AWS engine at `aws/`, working in that account."""

    def enable(account):
        vault.sys.enable_secrets_engine("aws", path="aws")
        server.call("POST", "aws/config/root", {
            "access_key": account.key["aws_access_key_id"], "secret_key": account.key["aws_secret_access_key"],
            "region": REGION, "iam_endpoint": account.url, "sts_endpoint": account.url,
        })
        return vault.secrets.aws

    return enable
