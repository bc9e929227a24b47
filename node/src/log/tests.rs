use super::disk::SystemDisk;
use super::format::{FRAME_HEADER_BYTES, HEADER_BYTES};
use super::*;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const SMALL: Options = Options { segment_bytes: Options::SEGMENT_BYTES_MIN };

fn me() -> Identity {
    Identity { cluster: "test".into(), shard: 7, replica: 3 }
}

fn open(dir: &Path) -> (SegmentLog, Recovered) {
    SegmentLog::open(dir, &me(), SMALL).unwrap()
}

fn open_error(dir: &Path) -> LogError {
    SegmentLog::open(dir, &me(), SMALL).map(|(_, recovered)| recovered).unwrap_err()
}

/// An entry whose payload tells its index and term, has no zero byte and fills whole words.
fn entry(index: u64, term: u64, words: usize) -> LogEntry {
    let word = 0x0101_0101_0101_0101 * (1 + (index * 31 + term) % 255);
    LogEntry { index, term, kind: (index % 5) as u8, payload: word.to_le_bytes().repeat(words) }
}

fn entries(range: std::ops::RangeInclusive<u64>, term: u64, words: usize) -> Vec<LogEntry> {
    range.map(|index| entry(index, term, words)).collect()
}

fn segment(dir: &Path, sequence: u64) -> PathBuf {
    files::segment_path(dir, sequence)
}

/// The files of a directory and what is in them.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn restore(dir: &Path, files: &[(PathBuf, Vec<u8>)]) {
    fs::remove_dir_all(dir).unwrap();
    fs::create_dir(dir).unwrap();
    files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
}

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

/// A directory with three appends of one entry each, the second and third of `words` words; the bytes of its last segment,
/// and where the second and third frames are.
struct Three {
    dir: tempfile::TempDir,
    file: PathBuf,
    bytes: Vec<u8>,
    frames: [std::ops::Range<usize>; 2],
    /// What the file had where the third frame is now.
    before: Vec<u8>,
}

impl Three {
    fn in_a_fresh_file() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = open(dir.path());
        Self::append(dir, log, 1)
    }

    /// The same in a recycled file, full of valid frames of the same size from its former life.
    fn in_a_recycled_file() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path());
        let mut index = 0;
        for sequence in 1..=3 {
            while !segment(dir.path(), sequence).exists() || log.bytes() < SMALL.segment_bytes - 104 {
                index += 1;
                log.append(&[entry(index, 1, 4)], None).unwrap();
                log.truncate_front(index).unwrap();
                if log.bytes() == HEADER_BYTES + 104 && sequence == 3 {
                    return Self::append(dir, log, index + 1);
                }
            }
        }
        unreachable!("the third segment is begun");
    }

    fn append(dir: tempfile::TempDir, mut log: SegmentLog, index: u64) -> Self {
        log.append(&[entry(index, 1, 4)], None).unwrap();
        let sequence = *files::list(&SystemDisk, dir.path()).unwrap().segments.last().unwrap();
        let file = segment(dir.path(), sequence);
        let second = log.bytes() as usize;
        log.append(&[entry(index + 1, 1, 4)], Some(HardState { term: 1, vote: 1, commit: index })).unwrap();
        let third = log.bytes() as usize;
        let before = fs::read(&file).unwrap();
        log.append(&[entry(index + 2, 2, 4)], Some(HardState { term: 2, vote: 2, commit: index + 1 })).unwrap();
        let end = log.bytes() as usize;
        drop(log);
        let bytes = fs::read(&file).unwrap();
        let before = before[third..end].to_vec();
        Self { dir, file, bytes, frames: [second..third, third..end], before }
    }
}

/// Tears the third append in every way in which one boundary can, and checks that it is dropped and the log goes on.
#[track_caller]
fn check_torn(three: &Three) {
    let whole = open(three.dir.path()).1;
    let third = three.frames[1].clone();
    let acknowledged = whole.entries[..whole.entries.len() - 1].to_vec();
    for cut in 0..=third.len() {
        for beginning_is_lost in [false, true] {
            let mut torn = three.bytes.clone();
            let lost = if beginning_is_lost { 0..cut } else { cut..third.len() };
            torn[third.start + lost.start..third.start + lost.end].copy_from_slice(&three.before[lost]);
            if torn == three.bytes {
                continue;
            }
            fs::write(&three.file, &torn).unwrap();
            let (mut log, recovered) = open(three.dir.path());
            let last = acknowledged.last().unwrap().index;
            assert_eq!(recovered.entries, acknowledged, "cut at {cut}, beginning lost: {beginning_is_lost}");
            assert_eq!(recovered.hard_state, HardState { term: 1, vote: 1, commit: last - 1 });
            let told = third.start + 4..third.start + 16;
            let is_told = torn[told.clone()] == three.bytes[told];
            assert_eq!(recovered.torn_bytes, if is_told { third.len() as u64 } else { 0 }, "cut at {cut}");
            if cut == third.len() / 2 {
                drop(log);
                let again;
                (log, again) = open(three.dir.path());
                assert_eq!(again, Recovered { torn_bytes: 0, ..recovered }, "what was torn is told once");
            }
            // A shorter append than the torn one, so that remains of that stay behind it.
            log.append(&[entry(last + 1, 3, 1)], None).unwrap();
            drop(log);
            let again = open(three.dir.path()).1;
            assert_eq!(again.entries, [&acknowledged[..], &[entry(last + 1, 3, 1)]].concat());
            assert_eq!(again.torn_bytes, 0);
        }
    }
}

