//! Making, finding, renewing, ending in time; uses; accessors; batch tokens.

use leasehold::base::{Secret, Ttl};
use leasehold::token::{BoundCidr, NewToken, Renewal, TokenError, TokenKind};

use super::world::{START, World};

#[tokio::test]
async fn a_token_is_found_as_it_was_made() {
    let world = World::new().await;
    let new = NewToken {
        bound_cidrs: vec![BoundCidr::parse("10.0.0.0/8").unwrap()],
        explicit_max_ttl: Ttl::hours(2),
        period: Ttl::minutes(5),
        role: Some("ci".to_owned()),
        entity_id: "e".to_owned(),
        ..world.service()
    };
    let made = world.make(&new).await.unwrap();
    let token = made.token.expose();
    assert!(token.starts_with("hvs.") && token.len() == 28, "{token}");
    // Twice: from storage, and from memory.
    for _ in 0..2 {
        let info = world.find(&made).await.unwrap();
        assert_eq!((info.kind, info.key), (TokenKind::Service, made.info.key));
        assert_eq!(info.policies, ["app", "default"]);
        assert_eq!(info.meta, new.meta);
        assert_eq!((info.created, info.creation_ttl, info.end), (START, Ttl::hours(1), Some(START.plus(Ttl::hours(1)))));
        assert_eq!((info.explicit_max_ttl, info.period), (Ttl::hours(2), Ttl::minutes(5)));
        assert_eq!(info.bound_cidrs, new.bound_cidrs);
        assert_eq!((info.role.as_deref(), info.entity_id.as_str()), (Some("ci"), "e"));
        assert!(info.has_lease && info.renewable && info.is_orphan() && !info.is_root());
        assert!(info.version.is_some());
    }
}

#[tokio::test]
async fn storage_shows_no_token_and_no_accessor() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    let secret = made.token.expose().trim_start_matches("hvs.");
    let accessor = made.info.accessor.clone().unwrap();
    for key in world.keys("") {
        assert!(!key.contains(secret) && !key.contains(accessor.as_str()), "{key}");
    }
    // Both tell when they were made, and so do their keys.
    assert_eq!(secret.get(..7), made.info.key.as_str().get(..7));
}

#[tokio::test]
async fn another_token_is_not_found() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    let other = made.token.expose().replace("hvs.", "s.");
    for text in ["", "hvs.", "nosuchtoken", other.as_str(), "hvb.", "hvb.AAAA", "hvb.!", &"x".repeat(100_000)] {
        assert!(world.tokens.find(text).await.unwrap().is_none(), "{text}");
    }
}

#[tokio::test]
async fn a_token_is_not_served_at_its_end() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    assert!(world.is_live(&made).await);
    world.clock.advance(std::time::Duration::from_secs(3599));
    assert!(world.is_live(&made).await);
    world.clock.advance(std::time::Duration::from_secs(1));
    // Whether or not the reaper has run.
    assert!(!world.is_live(&made).await);
    world.leases.settled().await;
    world.assert_clean("after its end");
}

#[tokio::test]
async fn an_expired_page_of_tokens_goes_with_one_batch() {
    let world = World::new().await;
    for _ in 0..100 {
        world.make(&world.service()).await.unwrap();
    }
    let before = world.storage.commits();
    world.advance(3600).await;
    world.assert_clean("after their end");
    assert_eq!(world.storage.commits() - before, 1);
}

#[tokio::test]
async fn what_has_children_leases_and_a_cubbyhole_ends_with_them() {
    let world = World::new().await;
    let made = world.make(&NewToken { ttl: Ttl::minutes(1), ..world.service() }).await.unwrap();
    let info = world.find(&made).await.unwrap();
    let child = world.make(&world.child_of(&info)).await.unwrap();
    world.lend(&info).await.unwrap();
    world.lend(&world.find(&child).await.unwrap()).await.unwrap();
    for name in ["a", "b/c"] {
        world.keep(&info, name).await.unwrap();
    }
    world.advance(60).await;
    assert!(!world.is_live(&child).await);
    world.assert_clean("after its end");
}

