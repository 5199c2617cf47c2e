//! What the server's log says of leases that were removed by force.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, registry};

/// See the module. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Forgotten>>>);

/// A lease that was removed, and what the operator was told of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Forgotten {
    pub(super) lease: String,
    /// The user that may be left.
    pub(super) user: String,
    pub(super) is_warning: bool,
    /// The whole line, with all its fields.
    pub(super) line: String,
}

impl Log {
    /// Hears what is said on this thread, until the guard is dropped.
    pub(super) fn listen(&self) -> DefaultGuard {
        tracing::subscriber::set_default(registry().with(self.clone()))
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(super) fn forgotten(&self) -> Vec<Forgotten> {
        self.0.lock().unwrap().clone()
    }

    /// What is said of a user.
    pub(super) fn of_user(&self, name: &str) -> Option<Forgotten> {
        self.0.lock().unwrap().iter().find(|forgotten| forgotten.user == name).cloned()
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::WARN || !event.metadata().target().starts_with("leasehold::lease") {
            return;
        }
        let mut heard = Forgotten { is_warning: level == Level::WARN, ..Forgotten::default() };
        event.record(&mut heard);
        if heard.line.contains("was removed by force") {
            self.0.lock().unwrap().push(heard);
        }
    }
}

impl Visit for Forgotten {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "lease.id" => self.lease.clone_from(&text),
            "lease.what" => text.split('"').nth(1).unwrap_or_default().clone_into(&mut self.user),
            _ => {}
        }
        write!(self.line, "{field}={text} ").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
