//! Mounts come, change, go and move, through the whole server without its edge.

mod crash;
mod leave;
mod table;
mod ui;
mod world;
