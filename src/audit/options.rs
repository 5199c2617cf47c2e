//! Settings of a device, as operators give them and as `core/audit` keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AuditError;
use super::entry::{Format, LineOptions};

/// A device of the audit table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// Where it hangs, ending in `/`.
    pub path: String,
    /// `file`, `socket` or `syslog`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub description: String,
    /// As given.
    pub options: BTreeMap<String, String>,
    /// Not replicated; shown, without effect on a single server.
    pub local: bool,
    /// Names the device's salt in storage, below `audit/`; stays for the device's life.
    pub id: String,
}

/// What the options of a device say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) line: LineOptions,
    pub(super) target: Target,
    /// Whether to enable it without a test line.
    pub(super) skip_test: bool,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Discard,
    Stdout,
    File { path: String, mode: u32 },
    Tcp { address: String, timeout_millis: u64 },
    Udp { address: String, timeout_millis: u64 },
    Unix { path: String, timeout_millis: u64 },
    Syslog { facility: u8, tag: String },
}

impl DeviceConfig {
    /// Reads the options.
    pub(super) fn parse(&self) -> Result<Options, AuditError> {
        let given = Given(&self.options);
        given.refuse_unsupported()?;
        let target = match self.kind.as_str() {
            "file" => given.file()?,
            "socket" => given.socket()?,
            "syslog" => given.syslog()?,
            other => return Err(AuditError::UnknownType(other.to_owned())),
        };
        let options = Options { line: given.line()?, target, skip_test: given.flag("skip_test", false)? };
        let unknown: Vec<&str> =
            self.options.keys().map(String::as_str).filter(|key| !COMMON.contains(key) && !OF_KINDS.contains(key)).collect();
        if !unknown.is_empty() {
            tracing::warn!(audit.device = %self.path, options = ?unknown, "audit device `{}` has options without effect", self.path);
        }
        Ok(options)
    }
}

struct Given<'a>(&'a BTreeMap<String, String>);

impl<'a> Given<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn flag(&self, key: &'static str, default: bool) -> Result<bool, AuditError> {
        match self.text(key) {
            None => Ok(default),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(other) => Err(bad(key, format!("{other:?} is neither true nor false"))),
        }
    }

    /// Options that would keep lines out of a log or send them elsewhere: ignored, they would mislead.
    fn refuse_unsupported(&self) -> Result<(), AuditError> {
        for key in ["filter", "exclude"] {
            if self.text(key).is_some() {
                return Err(bad(key, "not supported by this server".to_owned()));
            }
        }
        if self.flag("fallback", false)? {
            return Err(bad("fallback", "not supported by this server".to_owned()));
        }
        Ok(())
    }

    fn line(&self) -> Result<LineOptions, AuditError> {
        let prefix = self.text("prefix").unwrap_or_default();
        if prefix.contains(['\n', '\r']) {
            return Err(bad("prefix", "it would end the line".to_owned()));
        }
        Ok(LineOptions {
            hmac_accessor: self.flag("hmac_accessor", true)?,
            log_raw: self.flag("log_raw", false)?,
            prefix: prefix.to_owned(),
            elide_list_responses: self.flag("elide_list_responses", false)?,
            format: match self.text("format") {
                None | Some("json") => Format::Json,
                Some("jsonx") => Format::Jsonx,
                Some(other) => return Err(bad("format", format!("{other:?} is neither json nor jsonx"))),
            },
        })
    }

    fn file(&self) -> Result<Target, AuditError> {
        let path = self.text("file_path").or_else(|| self.text("path")).ok_or(AuditError::FilePath)?;
        let mode = self.text("mode").unwrap_or("0600");
        let mode = u32::from_str_radix(mode.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o777);
        let mode = mode.ok_or_else(|| bad("mode", "it is not an octal number up to 0777".to_owned()))?;
        if mode & 0o111 != 0 {
            return Err(bad("mode", "a log must not be executable".to_owned()));
        }
        Ok(match path {
            "discard" => Target::Discard,
            "stdout" => Target::Stdout,
            path => Target::File { path: path.to_owned(), mode },
        })
    }

    fn socket(&self) -> Result<Target, AuditError> {
        let address = self.text("address").ok_or_else(|| bad("address", "required".to_owned()))?.to_owned();
        let timeout = crate::base::time::parse_nanos(self.text("write_timeout").unwrap_or("2s"));
        let millis = timeout.ok().and_then(|nanos| u64::try_from(nanos / 1_000_000).ok());
        let timeout_millis = millis
            .filter(|millis| (1..=MAX_TIMEOUT_MILLIS).contains(millis))
            .ok_or_else(|| bad("write_timeout", "it is not a duration between 1ms and 1m".to_owned()))?;
        match self.text("socket_type").unwrap_or("tcp") {
            "tcp" => Ok(Target::Tcp { address, timeout_millis }),
            "udp" => Ok(Target::Udp { address, timeout_millis }),
            "unix" => Ok(Target::Unix { path: address, timeout_millis }),
            other => Err(bad("socket_type", format!("{other:?} is none of tcp, udp, unix"))),
        }
    }

    fn syslog(&self) -> Result<Target, AuditError> {
        let name = self.text("facility").unwrap_or("AUTH").to_ascii_uppercase();
        let facility = FACILITIES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let facility = facility.ok_or_else(|| bad("facility", format!("{name:?} is not a facility of syslog")))?;
        let tag = self.text("tag").unwrap_or("vault");
        if tag.len() > MAX_TAG || !tag.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b':' | b'[')) {
            return Err(bad("tag", format!("it is not up to {MAX_TAG} visible characters without colon or bracket")));
        }
        Ok(Target::Syslog { facility, tag: tag.to_owned() })
    }
}

fn bad(option: &'static str, reason: String) -> AuditError {
    AuditError::Option { option, reason }
}

const COMMON: [&str; 9] =
    ["hmac_accessor", "log_raw", "prefix", "elide_list_responses", "format", "skip_test", "filter", "exclude", "fallback"];
const OF_KINDS: [&str; 8] = ["file_path", "path", "mode", "address", "socket_type", "write_timeout", "facility", "tag"];
/// RFC 3164 §4.1.3.
const MAX_TAG: usize = 32;
/// A request may wait for one such write; longer ones would outlast the requests' own deadline of 90 s.
const MAX_TIMEOUT_MILLIS: u64 = 60_000;
/// RFC 5424 §6.2.1, by the names operators use.
const FACILITIES: [(&str, u8); 20] = [
    ("KERN", 0),
    ("USER", 1),
    ("MAIL", 2),
    ("DAEMON", 3),
    ("AUTH", 4),
    ("SYSLOG", 5),
    ("LPR", 6),
    ("NEWS", 7),
    ("UUCP", 8),
    ("CRON", 9),
    ("AUTHPRIV", 10),
    ("FTP", 11),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];
