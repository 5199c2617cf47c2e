//! Why something was not done, in the words of the API (spec `identity.md` §3).

use crate::barrier::BarrierError;

/// See the module.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no such entity to change.
    #[error("entity not found from id")]
    NoEntity,
    /// Another entity has the name.
    #[error("entity name is already in use")]
    EntityName,
    /// There is no such alias to change.
    #[error("invalid alias ID provided")]
    NoAlias,
    /// An alias is to be given to nobody.
    #[error("invalid canonical ID")]
    Canonical,
    /// An alias is to be moved to nobody.
    #[error("given 'canonical_id' is not associated with an entity")]
    NewCanonical,
    /// An entity has one alias for each mount.
    #[error("Alias already exists for requested entity and mount accessor")]
    SecondAlias,
    /// The same, when an alias moves; the blank is the API's.
    #[error("Alias cannot be updated as the given entity already has an alias for this mount ")]
    SecondAliasByMove,
    /// Somebody has the alias.
    #[error("alias with combination of mount accessor and name already exists")]
    AliasTaken,
    /// Local aliases stay.
    #[error("local aliases can't be moved between entities")]
    LocalMove,
    /// There is no such group to change.
    #[error("invalid group ID")]
    NoGroup,
    /// Another group has the name.
    #[error("group name is already in use")]
    GroupName,
    /// A group is what it was made as.
    #[error("group type cannot be changed")]
    GroupKind,
    /// Logins decide who is in.
    #[error("member entities can't be set manually for external groups")]
    ExternalEntities,
    /// External groups hold no groups.
    #[error("member groups can't be set for external groups")]
    ExternalGroups,
    /// A member that is no entity.
    #[error("invalid entity ID {0:?}")]
    MemberEntity(String),
    /// A member that is no group.
    #[error("invalid member group ID {0:?}")]
    MemberGroup(String),
    /// A group is not in itself.
    #[error("member group ID {0:?} is same as the ID of the group")]
    OwnMember(String),
    /// Nor in a group within it.
    #[error("cyclic relationship detected for member group ID {0:?}")]
    Cycle(String),
    /// More members to tell than fit in one batch.
    #[error("more than {0} members would join or leave at once; change them in parts")]
    TooManyMembers(usize),
    /// A group alias that is not there is to be changed.
    #[error("invalid group alias ID")]
    NoGroupAlias,
    /// A group alias is to be given to no group.
    #[error("invalid group ID given in 'canonical_id'")]
    GroupCanonical,
    /// Only logins of an external group have a name for it.
    #[error("alias can't be set on an internal group")]
    InternalAlias,
    /// Another group has the alias.
    #[error("combination of mount and group alias name is already in use")]
    GroupAliasTaken,
    /// Nobody to merge into.
    #[error("entity id to merge to is invalid")]
    MergeTo,
    /// Somebody to merge who is not there.
    #[error("entity id to merge from is invalid")]
    MergeFrom,
    /// Nobody can be merged into himself.
    #[error("to_entity_id should not be present in from_entity_ids")]
    MergeItself,
    /// Several are on one mount, and of several sources.
    #[error(
        "toEntity and at least one fromEntity have aliases with the same mount accessor, repeat the merge request specifying \
         exactly one fromEntity, and the aliases to keep in 'conflicting_alias_ids_to_keep'"
    )]
    ClashOfMany(Vec<Clash>),
    /// Both are on one mount.
    #[error(
        "toEntity and fromEntity have aliases with the same mount accessor, repeat the merge request with the aliases to keep \
         in 'conflicting_alias_ids_to_keep'"
    )]
    Clash(Vec<Clash>),
    /// A text is longer than any name.
    #[error("{0} is longer than {1} bytes")]
    TooLong(&'static str, usize),
    /// A mount gave a login without a name.
    #[error("missing name in alias")]
    NamelessLogin,
    /// Everything changed under every attempt.
    #[error("the record changed under every attempt")]
    Contended,
    /// The barrier refused.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

/// An alias that cannot be beside another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// Its id.
    pub alias: String,
    /// The name of its entity.
    pub entity: String,
    /// The id of its entity.
    pub entity_id: String,
    /// The accessor of its mount.
    pub mount_accessor: String,
}
