//! `login` by token and by auth method, and `auth help` (spec `cli.md` §5, login).

mod aws;
mod mfa;

use serde_json::{Map, Value, json};

use crate::cli::client::{Fault, Request};
use crate::cli::command::{Args, Command};
use crate::cli::cx::{Cx, clean};
use crate::cli::data;
use crate::cli::flags::Flag;
use crate::cli::helper;
use crate::cli::output::{Envelope, FIELD, table};
use crate::cli::settings::NON_INTERACTIVE;
use crate::cli::stop::{OK, Outcome, REMOTE, Stop};

const METHOD: Flag = Flag::text("method", "TYPE", "Auth method. Default token.");
const PATH: Flag = Flag::text("path", "PATH", "Where the method is mounted. Default: its type.");
const NO_STORE: Flag = Flag::switch("no-store", "Do not keep the token for later calls.");
const NO_PRINT: Flag = Flag::switch("no-print", "Print nothing.");
const DOCTOR: Flag = Flag::switch(
    "doctor",
    "With -method=aws: ask the server what is wrong with this login instead of logging in. Needs a token.",
);
const TOKEN_ONLY: Flag = Flag::switch("token-only", "Print the bare token and do not keep it.");

pub(super) const LOGIN: Command = Command::new("login", "[flags] [TOKEN | - | K=V...]", "Logs in and keeps the token.", login)
    .details(
        "Without -method, the argument is a token; \"-\" reads it from standard input. With -method=userpass, ldap or radius: username=, \
         password=. With -method=aws: role=, and optionally region=, header_value=, aws_access_key_id=, aws_secret_access_key=, \
         aws_security_token=; or type=ec2, role= and nonce= on an EC2 instance. With -method=kubernetes: role=, jwt=. With -method=cert: name=, and the flags of a client certificate. \
         Any other method is sent the K=V words as they are, as with -method=approle role_id= secret_id=.",
    )
    .flags(&[METHOD, PATH, NO_STORE, NO_PRINT, TOKEN_ONLY, DOCTOR])
    .fields();

pub(super) const HELP: Command =
    Command::new("help", "[flags] TYPE|PATH/", "Shows how to log in by an auth method.", help).args(Args::Exactly(1));

fn login(cx: &mut Cx<'_>) -> Outcome {
    let mut token_only = cx.flags.is(&TOKEN_ONLY);
    let (no_store, no_print) = (cx.flags.is(&NO_STORE) || token_only, cx.flags.is(&NO_PRINT) && !token_only);
    if no_store && no_print {
        return Err(Stop::local("-no-store and -no-print cannot be used together"));
    }
    let method = cx.flags.text(&METHOD).unwrap_or("token").to_owned();
    if cx.flags.is(&DOCTOR) {
        return if method == "aws" { doctor(cx) } else { Err(Stop::local("-doctor is for -method=aws")) };
    }
    let envelope = match method.as_str() {
        "token" => by_token(cx)?,
        method => by_method(cx, method)?,
    };
    let Some(mut envelope) = envelope else {
        return Err(Stop::remote("Error authenticating: the server's reply holds no token"));
    };
    if let Some(requirement) = mfa::requirement(&envelope) {
        match mfa::satisfy(cx, &requirement)? {
            Some(done) => envelope = done,
            None => return Ok(OK),
        }
    }
    let token = match envelope.auth().and_then(|auth| auth.get("client_token")).and_then(Value::as_str) {
        Some(token) if !token.is_empty() => token.to_owned(),
        _ => return Err(Stop::remote("Error authenticating: the server's reply holds no token")),
    };
    let mut kept = Ok(());
    if !no_store {
        kept = helper::store_token(&cx.io, &token);
    }
    let only_token = cx.flags.text(&FIELD) == Some("token");
    token_only |= only_token;
    if no_print {
        return Ok(tell_kept(cx, kept));
    }
    if token_only {
        cx.show_field(&json!(token))?;
        return Ok(tell_kept(cx, kept));
    }
    notice(cx, no_store, kept.is_ok())?;
    cx.show(&envelope)?;
    Ok(tell_kept(cx, kept))
}

