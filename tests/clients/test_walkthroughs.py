"""The commands of the two walk-through pages, run as they stand there."""
import os
import subprocess
import sys

import pytest

import servers

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.mark.parametrize("name", ["walkthrough_kubernetes.sh", "walkthrough_application.sh"])
def test_a_walkthrough_does_what_its_page_says(name, account, tmp_path):
    env = servers.clean_environment(str(tmp_path), LEASEHOLD=servers.binary(), LEASEHOLD_MOTO=account.url, PYTHON=sys.executable)
    done = subprocess.run([os.path.join(HERE, name)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
