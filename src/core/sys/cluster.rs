//! The name and the id of the cluster, made once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::barrier::{Barrier, BarrierError};
use crate::base::random;

/// See the module.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct Cluster {
    /// For people.
    pub(in crate::core) name: String,
    /// A UUID.
    pub(in crate::core) id: String,
}

impl Cluster {
    /// What is stored, or a new one; the operator's name wins.
    pub(in crate::core) async fn open(barrier: &Arc<Barrier>, name: Option<&str>) -> Result<Self, BarrierError> {
        let view = barrier.view("core/");
        let stored: Option<Self> = view.read(KEY).await?;
        let mut cluster = match &stored {
            Some(cluster) => cluster.clone(),
            None => Self { name: format!("vault-cluster-{}", hex::encode(random::bytes::<4>())), id: random::uuid() },
        };
        if let Some(name) = name {
            name.clone_into(&mut cluster.name);
        }
        if stored.is_none_or(|stored| stored.name != cluster.name) {
            view.put(KEY, &cluster).await?;
        }
        Ok(cluster)
    }
}

const KEY: &str = "cluster";
