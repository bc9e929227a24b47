//! Torn appends are dropped; any other damage, and what belongs to somebody else, is named.

use super::*;

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
