#!/bin/sh
# Keys of AWS from a dev server, with the command line alone: the commands of docs/kubernetes.md after the
# port of the pod is forwarded. Ends with exit code 0 when each of them did what that page says.
set -eu
. "$(dirname "$0")/walkthrough_lib.sh"

say "The server has started; its log tells the root token"
start_dev_server
expect "Unseal Key: " "$(cat "$folder/server.log")"

say "Where it is, and that it is open"
run vault status
expect "Sealed" "$out"
run vault login "$root_token"
expect "You are now authenticated" "$out"

say "The AWS secrets engine, and the key it works with"
run vault secrets enable -path=aws aws
run vault write aws/config/root \
    access_key=ACCESS_KEY_ID \
    secret_key=SECRET_ACCESS_KEY \
    region=us-east-1 iam_endpoint="$LEASEHOLD_MOTO" sts_endpoint="$LEASEHOLD_MOTO"

say "A role: what a user made for it may do"
vault write aws/roles/s3-all-crud-role policy=-<<'TEXT'
{
  "Version": "2012-10-17",
  "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": "*"}]
}
TEXT

say "Each read makes a user"
run vault read aws/creds/s3-all-crud-role
expect "768h" "$out"
run vault read -format=json aws/creds/s3-all-crud-role
expect '"lease_duration": 2764800' "$out"
same 2 "$(count_users)"
lent_users

say "Leases of a day from now on"
run vault write aws/config/lease lease=24h lease_max=24h
run vault read aws/creds/s3-all-crud-role
expect "24h" "$out"
lease=$(printf '%s\n' "$out" | sed -n 's/^lease_id *//p')

say "Renewed, to an hour from now"
run vault lease renew "$lease" 3600
expect "1h" "$out"

say "Somebody copied a key: all of this role end"
run vault lease revoke -prefix aws/creds/s3-all-crud-role
expect "All revocation operations queued successfully!" "$out"
wait_for sh -c '! vault list sys/leases/lookup/aws/creds/s3-all-crud-role'
same 0 "$(count_users)"
say "AWS has no user of ours any more"
