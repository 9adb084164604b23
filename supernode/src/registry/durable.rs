//! The registry on disk. One thread owns all writing; claims that wait together share one commit.
//!
//! In: claims with a place for the answer, questions. Out: answers, `Granted` only after the commit.
//! Never: an answer before its commit, a write outside the writer's thread.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::registry::ClaimResult;
use redb::{
    Database, ReadableDatabase as _, ReadableTable, ReadableTableMetadata as _, TableDefinition,
};
use zt_wire::{Address, Identity, KeyId};

use super::rules::{Block, Book, Claim, Limits, Record, Ruling, rule};

/// Address -> `RECORD_LEN` bytes: form 1, key, identity, block (zero when none).
const RECORDS: TableDefinition<[u8; Address::LEN], [u8; RECORD_LEN]> =
    TableDefinition::new("records");
/// Block -> how many addresses were claimed from it.
const BLOCKS: TableDefinition<[u8; 7], u64> = TableDefinition::new("blocks");
/// Numbers about the file itself: `version`.
const ABOUT: TableDefinition<&str, u64> = TableDefinition::new("about");

const RECORD_LEN: usize = 1 + KeyId::LEN + Identity::LEN + 7;
const VERSION: u64 = 1;

/// Claims that may wait for the writer. At 100 commits a second and 1,024 claims each, a full queue is 80 ms long.
const WAITING: usize = 8_192;
/// Most claims in one commit: bounds the time the first of them waits.
const TOGETHER: usize = 1_024;

/// The registry in a file. Dropping it ends the writer after what is queued is answered.
#[derive(Debug)]
pub struct DurableRegistry {
    database: Arc<Database>,
    queue: Option<SyncSender<Waiting>>,
    writer: Option<JoinHandle<()>>,
}

struct Waiting {
    claim: Claim,
    answer: Box<dyn FnOnce(Result<ClaimResult, RegistryError>) + Send>,
}

impl DurableRegistry {
    /// Opens the registry in `file`, or makes an empty one.
    ///
    /// # Errors
    /// [`RegistryError::InUse`], [`RegistryError::Corrupt`] and [`RegistryError::Storage`].
    pub fn open(file: &Path, limits: Limits) -> Result<Self, RegistryError> {
        let database = Database::create(file).map_err(|e| opening(file, e))?;
        prepare(&database).map_err(|e| e.at(file))?;
        let database = Arc::new(database);
        let (queue, waiting) = sync_channel(WAITING);
        let writer = Writer {
            database: Arc::clone(&database),
            limits,
            file: file.to_owned(),
        };
        let writer = std::thread::Builder::new()
            .name("registry".into())
            .spawn(move || writer.run(&waiting))
            .map_err(|e| RegistryError::Storage {
                file: file.to_owned(),
                why: e.to_string(),
            })?;
        Ok(Self {
            database,
            queue: Some(queue),
            writer: Some(writer),
        })
    }

    /// Decides a claim. `answer` is called from the writer's thread, and only after what it says is durable.
    pub fn claim(
        &self,
        claim: Claim,
        answer: impl FnOnce(Result<ClaimResult, RegistryError>) + Send + 'static,
    ) {
        // The queue is taken out only in `drop`.
        let Some(queue) = &self.queue else { return };
        match queue.try_send(Waiting {
            claim,
            answer: Box::new(answer),
        }) {
            Ok(()) => {}
            Err(TrySendError::Full(waiting) | TrySendError::Disconnected(waiting)) => {
                (waiting.answer)(Err(RegistryError::Busy));
            }
        }
    }

    /// Who holds an address.
    ///
    /// # Errors
    /// The storage failed.
    pub fn whois(&self, address: Address) -> Result<Option<Identity>, RegistryError> {
        let found = (|| {
            let reading = self.database.begin_read()?;
            let records = reading.open_table(RECORDS)?;
            let Some(bytes) = records.get(address.to_bytes())? else {
                return Ok(None);
            };
            decode(bytes.value()).map(|record| Some(record.identity))
        })();
        found.map_err(|e: Fault| e.at(Path::new("registry")))
    }

    /// How many addresses are held.
    ///
    /// # Errors
    /// The storage failed.
    pub fn held(&self) -> Result<u64, RegistryError> {
        let held = (|| Ok(self.database.begin_read()?.open_table(RECORDS)?.len()?))();
        held.map_err(|e: Fault| e.at(Path::new("registry")))
    }
}

impl Drop for DurableRegistry {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has already said so on stderr; there is nothing left to answer.
            let _ = writer.join();
        }
    }
}

struct Writer {
    database: Arc<Database>,
    limits: Limits,
    file: PathBuf,
}

