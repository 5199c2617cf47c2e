"""The lines that a dev server with -dev-aws prints do what they say, pasted one after the other."""
import subprocess

import servers
from conftest import assert_seen
from test_aws_auth import told

# what has to be seen, in this order
SEEN = [
    r"access_key +AKIA[A-Z0-9]{16}\n",
    r"lease_duration +1h\n",
    r"Success! Revoked lease: aws/creds/deploy/[A-Za-z0-9]{24}\n",
    r"No value found at sys/leases/lookup/aws/creds/deploy",
]


def test_what_is_printed_can_be_pasted(tmp_path):
    with servers.Leasehold(dev=True, args=["-dev-aws"]) as server:
        lines = told(server, r"Paste these in another terminal.*?:\n\n((?:    .*\n)+)\n")
        assert "alias vault=\"'%s'\"" % servers.binary() in lines
        done = subprocess.run(["bash", "-O", "expand_aliases", "-s"], input=lines, env=servers.clean_environment(str(tmp_path)),
                              cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        assert done.returncode == 2, done.stdout
        assert_seen(done.stdout, SEEN)
