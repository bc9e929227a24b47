//! The log on real files.

mod appends;
mod damage;
mod segments;
mod failures;
mod model;

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
