//! Segments are dropped, used again, replaced.

use super::*;

#[test]
fn truncation_drops_whole_segments_and_keeps_the_hard_state() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, last) = fill(dir.path(), 4);
    let per_segment = last / 3;
    for (through, first) in [(0, 1), (per_segment - 1, 1), (per_segment, per_segment + 1)] {
        log.truncate_front(through).unwrap();
        assert_eq!(log.first_index(), first, "through {through}");
    }
    log.truncate_front(u64::MAX).unwrap();
    assert_eq!((log.first_index(), log.last_index()), (last, last), "the last segment stays");
    drop(log);
    let (_, recovered) = open(dir.path());
    assert_eq!((recovered.first_index, recovered.entries), (last, vec![entry(last, 1, 100)]));
    assert_eq!(recovered.hard_state, HardState { term: 1, vote: 1, commit: last });
}

#[test]
fn truncation_keeps_entries_that_replaced_others_in_a_later_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let mut index = 0;
    while !segment(dir.path(), 3).exists() {
        index += 1;
        log.append(&[entry(index, 1, 100)], None).unwrap();
    }
    // Segment 2 holds from about a half; what follows replaces the end of segment 1 and all of segment 2.
    let from = index / 2 - 2;
    log.append(&[entry(from, 2, 1)], None).unwrap();
    log.truncate_front(index - 1).unwrap();
    assert_eq!((log.first_index(), log.last_index()), (from, from));
    log.append(&[entry(from + 1, 2, 1)], None).unwrap();
    drop(log);
    let recovered = open(dir.path()).1;
    assert_eq!((recovered.first_index, recovered.entries), (from, entries(from..=from + 1, 2, 1)));
}

#[test]
fn a_log_in_steady_use_neither_grows_nor_makes_new_files() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, mut index) = fill(dir.path(), 4);
    log.truncate_front(index).unwrap();
    for _ in 0..200 {
        index += 1;
        log.append(&[entry(index, 1, 100)], None).unwrap();
        log.truncate_front(index - 5).unwrap();
        assert!(log.disk_bytes() <= 4 * SMALL.segment_bytes, "{} bytes", log.disk_bytes());
        assert!(contents(dir.path()).len() <= 6);
    }
    let first = log.first_index();
    drop(log);
    let recovered = open(dir.path()).1;
    assert_eq!(recovered.entries, entries(first..=index, 1, 100));
}

#[test]
fn an_append_larger_than_a_frame_is_written_in_parts_whose_commit_is_never_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let goal = HardState { term: 4, vote: 2, commit: 10 };
    log.append(&entries(1..=10, 4, 600), Some(goal)).unwrap();
    drop(log);
    assert!(segment(dir.path(), 5).exists() && !segment(dir.path(), 6).exists());
    for sequence in (1..=5).rev() {
        let recovered = open(dir.path()).1;
        assert_eq!(recovered.entries, entries(1..=sequence * 2, 4, 600));
        assert_eq!(recovered.hard_state, HardState { commit: sequence * 2, ..goal });
        fs::remove_file(segment(dir.path(), sequence)).unwrap();
        // As it was before that part: there the segment before was the newest.
        fs::write(dir.path().join("newest"), format!("{:020}\n", sequence - 1)).unwrap();
    }
}

#[test]
fn a_reset_drops_everything_even_when_it_is_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, last) = fill(dir.path(), 3);
    let before = contents(dir.path());
    let hard_state = HardState { term: 8, vote: 1, commit: 5_000 };
    log.reset(5_001, hard_state).unwrap();
    assert_eq!((log.first_index(), log.last_index()), (5_001, 5_000));
    assert!(matches!(log.append(&[entry(last + 1, 8, 1)], None), Err(LogError::OutOfOrder { min: 5_001, .. })));
    log.append(&[entry(5_001, 8, 1)], None).unwrap();
    drop(log);
    let expected = Recovered {
        hard_state,
        entries: vec![entry(5_001, 8, 1)],
        first_index: 5_001,
        last_index: 5_001,
        torn_bytes: 0,
    };
    assert_eq!(open(dir.path()).1, expected);
    // As if the power had failed before the old segments were dropped.
    let is_segment = |path: &Path| path.to_string_lossy().contains("segment-");
    before.iter().filter(|(path, _)| is_segment(path)).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    assert_eq!(open(dir.path()).1, expected);
    assert_eq!(files::list(&SystemDisk, dir.path()).unwrap().segments, [4]);
    // A reset may also go back: a replica whose log was ahead of the snapshot it was sent.
    open(dir.path()).0.reset(40, HardState { term: 9, vote: 0, commit: 39 }).unwrap();
    assert_eq!(open(dir.path()).1.first_index, 40);
}

#[test]
fn segments_of_another_size_are_read_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, last) = fill(dir.path(), 3);
    log.truncate_front(last / 2).unwrap();
    let first = log.first_index();
    drop(log);
    let large = Options { segment_bytes: 64 << 10 };
    let (mut log, recovered) = SegmentLog::open(dir.path(), &me(), large).unwrap();
    assert_eq!(recovered.entries, entries(first..=last, 1, 100));
    for index in last + 1..=last + 20 {
        log.append(&[entry(index, 1, 100)], None).unwrap();
    }
    log.truncate_front(last + 19).unwrap();
    assert!(log.disk_bytes().is_multiple_of(large.segment_bytes), "the small files are gone");
    drop(log);
    let recovered = open(dir.path()).1;
    assert_eq!(recovered.last_index, last + 20);
}
