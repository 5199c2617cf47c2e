//! `sys/host-info`: the machine, as far as it tells (spec `sys.md` §1). What cannot be read becomes a warning.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::base::time::rfc3339_nano;
use crate::mount::{ApiError, Ctx, Nothing, Reply, Table};

use super::Sys;

pub(super) fn endpoints(table: &mut Table<Sys>) {
    table.at("host-info", "The machine this server runs on.").read(read);
}

/// The name of the machine.
pub(in crate::core) fn hostname() -> String {
    kernel("hostname")
}

async fn read(sys: Arc<Sys>, cx: Ctx, _: Nothing) -> Result<Reply, ApiError> {
    let now = cx.clock.precise();
    let seconds = cx.clock.now().seconds();
    // Files of the kernel, and the file systems of the machine, one of which may hang.
    let work = sys.active()?.tasks.spawn_blocking(move || look(seconds));
    let (mut told, missing) = work.await.map_err(ApiError::internal)?;
    told.insert("timestamp".to_owned(), json!(rfc3339_nano(now)));
    let reply = Reply::data(told);
    Ok(missing.into_iter().fold(reply, |reply, name| reply.warn(format!("host information about {name} cannot be read"))))
}

/// All parts, and the names of those that are missing.
fn look(now: u64) -> (Map<String, Value>, Vec<&'static str>) {
    let parts = [("cpu", cpus()), ("cpu_times", cpu_times()), ("disk", disks()), ("host", host(now)), ("memory", memory())];
    let mut told = Map::new();
    let mut missing = Vec::new();
    for (name, part) in parts {
        match part {
            Some(part) => _ = told.insert(name.to_owned(), part),
            None => missing.push(name),
        }
    }
    (told, missing)
}

fn file(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// A setting of the kernel; empty when it does not tell.
fn kernel(name: &str) -> String {
    file(&format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned()
}

fn cpus() -> Option<Value> {
    Some(Value::Array(file("/proc/cpuinfo")?.split("\n\n").filter_map(cpu).collect()))
}

/// One paragraph of `cpuinfo`.
fn cpu(text: &str) -> Option<Value> {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
    };
    let text_of = |key| value(key).unwrap_or_default();
    let number = |key| value(key).and_then(|value| value.split(' ').next()?.parse::<f64>().ok()).unwrap_or_default();
    let whole = |key| value(key).and_then(|value| value.split(' ').next()?.parse::<i64>().ok()).unwrap_or_default();
    let flags: Vec<String> = text_of("flags").split_whitespace().map(str::to_owned).collect();
    let place: u64 = value("processor")?.parse().ok()?;
    Some(json!({
        "cpu": place,
        "vendorId": text_of("vendor_id"),
        "family": text_of("cpu family"),
        "model": text_of("model"),
        "stepping": whole("stepping"),
        "physicalId": text_of("physical id"),
        "coreId": text_of("core id"),
        "cores": 1,
        "modelName": text_of("model name"),
        "mhz": number("cpu MHz"),
        "cacheSize": whole("cache size"),
        "flags": flags,
        "microcode": text_of("microcode"),
    }))
}

fn cpu_times() -> Option<Value> {
    let text = file("/proc/stat")?;
    let each = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "));
    Some(Value::Array(each.map(times).collect()))
}

/// One line of `stat`, in seconds.
fn times(line: &str) -> Value {
    let mut words = line.split_whitespace();
    let mut told = Map::new();
    told.insert("cpu".to_owned(), json!(words.next().unwrap_or_default()));
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    for name in ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guestNice"] {
        let ticks: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        told.insert(name.to_owned(), json!(float(ticks) / float(per_second)));
    }
    Value::Object(told)
}

fn disks() -> Option<Value> {
    let text = file("/proc/self/mounts")?;
    let mut told = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(path), Some(kind)) = (words.next(), words.next(), words.next()) else { continue };
        // Others hold no files.
        if !device.starts_with('/') && kind != "overlay" {
            continue;
        }
        let path = path.replace("\\040", " ");
        told.extend(disk(&path, kind));
        if told.len() == DISKS {
            break;
        }
    }
    Some(Value::Array(told))
}

