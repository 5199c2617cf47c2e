"""Shared parts of the replay programs: HTTP, templates, placeholders, comparison.

Standard library only.
"""
import base64
import copy
import http.client
import json
import os
import re
import ssl
import time
import urllib.parse

KEEP_HEADERS = (
    "content-type", "cache-control", "location", "retry-after", "allow",
    "x-vault-namespace", "strict-transport-security", "content-disposition",
    "access-control-allow-origin", "access-control-allow-methods",
    "access-control-max-age", "vary", "x-ratelimit-limit",
)

# ------------------------------------------------------------------ HTTP


class Reply:
    def __init__(self, status, headers, raw):
        self.status = status
        self.headers = headers
        self.raw = raw
        self.text = raw.decode("utf-8", "replace")
        try:
            self.json = json.loads(self.text) if self.text.strip() else None
            self.is_json = bool(self.text.strip())
        except ValueError:
            self.json = None
            self.is_json = False

    def value(self):
        if not self.raw:
            return None
        return self.json if self.is_json else {"<raw>": self.text}


def call(addr, method, path, headers=None, body=None, timeout=60):
    u = urllib.parse.urlsplit(addr)
    if u.scheme == "https":
        ctx = ssl.create_default_context()
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
        conn = http.client.HTTPSConnection(u.hostname, u.port, timeout=timeout, context=ctx)
    else:
        conn = http.client.HTTPConnection(u.hostname, u.port, timeout=timeout)
    try:
        conn.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
        names = {k.lower() for k in (headers or {})}
        for k, v in (headers or {}).items():
            for one in v if isinstance(v, list) else [v]:
                conn.putheader(k, one)
        if body is not None or method in ("POST", "PUT", "PATCH"):
            data = body or b""
            if "content-length" not in names:
                conn.putheader("Content-Length", str(len(data)))
            conn.endheaders()
            try:
                if data:
                    conn.send(data)
            except (BrokenPipeError, ConnectionResetError):
                pass
        else:
            conn.endheaders()
        r = conn.getresponse()
        raw = r.read()
        hs = {}
        for k, v in r.getheaders():
            hs.setdefault(k.lower(), []).append(v)
        return Reply(r.status, {k: ", ".join(v) for k, v in hs.items()}, raw)
    finally:
        conn.close()


# ------------------------------------------------------------------ templates

VAR = re.compile(r"\$\{([a-zA-Z0-9_.]+)\}")


def expand(v, env):
    if isinstance(v, str):
        whole = VAR.fullmatch(v)
        if whole:
            return env.get(whole.group(1), v)
        return VAR.sub(lambda m: str(env.get(m.group(1), m.group(0))), v)
    if isinstance(v, list):
        return [expand(x, env) for x in v]
    if isinstance(v, dict):
        return {expand(k, env) if isinstance(k, str) else k: expand(x, env) for k, x in v.items()}
    return v


def dig(obj, path):
    """Dotted path; numeric parts index lists; '@first' = first key of an object."""
    cur = obj
    for part in path.split("."):
        if cur is None:
            return None
        if isinstance(cur, list):
            i = int(part)
            cur = cur[i] if -len(cur) <= i < len(cur) else None
        elif isinstance(cur, dict):
            if part == "@first":
                cur = sorted(cur)[0] if cur else None
            else:
                part = part.replace("%2E", ".")
                cur = cur.get(part)
        else:
            return None
    return cur


def request_of(step, env):
    r = step["request"]
    headers = dict(expand(r.get("headers") or {}, env))
    tok = r.get("token")
    if tok:
        headers.setdefault("X-Vault-Token", expand(tok, env))
    body = None
    if "body" in r:
        body = json.dumps(expand(r["body"], env)).encode()
    elif "raw_body" in r:
        body = expand(r["raw_body"], env).encode()
    elif "raw_body_base64" in r:
        body = base64.b64decode(r["raw_body_base64"])
    elif "body_size" in r:
        body = b'{"a":"' + b"x" * r["body_size"] + b'"}'
    return r["method"], expand(r["path"], env), headers, body


def perform(addr, step, env):
    method, path, headers, body = request_of(step, env)
    retry = step.get("retry")
    end = time.time() + (retry["seconds"] if retry else 0)
    while True:
        rep = call(addr, method, path, headers, body)
        if not retry or rep.status == retry["until_status"] or time.time() > end:
            return rep
        time.sleep(0.25)