fn tell_kept(cx: &mut Cx<'_>, kept: Result<(), String>) -> i32 {
    let Err(error) = kept else { return OK };
    cx.note(&format!("Error storing token: {error}"));
    cx.note("The login succeeded, but its token is not kept for later calls. Use -no-store where it cannot be.");
    REMOTE
}

/// What stands before the table, and the warning of a variable that hides the stored token.
fn notice(cx: &mut Cx<'_>, no_store: bool, is_kept: bool) -> Result<(), Stop> {
    if cx.io.var("VAULT_TOKEN").is_some() && !no_store {
        cx.warn("The VAULT_TOKEN environment variable is set! It takes the place of the token kept by this login. Unset it to use that token.");
        cx.note("");
    }
    if no_store {
        cx.note("The token was not stored in the token helper. Set the VAULT_TOKEN environment variable or pass the token below with each request.\n");
    }
    if cx.is_table() && !cx.flags.has(&FIELD) && is_kept && !no_store {
        cx.say(NOTICE)?;
    }
    Ok(())
}

const NOTICE: &str = "Success! You are now authenticated. The token information displayed below is\n\
                      already stored in the token helper. You do NOT need to run \"vault login\" again.\n\
                      Later calls of the command line use this token.\n";

fn by_token(cx: &mut Cx<'_>) -> Result<Option<Envelope>, Stop> {
    let mut words = cx.args.clone();
    let first = match words.first().map(String::as_str) {
        Some("-") => {
            words.remove(0);
            Some(cx.stdin_line().map_err(Stop::Local)?)
        }
        Some(word) if !word.contains('=') => Some(words.remove(0)),
        _ => None,
    };
    let mut given = data::parse(cx, &words)?;
    let mut take = |name: &str| given.remove(name).and_then(|value| value.as_str().map(|text| text.trim().to_owned()));
    let (by_name, lookup) = (take("token"), take("lookup"));
    let token = match first.or(by_name) {
        Some(token) => token.trim().to_owned(),
        None => ask_token(cx)?,
    };
    if token.is_empty() {
        let text = "a token must be passed to auth, or given by token=, or by standard input as \"-\"";
        return Err(Stop::Remote(format!("Error authenticating: {text}")));
    }
    let look = lookup.is_none_or(|text| crate::cli::flags::parse_bool(&text).unwrap_or(true));
    if !look {
        return Ok(Some(Envelope::with_auth(json!({ "client_token": token, "accessor": "" }))));
    }
    let request = Request::get("auth/token/lookup-self").with_token(&token).unwrapped();
    let envelope = cx.send_for(&request, "Error authenticating: error looking up token")?;
    Ok(envelope.as_ref().and_then(Envelope::data).map(|data| Envelope::with_auth(auth_of(data, &token))))
}

fn ask_token(cx: &mut Cx<'_>) -> Result<String, Stop> {
    if cx.flags.is(&NON_INTERACTIVE) {
        return Err(Stop::remote("Error authenticating: 'token' not supplied and refusing to pull from stdin"));
    }
    cx.ask("Token (will be hidden): ", "token").map_err(|stop| match stop {
        Stop::Local(text) => Stop::Remote(format!("Error authenticating: {text}")),
        other => other,
    })
}

/// The auth block a login would have given, made of what is known of the token.
fn auth_of(data: &Map<String, Value>, token: &str) -> Value {
    let list = |name: &str| data.get(name).filter(|value| !value.is_null()).cloned().unwrap_or(Value::Null);
    let of_token = list("policies");
    let of_identity = list("identity_policies");
    let both = [&of_token, &of_identity].into_iter().filter_map(Value::as_array).flatten();
    let mut all: Vec<&str> = both.filter_map(Value::as_str).collect();
    all.sort_unstable();
    all.dedup();
    json!({
        "client_token": token,
        "accessor": data.get("accessor").cloned().unwrap_or(json!("")),
        "policies": all,
        "token_policies": of_token,
        "identity_policies": of_identity,
        "metadata": list("meta"),
        "lease_duration": data.get("ttl").cloned().unwrap_or(json!(0)),
        "renewable": data.get("renewable").cloned().unwrap_or(json!(false)),
    })
}

