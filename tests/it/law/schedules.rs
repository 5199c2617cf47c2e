//! Two thousand schedules by chance: deeds, faults and kills in any order. A schedule is its seed: `LEASEHOLD_SEED=n` runs
//! that one alone, and `LEASEHOLD_SCHEDULES=n` so many in each of the four tests instead of 500.

use std::sync::Arc;
use std::time::Duration;

use leasehold::aws::sandbox::{Rule, Tags, When};

use super::crash::{Kill, Setting, effects};
use super::operation::Deed;
use super::stage::{Stage, on_stage};
use super::world::World;

/// Numbers that look like chance and come again (xorshift).
struct Dice(u64);

impl Dice {
    fn of(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            let _warm = dice.below(2);
        }
        dice
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// Those that may come in any order and number. What force leaves behind the log has named, and then it is the operator's.
const DEEDS: [Deed; 17] = [
    Deed::Issue,
    Deed::Issue,
    Deed::Issue,
    Deed::Issue,
    Deed::Renew,
    Deed::Revoke,
    Deed::Revoke,
    Deed::RevokePrefix,
    Deed::RevokeToken,
    Deed::Seal,
    Deed::OtherKey,
    Deed::OtherAccount,
    Deed::DeleteRole,
    Deed::Force,
    Deed::Force,
    Deed::Apart,
    Deed::RestartEarlier,
];

/// One of them; how many users force left behind.
async fn run(stage: &Arc<Stage>, seed: u64) -> usize {
    let mut dice = Dice::of(seed);
    stage.sandbox.limit_pages(dice.one_of(&[1, 1000]));
    let set =
        Setting { kill: Kill::Never, hides: dice.below(2) == 0, tags: dice.one_of(&[Tags::Kept, Tags::Dropped, Tags::Refused]) };
    let mut world = World::new(stage, format!("LEASEHOLD_SEED={seed}, {set:?}"), 1800).await;
    world.role = dice.one_of(&["r", "full"]);
    world.has_marks = set.tags == Tags::Kept;
    world.force_may_leave = true;
    let mut used = Vec::new();
    for _ in 0..2 + dice.below(4) {
        stage.sandbox.faults().clear();
        set.arm(stage);
        for _ in 0..dice.below(3) {
            let n = u32::try_from(1 + dice.below(9)).unwrap();
            let when = dice.one_of(&[When::Nth(n), When::Next(n), When::Nth(n)]);
            stage.sandbox.faults().add(Rule { action: None, user: None, when, effect: dice.one_of(&effects()) });
        }
        let deed = dice.one_of(&DEEDS);
        used.push(deed);
        let doing = world.begin(deed).await;
        match dice.below(4) {
            // Killed while it is under way, wherever that is.
            0 => {
                for _ in 0..dice.below(12) {
                    world.quiet().await;
                    world.step(Duration::from_secs(2));
                }
                world.crash(Duration::ZERO).await;
            }
            _ => drop(world.complete(doing).await),
        }
        if dice.below(2) == 0 {
            let seconds = u64::try_from(dice.below(400)).unwrap();
            world.live(Duration::from_secs(seconds)).await;
        }
    }
    stage.sandbox.faults().treat_tags(Tags::Kept);
    // What waits for its own credentials finds them.
    if used.contains(&Deed::OtherAccount) {
        world.set_root(&stage.roots.other_account).await;
        world.live(HORIZON).await;
    }
    if used.contains(&Deed::OtherKey) {
        world.set_root(&stage.roots.second_key).await;
        world.live(HORIZON).await;
    }
    world.set_root(&stage.roots.first).await;
    world.end().await;
    stage.log.forgotten().len()
}

/// Until it is believed that nothing appears any more.
const HORIZON: Duration = Duration::from_mins(25);

fn schedules(quarter: u64) {
    let number = |name: &str| std::env::var_os(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    on_stage(|stage| async move {
        if let Some(seed) = number("LEASEHOLD_SEED") {
            if quarter == 0 {
                println!("{} leases were forgotten by force", run(&stage, seed).await);
            }
            return;
        }
        let count = number("LEASEHOLD_SCHEDULES").unwrap_or(500);
        println!("schedules of the seeds {} to {}", quarter * count, (quarter + 1) * count - 1);
        let mut forgotten = 0;
        for seed in quarter * count..(quarter + 1) * count {
            forgotten += run(&stage, seed).await;
        }
        println!("{count} schedules; {forgotten} leases were forgotten by force");
        assert!(forgotten > 0 || count < 500, "force never had anything to say");
    });
}

#[test]
fn schedules_by_chance_leave_nothing_one() {
    schedules(0);
}

#[test]
fn schedules_by_chance_leave_nothing_two() {
    schedules(1);
}

#[test]
fn schedules_by_chance_leave_nothing_three() {
    schedules(2);
}

#[test]
fn schedules_by_chance_leave_nothing_four() {
    schedules(3);
}
