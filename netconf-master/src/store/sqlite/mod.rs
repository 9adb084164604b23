//! The embedded store: one `SQLite` file in WAL mode, durable before it answers.
//!
//! Owner: the file; one thread writes, a few connections read. In: batches, questions. Out: rows.
//! Never: a connection outside this folder, a commit that is not synced, SQL from a caller.

mod rows;
mod write;

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Params, Row, params};
use zt_api::master::Audit;
use zt_wire::{Address, NetworkId};

use super::{Applied, Batch, Store, StoreError};
use crate::model::{Counts, Invite, InviteId, Listing, Member, Network, Revocation};

/// Where the database is and how it is used. Start from [`SqliteOptions::at`].
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; made (0600) when absent.
    pub file: PathBuf,
    /// Connections that read. Default 4: reads take microseconds, so more would only wait for the CPU.
    pub readers: usize,
}

impl SqliteOptions {
    /// The defaults for a file.
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            readers: 4,
        }
    }
}

/// A database in an `SQLite` file.
#[derive(Debug)]
pub struct Sqlite {
    readers: Mutex<Vec<Connection>>,
    returned: Condvar,
    /// `None` only while it is dropped.
    writes: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// A batch on its way to the writing thread.
#[derive(Debug)]
struct Job {
    batch: Batch,
    answer: SyncSender<Result<Applied, StoreError>>,
}

/// Why a file is not opened.
#[derive(Debug)]
pub enum OpenError {
    /// It cannot be made or read.
    Unreadable(std::io::Error),
    /// It is no database of ours, or it is damaged.
    Corrupt(String),
    /// A later version of this program made it.
    Newer {
        /// Its version.
        found: i64,
    },
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unreadable(source) => write!(f, "the database cannot be opened: {source}"),
            Self::Corrupt(what) => write!(
                f,
                "the database is damaged ({what}); restore it from a backup"
            ),
            Self::Newer { found } => write!(
                f,
                "the database has version {found}, this program knows {VERSION}; start a newer program"
            ),
        }
    }
}

impl core::error::Error for OpenError {}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl Sqlite {
    /// Opens the file, makes its tables when it is empty, and starts the writing thread.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        make(&options.file).map_err(OpenError::Unreadable)?;
        let writer = connect(&options.file)?;
        prepare(&writer)?;
        let readers = (0..options.readers.max(1))
            .map(|_| connect(&options.file))
            .collect::<Result<Vec<_>, _>>()?;
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_until_closed(writer, &receiver))
            .map_err(OpenError::Unreadable)?;
        Ok(Self {
            readers: Mutex::new(readers),
            returned: Condvar::new(),
            writes: Some(sender),
            writer: Some(thread),
        })
    }

    /// Lends a reading connection to `question`.
    fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let connection = {
            let mut free = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                match free.pop() {
                    Some(connection) => break connection,
                    None => {
                        free = self
                            .returned
                            .wait(free)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
            }
        };
        let answer = question(&connection);
        self.readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        self.returned.notify_one();
        answer.map_err(unavailable)
    }

    fn one<T>(
        &self,
        sql: &str,
        values: impl Params,
        meaning: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(sql)?
                .query_row(values, meaning)
                .optional()
        })
    }

    fn many<T>(
        &self,
        sql: &str,
        values: impl Params,
        meaning: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(sql)?
                .query_map(values, meaning)?
                .collect()
        })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The thread ends when the channel does, after it has written what is in it.
        self.writes = None;
        if let Some(writer) = self.writer.take() {
            let _ended = writer.join();
        }
    }
}

