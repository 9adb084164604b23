//! `run`: everything that a controller needs, opened in order, with an exit code for what fails.
//!
//! Owner: `main`. In: options. Out: a running program, an exit code. Never: a token or database readable by others.

use core::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zt_driver::daemon::{DaemonArgs, Kind, Prepared, StartError};
use zt_driver::{Exit, Keep, StateDir, StateError, clock};
use zt_engine::{Config, Role};

use crate::controller::Controller;
use crate::desk::Desk;
use crate::http::{AdminToken, Api};
use crate::serve::serve;
use crate::store::{OpenError, Sqlite, SqliteOptions, Store};

/// What `run` is told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The token for the HTTP API is in DIR/admin.token, made at first start.

Example:
  zt-netconf-master run --state-dir /var/lib/zt/master --world world.json
  curl -H \"Authorization: Bearer $(cat /var/lib/zt/master/admin.token)\" http://127.0.0.1:9994/api/v1/networks")]
pub struct RunArgs {
    /// What all daemons take.
    #[command(flatten)]
    pub daemon: DaemonArgs,
    /// Serve the HTTP API here
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9994")]
    pub http: SocketAddr,
    /// A name that the HTTP API may be asked for by, besides addresses and localhost (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub http_host: Vec<String>,
    /// Where networks and members are kept: sqlite:FILE [default: sqlite:DIR/netconf.db]
    #[arg(long, value_name = "URL")]
    pub database: Option<Database>,
}

/// A database, as `--database` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
}

impl core::str::FromStr for Database {
    type Err = BadDatabase;

    fn from_str(text: &str) -> Result<Self, BadDatabase> {
        if let Some(file) = text.strip_prefix("sqlite:") {
            return match file {
                "" => Err(BadDatabase::NoFile),
                file => Ok(Self::Sqlite(PathBuf::from(file))),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Err(BadDatabase::Postgres);
        }
        Err(BadDatabase::Unknown)
    }
}

/// Why a text is no [`Database`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDatabase {
    /// `sqlite:` without a file.
    NoFile,
    /// This version has no `PostgreSQL`.
    Postgres,
    /// Neither of the two.
    Unknown,
}

impl fmt::Display for BadDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoFile => "expected a file after sqlite:",
            Self::Postgres => "this version keeps its networks in SQLite only; use sqlite:FILE",
            Self::Unknown => "expected sqlite:FILE",
        })
    }
}

impl core::error::Error for BadDatabase {}

/// Why the program does not run.
#[derive(Debug)]
pub enum RunError {
    /// What all daemons need.
    Start(StartError),
    /// The database.
    Database(PathBuf, OpenError),
    /// The admin's token.
    Token(StateError),
    /// The admin's token is there and empty.
    EmptyToken(PathBuf),
    /// The kernel gives no random bytes.
    Chance(getrandom::Error),
    /// The HTTP address.
    Http(SocketAddr, io::Error),
}

impl RunError {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Start(error) => error.exit(),
            Self::Database(_, OpenError::Unreadable(_)) | Self::Chance(_) => Exit::Failed,
            Self::Database(_, OpenError::Corrupt(_) | OpenError::Newer { .. })
            | Self::EmptyToken(_) => Exit::State,
            Self::Token(error) => error.exit(),
            Self::Http(_, error) => match error.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Exit::InUse,
                _ => Exit::Failed,
            },
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Database(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Token(error) => error.fmt(f),
            Self::EmptyToken(file) => {
                write!(
                    f,
                    "{} is empty; remove it and a new one is made",
                    file.display()
                )
            }
            Self::Chance(error) => write!(f, "the kernel gives no random bytes: {error}"),
            Self::Http(address, error) => {
                write!(
                    f,
                    "the HTTP API cannot listen on {address}: {error}; choose another --http"
                )
            }
        }
    }
}

impl core::error::Error for RunError {}