#[test]
fn a_torn_append_is_dropped_wherever_it_is_torn() {
    check_torn(&Three::in_a_fresh_file());
}

#[test]
fn a_torn_append_in_a_recycled_file_is_dropped_wherever_it_is_torn() {
    let three = Three::in_a_recycled_file();
    assert!(three.before.iter().any(|&byte| byte != 0), "the file has been used before");
    check_torn(&three);
}

#[test]
fn a_torn_append_of_many_entries_is_no_damage_though_its_end_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path());
    log.append(&entries(1..=2, 1, 3), None).unwrap();
    let start = log.bytes() as usize;
    log.append(&entries(3..=40, 1, 10), None).unwrap();
    drop(log);
    let mut bytes = fs::read(segment(dir.path(), 1)).unwrap();
    bytes[start..start + 512].fill(0);
    fs::write(segment(dir.path(), 1), bytes).unwrap();
    assert_eq!(open(dir.path()).1.entries, entries(1..=2, 1, 3));
}

#[test]
fn a_flipped_bit_before_a_valid_frame_is_damage_and_is_named() {
    let three = Three::in_a_fresh_file();
    for at in three.frames[0].clone() {
        for bit in 0..8 {
            let mut bytes = three.bytes.clone();
            bytes[at] ^= 1 << bit;
            fs::write(&three.file, &bytes).unwrap();
            let error = open_error(three.dir.path());
            let LogError::Corrupt { file, offset, .. } = &error else { panic!("byte {at}: {error:?}") };
            assert_eq!((file, *offset), (&three.file, three.frames[0].start as u64), "byte {at}");
            assert_eq!(fs::read(&three.file).unwrap(), bytes, "evidence is not touched");
        }
    }
}

#[test]
fn a_flipped_bit_in_a_header_is_damage() {
    let three = Three::in_a_fresh_file();
    for at in 0..HEADER_BYTES as usize {
        let mut bytes = three.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&three.file, bytes).unwrap();
        let error = open_error(three.dir.path());
        assert!(matches!(error, LogError::Corrupt { offset: 0, .. }), "byte {at}: {error:?}");
    }
}

/// Fills about `segments` segments with appends of one entry; gives the log and the last index.
fn fill(dir: &Path, segments: u64) -> (SegmentLog, u64) {
    let (mut log, _) = open(dir);
    let mut index = 0;
    while !segment(dir, segments).exists() {
        index += 1;
        log.append(&[entry(index, 1, 100)], Some(HardState { term: 1, vote: 1, commit: index })).unwrap();
    }
    (log, index)
}

#[test]
fn a_flipped_bit_in_an_earlier_segment_is_damage_up_to_its_last_frame() {
    let dir = tempfile::tempdir().unwrap();
    let (log, last) = fill(dir.path(), 3);
    drop(log);
    let frame = FRAME_HEADER_BYTES + 16 + 800;
    let good = fs::read(segment(dir.path(), 1)).unwrap();
    let end = HEADER_BYTES as usize + (good.len() - HEADER_BYTES as usize) / frame * frame;
    for at in (end - frame..end).chain([HEADER_BYTES as usize, end, good.len() - 1]) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(segment(dir.path(), 1), &bytes).unwrap();
        match SegmentLog::open(dir.path(), &me(), SMALL) {
            Ok((_, recovered)) => assert!(at >= end && recovered.last_index == last, "byte {at}"),
            Err(error) => assert!(at < end && matches!(error, LogError::Corrupt { .. }), "byte {at}: {error:?}"),
        }
    }
}