impl Writer {
    fn run(&self, waiting: &Receiver<Waiting>) {
        while let Ok(first) = waiting.recv() {
            let mut batch = vec![first];
            while batch.len() < TOGETHER
                && let Ok(next) = waiting.try_recv()
            {
                batch.push(next);
            }
            match self.commit(&batch) {
                Ok(results) => {
                    for (waiting, result) in batch.into_iter().zip(results) {
                        (waiting.answer)(Ok(result));
                    }
                }
                Err(fault) => {
                    let error = fault.at(&self.file);
                    tracing::error!(%error, "claims not written");
                    for waiting in batch {
                        (waiting.answer)(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Decides the claims in their order, each seeing those before it, and makes them durable together.
    fn commit(&self, batch: &[Waiting]) -> Result<Vec<ClaimResult>, Fault> {
        let writing = self.database.begin_write()?;
        let mut results = Vec::with_capacity(batch.len());
        let mut changed = false;
        {
            let mut page = Page {
                records: writing.open_table(RECORDS)?,
                blocks: writing.open_table(BLOCKS)?,
            };
            for Waiting { claim, .. } in batch {
                results.push(match rule(claim, &page, &self.limits)? {
                    Ruling::Answer(result) => result,
                    Ruling::Write => {
                        page.write(claim)?;
                        changed = true;
                        ClaimResult::Granted
                    }
                });
            }
        }
        if changed {
            // redb's default durability: when this returns, the data is synced to the disk.
            writing.commit()?;
        } else {
            writing.abort()?;
        }
        Ok(results)
    }
}

/// The tables inside one write transaction.
struct Page<'t> {
    records: redb::Table<'t, [u8; Address::LEN], [u8; RECORD_LEN]>,
    blocks: redb::Table<'t, [u8; 7], u64>,
}

impl Page<'_> {
    fn write(&mut self, claim: &Claim) -> Result<(), Fault> {
        let record = Record::of(claim);
        self.records
            .insert(claim.address.to_bytes(), encode(&record))?;
        if let Some(block) = record.block {
            let count = self.held_from(block)?;
            self.blocks.insert(block.to_bytes(), count + 1)?;
        }
        Ok(())
    }
}

impl Book for Page<'_> {
    type Error = Fault;

    fn holder(&self, address: Address) -> Result<Option<KeyId>, Fault> {
        let Some(bytes) = self.records.get(address.to_bytes())? else {
            return Ok(None);
        };
        decode(bytes.value()).map(|record| Some(record.key))
    }

    fn held(&self) -> Result<u64, Fault> {
        Ok(self.records.len()?)
    }

    fn held_from(&self, block: Block) -> Result<u64, Fault> {
        Ok(self
            .blocks
            .get(block.to_bytes())?
            .map_or(0, |count| count.value()))
    }
}

fn prepare(database: &Database) -> Result<(), Fault> {
    let writing = database.begin_write()?;
    {
        writing.open_table(RECORDS)?;
        writing.open_table(BLOCKS)?;
        let mut about = writing.open_table(ABOUT)?;
        let version = about.get("version")?.map(|v| v.value());
        match version {
            Some(VERSION) => {}
            Some(other) => return Err(Fault::Version(other)),
            None => {
                about.insert("version", VERSION)?;
            }
        }
    }
    writing.commit()?;
    Ok(())
}

fn encode(record: &Record) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[0] = 1;
    bytes[1..33].copy_from_slice(&record.key.to_bytes());
    bytes[33..33 + Identity::LEN].copy_from_slice(&record.identity.to_bytes());
    if let Some(block) = record.block {
        bytes[33 + Identity::LEN..].copy_from_slice(&block.to_bytes());
    }
    bytes
}

fn decode(bytes: [u8; RECORD_LEN]) -> Result<Record, Fault> {
    if bytes[0] != 1 {
        return Err(Fault::Record);
    }
    let mut key = [0; KeyId::LEN];
    key.copy_from_slice(&bytes[1..33]);
    let mut identity = [0; Identity::LEN];
    identity.copy_from_slice(&bytes[33..33 + Identity::LEN]);
    let identity = Identity::from_bytes(&identity).map_err(|_| Fault::Record)?;
    let mut block = [0; 7];
    block.copy_from_slice(&bytes[33 + Identity::LEN..]);
    let block = if block == [0; 7] {
        None
    } else {
        Some(Block::from_bytes(block).ok_or(Fault::Record)?)
    };
    Ok(Record {
        key: KeyId::from_bytes(key),
        identity,
        block,
    })
}

/// Why the registry does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// Another program has the file open.
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// The file is no registry of this version, or damaged.
    Corrupt {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk does not do what it should.
    Storage {
        /// The file.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Too many claims wait.
    Busy,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { file } => write!(f, "{} is open in another program", file.display()),
            Self::Corrupt { file, why } => {
                write!(
                    f,
                    "{} is damaged ({why}); restore it from a backup",
                    file.display()
                )
            }
            Self::Storage { file, why } => {
                write!(f, "{} cannot be read or written: {why}", file.display())
            }
            Self::Busy => f.write_str("too many claims wait for the disk"),
        }
    }
}

impl core::error::Error for RegistryError {}

/// A failure inside a transaction, before the file's name is known.
#[derive(Debug)]
enum Fault {
    Redb(Box<redb::Error>),
    Record,
    Version(u64),
}

impl Fault {
    fn at(self, file: &Path) -> RegistryError {
        let file = file.to_owned();
        match self {
            Self::Record => RegistryError::Corrupt {
                file,
                why: "a record is malformed".into(),
            },
            Self::Version(found) => RegistryError::Corrupt {
                file,
                why: format!("version {VERSION} expected, {found} found"),
            },
            Self::Redb(error) => match *error {
                redb::Error::Corrupted(why) => RegistryError::Corrupt { file, why },
                other => RegistryError::Storage {
                    file,
                    why: other.to_string(),
                },
            },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

fn opening(file: &Path, error: redb::DatabaseError) -> RegistryError {
    let file = file.to_owned();
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => RegistryError::InUse { file },
        redb::DatabaseError::Storage(redb::StorageError::Io(e))
            if e.kind() != std::io::ErrorKind::InvalidData =>
        {
            RegistryError::Storage {
                file,
                why: e.to_string(),
            }
        }
        other => RegistryError::Corrupt {
            file,
            why: other.to_string(),
        },
    }
}
