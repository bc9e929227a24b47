//! The rows in RocksDB. Its own log is off the path: state reaches it only as sorted files that are ingested whole.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, DB, Direction, IngestExternalFileOptions, IteratorMode, Options, ReadOptions, Snapshot,
    SstFileWriter,
};

use super::StoreError;
use super::rows::{Entry, Rows, SortedFile, Storage};
use crate::snapshot::Export;
use crate::{limits, points};

/// RocksDB's own figures and our names for them.
const FIGURES: &[(&str, &str)] = &[
    ("rocksdb.estimate-num-keys", "crest_rocksdb_keys"),
    ("rocksdb.total-sst-files-size", "crest_rocksdb_sst_bytes"),
    ("rocksdb.estimate-pending-compaction-bytes", "crest_rocksdb_pending_compaction_bytes"),
    ("rocksdb.num-running-compactions", "crest_rocksdb_running_compactions"),
    ("rocksdb.num-files-at-level0", "crest_rocksdb_level0_files"),
    ("rocksdb.actual-delayed-write-rate", "crest_rocksdb_delayed_write_rate"),
    ("rocksdb.is-write-stopped", "crest_rocksdb_write_stopped"),
    ("rocksdb.block-cache-usage", "crest_rocksdb_block_cache_bytes"),
    ("rocksdb.background-errors", "crest_rocksdb_background_errors"),
];

/// A RocksDB database.
pub struct Rocks {
    db: DB,
    path: String,
    /// Where a sorted file is written before it is ingested: on the same file system.
    scratch: PathBuf,
    file_options: Options,
}

impl Rocks {
    /// Opens the database in `dir`, or makes a new one. Sorted files are written into `scratch`.
    ///
    /// # Errors
    /// When it is in use, or damaged.
    pub fn open(dir: &Path, scratch: &Path) -> Result<Arc<Self>, StoreError> {
        let path = dir.display().to_string();
        check_current(dir, &path)?;
        // What a process that died had offered to others.
        let _ = std::fs::remove_dir_all(scratch.join("export"));
        match DB::open(&options(), dir) {
            Ok(db) => {
                let mut file_options = Options::default();
                file_options.set_compression_type(rocksdb::DBCompressionType::Lz4);
                Ok(Arc::new(Self { db, path, scratch: scratch.to_owned(), file_options }))
            }
            Err(source) if source.to_string().contains("lock") => Err(StoreError::InUse { path }),
            Err(source) => Err(StoreError::Rocks { path, source }),
        }
    }

    fn error(&self, source: rocksdb::Error) -> StoreError {
        StoreError::Rocks { path: self.path.clone(), source }
    }

    fn multi(&self, values: Vec<Result<Option<Vec<u8>>, rocksdb::Error>>) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        values.into_iter().map(|value| value.map_err(|e| self.error(e))).collect()
    }

    fn collect(
        &self,
        rows: impl Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows = rows.take(limit).map(|row| match row {
            Ok((key, value)) => Ok((key.into_vec(), value.into_vec())),
            Err(e) => Err(self.error(e)),
        });
        rows.collect()
    }
}

/// Where a walk starts, and that it ends at the other bound.
fn bounds<'a>(min: &'a [u8], max: &'a [u8], reverse: bool) -> (ReadOptions, IteratorMode<'a>) {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(min);
    // RocksDB's upper bound is not included, and nothing lies between a key and the key with a zero byte behind it.
    options.set_iterate_upper_bound([max, &[0]].concat());
    let (from, direction) = if reverse { (max, Direction::Reverse) } else { (min, Direction::Forward) };
    (options, IteratorMode::From(from, direction))
}

impl Rows for Rocks {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get(key).map_err(|e| self.error(e))
    }

    fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.multi(self.db.multi_get(keys))
    }

    fn range(&self, min: &[u8], max: &[u8], reverse: bool, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let (options, mode) = bounds(min, max, reverse);
        self.collect(self.db.iterator_opt(mode, options), limit)
    }
}

impl Storage for Rocks {
    fn path(&self) -> String {
        self.path.clone()
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(true);
        self.db.put_opt(key, value, &options).map_err(|e| self.error(e))
    }

