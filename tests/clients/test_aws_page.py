"""docs/aws-auth.md: its commands do what it says, its policy is enough and no more, its table knows every code."""
import json
import os
import re
import subprocess


import servers
from conftest import ACCOUNT, REGION, assert_seen
from instance import Metadata, Notary
from test_aws_auth import told

IMAGE = "ami-12c6146b"  # one that moto knows
PAGE = os.path.join(servers.ROOT, "docs", "aws-auth.md")
# what the page's reader has, and the test has elsewhere
ELSEWHERE = {
    "http://169.254.169.254": "$METADATA",
    " endpoint=$URL": " endpoint=$EC2",
}
# what has to be seen, in this order
SEEN = [
    r"Success! Enabled aws auth method at: aws/",
    r"display_name +aws-vault-",
    r'\* error validating X-Vault-AWS-IAM-Server-ID header: expected "vault.example.com" but got "dev.example.com"',
    r"\* \[server_id_mismatch\] .*\(request [0-9a-f-]+\)",
    r"outcome +server_id_mismatch",
    r"server_id +fail +server_id_mismatch",
    r"Verdict: server_id_mismatch",
    r"exit code 2",
    r"max_ttl +(500h|1800000)",
    r"Data written to: auth/aws/config/certificate/eu-new",
    r'token_policies +\["default" "webapp-policy"\]',
    r"\* client nonce mismatch",
    r"\* \[nonce_mismatch\]",
    r"exit code 2",
    r"Verdict: nonce_mismatch",
    r"exit code 2",
    r"client_nonce +[0-9a-f]{32}",
    r"Success! Data deleted",
    r'token_policies +\["default" "webapp-policy"\]',
]


def page():
    with open(PAGE, encoding="utf-8") as f:
        return f.read()


def blocks(language):
    return re.findall(r"^```%s\n(.*?)^```$" % language, page(), re.S | re.M)


def test_the_commands_of_the_page_do_what_it_says(account, tmp_path):
    ec2, notary = account.client("ec2"), Notary()
    instance = ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    (tmp_path / "eu-new.pem").write_text(notary.pem)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "vault").symlink_to(servers.binary())
    script = "\n".join(blocks("sh"))
    for text, instead in ELSEWHERE.items():
        assert text in script
        script = script.replace(text, instead)
    with servers.Leasehold(dev=True, args=["-dev-aws"]) as server, Metadata(notary, instance, IMAGE, ACCOUNT, REGION) as metadata:
        told(server, r"A stand-in for AWS answers at (\S+)")
        env = servers.clean_environment(
            str(tmp_path), VAULT_ADDR=server.url, VAULT_TOKEN=server.root, INSTANCE=instance, EC2=account.url, METADATA=metadata.url,
            AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url, NO_PROXY="*")
        del env["AWS_EC2_METADATA_DISABLED"]
        env["PATH"] = "%s:%s" % (tmp_path / "bin", env["PATH"])
        done = subprocess.run(["sh", "-eu", "-c", script], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout
        assert_seen(done.stdout, SEEN)
        token = (tmp_path / "token").read_text().strip()
        assert server.call("GET", "auth/token/lookup-self", token=token)["data"]["meta"]["role"] == "ec2-webapp"


def test_the_policy_of_the_page_is_what_the_server_asks_for(server, account):
    """moto refuses what the key in config/client has no permission for."""
    policy = json.loads(blocks("json")[0])
    actions = [action for statement in policy["Statement"] for action in [statement["Action"]] for action in
               ([action] if isinstance(action, str) else action)]
    assert sorted(set(actions)) == [
        "ec2:DescribeInstances", "iam:CreateAccessKey", "iam:DeleteAccessKey", "iam:GetInstanceProfile", "iam:GetRole", "iam:GetUser",
        "iam:ListAccessKeys", "sts:AssumeRole"]
    iam = account.client("iam")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    iam.create_user(UserName="leasehold")
    made = iam.create_access_key(UserName="leasehold")["AccessKey"]
    server.call("POST", "sys/auth/aws", {"type": "aws"})
    server.call("POST", "auth/aws/config/client", {
        "access_key": made["AccessKeyId"], "secret_key": made["SecretAccessKey"], "sts_region": REGION, "max_retries": 0,
        "endpoint": account.url, "iam_endpoint": account.url, "sts_endpoint": account.url})

    def write(path, body, statements):
        """Whether it succeeds while these statements are the policy, and the errors."""
        # moto compares resources with `*` alone
        document = json.dumps({**policy, "Statement": [{**statement, "Resource": "*"} for statement in statements]})
        iam.put_user_policy(UserName="leasehold", PolicyName="leasehold", PolicyDocument=document)
        account.moto.checking(True)
        try:
            status, reply = servers.http("POST", "%s/v1/auth/aws/%s" % (server.url, path), body, token=server.root)
        finally:
            account.moto.checking(False)
        return status < 300, (reply or {}).get("errors")

    # the number of a statement, and what needs it. EC2 is left out: of a login's call to it moto makes another body, and then
    # finds the signature wrong
    for number, path, body in [(0, "role/app", {"bound_iam_principal_arn": "arn:aws:iam::%s:role/app" % ACCOUNT}),
                               (3, "config/rotate-root", {})]:
        without = [statement for at, statement in enumerate(policy["Statement"]) if at != number]
        ok, errors = write(path, body, without)
        assert not ok and "403" in errors[0], errors
        ok, errors = write(path, body, policy["Statement"])
        assert ok, errors


def test_every_code_is_in_the_table_of_the_page():
    with open(os.path.join(servers.ROOT, "src", "auth", "aws", "failure.rs"), encoding="utf-8") as f:
        codes = set(re.findall(r'Self::\w+ => "(\w+)",', f.read()))
    table = page().split("## When a login is refused", 1)[1]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| `")]
    listed = [code for row in rows for code in re.findall(r"`(\w+)`", row[0])]
    assert len(codes) == 30 and sorted(listed) == sorted(codes)
    assert all(cause.strip() and cure.strip() for _, cause, cure in rows)