# ------------------------------------------------------------------ audit file reading


class AuditReader:
    def __init__(self):
        self.pos = {}

    def read(self, path):
        for _ in range(10):
            if os.path.exists(path):
                break
            time.sleep(0.1)
        time.sleep(0.2)
        if not os.path.exists(path):
            return None
        with open(path, "rb") as f:
            f.seek(self.pos.get(path, 0))
            data = f.read()
            self.pos[path] = f.tell()
        out = []
        for line in data.decode("utf-8", "replace").splitlines():
            if line.strip():
                try:
                    out.append(json.loads(line))
                except ValueError:
                    out.append({"<raw>": line})
        return out


# ------------------------------------------------------------------ normalisation

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
RFC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
ZERO_TIME = "0001-01-01T00:00:00Z"

PATTERNS = {
    "<uuid>": UUID,
    "<time:rfc3339>": RFC,
    "<token:hvs>": r"(?:hvs|s)\.[A-Za-z0-9_\-.]{20,}",
    "<token:hvb>": r"(?:hvb|b)\.[A-Za-z0-9_\-.=]{40,}",
    "<accessor>": r"[A-Za-z0-9]{24}(?:\.[A-Za-z0-9]+)?",
    "<hmac-sha256>": r"hmac-sha256:[0-9a-f]{64}",
    "<hex>": r"(?:[0-9a-f]{2})+",
    "<base64>": r"[A-Za-z0-9+/]+=*",
    "<base64url>": r"[A-Za-z0-9_\-]+=*",
    "<string>": r"(?s:.*)",
    "<version>": r"v?\d+\.\d+\.\d+\S*|",
    "<port>": r"\d+",
    "<host>": r"[^\s:/]+",
    "<num>": r"\d+",
    "<dur>": r"(?:\d+(?:\.\d+)?(?:h|m|s|ms|us|µs|ns))+",
    "<aws-key-id>": r"(?:AKIA|ASIA)[A-Z0-9]{12,}",
    "<aws-unique-id>": r"A[A-Z0-9]{3}[A-Z0-9]{12,}",
    "<aws-secret>": r"[A-Za-z0-9+/]{30,}",
    "<rand>": r"[A-Za-z0-9_\-]+",
}
PH = re.compile(r"<(?:lease-id|mount-accessor|token-lease):[^>]*>|" + "|".join(
    re.escape(k) for k in sorted(PATTERNS, key=len, reverse=True)))

VOLATILE_INT = {
    "creation_time", "server_time_utc", "last_renewal_time", "echo_duration_ms", "clock_skew_ms",
    "remote_port", "encryptions", "total_backends", "replication_primary_canary_age_ms",
    "raft_committed_index", "raft_applied_index", "token_issue_unix",
}
NEAR_INT = {"ttl", "remaining_ttl"}
VERSION_KEYS = {"version", "running_plugin_version", "mount_running_version", "mount_running_plugin_version",
                "plugin_version", "build_date_version"}
STRING_KEYS = {"cluster_name", "running_sha256", "mount_running_sha256"}
HEX_KEYS = {"keys", "recovery_keys"}
B64_KEYS = {"keys_base64", "recovery_keys_base64", "encoded_token", "encoded_root_token"}


