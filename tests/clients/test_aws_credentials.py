"""Keys of AWS, lent, used and taken back; AWS is moto. Where it can, it checks keys, signatures and actions."""
import botocore.exceptions
import pytest

from conftest import ACCOUNT, EVERYTHING_IN_S3, key_of


def code(raised):
    return raised.value.response["Error"]["Code"]


def lookup(vault, lease):
    return vault.sys.read_lease(lease_id=lease)


def assert_lease_is_gone(vault, lease):
    with pytest.raises(Exception, match="invalid lease"):
        lookup(vault, lease)


def use(account, key):
    s3 = account.client("s3", key)
    s3.put_object(Bucket="files", Key="a", Body=b"text")
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="files")["Contents"]] == ["a"]


def test_a_lent_user_works_and_ends_with_its_lease(checked_account, vault, lend):
    aws = lend(checked_account)
    iam = checked_account.client("iam")
    iam.create_group(GroupName="borrowers")
    # hvac's own call for roles knows no groups
    vault.write("aws/roles/files", credential_type="iam_user", policy_document=EVERYTHING_IN_S3, iam_groups=["borrowers"],
                policy_arns=["arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"])
    reply = aws.generate_credentials("files")
    key = key_of(reply)
    use(checked_account, key)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        checked_account.client("iam", key).list_users()
    assert code(refused) == "AccessDenied"

    [user] = checked_account.lent_users()
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName=user)["Groups"]] == ["borrowers"]
    assert [k["AccessKeyId"] for k in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]] == [key["aws_access_key_id"]]

    assert reply["renewable"] is True
    renewed = vault.sys.renew_lease(lease_id=reply["lease_id"], increment=600)
    assert renewed["lease_duration"] == 600
    assert 590 <= lookup(vault, reply["lease_id"])["data"]["ttl"] <= 600

    vault.sys.revoke_lease(reply["lease_id"])
    assert checked_account.lent_users() == []
    # moto would keep a member that was deleted without leaving
    assert iam.get_group(GroupName="borrowers")["Users"] == []
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        use(checked_account, key)
    assert code(refused) == "InvalidAccessKeyId"
    assert_lease_is_gone(vault, reply["lease_id"])


def test_revoking_by_prefix_takes_all_keys_of_a_role_and_no_other(checked_account, vault, lend):
    aws = lend(checked_account)
    for role in ("one", "two"):
        aws.create_or_update_role(role, "iam_user", policy_document=EVERYTHING_IN_S3)
    ended = [key_of(aws.generate_credentials("one")) for _ in range(3)]
    kept = key_of(aws.generate_credentials("two"))
    assert len(checked_account.lent_users()) == 4
    vault.sys.revoke_prefix("aws/creds/one")
    assert len(checked_account.lent_users()) == 1
    use(checked_account, kept)
    for key in ended:
        with pytest.raises(botocore.exceptions.ClientError):
            use(checked_account, key)


def test_a_token_that_is_revoked_takes_its_keys_with_it(checked_account, server, vault, lend):
    import hvac

    aws = lend(checked_account)
    aws.create_or_update_role("files", "iam_user", policy_document=EVERYTHING_IN_S3)
    vault.sys.create_or_update_policy("borrow", 'path "aws/creds/files" { capabilities = ["read"] }')
    token = vault.auth.token.create(policies=["borrow"], ttl="1h")["auth"]["client_token"]
    reply = hvac.Client(url=server.url, token=token).secrets.aws.generate_credentials("files")
    use(checked_account, key_of(reply))
    vault.auth.token.revoke(token)
    # the token is refused when the answer is there; its leases are then due, and end at once, yet behind the answer
    server.call("PUT", "sys/leases/revoke-prefix/aws/creds/files", {"sync": True})
    assert checked_account.lent_users() == []
    with pytest.raises(botocore.exceptions.ClientError):
        use(checked_account, key_of(reply))


def test_an_assumed_role_works_and_is_not_renewable(checked_account, vault, lend):
    aws = lend(checked_account)
    iam = checked_account.client("iam")
    trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}'
    arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName="reader", PolicyName="s3", PolicyDocument=EVERYTHING_IN_S3)
    aws.create_or_update_role("reader", "assumed_role", role_arns=[arn])
    reply = vault.write("aws/sts/reader", ttl="15m")
    key = key_of(reply)
    assert key["aws_session_token"]
    use(checked_account, key)
    assert reply["renewable"] is False
    assert 800 <= reply["lease_duration"] <= 900
    with pytest.raises(Exception, match="lease is not renewable"):
        vault.sys.renew_lease(lease_id=reply["lease_id"], increment=600)
    vault.sys.revoke_lease(reply["lease_id"])
    assert_lease_is_gone(vault, reply["lease_id"])
    assert checked_account.lent_users() == []


def test_a_federation_token_is_lent_and_ends_without_a_call(account, vault, lend):
    aws = lend(account)
    aws.create_or_update_role("federated", "federation_token", policy_document=EVERYTHING_IN_S3)
    reply = vault.write("aws/sts/federated", ttl="30m")
    assert reply["renewable"] is False
    assert reply["data"]["security_token"]
    assert 1700 <= reply["lease_duration"] <= 1800
    account.moto.checking(True)  # any call of ours would now be refused
    vault.sys.revoke_lease(reply["lease_id"])
    account.moto.checking(False)
    assert_lease_is_gone(vault, reply["lease_id"])


def test_a_session_token_is_lent_and_ends_without_a_call(account, server, vault, lend):
    lend(account)
    server.call("POST", "aws/roles/session", {"credential_type": "session_token"})
    reply = vault.write("aws/sts/session", ttl="30m")
    assert reply["renewable"] is False
    assert reply["data"]["security_token"]
    account.moto.checking(True)
    vault.sys.revoke_lease(reply["lease_id"])
    account.moto.checking(False)
    assert_lease_is_gone(vault, reply["lease_id"])


def test_a_refusal_of_aws_leaves_nothing_behind(checked_account, server, vault, lend):
    aws = lend(checked_account)
    aws.create_or_update_role("wrong", "iam_user", policy_arns=["arn:aws:iam::%s:policy/not-there" % ACCOUNT])
    with pytest.raises(Exception, match="(?i)nosuchentity|not found|does not exist"):
        aws.generate_credentials("wrong")
    # the user was made before its policy was refused; it goes when the intent ends
    server.call("PUT", "sys/leases/revoke-prefix/aws", {"sync": True})
    assert checked_account.lent_users() == []
