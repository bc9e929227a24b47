//! A log that failed once does nothing any more, and loses nothing.

use super::*;

/// Makes the next append fail by exchanging the file beneath, and checks that nothing works any more and nothing is lost.
#[track_caller]
fn check_poison(file: impl FnOnce(&Path) -> File, action: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&entries(1..=3, 1, 1), None).unwrap();
    let sound = std::mem::replace(&mut log.file, Box::new(file(&segment(dir.path(), 1))));
    let first = log.append(&[entry(4, 1, 1)], None).unwrap_err();
    assert!(matches!(first, LogError::Io { .. }) && first.to_string().contains(action), "{first}");
    log.file = sound;
    let later = [
        log.append(&[entry(4, 1, 1)], None).map(|_| ()),
        log.append::<&[u8]>(&[], None).map(|_| ()),
        log.append(&[entry(9, 1, 1)], None).map(|_| ()),
        log.truncate_front(1),
        log.reset(9, HardState::default()),
    ];
    for result in later {
        assert_eq!(result.unwrap_err().to_string(), first.to_string());
    }
    assert_eq!((log.last_index(), log.hard_state()), (3, HardState::default()), "what failed did not happen");
    drop(log);
    let (mut log, recovered) = open(dir.path());
    assert_eq!(recovered.entries, entries(1..=3, 1, 1));
    log.append(&[entry(4, 1, 1)], None).unwrap();
}

#[test]
fn a_failed_write_poisons_the_log() {
    check_poison(|path| File::open(path).unwrap(), "cannot write");
}

#[test]
fn a_failed_sync_poisons_the_log() {
    // Writing to the null device succeeds, and syncing it does not.
    check_poison(|_| File::options().write(true).open("/dev/null").unwrap(), "cannot sync");
}

#[test]
fn a_failed_new_segment_poisons_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, last) = fill(dir.path(), 2);
    let moved = dir.path().with_extension("moved");
    fs::rename(dir.path(), &moved).unwrap();
    let error = (last + 1..).find_map(|index| log.append(&[entry(index, 1, 100)], None).err()).unwrap();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    let acknowledged = log.last_index();
    assert_eq!(log.truncate_front(0).unwrap_err().to_string(), error.to_string());
    drop(log);
    fs::rename(&moved, dir.path()).unwrap();
    assert_eq!(open(dir.path()).1.last_index, acknowledged);
}

#[test]
fn leftovers_of_an_unfinished_spare_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::write(files::unfinished_path(dir.path()), [1; 100]).unwrap();
    fs::write(files::spare_path(dir.path(), 0), [1; 100]).unwrap();
    fs::write(dir.path().join("notes.txt"), "not ours").unwrap();
    drop(open(dir.path()));
    assert_eq!(contents(dir.path()).len(), 3, "the segment, which is the newest, and what is not the log's");
}
