//! Lines over the network or to the system's log.

use std::io;
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use bytes::Bytes;

use super::sink::{Joined, Sink, Written};

/// A connection that takes a stream of lines. One that broke within a line starts anew with that line.
#[derive(Debug)]
pub(super) struct StreamSink {
    target: StreamTarget,
    timeout: Duration,
    stream: Option<Stream>,
}

#[derive(Debug)]
enum StreamTarget {
    Tcp(String),
    Unix(String),
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl StreamSink {
    /// `address` is `host:port`.
    pub(super) fn tcp(address: String, timeout: Duration) -> Self {
        Self { target: StreamTarget::Tcp(address), timeout, stream: None }
    }

    /// A socket in the file system.
    pub(super) fn unix(path: String, timeout: Duration) -> Self {
        Self { target: StreamTarget::Unix(path), timeout, stream: None }
    }

    fn connect(&self) -> io::Result<Stream> {
        match &self.target {
            StreamTarget::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(self.timeout))?;
                Ok(Stream::Unix(stream))
            }
            StreamTarget::Tcp(address) => {
                let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
                for address in address.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, self.timeout) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            stream.set_write_timeout(Some(self.timeout))?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }
}

impl Sink for StreamSink {
    fn write(&mut self, lines: &[Bytes]) -> Written {
        let written = match &mut self.stream {
            None => Written::closed(),
            Some(Stream::Tcp(stream)) => Joined::default().write(stream, lines),
            Some(Stream::Unix(stream)) => Joined::default().write(stream, lines),
        };
        if written.outcome.is_err() {
            self.stream = None;
        }
        written
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.stream = None;
        self.stream = Some(self.connect()?);
        Ok(())
    }
}

/// A datagram for each line.
#[derive(Debug)]
pub(super) struct DatagramSink {
    target: DatagramTarget,
    timeout: Duration,
    /// Before each line.
    header: String,
    socket: Option<DatagramSocket>,
}

#[derive(Debug)]
enum DatagramTarget {
    Udp(String),
    Unix(Vec<String>),
}

#[derive(Debug)]
enum DatagramSocket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl DatagramSink {
    /// `address` is `host:port`.
    pub(super) fn udp(address: String, timeout: Duration) -> Self {
        Self { target: DatagramTarget::Udp(address), timeout, header: String::new(), socket: None }
    }

    /// The system's log, by the sockets it usually has.
    pub(super) fn syslog(facility: u8, tag: &str) -> Self {
        Self::syslog_at(SYSLOG_SOCKETS.map(str::to_owned).to_vec(), facility, tag)
    }

    /// The header leaves the time and the host to the daemon, which knows both (RFC 3164 §4.3).
    fn syslog_at(sockets: Vec<String>, facility: u8, tag: &str) -> Self {
        let priority = u16::from(facility) * 8 + INFORMATIONAL;
        let header = format!("<{priority}>{tag}[{}]: ", std::process::id());
        Self { target: DatagramTarget::Unix(sockets), timeout: SYSLOG_TIMEOUT, header, socket: None }
    }

    fn connect(&self) -> io::Result<DatagramSocket> {
        match &self.target {
            DatagramTarget::Udp(address) => {
                let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
                for address in address.to_socket_addrs()? {
                    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    let socket = UdpSocket::bind(local)?;
                    socket.set_write_timeout(Some(self.timeout))?;
                    match socket.connect(address) {
                        Ok(()) => return Ok(DatagramSocket::Udp(socket)),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
            DatagramTarget::Unix(paths) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(self.timeout))?;
                let mut failure = io::Error::from(io::ErrorKind::NotFound);
                for path in paths {
                    match socket.connect(path) {
                        Ok(()) => return Ok(DatagramSocket::Unix(socket)),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }
}

impl Sink for DatagramSink {
    fn write(&mut self, lines: &[Bytes]) -> Written {
        let Some(socket) = &self.socket else { return Written::closed() };
        for (index, line) in lines.iter().enumerate() {
            let text = [self.header.as_bytes(), line.strip_suffix(b"\n").unwrap_or(line)].concat();
            let sent = match socket {
                DatagramSocket::Udp(socket) => socket.send(&text),
                DatagramSocket::Unix(socket) => socket.send(&text),
            };
            if let Err(error) = sent {
                let is_refused = error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error());
                return Written { lines: index, outcome: Err(error), is_refused };
            }
        }
        Written::new(lines.len(), Ok(()))
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.socket = None;
        self.socket = Some(self.connect()?);
        Ok(())
    }
}

const SYSLOG_SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
/// How long the daemon may leave its queue full before the line counts as not taken.
const SYSLOG_TIMEOUT: Duration = Duration::from_secs(2);
/// Severity of RFC 5424 §6.2.1.
const INFORMATIONAL: u16 = 6;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lines() -> [Bytes; 2] {
        [Bytes::from_static(b"one\n"), Bytes::from_static(b"two\n")]
    }

    fn read_lines(stream: impl io::Read) -> Vec<String> {
        BufReader::new(stream).lines().take(2).map(Result::unwrap).collect()
    }

    #[test]
    fn a_stream_gets_the_lines_also_after_it_broke() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sink = StreamSink::tcp(listener.local_addr().unwrap().to_string(), SECOND);
        assert!(sink.write(&lines()).outcome.is_err(), "not open yet");
        for _ in 0..2 {
            sink.reopen().unwrap();
            let (stream, _) = listener.accept().unwrap();
            let written = sink.write(&lines());
            assert!(written.outcome.is_ok() && written.lines == 2);
            assert_eq!(read_lines(stream), ["one", "two"]);
        }
        drop(listener);
        assert!(sink.reopen().is_err());
        assert!(sink.write(&lines()).outcome.is_err());
    }

    #[test]
    fn a_unix_socket_is_a_stream_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let mut sink = StreamSink::unix(path.to_str().unwrap().to_owned(), SECOND);
        sink.reopen().unwrap();
        assert!(sink.write(&lines()).outcome.is_ok());
        assert_eq!(read_lines(listener.accept().unwrap().0), ["one", "two"]);
    }

    #[test]
    fn a_datagram_holds_one_line_and_one_too_long_is_refused_for_good() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sink = DatagramSink::udp(receiver.local_addr().unwrap().to_string(), SECOND);
        sink.reopen().unwrap();
        assert_eq!(sink.write(&lines()).lines, 2);
        for expected in [b"one", b"two"] {
            let mut buffer = [0; 100];
            let count = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], expected);
        }
        let written = sink.write(&[Bytes::from(vec![b'x'; 70_000])]);
        assert!(written.is_refused && written.lines == 0, "{written:?}");
    }

    #[test]
    fn the_system_log_gets_priority_and_tag() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let sockets = [folder.path().join("none"), path].iter().map(|path| path.to_str().unwrap().to_owned()).collect();
        let mut sink = DatagramSink::syslog_at(sockets, 4, "vault");
        sink.reopen().unwrap();
        assert!(sink.write(&lines()[..1]).outcome.is_ok());
        let mut buffer = [0; 100];
        let count = daemon.recv(&mut buffer).unwrap();
        assert_eq!(std::str::from_utf8(&buffer[..count]).unwrap(), format!("<38>vault[{}]: one", std::process::id()));
    }
}
