//! What only a file can have happen to it.

use crate::SWAP_MAX;
use crate::subject::{first, marked};
use crest_map_store::{Location, StoreError, SwapError, open};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

#[tokio::test]
async fn a_swap_waits_for_the_lock_and_not_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Location::File(dir.path().join("cluster.toml")));
    store.swap(0, &first()).await.unwrap();
    let other = std::fs::File::options().append(true).open(dir.path().join(".cluster.toml.lock")).unwrap();
    other.lock().unwrap();
    let (begun, next) = (Instant::now(), marked(&first(), "a"));
    match store.swap(1, &next).await {
        Err(SwapError::Store(StoreError::Unavailable { why, .. })) => {
            assert!(why.contains("cannot lock") && why.contains("another process"), "{why}");
        }
        swapped => panic!("{swapped:?}"),
    }
    assert!(begun.elapsed() < SWAP_MAX, "it took {:?}", begun.elapsed());
    assert_eq!(*store.load().await.unwrap(), first(), "a read needs no lock");
    drop(other);
    store.swap(1, &next).await.unwrap();
}

#[tokio::test]
async fn a_swap_keeps_a_link_and_the_permissions_and_minds_no_leftovers() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.toml"), dir.path().join("cluster.toml"));
    std::fs::write(&real, first().to_toml()).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    // Of a process that was killed while it wrote.
    std::fs::write(dir.path().join(".real.toml.next"), "cluster = \"half").unwrap();
    let (store, next) = (open(Location::File(link.clone())), marked(&first(), "a"));
    store.swap(1, &next).await.unwrap();
    assert_eq!(*store.load().await.unwrap(), next);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), next.to_toml());
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere").join("cluster.toml");
    let store = open(Location::File(path.clone()));
    for error in [store.load().await.unwrap_err().to_string(), store.swap(0, &first()).await.unwrap_err().to_string()] {
        assert!(error.contains(&path.display().to_string()) && error.contains("No such file"), "{error}");
    }
}