#[tokio::test]
async fn a_renewed_token_lives_until_its_new_end() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    world.advance(3000).await;
    let end = world.now().plus(Ttl::hours(2));
    let renewed = world.tokens.renew(&made.info.key, &Renewal { end, internal_meta: None }).await.unwrap();
    assert_eq!((renewed.end, renewed.last_renewal), (Some(end), Some(world.now())));
    world.advance(7199).await;
    assert_eq!(world.find(&made).await.unwrap().end, Some(end));
    world.advance(1).await;
    assert!(!world.is_live(&made).await);
    world.assert_clean("after the new end");
}

#[tokio::test]
async fn what_has_ended_is_not_renewed() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    world.clock.advance(std::time::Duration::from_hours(1));
    let renewal = Renewal { end: world.now().plus(Ttl::hours(1)), internal_meta: None };
    assert!(matches!(world.tokens.renew(&made.info.key, &renewal).await, Err(TokenError::Ended)));
    world.leases.settled().await;
    world.assert_clean("not renewed");
}

#[tokio::test]
async fn a_chosen_id_can_be_taken_once() {
    let world = World::new().await;
    let new = NewToken { id: Some(Secret::from("my token")), ..world.service() };
    let made = world.make(&new).await.unwrap();
    assert_eq!(made.token.expose(), "my token");
    assert!(world.is_live(&made).await);
    assert!(made.info.key.as_str().starts_with("0000000"));
    assert!(matches!(world.make(&new).await, Err(TokenError::Duplicate)));
    world.tokens.revoke(&made.info.key).await.unwrap();
    world.make(&new).await.unwrap();
}

#[tokio::test]
async fn two_who_choose_one_id_at_once_get_one_token() {
    let world = World::new().await;
    let new = NewToken { id: Some(Secret::from("mine")), ..world.service() };
    let (mut first, mut second) = (world.barrier.txn(), world.barrier.txn());
    world.tokens.create(&new, &mut first).await.unwrap();
    world.tokens.create(&new, &mut second).await.unwrap();
    first.commit().await.unwrap();
    assert!(second.commit().await.unwrap_err().is_conflict());
    assert!(matches!(world.make(&new).await, Err(TokenError::Duplicate)));
}

#[tokio::test]
async fn only_root_lives_for_ever() {
    let world = World::new().await;
    let endless = NewToken { ttl: Ttl::ZERO, ..world.service() };
    assert!(matches!(world.make(&endless).await, Err(TokenError::Endless)));
    let root = world.make(&world.root()).await.unwrap();
    world.advance(1_000_000_000).await;
    let info = world.find(&root).await.unwrap();
    assert!(info.is_root() && info.end.is_none() && !info.has_lease);
    assert!(world.keys("lease/").is_empty());
    world.tokens.revoke(&info.key).await.unwrap();
    world.assert_clean("revoked");
}

#[tokio::test]
async fn uses_count_down_to_none() {
    let world = World::new().await;
    let made = world.make(&NewToken { num_uses: 3, ..world.service() }).await.unwrap();
    let mut seen = Vec::new();
    while let Some(info) = world.find(&made).await {
        assert!(info.is_limited());
        let spent = world.tokens.spend(&info).await.unwrap();
        assert_eq!(spent.info.version, world.tokens.find_spent_key(&info.key).await.unwrap().unwrap().version);
        seen.push((spent.left, spent.last, spent.info.uses_shown()));
    }
    assert_eq!(seen, [(2, false, 2), (1, false, 1), (0, true, -1)]);
    assert!(matches!(world.tokens.spend(&made.info).await, Err(TokenError::Ended)));
    let spent = world.tokens.find_spent(made.token.expose()).await.unwrap().unwrap();
    assert_eq!(spent.uses_shown(), -1);
    world.tokens.revoke(&made.info.key).await.unwrap();
    assert!(world.tokens.find_spent(made.token.expose()).await.unwrap().is_none());
    world.assert_clean("spent and revoked");
}

#[tokio::test]
async fn a_spent_token_nobody_revokes_ends_by_itself() {
    let world = World::new().await;
    let made = world.make(&NewToken { num_uses: 1, ttl: Ttl::ZERO, ..world.root() }).await.unwrap();
    let info = world.find(&made).await.unwrap();
    world.keep(&info, "response").await.unwrap();
    world.tokens.spend(&info).await.unwrap();
    let world = world.crash().await;
    assert!(!world.is_live(&made).await);
    assert!(!world.keys("cubbyhole/").is_empty());
    world.advance(180).await;
    world.assert_clean("spent");
}

