//! `identity/` behind the whole way of a request: who logs in, what he and his groups may do, and what is said of him.

mod entities;
mod groups;
mod hot;
mod logins;
mod merge;
mod policies;
mod tokens;
mod world;
