//! Conservation: for any schedule of issue, renewal, revocation, outage, crash and clock, once everything has ended there
//! are no users outside and no keys inside.

use std::time::Duration;

use leasehold::base::{LeaseId, TokenKey, Ttl};
use leasehold::lease::{How, Owner, Pending, When};
use proptest::prelude::*;

use super::world::{LIMITS, Session, User, World, terms};

#[derive(Clone, Debug)]
enum Step {
    Token(u64),
    EndToken(usize),
    Issue {
        owner: usize,
        ttl: u64,
    },
    Lend {
        owner: usize,
        ttl: u64,
    },
    Begin {
        owner: usize,
    },
    /// The oldest intent in hand: created and activated.
    Fulfil(u64),
    /// Created, and then let go.
    Drop,
    /// The answer is lost; it takes effect later, or never.
    Lose(Option<u64>),
    Abandon,
    Renew(usize, u64),
    Revoke(usize, bool),
    Prefix(bool),
    Advance(u64),
    Jump(u64),
    Down(bool),
    Refuse(usize),
    Full(bool),
    /// The power fails so many commits from now, and the server starts again when it has.
    Crash(u64, bool),
    LoseAnswer(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (20_u64..4000).prop_map(Step::Token),
        2 => (0_usize..4).prop_map(Step::EndToken),
        6 => (0_usize..5, 5_u64..3000).prop_map(|(owner, ttl)| Step::Issue { owner, ttl }),
        2 => (0_usize..5, 5_u64..3000).prop_map(|(owner, ttl)| Step::Lend { owner, ttl }),
        4 => (0_usize..5).prop_map(|owner| Step::Begin { owner }),
        3 => (5_u64..3000).prop_map(Step::Fulfil),
        2 => Just(Step::Drop),
        2 => proptest::option::of(1_u64..900).prop_map(Step::Lose),
        1 => Just(Step::Abandon),
        3 => (0_usize..8, 1_u64..3000).prop_map(|(lease, increment)| Step::Renew(lease, increment)),
        3 => (0_usize..8, any::<bool>()).prop_map(|(lease, waited)| Step::Revoke(lease, waited)),
        1 => any::<bool>().prop_map(Step::Prefix),
        6 => (1_u64..600).prop_map(Step::Advance),
        1 => (1_u64..7200).prop_map(Step::Jump),
        2 => any::<bool>().prop_map(Step::Down),
        1 => (0_usize..8).prop_map(Step::Refuse),
        1 => any::<bool>().prop_map(Step::Full),
        2 => (0_u64..6, any::<bool>()).prop_map(|(commits, answering)| Step::Crash(commits, answering)),
        1 => (0_u64..4).prop_map(Step::LoseAnswer),
    ]
}

/// What the clients and issuers of a schedule know.
#[derive(Default)]
struct Known {
    tokens: Vec<TokenKey>,
    leases: Vec<LeaseId>,
    in_hand: Vec<Pending<User>>,
}

impl Known {
    async fn owner(&self, world: &World, place: usize) -> Owner {
        match self.tokens.get(place) {
            Some(token) => world.owner(token).await,
            None => Owner::default(),
        }
    }

    fn take(&mut self) -> Option<Pending<User>> {
        if self.in_hand.is_empty() { None } else { Some(self.in_hand.remove(0)) }
    }
}

/// One step; errors are what a schedule may meet.
async fn take_step(world: &World, known: &mut Known, step: &Step) {
    match step {
        Step::Token(ttl) => known.tokens.extend(world.token(Some(*ttl)).await.ok()),
        Step::EndToken(place) => {
            if let Some(token) = known.tokens.get(*place) {
                let _ = world.end_token(token).await;
            }
        }
        Step::Issue { owner, ttl } => {
            let lease = world.issue(known.owner(world, *owner).await, *ttl).await;
            known.leases.extend(lease.ok().map(|lease| lease.id));
        }
        Step::Lend { owner, ttl } => {
            let owner = known.owner(world, *owner).await;
            if let Ok(lent) = world.leases(owner).lend(Session, terms(*ttl)) {
                known.leases.extend(world.activate(lent).await.ok().map(|lease| lease.id));
            }
        }
        Step::Begin { owner } => known.in_hand.extend(world.begin(known.owner(world, *owner).await).await.ok()),
        Step::Fulfil(ttl) => {
            if let Some(pending) = known.take() {
                let user = User { acknowledged: true, ..pending.what().clone() };
                world.outside.state().users.insert(user.name.clone());
                known.leases.extend(world.activate(pending.fulfil(user, terms(*ttl))).await.ok().map(|lease| lease.id));
            }
        }
        Step::Drop => {
            if let Some(pending) = known.take() {
                world.outside.state().users.insert(pending.what().name.clone());
            }
        }
        Step::Lose(effect) => {
            if let Some(pending) = known.take()
                && let Some(seconds) = effect
            {
                let at = world.clock_now().plus(Ttl::seconds(*seconds));
                world.outside.state().late.push((at, pending.what().name.clone()));
            }
        }
        Step::Abandon => {
            if let Some(pending) = known.take() {
                let _ = pending.abandon().await;
            }
        }
        Step::Renew(place, increment) => {
            if let Some(id) = known.leases.get(*place) {
                let _ = world.manager.renew(id, Ttl::seconds(*increment), LIMITS, None).await;
            }
        }
        Step::Revoke(place, waited) => {
            if let Some(id) = known.leases.get(*place) {
                let _ = world.manager.revoke(id, if *waited { When::Waited } else { When::Soon }).await;
            }
        }
        Step::Prefix(waited) => {
            let _ = world.manager.revoke_prefix("aws", if *waited { How::Sync } else { How::Queued }).await;
        }
        Step::Advance(seconds) => world.advance(*seconds).await,
        Step::Jump(seconds) => world.clock.jump_forward(Duration::from_secs(*seconds)),
        Step::Down(is_down) => world.outside.state().is_down = *is_down,
        Step::Refuse(place) => {
            if let Some(id) = known.leases.get(*place)
                && let Ok(lease) = world.manager.lookup(id).await
                && let Ok(user) = lease.what::<User>()
            {
                world.outside.state().refuses.insert(user.name);
            }
        }
        Step::Full(is_full) => world.storage.set_full(*is_full),
        Step::Crash(commits, false) => world.storage.lose_power_after(*commits),
        Step::Crash(commits, true) => world.storage.lose_power_answering(*commits),
        Step::LoseAnswer(commits) => world.storage.lose_answer_after(*commits),
    }
}

async fn run(steps: &[Step]) {
    let mut world = World::new().await;
    let mut known = Known::default();
    for step in steps {
        take_step(&world, &mut known, step).await;
        if world.storage.is_dead() {
            // The issuers die with the server.
            world.storage.set_full(false);
            known.in_hand.clear();
            world = world.crash().await;
            world.assert_consistent().await;
        }
    }
    known.in_hand.clear();
    {
        let mut state = world.outside.state();
        state.is_down = false;
        state.refuses.clear();
    }
    world.storage.set_full(false);
    if world.storage.is_dead() {
        world = world.crash().await;
    }
    // A fault that has not struck yet strikes during the end.
    for _ in 0..400 {
        world.advance(30).await;
        if world.storage.is_dead() {
            world = world.crash().await;
        }
    }
    world.assert_consistent().await;
    world.live(2 * 3600, 120).await;
    world.assert_clean("after the schedule");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_left(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(&steps));
    }
}
