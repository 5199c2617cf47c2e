#!/usr/bin/env python3
"""hvac's own integration tests against our binary, held against the list of those that are to pass.

  hvac_suite.py [--update] [--files REGEX] [--keep FOLDER]

  --update        write hvac_expected.txt anew: the tests that passed in this run
  --files REGEX   only test files whose path matches; the others of the list are left alone
  --keep FOLDER   where the suite is kept between runs (default: below target/)

A listed test that fails or does not run, and a passing one that is not listed: each fails the run. The suite comes with the
source archive of hvac on PyPI. It starts the program `vault` of its PATH some forty times, over TLS, and ends it by SIGKILL.
Run by `tests/run -k hvac [--update]`, which makes the Python environment of hvac_requirements.txt for it.
"""
import argparse
import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import servers  # noqa: E402

VERSION = "2.4.0"
EXPECTED = os.path.join(HERE, "hvac_expected.txt")
PREFIX = "tests/integration_tests/"
# methods of other clouds, Enterprise only, or gone from Vault at the version we report
LEFT_OUT = re.compile(r"azure|gcp|github|okta|legacy_mfa|transform|namespace|raft")
TEST_SECONDS, ALL_SECONDS = 120, 1200
VERDICT = re.compile(r"^(PASSED|FAILED|ERROR) %s(\S+)(?: - (.*))?$" % re.escape(PREFIX))
HEAD = """\
# Tests of hvac %s that pass against this server, written by `tests/run -k hvac --update`.
""" % VERSION


def suite(folder):
    """A copy of the suite to run in: it writes into its tree."""
    archive = os.path.join(folder, "hvac-%s.tar.gz" % VERSION)
    if not os.path.exists(archive):
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                        "--no-build-isolation", "--no-binary", "hvac", "-d", folder, "hvac==" + VERSION], check=True)
    tree = tempfile.mkdtemp(prefix="hvac-suite-")
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name.startswith(("tests", "hvac")):
                tar.extract(member, tree, filter="data")
    os.makedirs(os.path.join(tree, "tests", "config_files", "generated"), exist_ok=True)
    fresh_certificate(os.path.join(tree, "tests", "config_files"))
    return tree


def fresh_certificate(folder):
    """The suite's client certificate has expired; another of its shape: signed by itself, X.509 version 1."""
    cert, key, request = (os.path.join(folder, name) for name in ("client-cert.pem", "client-key.pem", "client.csr"))
    subject = "/C=US/ST=Missouri/L=Kansas City/O=HVAC/OU=Maintainers/CN=client"
    for args in (["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", subject, "-out", request],
                 ["x509", "-req", "-days", "30", "-in", request, "-signkey", key, "-out", cert]):
        subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def shim(tree):
    """A folder for the PATH whose `vault` is our binary and notes the servers it becomes."""
    folder = os.path.join(tree, "bin")
    os.mkdir(folder)
    path = os.path.join(folder, "vault")
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n[ \"${1-}\" = server ] && echo $$ >>'%s/pids'\nexec '%s' \"$@\"\n" % (tree, servers.binary()))
    os.chmod(path, 0o755)
    return folder


def stop_servers(tree):
    """Ends what is left of the servers of this run, and nothing that has taken over one of their numbers."""
    try:
        with open(os.path.join(tree, "pids"), encoding="ascii") as f:
            pids = [int(line) for line in f]
    except FileNotFoundError:
        return
    mine = b"HVAC_SUITE=" + tree.encode()
    for pid in pids:
        try:
            with open("/proc/%d/environ" % pid, "rb") as f:
                if mine in f.read().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)
        except OSError:
            pass  # it has ended


def chosen(tree, pattern):
    found = []
    for folder, _, names in os.walk(os.path.join(tree, PREFIX)):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), tree)
            if name.startswith("test_") and name.endswith(".py") and not LEFT_OUT.search(path) and re.search(pattern, path):
                found.append(path)
    return sorted(found)


