"""The lines that a dev server with -dev-aws prints do what they say, pasted one after the other."""
import re
import subprocess
import time

import servers

# what has to be seen, in this order
SEEN = [
    r"access_key +AKIA[A-Z0-9]{16}\n",
    r"lease_duration +1h\n",
    r"Success! Revoked lease: aws/creds/deploy/[A-Za-z0-9]{24}\n",
    r"No value found at sys/leases/lookup/aws/creds/deploy",
]


def printed(server):
    """The lines to paste, once all of them are out."""
    end = time.monotonic() + servers.START_SECONDS
    while time.monotonic() < end:
        with open(server.log, encoding="utf-8") as f:
            found = re.search(r"Paste these in another terminal.*?:\n\n((?:    .*\n)+)\n", f.read())
        if found:
            return found.group(1)
        time.sleep(0.05)
    raise RuntimeError("the server has not said what to paste")


def test_what_is_printed_can_be_pasted(tmp_path):
    with servers.Leasehold(dev=True, args=["-dev-aws"]) as server:
        lines = printed(server)
        assert "alias vault=\"'%s'\"" % servers.binary() in lines
        done = subprocess.run(["bash", "-O", "expand_aliases", "-s"], input=lines, env=servers.clean_environment(str(tmp_path)),
                              cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        assert done.returncode == 2, done.stdout
        at = 0
        for pattern in SEEN:
            found = re.compile(pattern).search(done.stdout, at)
            assert found, "%s is not in: %s" % (pattern, done.stdout[at:])
            at = found.end()
