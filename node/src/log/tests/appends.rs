//! What is appended is found again, and what does not continue the log is refused.

use super::*;

#[test]
fn a_new_log_is_empty_and_begins_at_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let (log, recovered) = open(&path);
    let empty =
        Recovered { hard_state: HardState::default(), entries: vec![], first_index: 1, last_index: 0, torn_bytes: 0 };
    assert_eq!(recovered, empty);
    assert_eq!((log.bytes(), log.disk_bytes()), (HEADER_BYTES, SMALL.segment_bytes));
    drop(log);
    assert_eq!(open(&path).1, empty);
}

#[test]
fn what_was_appended_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    let hard_state = HardState { term: 2, vote: 3, commit: 2 };
    let stats = log.append(&entries(1..=3, 2, 4), Some(hard_state)).unwrap();
    assert_eq!(stats.bytes, (FRAME_HEADER_BYTES + 3 * (16 + 32)) as u64);
    let odd = LogEntry { index: 4, term: 2, kind: 255, payload: &b"seven.."[..] };
    let empty = LogEntry { index: 5, term: 3, kind: 0, payload: &b""[..] };
    log.append(&[odd.clone(), empty], None).unwrap();
    assert_eq!(log.append::<&[u8]>(&[], None).unwrap(), AppendStats::default(), "nothing to do is not written");
    drop(log);

    let (mut log, recovered) = open(dir.path());
    let mut expected = entries(1..=3, 2, 4);
    expected.push(LogEntry { index: 4, term: 2, kind: 255, payload: odd.payload.to_vec() });
    expected.push(LogEntry { index: 5, term: 3, kind: 0, payload: vec![] });
    assert_eq!(recovered.entries, expected);
    assert_eq!((recovered.first_index, recovered.last_index, recovered.torn_bytes), (1, 5, 0));
    assert_eq!((recovered.hard_state, log.hard_state()), (hard_state, hard_state));
    let hard_state = HardState { term: 9, vote: 1, commit: 5 };
    log.append::<&[u8]>(&[], Some(hard_state)).unwrap();
    drop(log);
    assert_eq!(open(dir.path()).1, Recovered { hard_state, ..recovered });
}

#[test]
fn an_append_at_an_earlier_index_replaces_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    for index in 1..=20 {
        log.append(&[entry(index, 1, 200)], None).unwrap();
    }
    log.append(&entries(8..=9, 2, 1), Some(HardState { term: 2, vote: 0, commit: 7 })).unwrap();
    assert_eq!(log.last_index(), 9);
    log.append(&[entry(10, 2, 1)], None).unwrap();
    drop(log);
    let (_, recovered) = open(dir.path());
    assert_eq!(recovered.entries, [entries(1..=7, 1, 200), entries(8..=10, 2, 1)].concat());
}

#[test]
fn what_does_not_continue_the_log_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&entries(1..=5, 1, 1), Some(HardState { term: 1, vote: 1, commit: 3 })).unwrap();
    let gap = [entry(6, 1, 1), entry(8, 1, 1)];
    for (bad, min, max) in [(&entries(7..=8, 1, 1)[..], 4, 6), (&entries(3..=9, 2, 1), 4, 6), (&gap, 7, 7)] {
        let error = log.append(bad, None).unwrap_err();
        assert!(matches!(error, LogError::OutOfOrder { min: a, max: b, .. } if (a, b) == (min, max)), "{error:?}");
    }
    let beyond = HardState { term: 1, vote: 1, commit: 5 };
    let error = log.append(&[entry(4, 2, 1)], Some(beyond)).unwrap_err();
    assert!(matches!(error, LogError::CommitBeyondLog { commit: 5, last_index: 4 }), "{error:?}");
    let limit = log.entry_bytes_max();
    let error = log.append(&[LogEntry { index: 6, term: 1, kind: 0, payload: vec![1; limit + 1] }], None).unwrap_err();
    assert!(matches!(error, LogError::EntryTooLarge { index: 6, .. }), "{error:?}");
    assert!(matches!(log.reset(0, HardState::default()), Err(LogError::Invalid { .. })));
    assert!(matches!(log.reset(5, beyond), Err(LogError::CommitBeyondLog { .. })));
    let largest = LogEntry { index: 6, term: 1, kind: 0, payload: vec![1; limit] };
    log.append(std::slice::from_ref(&largest), None).unwrap();
    drop(log);
    assert_eq!(open(dir.path()).1.entries, [entries(1..=5, 1, 1), vec![largest]].concat());
}

#[test]
fn options_and_names_out_of_bounds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for segment_bytes in [0, 8 << 10, (16 << 10) + 1, 2 << 30, u64::MAX] {
        let error = SegmentLog::open(dir.path(), &me(), Options { segment_bytes }).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("segment_bytes"), "{error}");
    }
    let long = Identity { cluster: "x".repeat(257), ..me() };
    assert!(matches!(SegmentLog::open(dir.path(), &long, SMALL), Err(LogError::Invalid { found: 257, .. })));
    let longest = Identity { cluster: "x".repeat(256), ..me() };
    SegmentLog::open(dir.path(), &longest, SMALL).unwrap();
    SegmentLog::open(dir.path(), &longest, SMALL).unwrap();
}