/// `run`. Returns when a signal ends it.
///
/// # Errors
/// [`RunError`], which knows its exit code.
pub fn run(args: &RunArgs) -> Result<Exit, RunError> {
    let prepared = Prepared::new(&args.daemon, None).map_err(RunError::Start)?;
    let token = admin_token(&prepared.state)?;
    let store = open(args.database.as_ref(), &args.daemon.state_dir)?;
    let http = listen(args.http).map_err(|error| RunError::Http(args.http, error))?;
    let address = http
        .local_addr()
        .map_err(|error| RunError::Http(args.http, error))?;
    let mine = &prepared.mine;
    let world = prepared.world.bytes().to_vec();
    let controller = Controller::new(store, mine.secret.clone(), &mine.verified, world);
    let controller = Arc::new(controller);
    tracing::info!(http = %address, controller = %controller.address(), fingerprint = %controller.key(), "controller");
    if !address.ip().is_loopback() {
        tracing::warn!(http = %address, "the HTTP API is not encrypted and other machines reach it; put a TLS proxy before it");
    }
    let hosts = args.http_host.clone();
    let kind = Kind {
        config: Config::of(Role::Controller),
        devices: false,
        keep: Keep::Nothing,
    };
    let ended = prepared.run(kind, move |running| async move {
        let listener = match tokio::net::TcpListener::from_std(http) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the HTTP API is not served");
                return Exit::Failed;
            }
        };
        let (desk, news) = Desk::new(controller, || clock::now().unix);
        let api = Api::new(Arc::clone(&desk), token, hosts);
        let exit = serve(running, desk, news, api, listener).await;
        tracing::error!("the node has ended");
        exit
    });
    ended.map_err(RunError::Start)
}

fn open(database: Option<&Database>, dir: &Path) -> Result<Arc<dyn Store>, RunError> {
    let file = match database {
        Some(Database::Sqlite(file)) => file.clone(),
        None => dir.join(DATABASE),
    };
    let store = Sqlite::open(&SqliteOptions::at(&file));
    Ok(Arc::new(
        store.map_err(|error| RunError::Database(file, error))?,
    ))
}

/// The token of an earlier run, or a new one in `admin.token`.
fn admin_token(state: &StateDir) -> Result<AdminToken, RunError> {
    if let Some(bytes) = state.read_plain(TOKEN).map_err(RunError::Token)? {
        let text = String::from_utf8_lossy(&bytes);
        return match text.trim() {
            "" => Err(RunError::EmptyToken(state.path().join(TOKEN))),
            token => Ok(AdminToken::new(token)),
        };
    }
    let mut chance = [0; 32];
    getrandom::fill(&mut chance).map_err(RunError::Chance)?;
    let token = URL_SAFE_NO_PAD.encode(chance);
    let line = format!("{token}\n");
    state
        .write_secret_text(TOKEN, line.as_bytes())
        .map_err(RunError::Token)?;
    Ok(AdminToken::new(&token))
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The database's file in the state directory.
const DATABASE: &str = "netconf.db";
/// The admin's token in the state directory.
const TOKEN: &str = "admin.token";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_not_built_in_is_refused_in_words() {
        assert_eq!(
            "sqlite:/x/y.db".parse(),
            Ok(Database::Sqlite("/x/y.db".into()))
        );
        assert_eq!(
            "postgres://h/db".parse::<Database>(),
            Err(BadDatabase::Postgres)
        );
        assert_eq!("sqlite:".parse::<Database>(), Err(BadDatabase::NoFile));
        assert_eq!("/x/y.db".parse::<Database>(), Err(BadDatabase::Unknown));
    }

    #[test]
    fn the_admin_token_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = {
            let state = StateDir::open(&path).unwrap();
            admin_token(&state).unwrap();
            std::fs::read_to_string(path.join(TOKEN)).unwrap()
        };
        let state = StateDir::open(&path).unwrap();
        admin_token(&state).unwrap();
        assert_eq!(std::fs::read_to_string(path.join(TOKEN)).unwrap(), first);
        assert_eq!(first.trim().len(), 43, "32 random bytes");
        let mode = std::fs::metadata(path.join(TOKEN))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
