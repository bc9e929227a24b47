//! Why a store did not give a map, or did not take one.

use crate::location::Location;
use crest_topology::Cluster;

/// Why a store gave no map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It answers, and holds none.
    #[error("{}", empty(store))]
    Empty {
        /// Where.
        store: Location,
    },
    /// It does not answer, or cannot be read.
    #[error("{why}")]
    Unavailable {
        /// Where.
        store: Location,
        /// What happened, with the store's name in it.
        why: String,
    },
    /// What it holds is not a map, or not the map of this cluster.
    #[error("{store}: {why}")]
    Damaged {
        /// Where.
        store: Location,
        /// What was found and what was expected.
        why: String,
    },
}

/// Why a map was not taken, or that nobody knows whether it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwapError {
    /// Not done: the store holds another version than the one that was to be replaced. Somebody was faster: look again.
    #[error("the map has version {found} (0: there is none), not {expected}: somebody else changed it; look again")]
    Conflict {
        /// The version that was to be replaced.
        expected: u64,
        /// The version there; 0 when the store holds no map.
        found: u64,
    },
    /// Perhaps done: the store was asked and did not answer. It may even still come to it. Only a look at the store can
    /// tell; sending the same map again does no harm, since it is taken once at the most.
    #[error("nobody knows whether {store} has taken the map: {why}; look at it again")]
    Unknown {
        /// Where.
        store: Location,
        /// What happened.
        why: String,
    },
    /// Not done: `next` cannot follow the map that is there.
    #[error("the map cannot be put there: {why}")]
    Invalid {
        /// What is wrong with it.
        why: String,
    },
    /// Not done: the store could not be asked, or holds something that is not a map.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn empty(store: &Location) -> String {
    match store {
        Location::File(path) => format!("cannot read the cluster file {}: No such file", path.display()),
        Location::Etcd { .. } => {
            format!("{store} holds no map: put one there with `crest cluster init FILE --cluster {store}`")
        }
    }
}

/// Reads what `store` holds, as strictly as a cluster file.
pub(crate) fn parse(store: &Location, bytes: &[u8]) -> Result<Cluster, StoreError> {
    let damaged = |why: String| StoreError::Damaged { store: store.clone(), why };
    let text = std::str::from_utf8(bytes).map_err(|error| damaged(format!("it is not text: {error}")))?;
    let cluster = Cluster::parse(text).map_err(|error| damaged(error.to_string()))?;
    check_name(store, &cluster).map_err(damaged)?;
    Ok(cluster)
}

/// Checks whether `next` is a map that `store` may hold, whatever it holds now.
pub(crate) fn check_map(store: &Location, next: &Cluster) -> Result<(), SwapError> {
    let invalid = |why: String| SwapError::Invalid { why };
    check_name(store, next).map_err(invalid)?;
    let written = Cluster::parse(&next.to_toml()).map_err(|error| invalid(error.to_string()))?;
    if written != *next {
        let why = "what is written of it is read as another one; are nodes, shards and replicas sorted?";
        return Err(invalid(why.to_owned()));
    }
    Ok(())
}

/// Checks whether `next` may take the place of `current`.
pub(crate) fn check_swap(current: Option<&Cluster>, expected: u64, next: &Cluster) -> Result<(), SwapError> {
    let invalid = |why: String| SwapError::Invalid { why };
    if expected != 0 && Some(next.version) != expected.checked_add(1) {
        return Err(invalid(format!("it has version {}, and the one after {expected} was expected", next.version)));
    }
    let found = current.map_or(0, |current| current.version);
    if found != expected {
        return Err(SwapError::Conflict { expected, found });
    }
    current.map_or(Ok(()), |current| current.check_next(next).map_err(|error| invalid(error.to_string())))
}

pub(crate) fn check_name(store: &Location, cluster: &Cluster) -> Result<(), String> {
    match store {
        Location::Etcd { name, .. } if *name != cluster.name => {
            Err(format!("it is the map of cluster {}, not of {name}", cluster.name))
        }
        _ => Ok(()),
    }
}
