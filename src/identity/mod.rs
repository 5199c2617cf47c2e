//! Who somebody is, whatever he logs in with (spec `identity.md`): entities with their aliases, groups of them, and what both
//! add to a token's policies at each request.
//!
//! ```text
//! identity/entity/<id>                         the entity, its aliases, the ids of the groups it is a member of
//! identity/entity-name/<hash of name>          → entity id
//! identity/alias/<mount id>/<hash of name>     → entity id
//! identity/alias-id/<alias id>                 → entity id
//! identity/merged/<id of a merged entity>      → id of the entity it became part of
//! identity/group/<id>                          the group, its alias, the groups within it and around it
//! identity/group-name/<hash of name>           → group id
//! identity/group-alias/<mount id>/<hash>       → group id
//! identity/group-alias-id/<alias id>           → group id
//! identity/group-member/<group id>/<entity id> → –: the members, for lists
//! identity/group-gone/<group id>               → –: its members are still to be told
//! identity/group-tree                          changes with each change of groups within groups
//! ```
//!
//! Names differ in more than case; what is hashed is the name in lower case. Memory holds who was asked for last, never
//! everybody: a start reads nothing. Records are written in batches that expect what they were made from, so two first logins
//! make one entity, and a group that is taken apart leaves no member behind.

mod alias;
mod change;
mod check;
mod entity;
mod error;
mod group;
mod group_alias;
mod group_members;
mod login;
mod lookup;
mod merge;
mod principal;
mod record;
mod sweep;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ring::digest;

use crate::barrier::{Barrier, Guarded, View};
use crate::base::turns::Turns;
use crate::base::{Clock, Key, MountId};

pub use alias::{AliasChange, AliasWritten};
pub use check::{check_custom_metadata, check_metadata};
pub use entity::EntityChange;
pub use error::{Clash, IdentityError};
pub use group::GroupChange;
pub use group_alias::GroupAliasChange;
pub use login::{Known, Login};
pub use merge::Merge;
pub use principal::Principal;
pub use record::{Entity, EntityAlias, Group, GroupAlias, GroupKind};

/// Every entity and group of the server.
pub struct IdentityStore {
    view: View,
    clock: Arc<dyn Clock>,
    /// Who changes one record waits for its turn.
    turns: Arc<Turns>,
    told: Arc<Told>,
}

/// What is at hand, kept true by the writer of storage.
struct Told {
    principals: Guarded<Arc<Principal>>,
    /// Whose the aliases are that were logged in with, by their keys.
    aliases: Guarded<Arc<str>>,
    /// Ids of merged entities.
    merged: Guarded<Arc<str>>,
    /// Groups, missing ones among them.
    groups: Guarded<Option<Arc<Group>>>,
    /// Moved by each change of a group.
    generation: AtomicU64,
}

/// What a write did.
#[derive(Clone, Debug)]
pub enum Written<T> {
    /// There is one more.
    Created(Arc<T>),
    /// It was there.
    Updated(Arc<T>),
}

/// An auth mount, or another one, as aliases name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasMount {
    /// Its id.
    pub id: MountId,
    /// Its accessor.
    pub accessor: String,
    /// It is not replicated, nor are its aliases.
    pub local: bool,
}

impl IdentityStore {
    /// Opens the entities and groups of a barrier.
    pub fn open(barrier: &Arc<Barrier>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let view = barrier.view(ROOT);
        let told = Arc::new(Told {
            principals: Guarded::new(PRINCIPALS),
            aliases: Guarded::new(PRINCIPALS),
            merged: Guarded::new(MERGED_KNOWN),
            groups: Guarded::new(GROUPS_KNOWN),
            generation: AtomicU64::new(0),
        });
        for (folder, tell) in TELLING {
            let (told, prefix) = (Arc::clone(&told), view.key(folder));
            barrier.subscribe(
                &format!("{ROOT}{folder}"),
                Arc::new(move |key: &Key| {
                    if let Some(id) = key.under(&prefix) {
                        tell(&told, id);
                    }
                }),
            );
        }
        Arc::new(Self { view, clock, turns: Turns::new(), told })
    }
}

impl Told {
    fn entity_changed(&self, id: &str) {
        self.principals.changed(id);
    }

    fn alias_changed(&self, rest: &str) {
        self.aliases.changed(&[ALIASES, rest].concat());
    }

    fn merged_changed(&self, id: &str) {
        self.merged.changed(id);
    }

    fn group_changed(&self, id: &str) {
        // Before the generation: who sees the new generation does not see the old group.
        self.groups.changed(id);
        self.generation.fetch_add(1, std::sync::atomic::Ordering::Release);
    }
}

impl fmt::Debug for IdentityStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityStore").field("known", &self.told.principals.count()).finish_non_exhaustive()
    }
}

/// Names are of any form and length; their hash is not.
fn hashed(name: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, folded(name).as_bytes()).as_ref())
}

/// Names that differ in case only are one name.
fn folded(name: &str) -> String {
    name.to_lowercase()
}

fn entity_key(id: &str) -> String {
    format!("{ENTITIES}{id}")
}

fn entity_name_key(name: &str) -> String {
    format!("entity-name/{}", hashed(name))
}

fn alias_key(mount: &MountId, name: &str) -> String {
    format!("{ALIASES}{mount}/{}", hashed(name))
}

fn alias_id_key(id: &str) -> String {
    format!("{ALIAS_IDS}{id}")
}

fn merged_key(id: &str) -> String {
    format!("{MERGED}{id}")
}

fn group_key(id: &str) -> String {
    format!("{GROUPS}{id}")
}

fn group_name_key(name: &str) -> String {
    format!("group-name/{}", hashed(name))
}

fn group_alias_key(mount: &MountId, name: &str) -> String {
    format!("{GROUP_ALIASES}{mount}/{}", hashed(name))
}

fn group_alias_id_key(id: &str) -> String {
    format!("{GROUP_ALIAS_IDS}{id}")
}

fn member_key(group: &str, entity: &str) -> String {
    format!("{MEMBERS}{group}/{entity}")
}

fn gone_key(group: &str) -> String {
    format!("{GONE}{group}")
}

const ROOT: &str = "identity/";
const ENTITIES: &str = "entity/";
const ALIASES: &str = "alias/";
const ALIAS_IDS: &str = "alias-id/";
const MERGED: &str = "merged/";
const GROUPS: &str = "group/";
const GROUP_ALIASES: &str = "group-alias/";
const GROUP_ALIAS_IDS: &str = "group-alias-id/";
const MEMBERS: &str = "group-member/";
const GONE: &str = "group-gone/";
const TREE: &str = "group-tree";

/// Tells of a change of the key under its prefix.
type Telling = fn(&Told, &str);

/// Whom a change of what is told.
const TELLING: [(&str, Telling); 4] = [
    (ENTITIES, Told::entity_changed),
    (ALIASES, Told::alias_changed),
    (MERGED, Told::merged_changed),
    (GROUPS, Told::group_changed),
];

/// Entities at hand, about a kilobyte each, and aliases, about two hundred bytes: as many as there are tokens at hand.
const PRINCIPALS: usize = 8192;

/// Merged ids at hand, about a hundred bytes each.
const MERGED_KNOWN: usize = 4096;

/// Groups at hand, about half a kilobyte each.
const GROUPS_KNOWN: usize = 4096;

/// Records read at once where many are.
const PAGE: usize = 256;
