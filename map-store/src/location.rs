//! Where a map lives, as the flag `--cluster` names it.

use crest_topology::cluster::{check_address, check_name};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Members of etcd that a location can name. Seven are more than anybody runs.
pub const ENDPOINTS_MAX: usize = 9;

const SCHEME: &str = "etcd://";

/// Where a map lives: `PATH` or `etcd://host:port[,host:port]/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A cluster file.
    File(PathBuf),
    /// A key of etcd.
    Etcd {
        /// `host:port` of etcd's members, from 1 to [`ENDPOINTS_MAX`]. Any one that answers will do.
        endpoints: Vec<String>,
        /// The name of the cluster, which is in the key, and in the map there.
        name: String,
    },
}

/// Why a text names no location. The message says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?}: {problem}; expected the path of a file, or etcd://host:port[,host:port]/NAME")]
pub struct LocationError {
    found: String,
    problem: String,
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        parse(text).map_err(|problem| LocationError { found: text.to_owned(), problem })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Etcd { endpoints, name } => write!(f, "{SCHEME}{}/{name}", endpoints.join(",")),
        }
    }
}

fn parse(text: &str) -> Result<Location, String> {
    let Some(rest) = text.strip_prefix(SCHEME) else {
        return match text.split_once("://") {
            Some((scheme, _)) => Err(format!("{scheme}:// is no way to a map")),
            None if text.is_empty() => Err("it is empty".to_owned()),
            None => Ok(Location::File(PathBuf::from(text))),
        };
    };
    let (endpoints, name) = rest.split_once('/').ok_or("the name of the cluster is missing")?;
    check_name(name).map_err(|problem| format!("the name {name:?}: {problem}"))?;
    let endpoints: Vec<String> = endpoints.split(',').map(str::to_owned).collect();
    if endpoints.len() > ENDPOINTS_MAX {
        return Err(format!("{} members of etcd are more than {ENDPOINTS_MAX}", endpoints.len()));
    }
    for (n, endpoint) in endpoints.iter().enumerate() {
        check_address(endpoint).map_err(|problem| format!("the address {endpoint:?}: {problem}"))?;
        if endpoints[..n].contains(endpoint) {
            return Err(format!("{endpoint} is named twice"));
        }
    }
    Ok(Location::Etcd { endpoints, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_or_names_etcd_and_a_cluster() {
        let etcd = |endpoints: &[&str], name: &str| Location::Etcd {
            endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
            name: name.to_owned(),
        };
        for (text, expected) in [
            ("cluster.toml", Location::File("cluster.toml".into())),
            ("/etc/crest/a b.toml", Location::File("/etc/crest/a b.toml".into())),
            ("etcd:/odd", Location::File("etcd:/odd".into())),
            ("etcd://127.0.0.1:2379/pay", etcd(&["127.0.0.1:2379"], "pay")),
            ("etcd://a:1,[::1]:2,c.d:3/pay-1", etcd(&["a:1", "[::1]:2", "c.d:3"], "pay-1")),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location, expected);
            assert_eq!(location.to_string(), text, "it is told as it was given");
        }
    }

    #[test]
    fn what_is_no_location_is_refused_with_what_was_expected() {
        let many: Vec<String> = (1..=10).map(|n| format!("h:{n}")).collect();
        let many = format!("etcd://{}/x", many.join(","));
        for (text, part) in [
            ("", "it is empty"),
            ("http://127.0.0.1:2379/x", "http:// is no way to a map"),
            ("etcd://127.0.0.1:2379", "the name of the cluster is missing"),
            ("etcd://127.0.0.1:2379/", "the name \"\""),
            ("etcd://127.0.0.1:2379/Pay", "a-z"),
            ("etcd://127.0.0.1:2379/a/b", "the name \"a/b\""),
            ("etcd:///x", "the address \"\""),
            ("etcd://host/x", "the address \"host\""),
            ("etcd://a:1,,b:1/x", "the address \"\""),
            ("etcd://a:1,b:1,a:1/x", "a:1 is named twice"),
            (&many, "10 members of etcd are more than 9"),
        ] {
            let error = text.parse::<Location>().expect_err(text).to_string();
            assert!(error.contains(part) && error.contains("etcd://host:port"), "{error}");
        }
    }
}