impl Store for Sqlite {
    fn ready(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            connection.query_row("SELECT count(*) FROM networks", [], |_| Ok(()))
        })
    }

    fn network(&self, id: NetworkId) -> Result<Option<Network>, StoreError> {
        let sql = "SELECT * FROM networks WHERE id = ?1";
        self.one(sql, params![id.to_string()], rows::network)
    }

    fn networks(&self, after: Option<NetworkId>, limit: usize) -> Result<Vec<Network>, StoreError> {
        let sql = "SELECT * FROM networks WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.many(sql, params![text(after), count(limit)], rows::network)
    }

    fn member(&self, network: NetworkId, address: Address) -> Result<Option<Member>, StoreError> {
        let sql = "SELECT * FROM members WHERE network = ?1 AND address = ?2";
        self.one(
            sql,
            params![network.to_string(), address.to_string()],
            rows::member,
        )
    }

    fn members(
        &self,
        network: NetworkId,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let sql = "SELECT * FROM members WHERE network = ?1 AND address > ?2 AND deleted = 0
                   ORDER BY address LIMIT ?3";
        let values = params![network.to_string(), text(after), count(limit)];
        self.many(sql, values, rows::member)
    }

    fn listed_after(
        &self,
        network: NetworkId,
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Listing>, StoreError> {
        let sql = "SELECT address, listed, status, deleted, key IS NOT NULL AS keyed, rights, ips FROM members WHERE network = ?1 AND listed > ?2 AND listed > 0
                   ORDER BY listed LIMIT ?3";
        let values = params![network.to_string(), rows::int(revision), count(limit)];
        self.many(sql, values, rows::listing)
    }

    fn holder(&self, network: NetworkId, ip: IpAddr) -> Result<Option<Address>, StoreError> {
        let sql = "SELECT address FROM ips WHERE network = ?1 AND ip = ?2";
        let values = params![network.to_string(), ip.to_string()];
        self.one(sql, values, |row| rows::parsed(row, "address"))
    }

    fn counts(&self, network: NetworkId) -> Result<Counts, StoreError> {
        let sql = "SELECT
            (SELECT count(*) FROM members WHERE network = ?1 AND status = 'pending' AND deleted = 0) AS pending,
            (SELECT count(*) FROM members WHERE network = ?1 AND status = 'authorized' AND deleted = 0) AS authorized,
            (SELECT count(*) FROM members WHERE network = ?1 AND status = 'denied' AND deleted = 0) AS denied";
        let found = self.one(sql, params![network.to_string()], rows::counts)?;
        Ok(found.unwrap_or_default())
    }

    fn invite(&self, network: NetworkId, id: InviteId) -> Result<Option<Invite>, StoreError> {
        let sql = "SELECT * FROM invites WHERE network = ?1 AND id = ?2";
        self.one(
            sql,
            params![network.to_string(), id.to_string()],
            rows::invite,
        )
    }

    fn invite_by_token(&self, token_hash: &[u8; 32]) -> Result<Option<Invite>, StoreError> {
        let sql = "SELECT * FROM invites WHERE token_hash = ?1";
        self.one(sql, params![token_hash], rows::invite)
    }

    fn invites(
        &self,
        network: NetworkId,
        after: Option<InviteId>,
        limit: usize,
    ) -> Result<Vec<Invite>, StoreError> {
        let sql = "SELECT * FROM invites WHERE network = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
        let values = params![network.to_string(), text(after), count(limit)];
        self.many(sql, values, rows::invite)
    }

    fn revocations(&self, network: NetworkId) -> Result<Vec<Revocation>, StoreError> {
        let sql = "SELECT * FROM revocations WHERE network = ?1 ORDER BY key";
        self.many(sql, params![network.to_string()], rows::revocation)
    }

    fn log(
        &self,
        network: Option<NetworkId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Audit>, StoreError> {
        match network {
            Some(network) => self.many(
                "SELECT * FROM log WHERE network = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
                params![network.to_string(), rows::int(after), count(limit)],
                rows::audit,
            ),
            None => self.many(
                "SELECT * FROM log WHERE seq > ?1 ORDER BY seq LIMIT ?2",
                params![rows::int(after), count(limit)],
                rows::audit,
            ),
        }
    }

    fn newest(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(seq), 0) AS seq FROM log";
        let newest = self.one(sql, [], |row| rows::number(row, "seq"))?;
        Ok(newest.unwrap_or(0))
    }

    fn apply(&self, batch: Batch) -> Result<Applied, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let sent = self
            .writes
            .as_ref()
            .is_some_and(|writes| writes.send(Job { batch, answer }).is_ok());
        if !sent {
            return Err(StoreError::Unavailable(
                "the writing thread has ended".into(),
            ));
        }
        answered.recv().unwrap_or_else(|_| {
            Err(StoreError::Unavailable(
                "the writing thread has ended".into(),
            ))
        })
    }
}