#[test]
fn a_segment_that_is_missing_cut_or_misnamed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, last) = fill(dir.path(), 4);
    log.truncate_front(last / 3).unwrap();
    drop(log);
    let good = contents(dir.path());
    assert!(!segment(dir.path(), 1).exists());

    fs::remove_file(segment(dir.path(), 3)).unwrap();
    assert!(matches!(open_error(dir.path()), LogError::MissingSegment { sequence: 3, .. }));
    fs::rename(segment(dir.path(), 2), segment(dir.path(), 3)).unwrap();
    assert!(matches!(open_error(dir.path()), LogError::Corrupt { offset: 16, .. }));
    (2..=4).for_each(|sequence| drop(fs::remove_file(segment(dir.path(), sequence))));
    assert!(matches!(open_error(dir.path()), LogError::MissingSegment { sequence: 4, .. }));
    fs::remove_file(dir.path().join("newest")).unwrap();
    assert!(matches!(open_error(dir.path()), LogError::MissingSegment { .. }), "the spare tells of a log");

    restore(dir.path(), &good);
    fs::remove_file(segment(dir.path(), 4)).unwrap();
    assert!(matches!(open_error(dir.path()), LogError::MissingSegment { sequence: 4, .. }), "the newest one");
    fs::write(dir.path().join("newest"), "4").unwrap();
    assert!(matches!(open_error(dir.path()), LogError::Corrupt { offset: 0, .. }));

    restore(dir.path(), &good);
    for bytes in [0, 100, HEADER_BYTES, SMALL.segment_bytes - 1, SMALL.segment_bytes + 1] {
        File::options().write(true).open(segment(dir.path(), 4)).unwrap().set_len(bytes).unwrap();
        assert!(matches!(open_error(dir.path()), LogError::Corrupt { .. }), "{bytes} bytes");
        restore(dir.path(), &good);
    }
    assert_eq!(open(dir.path()).1.last_index, last);
}

#[test]
fn a_log_of_somebody_else_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    for other in
        [Identity { cluster: "other".into(), ..me() }, Identity { shard: 8, ..me() }, Identity { replica: 4, ..me() }]
    {
        let error = SegmentLog::open(dir.path(), &other, SMALL).map(|_| ()).unwrap_err();
        let LogError::WrongIdentity { found, expected, .. } = &error else { panic!("{error:?}") };
        assert_eq!((**found == me(), **expected == other), (true, true));
        assert!(error.to_string().contains("replica 3 of shard 7 of cluster \"test\""), "{error}");
    }
}

#[test]
fn a_format_of_another_build_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut bytes = fs::read(segment(dir.path(), 1)).unwrap();
    bytes[12..16].copy_from_slice(&9_u32.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[12..HEADER_BYTES as usize]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    fs::write(segment(dir.path(), 1), bytes).unwrap();
    assert!(matches!(open_error(dir.path()), LogError::WrongVersion { found: 9, expected: 1, .. }));
}

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

/// A generator of numbers that repeats with its seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}

/// Does what a replica may do, in a random order with crashes between, and compares with a vector.
#[track_caller]
fn check_model(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let (mut log, _) = open(dir.path());
    let (mut model, mut hard_state): (Vec<LogEntry>, _) = (vec![], HardState::default());
    for step in 0..120 {
        let next = log.last_index() + 1;
        match random.below(20) {
            0 => {
                let to = next + random.below(50);
                hard_state = HardState { term: hard_state.term + 1, vote: 0, commit: to - 1 };
                log.reset(to, hard_state).unwrap();
                model.clear();
            }
            1..=3 => log.truncate_front(random.below(hard_state.commit + 1)).unwrap(),
            4..=6 => {
                drop(log);
                let recovered;
                (log, recovered) = open(dir.path());
                let kept = model.len().min((recovered.last_index + 1 - recovered.first_index) as usize);
                assert_eq!(recovered.entries, model[model.len() - kept..], "seed {seed}, step {step}");
                assert_eq!(recovered.hard_state, hard_state, "seed {seed}, step {step}");
            }
            _ => {
                let min = log.first_index().max(hard_state.commit + 1);
                let start = if random.below(4) == 0 { min + random.below(next - min + 1) } else { next };
                let count = random.below(6);
                hard_state.term += random.below(2);
                let words = random.below(300) as usize;
                let new: Vec<_> = (start..start + count).map(|index| entry(index, hard_state.term, words)).collect();
                let last = if count == 0 { next - 1 } else { start + count - 1 };
                hard_state.commit += random.below(last.saturating_sub(hard_state.commit) + 1);
                log.append(&new, Some(hard_state)).unwrap();
                model.retain(|entry| count == 0 || entry.index < start);
                model.extend(new);
            }
        }
        model.retain(|entry| entry.index >= log.first_index());
        assert_eq!(model.last().map_or(log.first_index() - 1, |entry| entry.index), log.last_index());
    }
}

#[test]
fn a_log_agrees_with_a_vector_whatever_is_done_to_it() {
    (0..20).for_each(check_model);
}