def norm_str(s, key, env_rev):
    if key == "build_date":
        return "<string>"
    if key in VERSION_KEYS and (s == "" or re.match(r"v?\d+\.\d+", s)):
        return "<version>" if s else ""
    if key in STRING_KEYS and s:
        return "<string>"
    for val, name in env_rev:
        if s == val:
            return "${%s}" % name
    for val, name in env_rev:
        if len(val) >= 8 and val in s:
            s = s.replace(val, "${%s}" % name)
    if re.fullmatch(PATTERNS["<token:hvs>"], s):
        return "<token:hvs>"
    if re.fullmatch(PATTERNS["<token:hvb>"], s):
        return "<token:hvb>"
    if key in ("accessor", "wrapped_accessor", "token_accessor", "client_token_accessor") \
            and re.fullmatch(r"[A-Za-z0-9]{24}", s):
        return "<accessor>"
    m = re.fullmatch(r"([a-z][a-z0-9_\-]*)_[0-9a-f]{8}", s)
    if m:
        return "<mount-accessor:%s>" % m.group(1)
    if key in ("lease_id", "id") and re.fullmatch(r".+/[A-Za-z0-9]{24}", s):
        return "<lease-id:%s>" % s.rsplit("/", 1)[0]
    m = re.fullmatch(r"(.+)/h[0-9a-f]{64}", s)
    if m:
        return "<token-lease:%s>" % m.group(1)
    s = re.sub(r"hmac-sha256:[0-9a-f]{64}", "<hmac-sha256>", s)
    s = re.sub(UUID, "<uuid>", s)
    s = re.sub(RFC, lambda m: m.group(0) if m.group(0) == ZERO_TIME else "<time:rfc3339>", s)
    s = re.sub(r"\b(127\.0\.0\.1|localhost):\d{4,5}\b", r"\1:<port>", s)
    s = re.sub(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", "<aws-key-id>", s)
    return s


def normalise(v, env_rev, key=None):
    if isinstance(v, dict):
        return {(norm_str(k, None, env_rev) if k else k): normalise(x, env_rev, k) for k, x in v.items()}
    if isinstance(v, list):
        return [normalise(x, env_rev, key) for x in v]
    if isinstance(v, str):
        if key in HEX_KEYS and re.fullmatch(r"(?:[0-9a-f]{2}){16,}", v):
            return "<hex>"
        if key in B64_KEYS and len(v) > 16 and re.fullmatch(PATTERNS["<base64>"], v):
            return "<base64>"
        return norm_str(v, key, env_rev)
    if isinstance(v, bool) or v is None:
        return v
    if isinstance(v, (int, float)):
        if key in VOLATILE_INT and v != 0:
            return "<int>"
        if key in NEAR_INT and v > 0:
            return "<int~%d>" % v
    return v


def apply_mask(v, mask):
    for path, repl in mask.items():
        v = _mask(v, path.split("."), repl)
    return v


def _mask(v, parts, repl):
    if not parts:
        return repl(v) if callable(repl) else repl
    head, rest = parts[0], parts[1:]
    if isinstance(v, dict):
        keys = list(v) if head == "*" else [head.replace("%2E", ".")]
        for k in keys:
            if k in v:
                v[k] = _mask(v[k], rest, repl)
    elif isinstance(v, list):
        idx = range(len(v)) if head == "*" else ([int(head)] if head.lstrip("-").isdigit() and int(head) < len(v) else [])
        for i in idx:
            v[i] = _mask(v[i], rest, repl)
    return v


def apply_drop(v, paths):
    for path in paths:
        _drop(v, path.split("."))
    return v


def _drop(v, parts):
    head, rest = parts[0], parts[1:]
    if isinstance(v, dict):
        keys = list(v) if head == "*" else [head.replace("%2E", ".")]
        for k in keys:
            if k in v:
                if rest:
                    _drop(v[k], rest)
                else:
                    del v[k]
    elif isinstance(v, list):
        for i, x in enumerate(v):
            if head == "*" or head == str(i):
                _drop(x, rest) if rest else None


def apply_add(v, adds):
    for path, val in adds.items():
        parts = path.split(".")
        cur = v
        for p in parts[:-1]:
            p = p.replace("%2E", ".")
            cur = cur[int(p)] if isinstance(cur, list) else cur.setdefault(p, {})
        cur[parts[-1].replace("%2E", ".")] = val
    return v


# ------------------------------------------------------------------ comparison

# Keys newer servers may add anywhere without it being a mismatch.
ALWAYS_EXTRA = {"mount_type", "enterprise", "deprecation_status", "external_entropy_access", "mfa_requirement",
                "echo_duration_ms", "clock_skew_ms", "replication_primary_canary_age_ms", "recovery_seal_type",
                "plugin_version", "running_plugin_version", "running_sha256"}


def match_path(path, patterns):
    for p in patterns or ():
        if p == "*":
            return True
        if p == "":
            if not path:
                return True
            continue
        pp = p.split(".")
        if len(pp) == len(path) and all(a == "*" or a.replace("%2E", ".") == str(b) for a, b in zip(pp, path)):
            return True
    return False


def str_regex(exp):
    out, last = [], 0
    for m in PH.finditer(exp):
        out.append(re.escape(exp[last:m.start()]))
        t = m.group(0)
        if t.startswith("<lease-id:"):
            out.append(re.escape(t[10:-1]) + r"/[A-Za-z0-9\-]{20,40}(?:\.[A-Za-z0-9]+)?")
        elif t.startswith("<mount-accessor:"):
            out.append(re.escape(t[16:-1]) + r"_[0-9a-f]{8}")
        elif t.startswith("<token-lease:"):
            out.append(re.escape(t[13:-1]) + r"/[0-9A-Za-z]{20,}")
        else:
            out.append("(?:%s)" % PATTERNS[t])
        last = m.end()
    out.append(re.escape(exp[last:]))
    return "".join(out)


def compare(exp, act, match, env, path=(), out=None):
    out = [] if out is None else out
    where = ".".join(str(p) for p in path) or "body"
    if match_path(path, match.get("ignore")):
        return out
    if isinstance(exp, str):
        if exp == "<any>":
            return out
        typed = {"<int>": int, "<number>": (int, float), "<bool>": bool, "<object>": dict, "<list>": list}
        if exp in typed:
            ok = isinstance(act, typed[exp]) and not (exp in ("<int>", "<number>") and isinstance(act, bool))
            if not ok:
                out.append("%s: other type: want %s, got %s" % (where, exp, short(act)))
            return out
        if exp == "<list:string>":
            if not isinstance(act, list) or not all(isinstance(x, str) for x in act):
                out.append("%s: other type: want list of strings, got %s" % (where, short(act)))
            return out
        if exp == "<object|null>":
            if act is not None and not isinstance(act, dict):
                out.append("%s: other type: want object or null, got %s" % (where, short(act)))
            return out
        m = re.fullmatch(r"<int~(\d+)>", exp)
        if m:
            n = int(m.group(1))
            if isinstance(act, bool) or not isinstance(act, int):
                out.append("%s: other type: want int, got %s" % (where, short(act)))
            elif not n - 20 <= act <= n + 2:
                out.append("%s: other value: want about %d, got %s" % (where, n, act))
            return out
        exp2 = expand(exp, env)
        if not isinstance(act, str):
            if not isinstance(exp2, str):
                if exp2 != act:
                    out.append("%s: other value: want %s, got %s" % (where, short(exp2), short(act)))
                return out
            out.append("%s: other type: want %s, got %s" % (where, short(exp), short(act)))
            return out
        if exp2 == act:
            return out
        if not re.fullmatch(str_regex(str(exp2)), act, re.S):
            kind = "other error text" if path and path[0] == "errors" else "other value"
            out.append("%s: %s: want %s, got %s" % (where, kind, short(exp2), short(act)))
        return out
    if isinstance(exp, dict):
        if not isinstance(act, dict):
            out.append("%s: other type: want object, got %s" % (where, short(act)))
            return out
        e2 = {expand(k, env): v for k, v in exp.items()}
        wild = {k: v for k, v in e2.items() if PH.search(k)}
        used = set()
        for k, v in e2.items():
            if k in wild:
                continue
            if k not in act:
                if not match_path(path + (k,), match.get("optional")) and not match_path(path + (k,), match.get("ignore")):
                    out.append("%s: missing key" % ".".join(map(str, path + (k,))))
            else:
                used.add(k)
                compare(v, act[k], match, env, path + (k,), out)
        for k, v in wild.items():
            hit = [a for a in act if a not in used and re.fullmatch(str_regex(k), a)]
            if not hit:
                out.append("%s: missing key" % ".".join(map(str, path + (k,))))
            else:
                used.add(hit[0])
                compare(v, act[hit[0]], match, env, path + (k,), out)
        if not match_path(path, match.get("extra_ok")):
            for k in act:
                if k not in used and k not in ALWAYS_EXTRA and not match_path(path + (k,), match.get("ignore")):
                    out.append("%s: extra key (%s)" % (".".join(map(str, path + (k,))), short(act[k])))
        return out
    if isinstance(exp, list):
        if not isinstance(act, list):
            out.append("%s: other type: want list, got %s" % (where, short(act)))
            return out
        if match_path(path, match.get("contains")):
            for e in exp:
                if not any(not compare(e, a, match, env, path + ("*",), []) for a in act):
                    out.append("%s: missing element %s" % (where, short(e)))
            return out
        if len(exp) != len(act):
            out.append("%s: other value: want %d elements %s, got %d %s" % (where, len(exp), short(exp), len(act), short(act)))
            return out
        if match_path(path, match.get("unordered")):
            rest = list(act)
            for e in exp:
                for i, a in enumerate(rest):
                    if not compare(e, a, match, env, path + ("*",), []):
                        rest.pop(i)
                        break
                else:
                    out.append("%s: missing element %s" % (where, short(e)))
            return out
        for i, (e, a) in enumerate(zip(exp, act)):
            compare(e, a, match, env, path + (i,), out)
        return out
    if isinstance(exp, bool) or isinstance(act, bool) or exp is None or act is None:
        if exp is not act and exp != act or type(exp) is not type(act):
            out.append("%s: other %s: want %s, got %s" % (
                where, "value" if type(exp) is type(act) else "type", short(exp), short(act)))
        return out
    if isinstance(exp, (int, float)):
        if not isinstance(act, (int, float)):
            out.append("%s: other type: want %s, got %s" % (where, short(exp), short(act)))
        elif exp != act:
            out.append("%s: other value: want %s, got %s" % (where, exp, act))
    return out


def compare_reply(step, rep, env):
    """List of mismatches of one step."""
    exp = step["response"]
    match = step.get("match") or {}
    out = []
    ok = [exp["status"]] + list(match.get("status_any") or [])
    if rep.status not in ok:
        out.append("other status: want %s, got %s %s" % ("/".join(map(str, ok)), rep.status, short(rep.text)))
    for k, v in (exp.get("headers") or {}).items():
        if match_path(("headers", k), match.get("ignore")):
            continue
        got = rep.headers.get(k)
        if got is None:
            out.append("header %s: missing (want %s)" % (k, v))
        elif not re.fullmatch(str_regex(expand(v, env)), got):
            out.append("header %s: want %s, got %s" % (k, v, got))
    body = exp.get("body")
    if match.get("error_contains") is not None:
        errs = rep.json.get("errors") if isinstance(rep.json, dict) else None
        joined = "\n".join(map(str, errs or []))
        for piece in match["error_contains"]:
            if not re.search(str_regex(expand(piece, env)), joined, re.S):
                out.append("other error text: want it to contain %s, got %s" % (short(piece), short(joined or rep.text)))
        return out
    if match.get("no_body"):
        return out
    if rep.status not in ok:
        return out
    act = rep.value()
    if body is None:
        if act is not None:
            out.append("body: extra: want empty, got %s" % short(act))
        return out
    if act is None:
        out.append("body: missing: want %s" % short(body))
        return out
    compare(body, uncapped(body, act), match, env, (), out)
    return out


CAPPED = re.compile(r'TTL of "(\w+)" exceeded the effective max_ttl of "(\w+)"; TTL value is capped accordingly')


def uncapped(exp, act):
    """A renewal up to the maximum is capped, with a warning, once a second has passed since the issue: undo that."""
    if not (isinstance(exp, dict) and isinstance(act, dict) and exp.get("warnings") is None):
        return act
    warnings = act.get("warnings") or []
    m = CAPPED.fullmatch(warnings[0]) if len(warnings) == 1 and isinstance(warnings[0], str) else None
    if m and 0 < seconds(m.group(1)) - seconds(m.group(2)) <= 5:
        return {**act, "warnings": None}
    return act


def seconds(text):
    return sum(int(a) * {"h": 3600, "m": 60, "s": 1}[u] for a, u in re.findall(r"(\d+)([hms])", text))


def short(v, n=160):
    s = v if isinstance(v, str) else json.dumps(v, sort_keys=True)
    s = json.dumps(s) if isinstance(v, str) else s
    return s if len(s) <= n else s[: n - 3] + "..."


def env_reverse(env):
    items = [(v, k) for k, v in env.items() if isinstance(v, str) and len(v) >= 6 and not k.startswith("_")]
    return sorted(items, key=lambda t: -len(t[0]))


def clone(x):
    return copy.deepcopy(x)
