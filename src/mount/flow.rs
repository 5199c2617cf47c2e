//! A reply that goes on: bytes that come one after another.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt as _};

/// See the module. It ends when there are no more pieces, or nobody takes them.
pub struct Flow {
    content_type: &'static str,
    /// Never waited for: it makes a value that is handed on shareable, as all replies are.
    pieces: Mutex<BoxStream<'static, Bytes>>,
}

impl Flow {
    /// Of these pieces.
    pub fn new(content_type: &'static str, pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self { content_type, pieces: Mutex::new(pieces.boxed()) }
    }

    /// Of the whole.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// The pieces.
    pub fn into_pieces(self) -> BoxStream<'static, Bytes> {
        self.pieces.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}
