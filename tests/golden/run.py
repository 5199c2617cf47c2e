#!/usr/bin/env python3
"""Replay all recorded scenarios against servers of our own, and hold the result against exceptions.txt.

  run.py http|cli|more [-v] [name...]

`http` and `cli` are recorded from the program whose API this is, `more` are command lines in the same form that are ours.
Starts what the scenarios need: a server with a configuration file, initialised with one key; one that is never
initialised; a dev server with a chosen root token; moto. The comparison is that of replay.py and cli_replay.py, which
run as they are. A step that fails and is not listed in exceptions.txt, a listed step that passes, a listed step that
does not exist, and a scenario that did not run at all: each fails the run. A scenario listed whole is named as waiting,
and fails the run once all of it passes.
"""
import argparse
import collections
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import servers  # noqa: E402

HTTP_STEP = re.compile(r"(ok|FAIL) +(\S+) step (\d+): ")
CLI_STEP = re.compile(r"(ok|FAIL) +(\S+): \$ ")
KINDS = ("http", "cli", "more")
CONFIG = {
    "raw_storage_endpoint": True,
    "introspection_endpoint": True,
    "telemetry": {"prometheus_retention_time": "30s", "disable_hostname": True},
}


def exceptions(kind):
    """{(scenario, step): reason} of exceptions.txt; the step of a scenario that waits as a whole is 0."""
    found = {}
    with open(os.path.join(HERE, "exceptions.txt"), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            words = line.split(None, 2)
            folder, _, name = words[0].partition("/")
            if len(words) < 3 or folder not in KINDS or not (words[1].isdigit() or words[1] == "*"):
                sys.exit("exceptions.txt:%d: not `http|cli|more/SCENARIO STEP|* REASON`" % number)
            key = (name, 0 if words[1] == "*" else int(words[1]))
            if folder == kind:
                if key in found:
                    sys.exit("exceptions.txt:%d: listed twice" % number)
                found[key] = words[2]
    return found


def replay(program, args, names):
    """Lines of the program's whole report."""
    out = subprocess.run([sys.executable, "-u", os.path.join(HERE, program), *args, "-v", *names],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    if not re.search(r"^passed \d+ failed \d+$", out.stdout, re.M):
        sys.exit("%s broke off with exit code %d:\n%s" % (program, out.returncode, out.stdout[-4000:]))
    return out.stdout.splitlines()


def run_http(names):
    with servers.Moto() as moto, servers.Leasehold(config=CONFIG) as main, servers.Leasehold(config=CONFIG) as fresh, \
            tempfile.TemporaryDirectory(prefix="audit-") as audit:
        moto.reset()
        main.initialise()
        return replay("replay.py", [main.url, main.root, "--fresh", fresh.url, "--moto", moto.url, "--audit-dir", audit], names)


def run_cli(names):
    with servers.Moto() as moto, servers.Leasehold(dev=True) as dev:
        moto.reset()
        return replay("cli_replay.py", [servers.binary(), dev.url, dev.root, "--moto", moto.url], names)


def run_more(names):
    with servers.Leasehold(dev=True) as dev, servers.Leasehold() as fresh:
        return replay("cli_replay.py", [servers.binary(), dev.url, dev.root, "--fresh", fresh.url, "--unseal", dev.unseal_key,
                                        "--dir", os.path.join(HERE, "more")], names)


def results(lines, pattern):
    """{(scenario, step): (passed, lines that say why not)}; commands without a number are counted in order."""
    found, counts, current = {}, collections.Counter(), None
    for line in lines:
        m = pattern.match(line)
        if m:
            counts[m.group(2)] += 1
            current = (m.group(2), int(m.group(3)) if pattern is HTTP_STEP else counts[m.group(2)])
            found[current] = (m.group(1) == "ok", [line])
        elif line.startswith("     ") and current:
            found[current][1].append(line)
        else:
            current = None
    return found


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("kind", choices=KINDS)
    ap.add_argument("names", nargs="*", help="scenarios; all when none is given")
    ap.add_argument("-v", action="store_true", help="also show listed steps that fail, as they do")
    a = ap.parse_args()
    known = [os.path.splitext(os.path.basename(p))[0] for p in glob.glob(os.path.join(HERE, a.kind, "*"))]
    wanted = sorted(a.names or known)
    unknown = set(wanted) - set(known)
    if unknown or not wanted:
        sys.exit("no scenario %s" % ", ".join(sorted(unknown)))
    listed = {k: v for k, v in exceptions(a.kind).items() if k[0] in wanted}
    waiting = {name: reason for (name, step), reason in listed.items() if step == 0}
    listed = {k: v for k, v in listed.items() if k[1] != 0}
    run = {"http": run_http, "cli": run_cli, "more": run_more}[a.kind]
    got = results(run(wanted), HTTP_STEP if a.kind == "http" else CLI_STEP)

    bad = 0
    for name in wanted:
        steps = {k: v for k, v in got.items() if k[0] == name}
        failed = {k for k, (ok, _) in steps.items() if not ok}
        wrong = []
        if name in waiting:
            if failed:
                print("WAIT %s/%s: %d of %d steps fail: %s" % (a.kind, name, len(failed), len(steps), waiting[name]))
                continue
            wrong.append("%s passes and is listed whole" % name)
        for key in sorted(failed):
            if key not in listed:
                wrong += steps[key][1]
            elif a.v:
                print("\n".join(["listed: " + listed[key], *steps[key][1]]))
        wrong += ["%s step %d passes but is listed: %s" % (*k, listed[k]) for k in sorted(listed) if k in steps and k not in failed]
        wrong += ["%s step %d is listed and does not exist" % k for k in sorted(listed) if k[0] == name and k not in steps]
        if not steps:
            wrong.append("%s did not run" % name)
        bad += bool(wrong)
        print("%-4s %s/%s: %d steps, %d of them listed as exceptions" % (
            "BAD" if wrong else "ok", a.kind, name, len(steps), len([k for k in failed if k in listed])))
        for line in wrong:
            print("     " + line.strip() if not line.startswith("     ") else "     " + line)
    total = len(got)
    failing = len([k for k, (ok, _) in got.items() if not ok])
    print("golden %s: %d scenarios, %d steps: %d as recorded, %d listed exceptions, %d scenarios wrong" % (
        a.kind, len(wanted), total, total - failing, len([k for k in listed if k in got and not got[k][0]]), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
