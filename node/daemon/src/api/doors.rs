//! Where the control API listens: a Unix socket, and a loopback TCP address only when asked for.
//!
//! Owner: the program. In: a path, an address. Out: listeners, and who calls.
//! Never: a socket taken from a running program; a TCP listener that other machines reach.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use zt_driver::{StartError, StateDir};

/// Open listeners, not yet served.
#[derive(Debug)]
pub struct Doors {
    unix: UnixListener,
    path: Removed,
    tcp: Option<(std::net::TcpListener, String)>,
}

/// Listeners in the hands of the runtime.
pub struct Listening {
    /// The Unix socket.
    pub unix: tokio::net::UnixListener,
    /// The TCP listener with its token.
    pub tcp: Option<(tokio::net::TcpListener, String)>,
    /// Removes the socket's path at the end.
    pub _removed: Removed,
}

/// Who is at the other end of the Unix socket.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// User and group; `None` when the kernel does not say.
    pub user: Option<(u32, u32)>,
}

/// A path that is removed with this value.
#[derive(Debug)]
pub struct Removed(PathBuf);

impl Doors {
    /// Opens the listeners; call before privileges are dropped.
    ///
    /// # Errors
    /// [`StartError`], which knows its exit code.
    pub fn open(
        state: &StateDir,
        socket: PathBuf,
        control: Option<SocketAddr>,
    ) -> Result<Self, StartError> {
        let name = socket.display().to_string();
        let unix = bind(&socket).map_err(|error| StartError::Listener(name, error))?;
        let tcp = control
            .map(|address| open_tcp(state, address))
            .transpose()?;
        Ok(Self {
            unix,
            path: Removed(socket),
            tcp,
        })
    }

    /// Hands the listeners to the runtime.
    ///
    /// # Errors
    /// The kernel's reason when they cannot be waited for.
    pub fn listen(self) -> io::Result<Listening> {
        let tcp = match self.tcp {
            Some((listener, token)) => Some((tokio::net::TcpListener::from_std(listener)?, token)),
            None => None,
        };
        Ok(Listening {
            unix: tokio::net::UnixListener::from_std(self.unix)?,
            tcp,
            _removed: self.path,
        })
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        // Without power over its directory the path stays; the next start takes it over.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Connected<IncomingStream<'_, tokio::net::UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, tokio::net::UnixListener>) -> Self {
        let user = stream
            .io()
            .peer_cred()
            .ok()
            .map(|cred| (cred.uid(), cred.gid()));
        Self { user }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() || UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // A socket nobody listens on was left by a program that was killed.
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open_tcp(
    state: &StateDir,
    address: SocketAddr,
) -> Result<(std::net::TcpListener, String), StartError> {
    let refused = |error| StartError::Listener(address.to_string(), error);
    if !address.ip().is_loopback() {
        let why = "the control API is served on loopback addresses only";
        return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, why)));
    }
    let token = token(state).map_err(StartError::State)?;
    let listener = std::net::TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok((listener, token))
}

/// The token of the state directory, made at the first need.
fn token(state: &StateDir) -> Result<String, zt_driver::StateError> {
    if let Some(bytes) = state.read_plain(TOKEN)?
        && let Ok(text) = String::from_utf8(bytes)
        && text.trim().len() >= TOKEN_LEAST
    {
        return Ok(text.trim().to_owned());
    }
    let mut random = [0; 32];
    // Without randomness there are no keys; the kernel gives it once it has started.
    getrandom::fill(&mut random).expect("the kernel gives randomness to a running program");
    let token = zt_wire::KeyId::from_bytes(random).to_string();
    state.write_secret_text(TOKEN, format!("{token}\n").as_bytes())?;
    Ok(token)
}

/// The token's file.
const TOKEN: &str = "control.token";
/// Shortest token that is believed to be one, characters.
const TOKEN_LEAST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_left_over_socket_is_taken_over_and_a_living_one_is_not() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("node.sock");
        let first = bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn the_token_stays_the_same_and_other_machines_cannot_be_let_in() {
        let outer = tempfile::tempdir().unwrap();
        let state = StateDir::open(&outer.path().join("state")).unwrap();
        assert_eq!(token(&state).unwrap(), token(&state).unwrap());
        assert!(open_tcp(&state, "0.0.0.0:0".parse().unwrap()).is_err());
        assert!(open_tcp(&state, "127.0.0.1:0".parse().unwrap()).is_ok());
    }
}
