//! Where those who ask for an instance meet: ids that come while a call is under way go into the next one together.
//!
//! Who comes leaves a name, then waits either for an answer or to be the one who calls. The caller takes the names that lie
//! there, asks for them all and hands the answers out. If it leaves before (its time is over), those whose names it took notice,
//! and leave them again. So there is one call at a time for a region and account, nobody is forgotten, and an answer is never
//! older than the question.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::connect::Aws;
use super::ec2::{DESCRIBE, Instance, NOT_FOUND};
use super::error::{AwsError, Refusal};

/// What became of one question.
type Answer = Result<Arc<Instance>, AwsError>;

/// The questions of one region and account.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Guards the questions nobody took yet; everybody who asks; held to add or take some.
    waiting: Mutex<Waiting>,
    /// Who has it calls. Held for one call and its repetitions.
    turn: tokio::sync::Mutex<()>,
}

/// Questions in order of their first asking.
#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<String>,
    askers: HashMap<String, Vec<oneshot::Sender<Answer>>>,
    count: usize,
}

impl Desk {
    /// An answer for `id`, of a call that is sent from now on. Given up at `until`, on `Clock::elapsed`.
    pub(super) async fn ask(&self, aws: &Aws, id: &str, until: Duration) -> Answer {
        loop {
            let mut answer = self.waiting().add(id)?;
            loop {
                let clock = aws.clock();
                let left = until.saturating_sub(clock.elapsed());
                if left.is_zero() {
                    // Nobody calls any more who has no time to hear of it.
                    return answer.try_recv().unwrap_or_else(|_| Err(unreachable(aws)));
                }
                tokio::select! {
                    biased;
                    told = &mut answer => match told {
                        Ok(told) => return told,
                        // Who called for us left.
                        Err(_) => break,
                    },
                    () = clock.sleep(left) => return Err(unreachable(aws)),
                    turn = self.turn.lock() => {
                        self.call(aws, until).await;
                        drop(turn);
                    }
                }
            }
        }
    }

    /// Asks for what lies here, as much as goes into one call. Past `until` nobody is told anything: they look after themselves.
    async fn call(&self, aws: &Aws, until: Duration) {
        let batch = self.waiting().take(BATCH);
        if batch.is_empty() {
            return;
        }
        let ids: Vec<String> = batch.iter().map(|(id, _)| id.clone()).collect();
        let clock = aws.clock();
        let left = until.saturating_sub(clock.elapsed());
        let found = tokio::select! {
            biased;
            found = look_up(aws, ids) => found,
            () = clock.sleep(left) => return,
        };
        for (id, askers) in batch {
            let answer = match &found {
                Ok(found) => found.get(&id).cloned().unwrap_or_else(|| Err(unknown(&id))),
                Err(error) => Err(error.clone()),
            };
            for asker in askers {
                // Who asked may be gone.
                let _ = asker.send(answer.clone());
            }
        }
    }

    /// How many questions nobody took yet.
    #[cfg(test)]
    pub(super) fn waits(&self) -> usize {
        self.waiting().count
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, id: &str) -> Result<oneshot::Receiver<Answer>, AwsError> {
        if self.count >= MOST {
            self.forget_the_gone();
        }
        if self.count >= MOST {
            return Err(AwsError::of_answer(DESCRIBE, 429, "Throttling", "too many questions wait for an answer"));
        }
        let (sender, receiver) = oneshot::channel();
        let askers = self.askers.entry(id.to_owned()).or_default();
        if askers.is_empty() {
            self.order.push_back(id.to_owned());
        }
        askers.push(sender);
        self.count += 1;
        Ok(receiver)
    }

    /// The first `most` questions, without those nobody waits for any more.
    fn take(&mut self, most: usize) -> Vec<(String, Vec<oneshot::Sender<Answer>>)> {
        let mut batch = Vec::new();
        while batch.len() < most {
            let Some(id) = self.order.pop_front() else { break };
            let mut askers = self.askers.remove(&id).unwrap_or_default();
            self.count = self.count.saturating_sub(askers.len());
            askers.retain(|asker| !asker.is_closed());
            if !askers.is_empty() {
                batch.push((id, askers));
            }
        }
        batch
    }

    fn forget_the_gone(&mut self) {
        self.askers.retain(|_, askers| {
            askers.retain(|asker| !asker.is_closed());
            !askers.is_empty()
        });
        let askers = &self.askers;
        self.order.retain(|id| askers.contains_key(id));
        self.count = self.askers.values().map(Vec::len).sum();
    }
}

/// Asks for all of them. One that is not there refuses the whole call: it is taken out, and the rest is asked for again.
async fn look_up(aws: &Aws, ids: Vec<String>) -> Result<BTreeMap<String, Answer>, AwsError> {
    let mut found = BTreeMap::new();
    let mut open = vec![ids];
    while let Some(ids) = open.pop() {
        match aws.describe_instances(&ids).await {
            Ok(instances) => {
                found.extend(instances.into_iter().map(|instance| (instance.id.clone(), Ok(Arc::new(instance)))));
            }
            Err(AwsError::Refused(refusal)) if is_about_ids(&refusal) => {
                open.extend(without_the_named(ids, &refusal, &mut found));
            }
            // What was learnt before is true all the same.
            Err(error) => {
                let rest = open.drain(..).flatten().chain(ids);
                found.extend(rest.map(|id| (id, Err(error.clone()))));
            }
        }
    }
    Ok(found)
}

/// What is still to be asked for, in parts. A refusal that names none of the ids is tracked down by halves.
fn without_the_named(mut ids: Vec<String>, refusal: &Refusal, found: &mut BTreeMap<String, Answer>) -> Vec<Vec<String>> {
    let mut refuse = |id: String| {
        let message = format!("The instance ID '{id}' does not exist");
        let refusal = Refusal { message, ..refusal.clone() };
        found.insert(id, Err(AwsError::Refused(refusal)));
    };
    if ids.len() == 1 {
        ids.into_iter().for_each(&mut refuse);
        return Vec::new();
    }
    let (named, rest): (Vec<_>, Vec<_>) = ids.drain(..).partition(|id| names(&refusal.message, id));
    if named.is_empty() {
        let (left, right) = rest.split_at(rest.len() / 2);
        return vec![left.to_vec(), right.to_vec()];
    }
    named.into_iter().for_each(&mut refuse);
    Some(rest).filter(|rest| !rest.is_empty()).into_iter().collect()
}

/// Whether a message has the id as a word of its own: one id may begin like another.
fn names(message: &str, id: &str) -> bool {
    message.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-')).any(|word| word == id)
}

fn is_about_ids(refusal: &Refusal) -> bool {
    refusal.code == NOT_FOUND || refusal.code == "InvalidInstanceID.Malformed"
}

fn unknown(id: &str) -> AwsError {
    AwsError::of_answer(DESCRIBE, 400, NOT_FOUND, &format!("The instance ID '{id}' does not exist"))
}

fn unreachable(aws: &Aws) -> AwsError {
    AwsError::Unknown { text: format!("{DESCRIBE}: no answer from {} in time", aws.ec2_host()) }
}

/// Ids of one call (`aws-auth-method.md` §14.3).
const BATCH: usize = 100;

/// Who may wait at the same time; some hundred bytes each.
const MOST: usize = 10_000;