def run(tree, files):
    """{test: (verdict, why)}, and the last line of pytest."""
    env = servers.clean_environment(os.path.join(tree, "home"), HVAC_SUITE=tree, PYTHONPATH=tree,
                                    NO_PROXY="localhost,127.0.0.1", no_proxy="localhost,127.0.0.1")
    os.makedirs(env["HOME"])
    env["PATH"] = shim(tree) + os.pathsep + env["PATH"]
    if "JAVA_HOME" in os.environ:
        env["JAVA_HOME"] = os.environ["JAVA_HOME"]
    # whole files to a worker: some of them have a fixed port, or an order
    args = ["-m", "pytest", "-c", os.devnull, "--rootdir", tree, "-p", "no:cacheprovider", "-q", "-rpfE", "--tb=line",
            "-n", "2", "--dist", "loadfile", "--timeout", str(TEST_SECONDS), "--timeout-method=signal"]
    child = subprocess.Popen([sys.executable, *args, *files], cwd=tree, env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        out, _ = child.communicate(timeout=ALL_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, _ = child.communicate()
        sys.exit("hvac: not done after %d s\n%s" % (ALL_SECONDS, out[-2000:]))
    finally:
        stop_servers(tree)
    if child.returncode not in (0, 1):
        sys.exit("hvac: pytest ended with %d:\n%s" % (child.returncode, out[-4000:]))
    verdicts = {}
    for line in out.splitlines():
        m = VERDICT.match(line)
        # a test that passed and broke in its tear-down has both
        if m and verdicts.get(m.group(2), ("PASSED",))[0] == "PASSED":
            verdicts[m.group(2)] = (m.group(1), m.group(3) or "")
    return verdicts, out.rstrip().splitlines()[-1]


def read_expected():
    try:
        with open(EXPECTED, encoding="utf-8") as f:
            lines = [line.strip() for line in f]
    except FileNotFoundError:
        return set()
    return {line for line in lines if line and not line.startswith("#")}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--update", action="store_true")
    ap.add_argument("--files", default="", metavar="REGEX")
    ap.add_argument("--keep", default=os.path.join(servers.ROOT, "target", "tests", "hvac"), metavar="FOLDER")
    a = ap.parse_args()
    os.makedirs(a.keep, exist_ok=True)
    tree = suite(a.keep)
    try:
        files = chosen(tree, a.files)
        if not files:
            sys.exit("hvac: no test file matches")
        began = time.monotonic()
        verdicts, last = run(tree, files)
        took = time.monotonic() - began
    finally:
        shutil.rmtree(tree, ignore_errors=True)

    here = {name[len(PREFIX):] for name in files}
    listed = read_expected()
    expected = {test for test in listed if test.split("::")[0] in here}
    passed = {test for test, (verdict, _) in verdicts.items() if verdict == "PASSED"}
    table = collections.defaultdict(collections.Counter)
    for test, (verdict, _) in verdicts.items():
        table[test.split("::")[0]][verdict == "PASSED"] += 1
    for name in sorted(table):
        print("%-40s %3d passed %3d failed" % (name, table[name][True], table[name][False]))
    if a.update:
        with open(EXPECTED, "w", encoding="utf-8") as f:
            f.write(HEAD + "".join(test + "\n" for test in sorted(listed - expected | passed)))
        for mark, tests in (("-", expected - passed), ("+", passed - expected)):
            for test in sorted(tests):
                print(mark, test)
        expected = passed
    wrong = ["%s: %s" % (test, " ".join(verdicts.get(test, ("did not run", "")))) for test in sorted(expected - passed)]
    wrong += ["%s: passes and is not listed; `tests/run -k hvac --update` lists it" % test for test in sorted(passed - expected)]
    for line in wrong:
        print("WRONG " + line)
    print(last)
    print("hvac: %d tests passed as listed, %d others failed, %d wrong, %d s" % (
        len(passed & expected), len(verdicts) - len(passed), len(wrong), took))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
