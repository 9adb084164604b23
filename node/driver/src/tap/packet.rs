//! A socket that puts IPv4 packets onto any device, below the kernel's routing; it hears nothing.
//!
//! Owner: LAN mode. In: a device's number, a MAC, a packet. Out: one frame with the device's own MAC as its source.
//! Never: a frame received (its protocol is zero); a privilege after it was opened.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// The socket. Opening it takes `CAP_NET_RAW`, sending does not.
#[derive(Debug)]
pub struct Packets {
    socket: OwnedFd,
}

impl Packets {
    /// Opens it.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW`, `EAFNOSUPPORT` by a kernel without packet sockets.
    pub fn open() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None)?;
        Ok(Self { socket })
    }

    /// Sends an IPv4 packet out of the device with this number, to this MAC.
    ///
    /// # Errors
    /// The kernel's: `EMSGSIZE` above the device's MTU, `ENETDOWN`, `ENXIO` for a device that is gone, `ENOBUFS`.
    pub fn send(&self, device: u32, to: [u8; 6], packet: &[u8]) -> Result<(), Errno> {
        // SAFETY: `sockaddr_ll` is plain old data of the C library; all zeroes is a valid value of each of its fields.
        let mut address: libc::sockaddr_ll = unsafe { core::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).map_err(|_| Errno::INVAL)?;
        address.sll_protocol = ETHERTYPE_IPV4.to_be();
        address.sll_ifindex = i32::try_from(device).map_err(|_| Errno::NXIO)?;
        address.sll_halen = 6;
        address.sll_addr[..6].copy_from_slice(&to);
        let length = u32::try_from(size_of_val(&address)).map_err(|_| Errno::INVAL)?;
        // SAFETY: the socket is open; packet and address are owned by the caller for the whole call, their lengths are
        // their own, and the kernel keeps neither pointer.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                (&raw const address).cast(),
                length,
            )
        };
        if sent < 0 {
            let error = std::io::Error::last_os_error();
            return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
        }
        Ok(())
    }
}

/// IPv4 in an Ethernet frame.
const ETHERTYPE_IPV4: u16 = 0x0800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_does_not_exist_takes_no_packet() {
        let packets = Packets::open().unwrap();
        assert_eq!(
            packets.send(u32::MAX >> 1, [0xff; 6], &[0x45; 20]),
            Err(Errno::NXIO)
        );
    }
}
