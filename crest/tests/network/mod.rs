//! A network of namespaces, for tests that cut it.

mod net;

pub(crate) use net::{Net, Place, enter};
