# Read by both walk-throughs: a dev server of their own, `vault` on the PATH, and words to tell what happens.
#
# LEASEHOLD       the binary (default: target/release/leasehold)
# LEASEHOLD_MOTO  base URL of a moto server; it stands for AWS
# PYTHON          an interpreter with tests/clients/requirements.txt (default: python3)

here=$(cd "$(dirname "$0")" && pwd)
LEASEHOLD=${LEASEHOLD:-$here/../../target/release/leasehold}
PYTHON=${PYTHON:-python3}
: "${LEASEHOLD_MOTO:?set it to the base URL of a moto server: moto_server -p 5001}"
export PYTHON LEASEHOLD_MOTO

folder=$(mktemp -d)
server_pid=""
app_pid=""
finish() {
    for pid in $app_pid $server_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "$folder/bin" "$folder/home"
ln -s "$LEASEHOLD" "$folder/bin/vault"
PATH=$folder/bin:$PATH
HOME=$folder/home
# a key of a real account must not get into this
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE VAULT_TOKEN VAULT_ADDR
AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_DEFAULT_REGION=us-east-1
export PATH HOME AWS_EC2_METADATA_DISABLED AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_DEFAULT_REGION

free_port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Waits until "$@" succeeds, at most 20 s.
wait_for() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "still not: $*"
        sleep 0.2
    done
}

say() { printf '\n# %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
expect() { case "$2" in *"$1"*) ;; *) fail "'$1' is not in: $2" ;; esac; }
same() { [ "$1" = "$2" ] || fail "'$1' is not '$2'"; }

# Shows a command and its output, values of secrets left out. The output is in $out.
run() {
    printf '$ %s\n' "$*" | hide
    out=$("$@") || fail "exit code $? of: $1 $2"
    printf '%s\n' "$out" | hide
}
hide() {
    sed -E -e 's/^((secret_key|security_token|secret_id|token) +)[^<].*/\1…/' \
        -e 's/("(secret_key|security_token|secret_id|client_token)": *")[^"]+/\1…/' \
        -e 's/((secret_key|secret_id|login)[= ])[^ ]+/\1…/'
}

# "$@" are further flags of the dev server. Its log is where `kubectl logs` would look.
start_dev_server() {
    port=$(free_port)
    vault server -dev -dev-no-store-token -dev-listen-address="127.0.0.1:$port" "$@" >"$folder/server.log" 2>&1 &
    server_pid=$!
    VAULT_ADDR=http://127.0.0.1:$port
    export VAULT_ADDR
    wait_for grep -q '^Root Token: ' "$folder/server.log"
    wait_for vault status
    root_token=$(sed -n 's/^Root Token: //p' "$folder/server.log")
}

# Users that AWS has and whose name starts as lent ones do, one a line.
lent_users() {
    "$PYTHON" - "$LEASEHOLD_MOTO" <<'TEXT'
import sys, boto3
iam = boto3.client("iam", endpoint_url=sys.argv[1], aws_access_key_id="x", aws_secret_access_key="x")
for user in iam.list_users()["Users"]:
    if user["UserName"].startswith("vault-"):
        print(user["UserName"])
TEXT
}
count_users() { lent_users | wc -l | tr -d ' '; }
