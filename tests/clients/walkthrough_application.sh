#!/bin/sh
# An application with an identity of its own, and keys of AWS without knowing it: the commands of
# docs/walkthrough-application.md. Ends with exit code 0 when each of them did what that page says.
set -eu
. "$(dirname "$0")/walkthrough_lib.sh"

start_dev_server
vault login -no-print "$root_token"
"$PYTHON" - "$LEASEHOLD_MOTO" <<'TEXT'
import sys, boto3
boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="x", aws_secret_access_key="x").create_bucket(Bucket="my-webapp-bucket")
TEXT
vault secrets enable -path=aws aws
vault write aws/config/root access_key=ACCESS_KEY_ID secret_key=SECRET_ACCESS_KEY \
    region=us-east-1 iam_endpoint="$LEASEHOLD_MOTO" sts_endpoint="$LEASEHOLD_MOTO"
vault write aws/roles/webapp credential_type=iam_user policy_document=-<<'TEXT'
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}]}
TEXT
vault write aws/roles/backup credential_type=iam_user policy_arns=arn:aws:iam::aws:policy/AmazonS3FullAccess

say "What the application may do"
cat >"$folder/webapp-policy.hcl" <<'TEXT'
path "aws/creds/webapp" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
TEXT
run vault policy write webapp-policy "$folder/webapp-policy.hcl"
vault policy write webapp-policy - <<'TEXT'
path "aws/creds/webapp" {
  capabilities = ["read"]
}
TEXT

say "Who it is: AppRole"
run vault auth enable approle
run vault write auth/approle/role/webapp \
    token_policies="webapp-policy" \
    token_ttl=1h \
    token_max_ttl=4h \
    bind_secret_id=true
run vault read auth/approle/role/webapp/role-id
role_id=$(printf '%s\n' "$out" | sed -n 's/^role_id *//p')
run vault write -f auth/approle/role/webapp/secret-id
secret_id=$(printf '%s\n' "$out" | sed -n 's/^secret_id  *//p')

say "It logs in, and asks for a key of AWS"
run vault write auth/approle/login role_id="$role_id" secret_id="$secret_id"
expect "token_policies" "$out"
expect '["default" "webapp-policy"]' "$out"
expect "1h" "$out"
token=$(printf '%s\n' "$out" | sed -n 's/^token  *//p')
out=$(VAULT_TOKEN=$token vault read aws/creds/webapp)
printf '%s\n' "$out" | hide
expect "aws/creds/webapp/" "$out"

say "Another role's keys it does not get"
if VAULT_TOKEN=$token vault read aws/creds/backup >"$folder/out" 2>&1; then fail "it got a key of aws/creds/backup"; fi
expect "permission denied" "$(cat "$folder/out")"
cat "$folder/out"

say "The application itself"
export VAULT_ROLE_ID="$role_id" VAULT_SECRET_ID="$secret_id" AWS_ROLE=webapp S3_BUCKET=my-webapp-bucket
PORT=$(free_port)
export PORT AWS_ENDPOINT_URL="$LEASEHOLD_MOTO"
"$PYTHON" "$here/app.py" >"$folder/app.log" 2>&1 &
app_pid=$!
get() { "$PYTHON" -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode(), end="")' "http://127.0.0.1:$PORT$1"; }
wait_for get /health
run get /health
expect '"vault_authenticated":true' "$out"
run get /files
expect '"count":0' "$out"
"$PYTHON" - "http://127.0.0.1:$PORT/files" <<'TEXT'
import sys, requests
print(requests.post(sys.argv[1], files={"file": ("hello.txt", b"hello", "text/plain")}, timeout=10).text, end="")
TEXT
run get /files
expect '"uploads/hello.txt"' "$out"
same 2 "$(count_users)"

say "The token that borrowed a key by hand ends, and its key with it"
VAULT_TOKEN=$token vault token revoke -self
wait_for sh -c '[ "$(VAULT_FORMAT=json vault list sys/leases/lookup/aws/creds/webapp | grep -c \")" -eq 1 ]'
same 1 "$(count_users)"
run get /files
say "The application has noticed nothing"