/// What the server finds wrong with a login by AWS; it gives no token.
fn doctor(cx: &mut Cx<'_>) -> Outcome {
    let words = cx.args.clone();
    let mut words = data::parse(cx, &words)?;
    let mount = words.remove("mount").and_then(|mount| mount.as_str().map(clean));
    let given = cx.flags.text(&PATH).map(clean);
    let mut path = given.or(mount).unwrap_or_else(|| "aws".to_owned());
    if let Some(rest) = path.strip_prefix("auth/") {
        path = clean(rest);
    }
    let body = aws::body(cx, &words)?;
    let request = Request::put(&format!("auth/{path}/doctor"), Value::Object(body)).unwrapped();
    let reply = cx.send_for(&request, "Error asking the doctor")?;
    let envelope = reply.ok_or_else(|| Stop::remote("Error asking the doctor: the server's reply is empty"))?;
    let data = envelope.data().cloned().unwrap_or_default();
    let is_ok = data.get("verdict").and_then(Value::as_str) == Some("ok");
    if cx.is_table() && !cx.flags.has(&FIELD) {
        let text = |check: &Value, name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let checks = data.get("checks").and_then(Value::as_array).cloned().unwrap_or_default();
        let rows: Vec<_> =
            checks.iter().map(|check| ["name", "result", "code", "detail"].map(|name| text(check, name)).to_vec()).collect();
        let verdict = data.get("verdict").and_then(Value::as_str).unwrap_or_default().to_owned();
        cx.say(&table::with_head(&["Check", "Result", "Code", "Detail"], &rows))?;
        cx.say(&format!("\nVerdict: {verdict}"))?;
    } else {
        cx.show(&envelope)?;
    }
    Ok(if is_ok { OK } else { REMOTE })
}

fn by_method(cx: &mut Cx<'_>, method: &str) -> Result<Option<Envelope>, Stop> {
    let words = cx.args.clone();
    if words.is_empty() && !KNOWN.contains(&method) {
        return Err(Stop::Local(format!(
            "Unknown auth method: {method}. Use \"vault auth list\" to see the complete list of\nauth methods; a method not built in here needs its K=V words."
        )));
    }
    let mut body = data::parse(cx, &words)?;
    if words.iter().any(|word| word == "password=-")
        && let Some(Value::String(password)) = body.get_mut("password")
    {
        // A password typed into a pipe ends in the newline of its line.
        if password.ends_with('\n') {
            password.pop();
        }
    }
    let mut path = cx.flags.text(&PATH).map_or_else(|| method.to_owned(), clean);
    if let Some(rest) = path.strip_prefix("auth/") {
        path = clean(rest);
    }
    let target = match method {
        "userpass" | "ldap" | "radius" => format!("auth/{path}/login/{}", user(cx, method, &mut body)?),
        "aws" => {
            let mount = body.remove("mount").and_then(|mount| mount.as_str().map(clean));
            let path = mount.filter(|_| !cx.flags.has(&PATH)).unwrap_or(path);
            body = aws::body(cx, &body)?;
            format!("auth/{path}/login")
        }
        "kubernetes" => {
            service_account(&mut body)?;
            format!("auth/{path}/login")
        }
        "oidc" if !body.contains_key("jwt") => {
            return Err(Stop::local(
                "-method=oidc is not supported: there is no browser login here; use -method=jwt role=… jwt=… instead",
            ));
        }
        _ => format!("auth/{path}/login"),
    };
    let request = Request::put(&target, Value::Object(body)).anonymous().unwrapped();
    cx.send_for(&request, "Error authenticating")
}

