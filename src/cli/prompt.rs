//! Reading a line from the terminal while it does not show what is typed.

use std::io;
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A line of standard input, which is a terminal.
///
/// # Errors
/// When the terminal cannot be told to be silent, or ends before a line came; [`io::ErrorKind::Interrupted`] when a
/// signal came first.
pub(super) fn read_hidden() -> io::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        // The signals are caught before the terminal falls silent, so that none leaves it so.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut quit = signal(SignalKind::quit())?;
        let _silent = Silence::begin()?;
        let line = line()?;
        tokio::select! {
            line = line => line.unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into())),
            _ = interrupt.recv() => Err(io::ErrorKind::Interrupted.into()),
            _ = terminate.recv() => Err(io::ErrorKind::Interrupted.into()),
            _ = hangup.recv() => Err(io::ErrorKind::Interrupted.into()),
            _ = quit.recv() => Err(io::ErrorKind::Interrupted.into()),
        }
    })
}

/// Reads in a thread of its own: nothing ends a read of a terminal but a line. After a signal the thread goes with the
/// process.
fn line() -> io::Result<oneshot::Receiver<io::Result<String>>> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name("prompt".to_owned()).spawn(move || {
        let mut text = String::new();
        let read = io::stdin().read_line(&mut text);
        // Nobody waits any more after a signal.
        let _ = tell.send(match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(text),
            Err(error) => Err(error),
        });
    })?;
    Ok(told)
}

/// A terminal that shows nothing of what is typed until this is dropped.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        // What was typed ahead is dropped: it was shown.
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to show.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
