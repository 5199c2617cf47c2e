#!/usr/bin/env python3
"""The same application in four languages, each on the client library its users have, against one dev server with -dev-aws.

  languages.py [name...]

Each logs in by AppRole, writes and reads a versioned secret with check-and-set, wraps and unwraps, takes keys of AWS, renews
and revokes their lease, renews and ends its own token. Libraries come by name from their registries, in the versions pinned
beside the programs. A language whose tools are not here, or whose libraries cannot be fetched, is
named as absent; a program that fails, fails the run.
"""
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import servers  # noqa: E402

SECONDS = 600  # the first run fetches and compiles a library
POLICY = """
path "secret/data/client/*"     { capabilities = ["create", "read", "update", "patch", "delete"] }
path "secret/metadata/client/*" { capabilities = ["read", "list", "delete"] }
path "secret/metadata/client"   { capabilities = ["list"] }
path "aws/creds/deploy"         { capabilities = ["read"] }
path "sys/leases/revoke"        { capabilities = ["update"] }
path "sys/leases/renew/*"       { capabilities = ["update"] } # the lease's id in the path, as an older driver has it
path "sys/leases/revoke/*"      { capabilities = ["update"] }
path "sys/wrapping/wrap"        { capabilities = ["update"] }
"""


def python(_, env):
    return [sys.executable, os.path.join(HERE, "client.py")]


class Absent(Exception):
    """What a program is built with cannot be fetched."""


def fetch(args, env, folder, made=None):
    """Gets libraries from a registry, into `made` where they lie in a folder of their own."""
    try:
        run(args, env, folder)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        if made:
            shutil.rmtree(made, ignore_errors=True)
        raise Absent("its libraries cannot be fetched: %s" % error) from error


def go(work, env):
    fetch(["go", "mod", "download"], env, os.path.join(HERE, "go"))
    program = os.path.join(work, "client")
    run(["go", "build", "-mod=readonly", "-o", program, "."], env, os.path.join(HERE, "go"))
    return [program]


def node(work, env):
    for name in ("package.json", "package-lock.json", "client.js"):
        shutil.copy(os.path.join(HERE, "node", name), work)
    modules = os.path.join(work, "node_modules")
    if not os.path.isdir(modules):
        fetch(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], env, work, modules)
    return ["node", os.path.join(work, "client.js")]


def java(work, env):
    jars = os.path.join(work, "jars")
    if not os.path.isdir(jars):
        fetch(["mvn", "-q", "-B", "-f", os.path.join(HERE, "java", "pom.xml"), "dependency:copy-dependencies",
               "-DoutputDirectory=" + jars], env, work, jars)
    path = os.pathsep.join([work, os.path.join(jars, "*")])
    run(["javac", "-d", work, "-cp", path, os.path.join(HERE, "java", "src", "Client.java")], env, work)
    return ["java", "-cp", path, "Client"]


LANGUAGES = {"python": (python, []), "go": (go, ["go"]), "node": (node, ["node", "npm"]), "java": (java, ["java", "javac", "mvn"])}


def run(args, env, folder):
    done = subprocess.run(args, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError("%s ended with %d:\n%s" % (" ".join(args[:3]), done.returncode, done.stdout[-4000:]))
    return done.stdout


def prepare(server):
    """A role whose policy has what the programs do."""
    server.call("PUT", "sys/policies/acl/client", {"policy": POLICY})
    server.call("POST", "auth/approle/role/client", {"token_policies": "client", "token_ttl": "1h", "token_max_ttl": "4h"})
    return server.call("GET", "auth/approle/role/client/role-id")["data"]["role_id"]


def main():
    names = sys.argv[1:] or list(LANGUAGES)
    if set(names) - set(LANGUAGES):
        sys.exit("languages: " + ", ".join(LANGUAGES))
    ran = failed = 0
    with servers.Leasehold(dev=True, args=["-dev-aws"]) as server:
        server.told("A stand-in for AWS answers at ")
        role_id = prepare(server)
        for name in names:
            build, tools = LANGUAGES[name]
            missing = [tool for tool in tools if not shutil.which(tool)]
            if missing:
                print("absent %s: no %s here" % (name, ", ".join(missing)))
                continue
            work = os.path.join(servers.ROOT, "target", "tests", "languages", name)
            os.makedirs(work, exist_ok=True)
            # building uses the caller's caches; the program itself gets nothing of the caller's
            began, building = time.monotonic(), dict(os.environ, GOFLAGS="-buildvcs=false")
            try:
                args = build(work, building)
                secret_id = server.call("POST", "auth/approle/role/client/secret-id")["data"]["secret_id"]
                env = servers.clean_environment(work, VAULT_ADDR=server.url, ROLE_ID=role_id, SECRET_ID=secret_id)
                out = run(args, env, work)
                if out.splitlines()[-1:] != ["done"]:
                    raise RuntimeError("it did not come to its end:\n" + out)
                print("ok     %s, %.1f s" % (name, time.monotonic() - began))
                ran += 1
            except Absent as error:
                print("absent %s: %s" % (name, error))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                print("FAIL   %s: %s" % (name, error))
                failed += 1
        left = server.call("LIST", "sys/leases/lookup/aws/creds/deploy", expect=(200, 404))
        if "data" in (left or {}):
            print("FAIL   leases of AWS are left: %s" % left["data"]["keys"])
            failed += 1
    print("languages: %d programs ran, %d failed" % (ran, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
