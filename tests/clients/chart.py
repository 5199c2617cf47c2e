#!/usr/bin/env python3
"""The Helm chart: `helm lint`, and what `helm template` makes of it in both modes.

  chart.py FOLDER

Every manifest is held against the schemas of Kubernetes, strictly, in the oldest and newest version there is; then what the chart promises is
looked for in them, and the configuration in them is given to the server's own `-check`. Without `helm` on the PATH it is installed
by name from the Go module registry into FOLDER; where that cannot be done, the absence is said.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import servers  # noqa: E402

CHART = os.path.join(servers.ROOT, "deploy", "helm", "leasehold")
HELM = "helm.sh/helm/v3/cmd/helm@v3.19.5"
VERSIONS = ("1.25", "1.37")
# name: what is set, beside the mode
CASES = {
    "dev": [],
    "dev with everything": ["dev.awsStandIn=true", "logLevel=debug", "service.type=NodePort", "podAnnotations.a=b",
                            "image.pullSecrets[0].name=registry", "nodeSelector.disk=ssd", "extraConfig=default_lease_ttl = \"12h\""],
    "standalone": [],
    "standalone with everything": ["standalone.tlsSecret=cert", "standalone.volume.storageClass=fast", "service.port=443",
                                   "tolerations[0].operator=Exists", "extraConfig=default_lease_ttl = \"12h\"\nui = false"],
    "standalone on a claim that is there": ["standalone.volume.existingClaim=mine"],
}
REFUSED = ["mode=cluster", "dev.rootToken=x", "service.port=http", "logLevel=loud"]


def helm(folder):
    found = shutil.which("helm") or os.path.join(folder, "bin", "helm")
    if os.access(found, os.X_OK):
        return found
    if not shutil.which("go"):
        return None
    print("installing " + HELM, flush=True)
    os.makedirs(os.path.join(folder, "bin"), exist_ok=True)
    done = subprocess.run(["go", "install", HELM], env=dict(os.environ, GOBIN=os.path.abspath(os.path.dirname(found))), check=False)
    return found if done.returncode == 0 else None


def call(program, *args, fails=False):
    done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)
    if (done.returncode != 0) != fails:
        sys.exit("%s ended with %d:\n%s%s" % (" ".join(args), done.returncode, done.stdout, done.stderr))
    return done.stdout


def sets(case):
    words = ["--set", "mode=" + case.split()[0]]
    for value in CASES[case]:
        words += ["--set-string" if value.startswith("extraConfig") else "--set", value]
    return words


def manifests(program, case, chart=CHART):
    text = call(program, "template", "vault-dev", chart, "--namespace", "try", *sets(case))
    found = [one for one in yaml.safe_load_all(text) if one]
    return {one["kind"]: one for one in found}, found


def check_promises(case, by_kind, found):
    standalone, tls = case.startswith("standalone"), any(s.startswith("standalone.tlsSecret") for s in CASES[case])
    claims = standalone and "existingClaim" not in str(CASES[case])
    want = {"ConfigMap", "Service", "Deployment"} | ({"PersistentVolumeClaim"} if claims else set())
    assert {one["kind"] for one in found} == want and len(found) == len(want), [one["kind"] for one in found]
    deployment, service = by_kind["Deployment"]["spec"], by_kind["Service"]["spec"]
    pod = deployment["template"]
    labels = pod["metadata"]["labels"]
    assert deployment["replicas"] == 1 and deployment["strategy"] == {"type": "Recreate"}
    for selector in (deployment["selector"]["matchLabels"], service["selector"]):
        assert selector.items() <= labels.items() and selector["app"] == "vault"
    container, = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    port, = service["ports"]
    assert ports[port["targetPort"]] == 8200
    assert port["port"] == (443 if "service.port=443" in CASES[case] else 8200)
    security = pod["spec"]["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] != 0
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                            "capabilities": {"drop": ["ALL"]}}
    scheme = "HTTPS" if tls else "HTTP"
    for name, path in (("readinessProbe", "/v1/sys/health"),
                       ("livenessProbe", "/v1/sys/health?standbyok=true&sealedcode=204&uninitcode=204")):
        got = container[name]["httpGet"]
        assert (got["path"], got["port"], got["scheme"]) == (path, "api", scheme), got
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in mounts.values()} == set(volumes)
    config = volumes[mounts["/vault/config"]["name"]]["configMap"]["name"]
    assert config == by_kind["ConfigMap"]["metadata"]["name"]
    assert ("-dev" in container["args"]) != standalone
    if standalone:
        claim = volumes[mounts["/vault/data"]["name"]]["persistentVolumeClaim"]["claimName"]
        assert claim == (by_kind["PersistentVolumeClaim"]["metadata"]["name"] if claims else "mine")


def check_configuration(by_kind):
    """The arguments of the pod, as the server reads them; only the file is elsewhere."""
    text = by_kind["ConfigMap"]["data"]["leasehold.hcl"]
    container = by_kind["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    with tempfile.TemporaryDirectory(prefix="chart-") as folder:
        path = os.path.join(folder, "leasehold.hcl")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        args = [arg.replace("/vault/config/leasehold.hcl", path) for arg in container["args"]]
        call(servers.binary(), *args, "-check")


def check_probes():
    """The codes that the probes rest on, from a server that is new, then sealed, then open."""
    alive, ready = "/v1/sys/health?standbyok=true&sealedcode=204&uninitcode=204", "/v1/sys/health"
    with servers.Leasehold() as server:

        def codes():
            return servers.http("GET", server.url + alive)[0], servers.http("GET", server.url + ready)[0]

        assert codes() == (204, 501), codes()
        server.initialise()
        assert codes() == (200, 200), codes()
        server.call("PUT", "sys/seal")
        assert codes() == (204, 503), codes()


def check_notes(program):
    """What `helm install` tells, without a cluster: as a manifest of a copy of the chart."""
    with tempfile.TemporaryDirectory(prefix="chart-") as folder:
        copy = os.path.join(folder, "leasehold")
        shutil.copytree(CHART, copy)
        notes = os.path.join(copy, "templates", "NOTES.txt")
        with open(notes, encoding="utf-8") as f:
            text = f.read()
        os.remove(notes)
        with open(os.path.join(copy, "templates", "notes.yaml"), "w", encoding="utf-8") as f:
            f.write('{{- define "notes" -}}\n' + text + '{{- end -}}\napiVersion: v1\nkind: Secret\nmetadata:\n  name: notes\n'
                    'stringData:\n  notes: |\n    {{- include "notes" . | nindent 4 }}\n')
        for case in ("dev", "standalone", "standalone with everything"):
            told = manifests(program, case, copy)[0]["Secret"]["stringData"]["notes"]
            for line in ('export POD_NAME=$(kubectl get pods --namespace try -l "app=vault,app.kubernetes.io/instance=vault-dev"',
                         "kubectl logs --namespace try $POD_NAME", "kubectl port-forward --namespace try $POD_NAME 8200:8200",
                         "export VAULT_ADDR=%s://127.0.0.1:8200" % ("https" if "everything" in case else "http"), "vault login"):
                assert line in told, (case, line, told)
            assert ("vault operator init" in told) == case.startswith("standalone")


def check_values():
    """Every value has words beside it."""
    with open(os.path.join(CHART, "values.yaml"), encoding="utf-8") as f:
        lines = f.read().splitlines()
    silent = ("repository", "pullPolicy", "size", "type", "port", "annotations", "requests", "limits", "cpu", "memory", "service",
              "resources", "podAnnotations", "nodeSelector", "tolerations", "affinity", "image", "dev", "standalone")
    for before, line in zip(["", *lines], lines):
        m = re.match(r"\s*([A-Za-z]+):", line)
        if m and m.group(1) not in silent:
            assert before.lstrip().startswith("#"), "values.yaml: nothing is said of " + m.group(1)


def main():
    program = helm(sys.argv[1] if len(sys.argv) > 1 else os.path.join(servers.ROOT, "target", "tests", "go"))
    if not program:
        print("helm: absent, neither here nor to be installed with go; the chart was not looked at")
        return
    count = 0
    for case in CASES:
        out = call(program, "lint", "--strict", CHART, *sets(case))
        assert not re.search(r"\[(WARNING|ERROR)\]", out), out
        by_kind, found = manifests(program, case)
        for one in found:
            for version in VERSIONS:
                kubernetes_validate.validate(one, version, strict=True)
            count += 1
        check_promises(case, by_kind, found)
        check_configuration(by_kind)
    for value in REFUSED:
        call(program, "template", "vault-dev", CHART, "--set", value, fails=True)
    check_notes(program)
    check_values()
    check_probes()
    print("helm: %d manifests in %d cases" % (count, len(CASES)))


if __name__ == "__main__":
    main()