    fn sorted_file(&self) -> Result<Box<dyn SortedFile + '_>, StoreError> {
        let path = self.scratch.join("checkpoint.sst");
        remove_if_there(&path)?;
        let rocks = |source| StoreError::Rocks { path: path.display().to_string(), source };
        let writer = SstFileWriter::create(&self.file_options);
        writer.open(&path).map_err(rocks)?;
        Ok(Box::new(RocksFile { rocks: self, writer, path }))
    }

    fn snapshot(&self) -> Box<dyn Rows + '_> {
        Box::new(RocksSnapshot { rocks: self, snapshot: self.db.snapshot() })
    }

    fn export(&self) -> Result<Arc<dyn Export>, StoreError> {
        let dir = self.scratch.join("export");
        // Never a name that an earlier one had, which may still be read.
        let number = crate::log::disk::Disk::random(&crate::log::disk::SystemDisk);
        std::fs::create_dir_all(&dir).map_err(|source| StoreError::Io { path: dir.display().to_string(), source })?;
        let files = RocksExport { dir: dir.join(number.to_string()) };
        let checkpoint = Checkpoint::new(&self.db).map_err(|e| self.error(e))?;
        checkpoint.create_checkpoint(&files.dir).map_err(|e| self.error(e))?;
        Ok(Arc::new(files))
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let figure = |(property, name): &(&'static str, &'static str)| {
            Some((*name, self.db.property_int_value(*property).ok().flatten()?))
        };
        FIGURES.iter().filter_map(figure).collect()
    }
}

/// Hard links of RocksDB's files in a folder of their own, which goes when nobody needs it any more.
struct RocksExport {
    dir: PathBuf,
}

impl RocksExport {
    fn error(&self, file: &str, source: std::io::Error) -> StoreError {
        StoreError::Io { path: self.dir.join(file).display().to_string(), source }
    }
}

impl Export for RocksExport {
    fn files(&self) -> Vec<(String, u64)> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let file = |e: std::fs::DirEntry| Some((e.file_name().into_string().ok()?, e.metadata().ok()?.len()));
        let mut files: Vec<(String, u64)> = entries.filter_map(file).collect();
        files.sort();
        files
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        // The name comes from another node: only one of those that were told.
        let (_, bytes) = self.files().into_iter().find(|(name, _)| name == file).ok_or_else(|| {
            self.error(file, std::io::Error::new(std::io::ErrorKind::NotFound, "no such file in the snapshot"))
        })?;
        let mut piece = vec![0; length.min(usize::try_from(bytes.saturating_sub(offset)).unwrap_or(length))];
        let open = std::fs::File::open(self.dir.join(file));
        open.and_then(|f| f.read_exact_at(&mut piece, offset)).map_err(|e| self.error(file, e))?;
        Ok(piece)
    }
}

impl Drop for RocksExport {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

struct RocksSnapshot<'a> {
    rocks: &'a Rocks,
    snapshot: Snapshot<'a>,
}

impl Rows for RocksSnapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot.get(key).map_err(|e| self.rocks.error(e))
    }

    fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.rocks.multi(self.snapshot.multi_get(keys))
    }

    /// A snapshot is walked once, by audits: what it reads is not worth a place in the cache.
    fn range(&self, min: &[u8], max: &[u8], reverse: bool, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let (mut options, mode) = bounds(min, max, reverse);
        options.fill_cache(false);
        self.rocks.collect(self.snapshot.iterator_opt(mode, options), limit)
    }
}

struct RocksFile<'a> {
    rocks: &'a Rocks,
    writer: SstFileWriter<'a>,
    path: PathBuf,
}

impl RocksFile<'_> {
    fn error(&self, source: rocksdb::Error) -> StoreError {
        StoreError::Rocks { path: self.path.display().to_string(), source }
    }

    fn system_error(&self, source: std::io::Error) -> StoreError {
        StoreError::Io { path: self.path.display().to_string(), source }
    }
}

impl SortedFile for RocksFile<'_> {
    fn put(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let put = match value {
            Some(value) => self.writer.put(key, value),
            None => self.writer.delete(key),
        };
        put.map_err(|e| self.error(e))?;
        points::CHECKPOINT_WRITE_FAILS.fails().map_err(|e| self.system_error(e))
    }

    fn ingest(mut self: Box<Self>) -> Result<(), StoreError> {
        self.writer.finish().map_err(|e| self.error(e))?;
        points::CHECKPOINT_WRITTEN.pass();
        points::CHECKPOINT_INGEST_FAILS.fails().map_err(|e| self.system_error(e))?;
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        self.rocks.db.ingest_external_file_opts(&ingest, vec![&self.path]).map_err(|e| self.error(e))?;
        points::CHECKPOINT_INGESTED.pass();
        remove_if_there(&self.path)
    }
}

/// Where the file `CURRENT` is missing, RocksDB makes a new database, and deletes the tables of the one that was there.
fn check_current(dir: &Path, path: &str) -> Result<(), StoreError> {
    let is_table = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|e| e == "sst");
    let tables = || std::fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(is_table));
    match dir.join("CURRENT").exists() || !tables() {
        true => Ok(()),
        false => Err(StoreError::Damaged { path: path.to_owned(), what: "the file CURRENT is missing".to_owned() }),
    }
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io { path: path.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    table.set_block_cache(&Cache::new_lru_cache(limits::BLOCK_CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(false);
    table.set_block_size(8 << 10);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(limits::ROCKSDB_LOG_FILES);
    options.set_paranoid_checks(true);
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}