/// Takes the user out of the body, and asks for the password if it is not there.
fn user(cx: &mut Cx<'_>, method: &str, body: &mut Map<String, Value>) -> Result<String, Stop> {
    let user = body.remove("username").and_then(|user| user.as_str().map(str::to_owned)).unwrap_or_default();
    if user.is_empty() {
        return Err(Stop::remote("Error authenticating: 'username' must be specified"));
    }
    if !body.contains_key("password") {
        let from_env = cx.io.var("VAULT_LDAP_PASSWORD").filter(|_| method == "ldap").map(str::to_owned);
        let password = match from_env {
            Some(password) => password,
            None => cx.ask("Password (will be hidden): ", "password")?,
        };
        body.insert("password".to_owned(), json!(password));
    }
    Ok(user)
}

fn service_account(body: &mut Map<String, Value>) -> Result<(), Stop> {
    if !body.contains_key("jwt") {
        let bytes = crate::cli::io::read_file(SERVICE_ACCOUNT).map_err(|error| {
            Stop::Remote(format!("Error authenticating: jwt not given, and the pod's token cannot be read: {error}"))
        })?;
        body.insert("jwt".to_owned(), json!(String::from_utf8_lossy(&bytes).trim()));
    }
    Ok(())
}

fn help(cx: &mut Cx<'_>) -> Outcome {
    let name = cx.arg(0).to_owned();
    let is_path = name.ends_with('/') || !(name == "token" || KNOWN.contains(&name.as_str()));
    let method = if is_path { method_at(cx, &name)? } else { name };
    let (words, about) = match method.as_str() {
        "token" => (
            "TOKEN",
            "A token, \"-\" to read it from standard input, or nothing to be asked for it. lookup=false skips the lookup.",
        ),
        "userpass" | "ldap" | "radius" => {
            ("username=NAME [password=TEXT]", "Without a password it is asked for; password=- reads standard input.")
        }
        "aws" => (
            "role=NAME [region=REGION] [header_value=TEXT] [aws_access_key_id=ID aws_secret_access_key=KEY [aws_security_token=TOKEN]]\n\
             \x20      or: type=ec2 role=NAME [nonce=TEXT]",
            "Signs a GetCallerIdentity request with the given credentials, or those of the environment. Nothing is sent to AWS. With type=ec2: \
             shows the signed document of this EC2 instance. With -doctor the server says what is wrong instead.",
        ),
        "cert" => ("[name=ROLE]", "Needs -client-cert and -client-key."),
        "kubernetes" => ("role=NAME [jwt=TEXT]", "Without a jwt the pod's own token is used."),
        "approle" => ("role_id=ID [secret_id=ID]", "The ids of the role."),
        "jwt" => ("role=NAME jwt=TEXT", "A signed token of the configured issuer."),
        _ => ("K=V...", "The words are sent to the method's login path as they are."),
    };
    let usage = if method == "token" { words.to_owned() } else { format!("-method={method} [-path=PATH] {words}") };
    let text = format!("Usage: {} login {usage}\n\n{}", cx.program, table::fold(about, 2));
    cx.say(&text)?;
    Ok(OK)
}

fn method_at(cx: &mut Cx<'_>, name: &str) -> Result<String, Stop> {
    let path = format!("{}/", clean(name));
    let reply = cx.try_send(&Request::get("sys/auth").unwrapped())?;
    let envelope = match reply {
        Ok(reply) => Envelope::of(&reply).map_err(Stop::Remote)?,
        Err(fault @ (Fault::Instead(_) | Fault::Lost(_) | Fault::Refused(_))) => {
            return Err(fault.about("Error listing auth methods"));
        }
    };
    let kind = envelope.as_ref().and_then(|envelope| envelope.data()?.get(&path)?.get("type")?.as_str().map(str::to_owned));
    kind.ok_or_else(|| Stop::Local(format!("No auth method available on the server at \"{path}\"")))
}

/// Methods whose arguments are known here.
const KNOWN: &[&str] = &["approle", "aws", "cert", "jwt", "kubernetes", "ldap", "oidc", "radius", "userpass"];
/// Where a pod finds its own token.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
