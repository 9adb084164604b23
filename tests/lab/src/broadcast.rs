//! Programs that broadcast and that listen to groups, as games do: plain UDP sockets on a host.
//!
//! In: a host, a port, what the program names (nothing, a device, a group). Out: who was heard, how often.
//! Never: a device named that the program of the story does not name.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt};

use crate::{Failed, Host};

/// A program with one UDP socket.
#[derive(Debug)]
pub struct Program {
    socket: UdpSocket,
}

impl Program {
    /// On all addresses, on this port (0: any), allowed to broadcast.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn on(host: &Host, port: u16) -> Result<Self, Failed> {
        let socket = host.inside(move || Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?))?;
        socket.set_broadcast(true)?;
        Ok(Self { socket })
    }

    /// The same, bound to a device.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn bound(host: &Host, port: u16, device: &str) -> Result<Self, Failed> {
        let program = Self::on(host, port)?;
        setsockopt(
            &program.socket,
            sockopt::BindToDevice,
            &OsString::from(device),
        )
        .map_err(std::io::Error::from)?;
        Ok(program)
    }

    /// Joins a group on the device with this address; without one (0.0.0.0) where the kernel thinks best.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn join(&self, group: Ipv4Addr, at: Ipv4Addr) -> Result<(), Failed> {
        Ok(self.socket.join_multicast_v4(&group, &at)?)
    }

    /// Sends from the device with this address what goes to a group.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn multicast_from(&self, at: Ipv4Addr) -> Result<(), Failed> {
        Ok(rustix::net::sockopt::set_ip_multicast_if(
            &self.socket,
            &at,
        )?)
    }

    /// Sends.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn say(&self, to: impl Into<SocketAddr>, what: &[u8]) -> Result<(), Failed> {
        self.socket.send_to(what, to.into())?;
        Ok(())
    }

    /// Its port.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn port(&self) -> Result<u16, Failed> {
        Ok(self.socket.local_addr()?.port())
    }

    /// From whom exactly these bytes came: waits for `expected` times, then a moment for more than that.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn heard(&self, what: &[u8], expected: usize) -> Result<Vec<SocketAddrV4>, Failed> {
        let mut from = Vec::new();
        let mut end = Instant::now() + LONG;
        let mut bytes = vec![0; 65_536];
        while let Some(rest) = end.checked_duration_since(Instant::now()) {
            self.socket.set_read_timeout(Some(rest.max(LEAST)))?;
            match self.socket.recv_from(&mut bytes) {
                Ok((length, SocketAddr::V4(sender))) if bytes[..length] == *what => {
                    from.push(sender);
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if from.len() >= expected {
                end = end.min(Instant::now() + MOMENT);
            }
        }
        Ok(from)
    }
}

/// How long what is expected may take.
const LONG: Duration = Duration::from_secs(3);
/// How long a copy too many may take.
const MOMENT: Duration = Duration::from_millis(400);
/// A timeout of zero would be none.
const LEAST: Duration = Duration::from_millis(1);