#[tokio::test]
async fn a_token_is_found_by_its_accessor() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    let accessor = made.info.accessor.clone().unwrap();
    assert_eq!(accessor.as_str().len(), 24);
    assert_eq!(world.tokens.by_accessor(accessor.as_str()).await.unwrap(), Some(made.info.key));
    assert_eq!(world.tokens.by_accessor("nosuchaccessor").await.unwrap(), None);
    let other = world.make(&world.service()).await.unwrap();
    let mut all = vec![accessor.clone(), other.info.accessor.clone().unwrap()];
    all.sort();
    let mut found = world.tokens.accessors().await.unwrap();
    found.accessors.sort();
    assert_eq!((found.accessors, found.unreadable.len()), (all, 0));
    world.tokens.revoke(&made.info.key).await.unwrap();
    assert_eq!(world.tokens.by_accessor(accessor.as_str()).await.unwrap(), None);
}

#[tokio::test]
async fn an_accessor_that_cannot_be_read_hides_no_other() {
    let world = World::new().await;
    let made = world.make(&world.service()).await.unwrap();
    world.barrier.view("token/").put("accessor/0bad", "nothing of the kind").await.unwrap();
    let found = world.tokens.accessors().await.unwrap();
    assert_eq!(found.accessors, [made.info.accessor.clone().unwrap()]);
    assert_eq!(found.unreadable, ["accessor/0bad"]);
}

#[tokio::test]
async fn of_a_batch_token_nothing_is_stored() {
    let world = World::new().await;
    let mut txn = world.barrier.txn();
    let made = world.tokens.create(&world.batch(), &mut txn).await.unwrap();
    assert!(txn.is_empty());
    assert!(made.token.expose().starts_with("hvb."));
    for _ in 0..2 {
        let info = world.find(&made).await.unwrap();
        assert_eq!((info.kind, &info.policies, &info.meta), (TokenKind::Batch, &made.info.policies, &made.info.meta));
        assert!(info.accessor.is_none() && !info.renewable && info.key == made.info.key);
    }
    // The keys that sealed it are kept.
    world.barrier.rotate(world.now()).await.unwrap();
    let world = world.crash().await;
    assert!(world.is_live(&made).await);
    world.advance(3600).await;
    assert!(!world.is_live(&made).await);
    world.assert_clean("never stored");
}

#[tokio::test]
async fn a_changed_batch_token_is_none() {
    let world = World::new().await;
    let made = world.make(&world.batch()).await.unwrap();
    let text = made.token.expose();
    for place in [10, text.len() / 2, text.len() - 1] {
        let mut changed = text.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(world.tokens.find(&changed).await.unwrap().is_none(), "{place}");
    }
    let other = World::new().await;
    assert!(!other.is_live(&made).await);
}

#[tokio::test]
async fn a_batch_token_ends_with_its_parent_and_so_do_its_leases() {
    let world = World::new().await;
    let parent = world.make(&world.service()).await.unwrap();
    let made = world.make(&NewToken { parent: Some(parent.info.key), ..world.batch() }).await.unwrap();
    let info = world.find(&made).await.unwrap();
    world.lend(&info).await.unwrap();
    world.tokens.revoke(&parent.info.key).await.unwrap();
    assert!(!world.is_live(&made).await);
    assert!(world.lend(&info).await.is_err());
    world.leases.settled().await;
    world.assert_clean("its parent was revoked");
    let orphan = NewToken { parent: Some(parent.info.key), ..world.batch() };
    assert!(matches!(world.make(&orphan).await, Err(TokenError::ParentEnded)));
}

#[tokio::test]
async fn revoking_below_a_path_ends_its_tokens() {
    let world = World::new().await;
    let bob = world.make(&NewToken { path: "auth/userpass/login/bob".to_owned(), ..world.service() }).await.unwrap();
    let other = world.make(&world.service()).await.unwrap();
    let ended = world.leases.revoke_prefix("auth/userpass", leasehold::lease::How::Sync).await.unwrap();
    assert_eq!(ended, 1);
    assert!(!world.is_live(&bob).await);
    assert!(world.is_live(&other).await);
}