fn disk(path: &str, kind: &str) -> Option<Value> {
    let stat = rustix::fs::statvfs(Path::new(path)).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
    let files_used = stat.f_files.saturating_sub(stat.f_ffree);
    Some(json!({
        "path": path,
        "fstype": kind,
        "total": bytes(stat.f_blocks),
        "free": bytes(stat.f_bavail),
        "used": used,
        "usedPercent": percent(used, used.saturating_add(bytes(stat.f_bavail))),
        "inodesTotal": stat.f_files,
        "inodesUsed": files_used,
        "inodesFree": stat.f_ffree,
        "inodesUsedPercent": percent(files_used, stat.f_files),
    }))
}

fn host(now: u64) -> Option<Value> {
    let uptime: u64 = file("/proc/uptime")?.split(['.', ' ']).next()?.parse().ok()?;
    let release = file("/etc/os-release").unwrap_or_default();
    let of_release = |key: &str| {
        let mut lines = release.lines().filter_map(|line| line.split_once('='));
        lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let family = of_release("ID_LIKE");
    let processes = std::fs::read_dir("/proc").map_or(0, |entries| entries.filter_map(Result::ok).filter(is_process).count());
    Some(json!({
        "hostname": hostname(),
        "uptime": uptime,
        "bootTime": now.saturating_sub(uptime),
        "procs": processes,
        "os": "linux",
        "platform": of_release("ID"),
        "platformFamily": if family.is_empty() { of_release("ID") } else { family },
        "platformVersion": of_release("VERSION_ID"),
        "kernelVersion": kernel("osrelease"),
        "kernelArch": std::env::consts::ARCH,
        "virtualizationSystem": "",
        "virtualizationRole": "",
        "hostid": file("/etc/machine-id").unwrap_or_default().trim(),
    }))
}

fn is_process(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit())
}

/// `meminfo` in bytes under its own names in lower case, and the few names that are spelled otherwise.
fn memory() -> Option<Value> {
    let text = file("/proc/meminfo")?;
    let mut told = Map::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let mut words = value.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
        let bytes = if words.next() == Some("kB") { number.saturating_mul(1024) } else { number };
        let name = name.to_lowercase().replace(['(', ')', '_'], "");
        let name = match name.as_str() {
            "memtotal" => "total",
            "memfree" => "free",
            "memavailable" => "available",
            "shmem" => "shared",
            name => name,
        };
        told.insert(name.to_owned(), json!(bytes));
    }
    let number = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or_default();
    let total = number("total");
    let used = total.saturating_sub(number("available"));
    told.insert("used".to_owned(), json!(used));
    told.insert("usedPercent".to_owned(), json!(percent(used, total)));
    Some(Value::Object(told))
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) * 100.0 }
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
fn float(number: u64) -> f64 {
    number as f64
}

/// File systems told of: machines with more of them have containers, whose mounts repeat.
const DISKS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_of_itself() {
        let (told, missing) = look(2_000_000_000);
        assert_eq!(missing, [""; 0]);
        assert!(told["memory"]["total"].as_u64().unwrap() > told["memory"]["used"].as_u64().unwrap());
        for name in ["available", "free", "active", "inactive", "buffers", "cached", "dirty", "slab", "swaptotal", "swapfree"] {
            assert!(told["memory"][name].is_u64(), "{name}");
        }
        assert!(told["cpu_times"][0]["user"].is_number());
        assert!(!told["host"]["kernelVersion"].as_str().unwrap().is_empty());
    }

    #[test]
    fn a_processor_is_read_from_its_paragraph() {
        let told =
            cpu("processor\t: 3\nvendor_id\t: Acme\ncpu MHz\t\t: 2596.150\ncache size\t: 1024 KB\nflags\t\t: a b\n").unwrap();
        assert_eq!(told["cpu"], 3);
        assert_eq!(told["mhz"], json!(2596.15));
        assert_eq!((told["cacheSize"].as_i64(), &told["flags"]), (Some(1024), &json!(["a", "b"])));
    }
}