/// Makes the file for its owner alone before `SQLite`, which would use the umask, can; its WAL gets the same mode.
fn make(file: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.create_new(true).open(file) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    // The name of the file has to outlive a loss of power, too.
    match file.parent() {
        Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

fn connect(file: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(core::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), OpenError> {
    let mut version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 1 {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} COMMIT;",
            include_str!("from_1.sql")
        ))?;
        version = VERSION;
    }
    match version {
        0 => connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {} COMMIT;",
            include_str!("schema.sql")
        ))?,
        VERSION => {
            let verdict: String =
                connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if verdict != "ok" {
                return Err(OpenError::Corrupt(verdict));
            }
        }
        found => return Err(OpenError::Newer { found }),
    }
    Ok(())
}

/// Writes batches, as many as wait in one synced commit, each in its own savepoint.
fn write_until_closed(mut connection: Connection, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let (batches, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|job| (job.batch, job.answer)).unzip();
        let results = write::commit(&mut connection, batches);
        for (answer, result) in answers.into_iter().zip(results) {
            // Who asked may have gone; the batch stays written.
            let _gone = answer.send(result);
        }
    }
}

fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

/// The place after which a page starts; the empty text is before every name.
fn text(after: Option<impl core::fmt::Display>) -> String {
    after.map(|after| after.to_string()).unwrap_or_default()
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The version of `schema.sql`.
const VERSION: i64 = 2;

/// Most batches in one commit: a commit costs one sync (measured 1 to 5 ms), a batch some 50 µs.
const GROUP: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netconf.db");
        let store = Sqlite::open(&SqliteOptions::at(&file)).unwrap();
        store.ready().unwrap();
        for name in ["netconf.db", "netconf.db-wal"] {
            let mode = std::fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netconf.db");
        let text = "this is a diary, not a database. ".repeat(100);
        std::fs::write(&file, &text).unwrap();
        let refused = Sqlite::open(&SqliteOptions::at(&file)).unwrap_err();
        assert!(matches!(refused, OpenError::Corrupt(_)), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }

    #[test]
    fn a_database_of_version_1_gets_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netconf.db");
        make(&file).unwrap();
        let old = include_str!("schema.sql")
            .replace("user_version = 2", "user_version = 1")
            .replace(
                "created INTEGER NOT NULL,\n    rules TEXT NOT NULL,\n    compiled BLOB NOT NULL\n",
                "created INTEGER NOT NULL\n",
            );
        assert!(!old.contains("compiled"));
        connect(&file).unwrap().execute_batch(&old).unwrap();
        let store = Sqlite::open(&SqliteOptions::at(&file)).unwrap();
        assert_eq!(store.networks(None, 10).unwrap(), []);
        drop(store);
        drop(Sqlite::open(&SqliteOptions::at(&file)).unwrap());
    }

    #[test]
    fn a_newer_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netconf.db");
        drop(Sqlite::open(&SqliteOptions::at(&file)).unwrap());
        connect(&file)
            .unwrap()
            .pragma_update(None, "user_version", 3)
            .unwrap();
        let refused = Sqlite::open(&SqliteOptions::at(&file)).unwrap_err();
        assert!(
            matches!(refused, OpenError::Newer { found: 3 }),
            "{refused:?}"
        );
    }
}
