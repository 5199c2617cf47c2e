//! Rules go where their mount goes, in the batch that moves or removes it.

use crate::barrier::{BarrierError, Txn};

use super::{CountTerms, Kind, Quotas, RateTerms, Rule, folder};

impl Quotas {
    /// Moves the rules that lie in a mount to its new path. [`Self::publish`] makes them hold once the batch is durable.
    pub(in crate::core) async fn follow(&self, txn: &mut Txn, from: &str, to: &str) -> Result<(), BarrierError> {
        self.follow_of::<RateTerms>(txn, from, to).await?;
        self.follow_of::<CountTerms>(txn, from, to).await
    }

    /// Removes the rules that lie in a mount, with what was counted under them.
    pub(in crate::core) async fn leave(&self, txn: &mut Txn, mount: &str) -> Result<(), BarrierError> {
        for rule in self.rules_in::<RateTerms>(mount).await? {
            txn.delete(&self.view, &folder::<RateTerms>(&rule.name));
        }
        for rule in self.rules_in::<CountTerms>(mount).await? {
            self.forget_count(&rule, txn);
            txn.delete(&self.view, &folder::<CountTerms>(&rule.name));
        }
        Ok(())
    }

    /// Lets hold what is stored.
    pub(in crate::core) async fn publish(&self) -> Result<(), BarrierError> {
        self.publish_rates().await?;
        self.publish_counts().await
    }

    async fn follow_of<K: Kind>(&self, txn: &mut Txn, from: &str, to: &str) -> Result<(), BarrierError> {
        for rule in self.rules_in::<K>(from).await? {
            let moved = Rule { path: moved(&rule.path, from, to), mount: Some(to.to_owned()), ..rule };
            txn.put(&self.view, &folder::<K>(&moved.name), &moved)?;
        }
        Ok(())
    }

    async fn rules_in<K: Kind>(&self, mount: &str) -> Result<Vec<Rule<K>>, BarrierError> {
        let mut rules: Vec<Rule<K>> = self.view.sub(&folder::<K>("")).scan_all().await?;
        rules.retain(|rule| rule.mount.as_deref() == Some(mount));
        Ok(rules)
    }
}

/// A path of a rule after its mount moved. Both mounts end in `/`; a glob may end within the name of its mount.
fn moved(path: &str, from: &str, to: &str) -> String {
    let bare = |mount: &str| mount.trim_end_matches('/').to_owned();
    match (path.strip_prefix(from), path.strip_prefix(bare(from).as_str())) {
        (Some(rest), _) => format!("{to}{rest}"),
        (None, Some(rest)) => format!("{}{rest}", bare(to)),
        (None, None) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_mount_lies_below_its_new_path() {
        let moved = |path| moved(path, "kv/", "team/kv/");
        assert_eq!(moved("kv/"), "team/kv/");
        assert_eq!(moved("kv/free/*"), "team/kv/free/*");
        assert_eq!(moved("kv/kv/a"), "team/kv/kv/a");
        assert_eq!(moved("kv*"), "team/kv*");
    }
}
